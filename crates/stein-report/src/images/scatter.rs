//! Points of the plane, as a bitmap.

use image::imageops::{FilterType, resize};
use image::{DynamicImage, Rgb, RgbImage, RgbaImage};
use stein_record::RecordError;
use stein_record::arrays::{Array, ArrayFile};

use super::unfit;
use crate::canvas::{Anchor, Style, Trouble, bitmap};
use crate::field::{Extent, Field, points};
use crate::figures::plane::{Arrow, arrows, strengths};
use crate::palette::Tone;

/// A picture of points `[N, 2]` over the density, if `field` holds one, in a square of equal axes.
///
/// `field` is what `evaluation/field.safetensors` holds; without it the picture covers the points' own extent. Points
/// that are not finite, or outside, are left out.
///
/// # Errors
/// If `rows` is not `[N, 2]`, or the tensors of `field` don't fit together.
pub fn scatter(rows: &Array, field: Option<&ArrayFile>, size: u32) -> Result<RgbaImage, RecordError> {
    let found = points(rows).ok_or_else(|| unfit(format!("rows of the shape {:?} are no points", rows.shape)))?;
    let field = field.map(Field::from_arrays).transpose().map_err(unfit)?;
    let extent = field.as_ref().map_or_else(|| Extent::around(&found), Field::extent);
    let backdrop =
        Backdrop { extent, density: field.as_ref().and_then(|f| shade(f, f.nearest_level(0.0))), arrows: Vec::new() };
    let picture = backdrop.draw(&found, "", size).map_err(unfit)?;
    Ok(DynamicImage::ImageRgb8(picture).into_rgba8())
}

/// What particles move over.
pub(super) struct Backdrop {
    pub(super) extent: Extent,
    /// Strength from 0 to 1 and row length, from the lowest y.
    pub(super) density: Option<(Vec<f64>, usize)>,
    pub(super) arrows: Vec<Arrow>,
}

/// The shading of a level.
pub(super) fn shade(field: &Field, level: usize) -> Option<(Vec<f64>, usize)> {
    let density = field.density(level)?;
    let strengths = strengths(&density);
    (!strengths.is_empty()).then_some((strengths, field.x.len()))
}

impl Backdrop {
    /// Draws points over the backdrop, `width` pixels wide, with a word in the corner.
    pub(super) fn draw(&self, points: &[[f64; 2]], word: &str, width: u32) -> Result<RgbImage, Trouble> {
        let width = width.clamp(16, 2048);
        let height = ((f64::from(width) * self.extent.aspect()).round() as u32).clamp(16, 4096);
        // Twice as large and then halved: plotters' polygons have hard edges.
        let unit = 2.0;
        let mut image = RgbImage::from_fn(2 * width, 2 * height, |x, y| {
            let at = |v: u32, n: u32| (f64::from(v) + 0.5) / f64::from(2 * n);
            let strength = self.density.as_ref().map_or(0.0, |d| bilinear(d, at(x, width), 1.0 - at(y, height)));
            // Few tones: a GIF has to share its colours.
            let strength = (strength * 48.0).round() / 48.0;
            Rgb([100u8, 116, 139].map(|c| (255.0 + (f64::from(c) - 255.0) * strength) as u8))
        });
        let (w, h) = (f64::from(width), f64::from(height));
        bitmap(&mut image, unit, |canvas| {
            arrows(canvas, &self.extent, &self.arrows, (0.0, 0.0), (w, h), Style::fill(Tone::Muted).alpha(0.75))?;
            for &point in points {
                if let Some(at) = self.extent.place(point, w, h) {
                    canvas.disc(at, 2.0, Style::fill(Tone::Train).alpha(0.85))?;
                }
            }
            if !word.is_empty() {
                let ends = [(6.0, 5.0), (w.min(96.0), 5.0), (w.min(96.0), 23.0), (6.0, 23.0)];
                canvas.polygon(&ends, Style::fill(Tone::Paper).alpha(0.85))?;
                canvas.text(word, (12.0, 14.0), Anchor::Start, 12.5, Tone::Ink)?;
            }
            Ok(())
        })?;
        Ok(resize(&image, width, height, FilterType::Triangle))
    }
}

/// The value at a place from 0 to 1 in both directions, between the cells' middles.
fn bilinear((values, columns): &(Vec<f64>, usize), u: f64, v: f64) -> f64 {
    let rows = values.len() / (*columns).max(1);
    let side = |t: f64, n: usize| {
        let place = (t * n as f64 - 0.5).clamp(0.0, n.saturating_sub(1) as f64);
        let low = place.floor() as usize;
        (low, (low + 1).min(n.saturating_sub(1)), place - place.floor())
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (side(u, *columns), side(v, rows));
    let value = |x: usize, y: usize| values.get(y * columns + x).copied().unwrap_or(0.0);
    let row = |y| value(x0, y) * (1.0 - fx) + value(x1, y) * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_drawn_and_hostile_ones_are_not() {
        let rows = Array::new([3, 2], vec![0.0, 0.0, f32::NAN, 1.0, 1.0, f32::INFINITY]);
        let picture = scatter(&rows, None, 64).unwrap();
        assert_eq!(picture.dimensions(), (64, 64));
        assert!(picture.pixels().any(|p| p.0[2] > p.0[0].saturating_add(60)), "no blue dot");
        assert!(scatter(&Array::new([2, 3], vec![0.0; 6]), None, 64).is_err());
        assert!(scatter(&rows, Some(&ArrayFile::default()), 64).is_err());
    }
}
