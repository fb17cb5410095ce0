//! Samples beside data.

use stein_record::ClassRecord;
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
/// Of more classes than this a grid has no line each.
const MOST_CLASSES: usize = 16;
const MOST_PAIRS: usize = 24;
const MOST_POINTS: usize = 1000;

/// A grid of samples, a line a class where they are of several, beside one of held-out images.
pub(crate) fn grids(
    samples: &Array,
    held_out: Option<&Array>,
    image: [usize; 3],
    range: [f64; 2],
    classes: Option<ClassRecord>,
) -> Drawn {
    let mut panels = Vec::new();
    // Small images are enlarged; of large ones fewer fit, at twice their size at least.
    let columns = (GRID_PIXELS / (2 * image[1] + 1).max(1)).clamp(2, MOST_COLUMNS);
    let by_class = classes.and_then(|classes| by_class(samples, columns, classes));
    for (array, title, what) in [(Some(samples), "Samples", "samples"), (held_out, "Held-out data", "held-out images")]
    {
        let Some(array) = array else { continue };
        let (rows, columns) = match &by_class {
            Some(lines) if title == "Samples" => lines.clone(),
            _ => (first_rows(array, columns * columns), columns),
        };
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
    let caption = match classes {
        None => caption.to_owned(),
        Some(classes) => format!("{caption} {}", told(classes, by_class.is_some())),
    };
    Ok(Some(Figure { panels, layout: Layout::Pairs, legend: None, caption }))
}

/// The first samples of each class, a line a class, and how many a line has; nothing where there are too few or too many.
fn by_class(samples: &Array, columns: usize, classes: ClassRecord) -> Option<(Array, usize)> {
    let [n, width] = *samples.shape.as_slice() else { return None };
    let lines = classes.count;
    let columns = columns.min(n.checked_div(lines)?);
    if classes.of(0) == classes.of(1) || lines > MOST_CLASSES || columns == 0 {
        return None;
    }
    let of = |class: usize| (0..n).filter(move |&i| classes.of(i) == Some(class)).take(columns);
    let data = (0..lines).flat_map(of).flat_map(|i| samples.data[i * width..(i + 1) * width].iter().copied());
    Some((Array { shape: vec![lines * columns, width], data: data.collect() }, columns))
}

/// What classes the samples are of.
fn told(classes: ClassRecord, lines: bool) -> String {
    let w = significant(classes.guidance, 3);
    match (classes.guidance, classes.class) {
        (-1.0, _) => "The samples are of no class (guidance w = −1).".into(),
        (_, Some(class)) => format!("All samples are of class {class} (guidance w = {w})."),
        _ if lines => format!("Of the samples, each line is a class, from 0 at the top (guidance w = {w})."),
        _ => format!("Samples are of the {} classes in turn (guidance w = {w}).", classes.count),
    }
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
        (Some(field), Some(level)) if field.density(level).is_some() && field.sigma[level] == 0.0 => {
            " Shading is the true density.".into()
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_class() {
        // Sample i is the number i.
        let samples = Array { shape: vec![11, 1], data: (0..11u8).map(f32::from).collect() };
        let mixed = ClassRecord { count: 3, class: None, guidance: 0.5 };
        let (rows, columns) = by_class(&samples, 8, mixed).expect("of three classes");
        assert_eq!((rows.data.as_slice(), columns), (&[0.0f32, 3.0, 6.0, 1.0, 4.0, 7.0, 2.0, 5.0, 8.0][..], 3));
        let (rows, columns) = by_class(&samples, 2, mixed).expect("of three classes");
        assert_eq!((rows.data.as_slice(), columns), (&[0.0f32, 3.0, 1.0, 4.0, 2.0, 5.0][..], 2));
        for none in [
            ClassRecord { class: Some(1), ..mixed },
            ClassRecord { guidance: -1.0, ..mixed },
            ClassRecord { count: 12, ..mixed },
            ClassRecord { count: 0, ..mixed },
        ] {
            assert!(by_class(&samples, 8, none).is_none(), "{none:?}");
        }
    }
}
