//! Samples beside data.

use stein_record::arrays::Array;

use super::plane::Plane;
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::canvas::Trouble;
use crate::field::{Extent, Field, points};
use crate::images::{png_bytes, sample_grid};
use crate::number::{sigma, significant};
use crate::palette::Tone;
use crate::text::count;

const MOST_COLUMNS: usize = 8;
/// About the width of a grid.
const GRID_PIXELS: usize = 320;
const MOST_PAIRS: usize = 24;
const MOST_POINTS: usize = 1000;

/// A grid of samples beside one of held-out images.
pub(crate) fn grids(samples: &Array, held_out: Option<&Array>, image: [usize; 3], range: [f64; 2]) -> Drawn {
    let mut panels = Vec::new();
    // Small images are enlarged; of large ones fewer fit, at twice their size at least.
    let columns = (GRID_PIXELS / (2 * image[1] + 1).max(1)).clamp(2, MOST_COLUMNS);
    for (array, title, what) in [(Some(samples), "Samples", "samples"), (held_out, "Held-out data", "held-out images")]
    {
        let Some(array) = array else { continue };
        let rows = first_rows(array, columns * columns);
        let number = rows.shape[0];
        panels.push(Panel {
            title: title.into(),
            note: String::new(),
            alt: format!("A grid of {}.", count(number, what.trim_end_matches('s'))),
            picture: grid_png(&rows, image, range, columns.min(number.max(1)), GRID_PIXELS)?,
        });
    }
    let caption = if panels.len() == 2 {
        "The first samples and the first held-out images, neither chosen. Values beyond the data's range are clipped for display."
    } else {
        "The first samples, not chosen. Values beyond the data's range are clipped for display; there are no held-out images to put beside them."
    };
    Ok(Some(Figure { panels, layout: Layout::Pairs, legend: None, caption: caption.into() }))
}

/// Each of the first samples over the training image nearest to it.
pub(crate) fn nearest(
    samples: &Array,
    nearest: &Array,
    distances: &[f64],
    image: [usize; 3],
    range: [f64; 2],
) -> Drawn {
    let (Some(width), Some(n)) = (samples.shape.get(1), samples.shape.first()) else { return Ok(None) };
    if nearest.shape.get(1) != Some(width) {
        return Err("samples and nearest images have rows of different lengths".into());
    }
    let pairs = nearest.shape[0].min(*n).min(MOST_PAIRS);
    let mut panels = Vec::new();
    for i in 0..pairs {
        let row = |a: &Array| a.data.get(i * width..(i + 1) * width).unwrap_or_default().to_vec();
        let both = Array { shape: vec![2, *width], data: [row(samples), row(nearest)].concat() };
        let distance = distances.get(i).map(|d| significant(*d, 2)).unwrap_or_default();
        let told = if distance.is_empty() { String::new() } else { format!(", at distance {distance}") };
        panels.push(Panel {
            title: String::new(),
            note: distance,
            alt: format!("Sample {} above its nearest training image{told}.", i + 1),
            picture: grid_png(&both, image, range, 1, 64)?,
        });
    }
    let caption = "Each sample above the training image nearest to it, with their distance. Two alike mean that the network remembers; near, but different, is what new images look like.";
    Ok((!panels.is_empty()).then(|| Figure { panels, layout: Layout::Tiles, legend: None, caption: caption.into() }))
}

/// Held-out points and samples over the density.
pub(crate) fn scatter(samples: Option<&Array>, held_out: Option<&Array>, field: Option<&Field>) -> Drawn {
    let rows = |array: Option<&Array>| array.and_then(points).unwrap_or_default();
    let (samples, held_out) = (rows(samples), rows(held_out));
    let extent =
        field.map_or_else(|| Extent::around(if held_out.is_empty() { &samples } else { &held_out }), Field::extent);
    let level = field.map(|f| f.nearest_level(0.0));
    let mut panels = Vec::new();
    let kinds =
        [("Samples", &samples, Tone::Train, "samples"), ("Held-out data", &held_out, Tone::HeldOut, "held-out points")];
    for (title, all, tone, what) in kinds {
        let shown = &all[..all.len().min(MOST_POINTS)];
        if shown.is_empty() {
            continue;
        }
        let outside = shown.iter().filter(|p| extent.place(**p, 1.0, 1.0).is_none()).count();
        let plane = Plane { points: shown, point_tone: tone, ..Plane::new(extent).shade(field, level.unwrap_or(0)) };
        panels.push(Panel {
            title: title.into(),
            note: if outside > 0 { format!("{outside} of {} lie outside", shown.len()) } else { String::new() },
            alt: format!(
                "Scatter plot of {} in the plane, {outside} of them outside the frame.",
                count(shown.len(), what.trim_end_matches('s'))
            ),
            picture: Picture::Svg(plane.draw(330.0)?),
        });
    }
    let shaded = match (field, level) {
        (Some(field), Some(level)) if field.density(level).is_some() => {
            format!(" Shading is the true density at the smallest noise level, {}.", sigma(field.sigma[level]))
        }
        _ => String::new(),
    };
    let caption = format!(
        "Samples and held-out points, at most {MOST_POINTS} of each.{shaded} Axes are the data's two coordinates, on one scale."
    );
    Ok((!panels.is_empty()).then_some(Figure { panels, layout: Layout::Pairs, legend: None, caption }))
}

/// The first rows of an `[N, D]` array.
pub(crate) fn first_rows(array: &Array, most: usize) -> Array {
    let [n, d] = array.shape[..] else { return Array::default() };
    let n = n.min(most);
    Array { shape: vec![n, d], data: array.data.get(..n * d).unwrap_or_default().to_vec() }
}

/// A grid of images as a PNG of about `wide` pixels.
pub(crate) fn grid_png(
    rows: &Array,
    image: [usize; 3],
    range: [f64; 2],
    columns: usize,
    wide: usize,
) -> Result<Picture, Trouble> {
    let scale = (wide / (columns * image[1]).max(1)).clamp(1, 8);
    let grid = sample_grid(rows, image, range, columns, scale).map_err(|e| e.to_string())?;
    let size = grid.dimensions();
    Ok(Picture::Png { bytes: png_bytes(&grid.into()).map_err(|e| e.to_string())?, size, pixelated: true })
}
