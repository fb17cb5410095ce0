//! Sampling as an animated GIF.

use std::collections::BTreeMap;
use std::path::Path;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, Rgba, RgbaImage};
use stein_record::arrays::{Array, ArrayFile};
use stein_record::{RecordError, atomic};

use super::scatter::{Backdrop, shade};
use super::{sample_grid, unfit};
use crate::field::{Extent, Field, points, spread};
use crate::figures::plane::{quantile, score_arrows};
use crate::number::sigma;

/// What a GIF may weigh; one that is heavier is written again with half the frames.
const MOST_BYTES: usize = 1_400_000;
const MOST_FRAMES: usize = 40;
const COLOURS: usize = 128;
const MOST_PARTICLES: usize = 400;
const PLANE_PIXELS: u32 = 320;
/// About the width of a grid of images.
const GRID_PIXELS: usize = 260;

/// How the rows of a trajectory are to be seen.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// As images: a grid of them.
    Images {
        /// Height, width and channels.
        image: [usize; 3],
        /// The values drawn black and white.
        range: [f64; 2],
        /// Images in a row of the grid.
        columns: usize,
    },
    /// As points of the plane: particles over the density and the learned score, each where `field` holds it, at the
    /// noise level nearest to the frame's.
    Plane {
        /// What `evaluation/field.safetensors` holds.
        field: Option<&'a ArrayFile>,
    },
}

/// σ of a frame; `None` on a way that never had noise, whose end was not denoised.
fn noise(sigmas: &[f64], frame: usize) -> Option<f64> {
    sigmas.iter().any(|s| *s != 0.0).then(|| sigmas.get(frame).copied()).flatten()
}

/// Writes an animated GIF of a trajectory `[F, n, D]`, atomically. `sigmas` are the frames' noise levels, which may
/// be fewer. It loops, holds its last frame, has at most 40 frames and stays below 1.5 MB.
///
/// # Errors
/// If the shapes don't fit together or the file cannot be written.
pub fn trajectory_gif(path: &Path, frames: &Array, sigmas: &[f64], view: View<'_>) -> Result<(), RecordError> {
    let [count, n, d] = frames.shape[..] else {
        return Err(unfit(format!("a trajectory has three dimensions, not {:?}", frames.shape)));
    };
    let whole = count.checked_mul(n).and_then(|m| m.checked_mul(d));
    if whole != Some(frames.data.len()) || frames.data.is_empty() {
        return Err(unfit(format!("a trajectory of the shape {:?} has {} values", frames.shape, frames.data.len())));
    }
    let rows = |frame: usize, most: usize| Array {
        shape: vec![n.min(most), d],
        data: frames.data[frame * n * d..(frame * n + n.min(most)) * d].to_vec(),
    };
    let chosen = spread(count, MOST_FRAMES);
    let mut pictures: Vec<RgbaImage> = match view {
        View::Images { image, range, columns } => {
            let most = columns.saturating_mul(columns).max(1);
            let scale = (GRID_PIXELS / columns.max(1) / image[1].max(1)).clamp(1, 6);
            let grid = |&frame: &usize| sample_grid(&rows(frame, most), image, range, columns, scale);
            chosen.iter().map(grid).collect::<Result<_, _>>()?
        }
        View::Plane { field } => {
            let field = field.map(Field::from_arrays).transpose().map_err(unfit)?;
            let last = points(&rows(count - 1, MOST_PARTICLES)).ok_or_else(|| unfit("the rows are no points"))?;
            let particles = |frame| points(&rows(frame, MOST_PARTICLES)).unwrap_or_default();
            let draw = |&frame: &usize| plane(field.as_ref(), &last, &particles(frame), noise(sigmas, frame));
            chosen.iter().map(draw).collect::<Result<_, _>>()?
        }
    };
    reduce_colours(&mut pictures);
    loop {
        let bytes = encode(&pictures)?;
        if bytes.len() <= MOST_BYTES || pictures.len() < 4 {
            return atomic::write(path, &bytes);
        }
        let kept = spread(pictures.len(), pictures.len() / 2);
        pictures = kept.into_iter().map(|i| pictures[i].clone()).collect();
    }
}

