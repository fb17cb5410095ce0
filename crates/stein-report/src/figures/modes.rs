//! How samples spread over the modes of a known mixture.

use stein_record::Evaluation;

use super::axis::Axis;
use super::{Drawn, Figure};
use crate::canvas::{Anchor, Style, svg};
use crate::number::significant;
use crate::palette::Tone;

const WIDTH: f64 = 480.0;
const TEXT: f64 = 13.0;
const MOST: usize = 40;

/// A bar for each mode with the truth and two standard errors, and one for stray samples.
pub(crate) fn figure(evaluation: &Evaluation) -> Drawn {
    let (Some(weights), Some(modes)) = (&evaluation.mode_weights, &evaluation.modes) else { return Ok(None) };
    let nan = |list: &[f64], i: usize| list.get(i).copied().unwrap_or(f64::NAN);
    let mut bars: Vec<(String, f64, f64, f64)> = (0..weights.len().min(MOST))
        .map(|i| (format!("mode {}", i + 1), weights[i], nan(&modes.standard_error, i), nan(&modes.truth, i)))
        .collect();
    if bars.is_empty() {
        return Ok(None);
    }
    bars.push(("stray".into(), modes.stray.value, modes.stray.standard_error, modes.stray_truth.value));
    let reach = bars.iter().flat_map(|b| [b.1, b.3, if b.2.is_finite() { b.1 + 2.0 * b.2 } else { b.1 }]);
    let x = Axis::from_zero(reach);
    let (left, right, top, row) = (64.0, WIDTH - 140.0, 26.0, 30.0);
    let bottom = top + row * bars.len() as f64;
    let at = |v: f64| x.place(v).map(|t| left + t.clamp(0.0, 1.0) * (right - left));
    let drawn = svg((WIDTH, bottom + 40.0), |canvas| {
        canvas.text("samples", (right + 12.0, 10.0), Anchor::Start, TEXT, Tone::Train)?;
        canvas.text("truth", (WIDTH - 4.0, 10.0), Anchor::End, TEXT, Tone::Truth)?;
        for (value, label) in x.ticks(5) {
            let Some(at) = at(value) else { continue };
            canvas.line(&[(at, top), (at, bottom)], Style::line(Tone::Grid, 1.0))?;
            canvas.text(&label, (at, bottom + 12.0), Anchor::Middle, TEXT, Tone::Muted)?;
        }
        canvas.line(&[(left, top), (left, bottom)], Style::line(Tone::Muted, 1.0))?;
        for (i, (name, value, error, truth)) in bars.iter().enumerate() {
            let y = top + row * (i as f64 + 0.5);
            canvas.text(name, (left - 8.0, y), Anchor::End, TEXT, Tone::Ink)?;
            if let Some(end) = at(*value) {
                let corners = [(left, y - 7.0), (end, y - 7.0), (end, y + 7.0), (left, y + 7.0)];
                canvas.polygon(&corners, Style::fill(Tone::Train).alpha(0.45))?;
                let span = 2.0 * error;
                if let (Some(a), Some(b)) = (at(value - span), at(value + span)) {
                    canvas.line(&[(a, y), (b, y)], Style::line(Tone::Train, 1.8))?;
                }
            }
            if let Some(at) = at(*truth) {
                canvas.line(&[(at, y - 11.0), (at, y + 11.0)], Style::line(Tone::Truth, 2.6))?;
            }
            let (mean, truth) = (significant(*value, 2), significant(*truth, 2));
            canvas.text(&mean, (right + 12.0, y), Anchor::Start, TEXT, Tone::Train)?;
            canvas.text(&truth, (WIDTH - 4.0, y), Anchor::End, TEXT, Tone::Truth)?;
        }
        canvas.text("fraction of samples", (0.5 * (left + right), bottom + 31.0), Anchor::Middle, TEXT, Tone::Ink)
    })?;
    let told = bars.iter().map(|(n, v, _, t)| format!("{n} {} (truth {})", significant(*v, 2), significant(*t, 2)));
    let alt = format!("Bar chart of the fraction of samples at each mode: {}.", told.collect::<Vec<_>>().join(", "));
    let mut caption = String::from(
        "The fraction of samples nearest to each mode, with two standard errors, beside the true weight (upright line). Stray samples are far from every mode; even draws from the truth have some.",
    );
    if weights.len() > MOST {
        caption.push_str(&format!(" Only the first {MOST} of {} modes are shown.", weights.len()));
    }
    Ok(Some(Figure::single(drawn, alt, caption)))
}
