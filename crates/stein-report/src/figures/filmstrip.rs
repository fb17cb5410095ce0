//! Sampling, frame by frame.

use stein_record::arrays::Array;

use super::plane::Plane;
use super::samples::grid_png;
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::field::{Extent, Field, points, spread};
use crate::number::sigma;
use crate::palette::Tone;

const CHAINS: usize = 6;
const FRAMES: usize = 10;
const PLANE_FRAMES: usize = 5;
const MOST_POINTS: usize = 250;

/// Some frames of a trajectory `[F, n, D]` of images: chains down, frames across.
pub(crate) fn images(frames: &Array, sigmas: &[f64], image: [usize; 3], range: [f64; 2]) -> Drawn {
    let [count, n, d] = frames.shape[..] else { return Ok(None) };
    let chains = n.min(CHAINS);
    let mut panels = Vec::new();
    for frame in spread(count, FRAMES) {
        let rows = frames.data.get(frame * n * d..frame * n * d + chains * d).unwrap_or_default().to_vec();
        let (title, words) = name(sigmas, frame, count);
        panels.push(Panel {
            title: title.trim_start_matches("σ = ").to_owned(),
            note: String::new(),
            alt: format!("{chains} chains {words}."),
            picture: grid_png(&Array { shape: vec![chains, d], data: rows }, image, range, 1, 64)?,
        });
    }
    let caption = if has_noise(sigmas) {
        "From noise to samples: each row is a chain, each column a moment of it with its noise level σ above, clipped to the data's range."
    } else {
        "From the start to samples: each row is a chain, each column a moment of it, clipped to the data's range."
    };
    Ok((!panels.is_empty()).then(|| Figure { panels, layout: Layout::Strip, legend: None, caption: caption.into() }))
}

/// Some frames of a trajectory `[F, n, 2]` of points, over the density at each frame's noise level.
pub(crate) fn plane(frames: &Array, sigmas: &[f64], field: Option<&Field>) -> Drawn {
    let [count, n, 2] = frames.shape[..] else { return Ok(None) };
    let shown = n.min(MOST_POINTS);
    let frame_points = |frame: usize| {
        let rows = frames.data.get(2 * frame * n..2 * (frame * n + shown)).unwrap_or_default().to_vec();
        points(&Array { shape: vec![shown, 2], data: rows }).unwrap_or_default()
    };
    let extent = field.map_or_else(|| Extent::around(&frame_points(count.saturating_sub(1))), Field::extent);
    let mut panels = Vec::new();
    for frame in spread(count, PLANE_FRAMES) {
        let points = frame_points(frame);
        let outside = points.iter().filter(|p| extent.place(**p, 1.0, 1.0).is_none()).count();
        let level = field.map_or(0, |f| f.nearest_level(sigmas.get(frame).copied().unwrap_or(0.0)));
        let plane = Plane { points: &points, point_tone: Tone::Train, ..Plane::new(extent).shade(field, level) };
        let (title, words) = name(sigmas, frame, count);
        panels.push(Panel {
            title,
            note: if outside > 0 { format!("{outside} of {shown} outside") } else { String::new() },
            alt: format!("{shown} particles {words}, {outside} of them outside the frame."),
            picture: Picture::Svg(plane.draw(230.0)?),
        });
    }
    let noise = has_noise(sigmas);
    let shaded = match field.and_then(|f| f.density(0)) {
        Some(_) if noise => " Shading is the density smoothed by the noise of that moment.",
        Some(_) => " Shading is the density.",
        None => "",
    };
    let from = if noise { "noise" } else { "the start" };
    let caption =
        format!("From {from} to samples: particles at some moments of sampling, in time from left to right.{shaded}");
    Ok((!panels.is_empty()).then_some(Figure { panels, layout: Layout::Strip, legend: None, caption }))
}

/// Whether chains come down noise levels: without, they may start anywhere, at the data even.
pub(crate) fn has_noise(sigmas: &[f64]) -> bool {
    sigmas.iter().any(|s| *s > 0.0)
}

/// A frame's title, and words for it.
fn name(sigmas: &[f64], frame: usize, count: usize) -> (String, String) {
    match sigmas.get(frame) {
        Some(s) if s.is_finite() && *s > 0.0 => (sigma(*s), format!("at {}", sigma(*s))),
        // A way that has noise ends without it by denoising.
        Some(s) if *s == 0.0 && has_noise(sigmas) => ("denoised".into(), "after denoising".into()),
        _ => (format!("{} / {count}", frame + 1), format!("in frame {} of {count}", frame + 1)),
    }
}
