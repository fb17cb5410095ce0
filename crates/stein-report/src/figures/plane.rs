//! A panel of the plane: axes of equal scale, a heat map under them, contours, arrows and points over it.

use base64::Engine as _;
use plotters::prelude::{DrawingBackend, SVGBackend};

use super::axis::Axis;
use super::contour;
use crate::canvas::{Anchor, Canvas, Point, SVG_UNIT, Style, Svg, Trouble, svg, text_width};
use crate::field::{Extent, Field};
use crate::palette::Tone;

const TEXT: f64 = 12.0;

/// A colour that reads on light and on dark, for heat maps whose strength is opacity.
pub(crate) type Heat = [u8; 3];
/// Of a density.
pub(crate) const SLATE: Heat = [100, 116, 139];
/// Of an error.
pub(crate) const VERMILION: Heat = [213, 94, 0];

/// What a panel shows. All of it is optional.
pub(crate) struct Plane<'a> {
    pub(crate) extent: Extent,
    /// Strength from 0 to 1 at each of the field's grid points, row by row from the lowest y, and its colour.
    pub(crate) heat: Option<(Vec<f64>, usize, Heat)>,
    /// Densities and row length, whose contours are drawn.
    pub(crate) contours: Option<(Vec<f64>, usize)>,
    /// Arrows.
    pub(crate) arrows: Vec<Arrow>,
    pub(crate) arrow_tone: Tone,
    pub(crate) points: &'a [[f64; 2]],
    pub(crate) point_tone: Tone,
}

/// An arrow centred on a point of the plane, its length a fraction of the panel's width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Arrow {
    pub(crate) at: [f64; 2],
    pub(crate) by: [f64; 2],
}

impl Plane<'_> {
    /// An empty panel.
    pub(crate) fn new(extent: Extent) -> Self {
        Self {
            extent,
            heat: None,
            contours: None,
            arrows: Vec::new(),
            arrow_tone: Tone::Train,
            points: &[],
            point_tone: Tone::Train,
        }
    }

    /// Shades the density of a level, if it is known.
    pub(crate) fn shade(mut self, field: Option<&Field>, level: usize) -> Self {
        if let Some((field, density)) = field.and_then(|f| Some((f, f.density(level)?))) {
            let strengths = strengths(&density);
            if !strengths.is_empty() {
                self.heat = Some((strengths, field.x.len(), SLATE));
            }
        }
        self
    }

    /// Draws the panel, `width` pixels wide.
    pub(crate) fn draw(&self, width: f64) -> Result<Svg, Trouble> {
        let (x, y) = (Axis::linear(self.extent.x.0, self.extent.x.1), Axis::linear(self.extent.y.0, self.extent.y.1));
        let labels = y.ticks(4).iter().map(|(_, label)| text_width(label, TEXT)).fold(0.0, f64::max);
        let (left, bottom) = (labels + 8.0, 20.0);
        let (w, top) = (width - left - 6.0, 6.0);
        let h = w * self.extent.aspect();
        let size = (width, top + h + bottom);
        let grid = svg(size, |canvas| {
            for (value, label) in x.ticks(4) {
                let Some(t) = x.place(value) else { continue };
                let at = left + t * w;
                canvas.line(&[(at, top), (at, top + h)], Style::line(Tone::Grid, 1.0))?;
                canvas.text(&label, (at, top + h + 11.0), Anchor::Middle, TEXT, Tone::Muted)?;
            }
            for (value, label) in y.ticks(4) {
                let Some(t) = y.place(value) else { continue };
                let at = top + (1.0 - t) * h;
                canvas.line(&[(left, at), (left + w, at)], Style::line(Tone::Grid, 1.0))?;
                canvas.text(&label, (left - 5.0, at), Anchor::End, TEXT, Tone::Muted)?;
            }
            Ok(())
        })?;
        let over = svg(size, |canvas| {
            self.contents(canvas, (left, top), (w, h))?;
            let corners = [(left, top), (left + w, top), (left + w, top + h), (left, top + h), (left, top)];
            canvas.line(&corners, Style::line(Tone::Muted, 1.0).alpha(0.6))
        })?;
        let heat = match &self.heat {
            Some((strength, columns, colour)) => heat_image(strength, *columns, *colour, [left, top, w, h])?,
            None => String::new(),
        };
        Ok(Svg { inner: grid.inner + &heat + &over.inner, ..over })
    }

    fn contents<'b>(&self, canvas: &Canvas<SVGBackend<'b>>, corner: Point, (w, h): (f64, f64)) -> Result<(), Trouble> {
        if let Some((density, columns)) = &self.contours {
            let rows = density.len() / (*columns).max(1);
            for (i, level) in contour::mass_levels(density, &[0.5, 0.9, 0.99]).into_iter().enumerate() {
                for path in contour::lines(density, *columns, level) {
                    // A grid point is the middle of its cell, and the picture reaches to the cells' edges.
                    let place = |(column, row): Point| {
                        let (u, v) = ((column + 0.5) / *columns as f64, (row + 0.5) / rows as f64);
                        (corner.0 + u * w, corner.1 + (1.0 - v) * h)
                    };
                    let path: Vec<Point> = path.into_iter().map(place).collect();
                    canvas.line(&path, Style::line(Tone::Ink, 1.1 - 0.2 * i as f64).alpha(0.75 - 0.15 * i as f64))?;
                }
            }
        }
        arrows(canvas, &self.extent, &self.arrows, corner, (w, h), Style::fill(self.arrow_tone))?;
        let radius = if self.points.len() > 600 { 1.3 } else { 1.7 };
        for &point in self.points {
            if let Some((x, y)) = self.extent.place(point, w, h) {
                canvas.disc((corner.0 + x, corner.1 + y), radius, Style::fill(self.point_tone).alpha(0.6))?;
            }
        }
        Ok(())
    }
}