fn plane(
    field: Option<&Field>,
    last: &[[f64; 2]],
    points: &[[f64; 2]],
    noise: Option<f64>,
) -> Result<RgbaImage, RecordError> {
    let level = field.map(|f| (f, f.nearest_level(noise.unwrap_or(0.0))));
    let arrows = level.map_or_else(Vec::new, |(field, level)| {
        let score = |row, column| field.learned(level, row, column);
        let grid = (0..field.y.len()).flat_map(|row| (0..field.x.len()).map(move |column| (row, column)));
        let longest = quantile(grid.filter_map(|(r, c)| score(r, c)).map(|[a, b]| a.hypot(b)), 0.9);
        score_arrows(field, 15, longest, score)
    });
    let backdrop = Backdrop {
        extent: field.map_or_else(|| Extent::around(last), Field::extent),
        density: level.and_then(|(field, level)| shade(field, level)),
        arrows,
    };
    let word = match noise {
        Some(s) if s.is_finite() && s > 0.0 => sigma(s),
        Some(_) => "denoised".into(),
        None => String::new(),
    };
    let picture = backdrop.draw(points, &word, PLANE_PIXELS).map_err(unfit)?;
    Ok(DynamicImage::ImageRgb8(picture).into_rgba8())
}

/// Gives all pictures one palette: the most frequent colours of six bits a channel, and for the rest their nearest.
fn reduce_colours(pictures: &mut [RgbaImage]) {
    let coarse = |p: &Rgba<u8>| {
        let [r, g, b, a] = p.0;
        // Six bits, spread so that black and white stay black and white.
        let six = |c: u8| ((u16::from(c >> 2) * 255 + 31) / 63) as u8;
        if a < 128 { [0xd9, 0xdd, 0xe2] } else { [six(r), six(g), six(b)] }
    };
    let mut frequency: BTreeMap<[u8; 3], usize> = BTreeMap::new();
    for pixel in pictures.iter().flat_map(|p| p.pixels()) {
        *frequency.entry(coarse(pixel)).or_default() += 1;
    }
    let mut order: Vec<_> = frequency.iter().map(|(colour, n)| (*n, *colour)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let palette: Vec<[u8; 3]> = order.iter().take(COLOURS).map(|(_, colour)| *colour).collect();
    let distance = |a: [u8; 3], b: [u8; 3]| (0..3).map(|i| (i32::from(a[i]) - i32::from(b[i])).pow(2)).sum::<i32>();
    let nearest: BTreeMap<[u8; 3], [u8; 3]> = frequency
        .keys()
        .map(|&colour| (colour, palette.iter().copied().min_by_key(|&p| distance(p, colour)).unwrap_or(colour)))
        .collect();
    for pixel in pictures.iter_mut().flat_map(|p| p.pixels_mut()) {
        let colour = coarse(pixel);
        let [r, g, b] = nearest.get(&colour).copied().unwrap_or(colour);
        *pixel = Rgba([r, g, b, 255]);
    }
}

fn encode(pictures: &[RgbaImage]) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::new();
    {
        let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
        encoder.set_repeat(Repeat::Infinite).map_err(|e| unfit(e.to_string()))?;
        for (i, picture) in pictures.iter().enumerate() {
            let milliseconds = if i + 1 == pictures.len() { 2500 } else { 100 };
            let delay = Delay::from_numer_denom_ms(milliseconds, 1);
            let frame = Frame::from_parts(picture.clone(), 0, 0, delay);
            encoder.encode_frame(frame).map_err(|e| unfit(e.to_string()))?;
        }
    }
    Ok(bytes)
}
