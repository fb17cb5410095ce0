//! What figures are drawn on: a plotters backend, in fractional pixels, with roles for colours.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::{
    BitMapBackend, Circle, DrawingBackend, IntoDrawingArea, PathElement, Polygon, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle, register_font};

use crate::palette::{Tone, Use, with_variables};

/// Why a figure could not be drawn; the page says it in the figure's place.
pub(crate) type Trouble = String;

/// A point in pixels from the upper left corner.
pub(crate) type Point = (f64, f64);

/// SVG without its outer element, and the size that it is drawn in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Svg {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// Elements, in units of 1/[`SVG_UNIT`] pixel.
    pub(crate) inner: String,
}

/// plotters writes whole coordinates only; a tenth of a pixel is fine enough for a line to look straight.
pub(crate) const SVG_UNIT: f64 = 10.0;

/// Where text lies beside its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Begins there.
    Start,
    /// Centred there.
    Middle,
    /// Ends there.
    End,
}

/// How something is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Style {
    pub(crate) tone: Tone,
    pub(crate) how: Use,
    pub(crate) width: f64,
    pub(crate) alpha: f64,
}

impl Style {
    /// A solid line of that width.
    pub(crate) fn line(tone: Tone, width: f64) -> Self {
        Self { tone, how: Use::Solid, width, alpha: 1.0 }
    }

    /// A filled shape.
    pub(crate) fn fill(tone: Tone) -> Self {
        Self::line(tone, 1.0)
    }

    /// The same, see-through.
    pub(crate) fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// The same, dashed if so.
    pub(crate) fn dashed(self, dashed: bool) -> Self {
        Self { how: if dashed { Use::Dashed } else { self.how }, ..self }
    }
}

/// Draws on a plotters backend.
pub(crate) struct Canvas<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    unit: f64,
    paint: fn(Tone, Use) -> RGBColor,
}

impl<DB: DrawingBackend> Canvas<DB> {
    fn at(&self, (x, y): Point) -> (i32, i32) {
        // Casts saturate and send NaN to 0; the clamp keeps plotters' own sums from overflowing.
        let whole = |v: f64| (v * self.unit).round().clamp(-1e6, 1e6) as i32;
        (whole(x), whole(y))
    }

    fn shape(&self, style: Style, filled: bool) -> ShapeStyle {
        let color = (self.paint)(style.tone, style.how).mix(style.alpha);
        ShapeStyle { color, filled, stroke_width: (style.width * self.unit).round().max(1.0) as u32 }
    }

    /// A line through some points.
    pub(crate) fn line(&self, points: &[Point], style: Style) -> Result<(), Trouble> {
        if points.len() < 2 {
            return Ok(());
        }
        let points: Vec<_> = points.iter().map(|&p| self.at(p)).collect();
        self.area.draw(&PathElement::new(points, self.shape(style, false))).map_err(|e| e.to_string())
    }

    /// A filled polygon.
    pub(crate) fn polygon(&self, points: &[Point], style: Style) -> Result<(), Trouble> {
        let points: Vec<_> = points.iter().map(|&p| self.at(p)).collect();
        self.area.draw(&Polygon::new(points, self.shape(style, true))).map_err(|e| e.to_string())
    }

    /// A filled disc.
    pub(crate) fn disc(&self, centre: Point, radius: f64, style: Style) -> Result<(), Trouble> {
        let radius = (radius * self.unit).round().clamp(1.0, 1e5) as i32;
        self.area.draw(&Circle::new(self.at(centre), radius, self.shape(style, true))).map_err(|e| e.to_string())
    }

    /// Text, vertically centred on its point.
    pub(crate) fn text(&self, text: &str, at: Point, anchor: Anchor, size: f64, tone: Tone) -> Result<(), Trouble> {
        let color = (self.paint)(tone, Use::Label);
        let h_pos = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        // plotters divides by 1.24 on its way to SVG.
        let font = (FontFamily::Name(FAMILY), size * self.unit * 1.24);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(h_pos, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), self.at(at), style)).map_err(|e| e.to_string())
    }
}