/// Draws arrows into the box at `corner`.
pub(crate) fn arrows<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    extent: &Extent,
    arrows: &[Arrow],
    corner: Point,
    (w, h): (f64, f64),
    style: Style,
) -> Result<(), Trouble> {
    for arrow in arrows {
        let Some((x, y)) = extent.place(arrow.at, w, h) else { continue };
        let (dx, dy) = (arrow.by[0] * w, -arrow.by[1] * w);
        let length = dx.hypot(dy);
        if !length.is_finite() || length < 0.4 {
            continue;
        }
        let (ux, uy) = (dx / length, dy / length);
        let at = |along: f64, across: f64| {
            (corner.0 + x + ux * along - uy * across, corner.1 + y + uy * along + ux * across)
        };
        let head = (0.5 * length).min(4.6);
        let (neck, tip) = (0.5 * length - head, 0.5 * length);
        let (shaft, wing) = (0.42, 0.42 * head);
        let outline = [
            at(-0.5 * length, shaft),
            at(neck, shaft),
            at(neck, wing),
            at(tip, 0.0),
            at(neck, -wing),
            at(neck, -shaft),
            at(-0.5 * length, -shaft),
        ];
        canvas.polygon(&outline, style)?;
    }
    Ok(())
}

/// Arrows for about `across` grid points in a row. Lengths grow with the square root of the norm and reach the spacing
/// at `longest`, beyond which they stay.
pub(crate) fn score_arrows(
    field: &Field,
    across: usize,
    longest: f64,
    score: impl Fn(usize, usize) -> Option<[f64; 2]>,
) -> Vec<Arrow> {
    let step = field.x.len().max(field.y.len()).div_ceil(across.max(1)).max(1);
    let spacing = step as f64 / field.x.len() as f64;
    // Half a step from the edge, so that no arrow leaves the panel.
    let offset = |n: usize| (step / 2).min(n - 1);
    let mut out = Vec::new();
    for row in (offset(field.y.len())..field.y.len()).step_by(step) {
        for column in (offset(field.x.len())..field.x.len()).step_by(step) {
            let Some([sx, sy]) = score(row, column) else { continue };
            let norm = sx.hypot(sy);
            if !(norm > 0.0 && norm.is_finite() && longest > 0.0) {
                continue;
            }
            let length = 0.95 * spacing * (norm / longest).sqrt().min(1.0);
            out.push(Arrow { at: [field.x[column], field.y[row]], by: [length * sx / norm, length * sy / norm] });
        }
    }
    out
}

/// How strongly a density is shaded: from its lowest value to its highest. Empty if it is nothing but 0.
pub(crate) fn strengths(density: &[f64]) -> Vec<f64> {
    let most = density.iter().copied().fold(0.0, f64::max);
    let least = density.iter().copied().fold(most, f64::min);
    if !(most > 0.0 && most.is_finite()) {
        return Vec::new();
    }
    let span = if most > least { most - least } else { most };
    density.iter().map(|d| 0.6 * ((d - least) / span).powf(0.7)).collect()
}

/// The value below which that part of the finite values lies; 0 if there are none.
pub(crate) fn quantile(values: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((part * last as f64).round() as usize).copied().unwrap_or(0.0)
}

/// An SVG image whose opacity is the strength at each grid point.
fn heat_image(strength: &[f64], columns: usize, [r, g, b]: Heat, [x, y, w, h]: [f64; 4]) -> Result<String, Trouble> {
    let rows = strength.len() / columns.max(1);
    let (wide, high) = (u32::try_from(columns).unwrap_or(0), u32::try_from(rows).unwrap_or(0));
    let mut image = image::RgbaImage::new(wide, high);
    for (i, pixel) in image.pixels_mut().enumerate() {
        // Pixels go from the top, the grid from the lowest y.
        let (row, column) = (rows - 1 - i / columns, i % columns);
        let value = strength[row * columns + column];
        let alpha = if value.is_finite() { (value.clamp(0.0, 1.0) * 255.0).round() as u8 } else { 0 };
        *pixel = image::Rgba([r, g, b, alpha]);
    }
    let png = crate::images::png_bytes(&image.into()).map_err(|e| e.to_string())?;
    let data = base64::engine::general_purpose::STANDARD.encode(png);
    let [x, y, w, h] = [x, y, w, h].map(|v| (v * SVG_UNIT).round());
    Ok(format!(
        "<image x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,{data}\"/>\n"
    ))
}
