//! Shares as bars, each beside what it should be.

use super::axis::Axis;
use crate::canvas::{Anchor, Style, Svg, Trouble, svg};
use crate::number::significant;
use crate::palette::Tone;

const WIDTH: f64 = 480.0;
const TEXT: f64 = 13.0;

/// One bar.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) value: f64,
    /// Two of these are drawn to either side.
    pub(super) standard_error: f64,
    pub(super) truth: f64,
}

/// Draws shares of samples, with what the upright lines are; and tells them in words.
pub(super) fn draw(bars: &[Bar], truth: &str) -> Result<(Svg, String), Trouble> {
    let reach = bars.iter().flat_map(|b| {
        let spread = if b.standard_error.is_finite() { 2.0 * b.standard_error } else { 0.0 };
        [b.value, b.truth, b.value + spread]
    });
    let x = Axis::from_zero(reach);
    let (left, right, top, row) = (64.0, WIDTH - 140.0, 26.0, 30.0);
    let bottom = top + row * bars.len() as f64;
    let at = |v: f64| x.place(v).map(|t| left + t.clamp(0.0, 1.0) * (right - left));
    let drawn = svg((WIDTH, bottom + 40.0), |canvas| {
        canvas.text("samples", (right + 12.0, 10.0), Anchor::Start, TEXT, Tone::Train)?;
        canvas.text(truth, (WIDTH - 4.0, 10.0), Anchor::End, TEXT, Tone::Truth)?;
        for (value, label) in x.ticks(5) {
            let Some(at) = at(value) else { continue };
            canvas.line(&[(at, top), (at, bottom)], Style::line(Tone::Grid, 1.0))?;
            canvas.text(&label, (at, bottom + 12.0), Anchor::Middle, TEXT, Tone::Muted)?;
        }
        canvas.line(&[(left, top), (left, bottom)], Style::line(Tone::Muted, 1.0))?;
        for (i, bar) in bars.iter().enumerate() {
            let y = top + row * (i as f64 + 0.5);
            canvas.text(&bar.name, (left - 8.0, y), Anchor::End, TEXT, Tone::Ink)?;
            if let Some(end) = at(bar.value) {
                let corners = [(left, y - 7.0), (end, y - 7.0), (end, y + 7.0), (left, y + 7.0)];
                canvas.polygon(&corners, Style::fill(Tone::Train).alpha(0.45))?;
                let span = 2.0 * bar.standard_error;
                if let (Some(a), Some(b)) = (at(bar.value - span), at(bar.value + span)) {
                    canvas.line(&[(a, y), (b, y)], Style::line(Tone::Train, 1.8))?;
                }
            }
            if let Some(at) = at(bar.truth) {
                canvas.line(&[(at, y - 11.0), (at, y + 11.0)], Style::line(Tone::Truth, 2.6))?;
            }
            let (mean, truth) = (significant(bar.value, 2), significant(bar.truth, 2));
            canvas.text(&mean, (right + 12.0, y), Anchor::Start, TEXT, Tone::Train)?;
            canvas.text(&truth, (WIDTH - 4.0, y), Anchor::End, TEXT, Tone::Truth)?;
        }
        canvas.text("fraction of samples", (0.5 * (left + right), bottom + 31.0), Anchor::Middle, TEXT, Tone::Ink)
    })?;
    let told = bars.iter().map(|bar| {
        let (value, should) = (significant(bar.value, 2), significant(bar.truth, 2));
        format!("{} {value} ({truth} {should})", bar.name)
    });
    Ok((drawn, told.collect::<Vec<_>>().join(", ")))
}