/// Draws a figure as SVG, in the page's colours.
pub(crate) fn svg(
    (width, height): (f64, f64),
    draw: impl FnOnce(&Canvas<SVGBackend<'_>>) -> Result<(), Trouble>,
) -> Result<Svg, Trouble> {
    let mut buffer = String::new();
    {
        let size = ((width * SVG_UNIT) as u32, (height * SVG_UNIT) as u32);
        let area = SVGBackend::with_string(&mut buffer, size).into_drawing_area();
        let canvas = Canvas { area, unit: SVG_UNIT, paint: Tone::marker };
        draw(&canvas)?;
        canvas.area.present().map_err(|e| e.to_string())?;
    }
    let inner = buffer.split_once('>').map_or("", |(_, rest)| rest).trim();
    let inner = inner.strip_suffix("</svg>").unwrap_or(inner);
    // What repeats on every element is said once, on the outer one.
    let inner = inner
        .replace(" opacity=\"1\"", "")
        .replace(&format!(" font-family=\"{FAMILY}\""), "")
        .replace(" stroke=\"none\" stroke-width=\"10\"", "");
    Ok(Svg { width, height, inner: with_variables(inner) })
}

/// Draws on an RGB bitmap that is there already, in light colours. Coordinates are pixels over `unit`.
pub(crate) fn bitmap(
    image: &mut image::RgbImage,
    unit: f64,
    draw: impl FnOnce(&Canvas<BitMapBackend<'_>>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    font()?;
    let size = image.dimensions();
    let area = BitMapBackend::with_buffer(image.as_mut(), size).into_drawing_area();
    let canvas = Canvas { area, unit, paint: Tone::light };
    draw(&canvas)?;
    canvas.area.present().map_err(|e| e.to_string())
}

/// The one family that figures name. SVG takes the page's fonts; bitmaps and measuring take the embedded one.
const FAMILY: &str = "system-ui, sans-serif";

/// The width of text in pixels, by the embedded font; a guess if that cannot be read.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let guess = 0.6 * size * text.chars().count() as f64;
    if font().is_err() {
        return guess;
    }
    let description = plotters::style::FontDesc::new(FontFamily::Name(FAMILY), size * 1.24, FontStyle::Normal);
    // ab_glyph scales to the line height, 1.16 em here. Most systems' fonts are narrower than this one, none much wider.
    description.box_size(text).map_or(guess, |(width, _)| f64::from(width) * 1.16 / 1.24)
}

fn font() -> Result<(), Trouble> {
    static FONT: OnceLock<Result<(), Trouble>> = OnceLock::new();
    FONT.get_or_init(|| {
        let bytes = include_bytes!("../assets/DejaVuSans-subset.ttf");
        register_font(FAMILY, FontStyle::Normal, bytes).map_err(|_| "the embedded font cannot be read".to_owned())
    })
    .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svg_has_roles_for_colours_and_escapes_text() {
        let svg = svg((100.0, 50.0), |canvas| {
            canvas.line(&[(0.0, 0.5), (f64::NAN, f64::INFINITY)], Style::line(Tone::Train, 1.5))?;
            canvas.text("<b>", (1.0, 1.0), Anchor::Start, 12.0, Tone::Ink)
        })
        .unwrap();
        assert!(svg.inner.contains("var(--train)") && svg.inner.contains("var(--ink-text)"), "{}", svg.inner);
        assert!(svg.inner.contains("&lt;b&gt;") && !svg.inner.contains("svg"), "{}", svg.inner);
    }

    #[test]
    fn the_embedded_font_measures() {
        let (short, long) = (text_width("σ", 12.0), text_width("σ²∇ log p(x̃)", 12.0));
        assert!(short > 3.0 && long > 4.0 * short, "{short} {long}");
    }
}
