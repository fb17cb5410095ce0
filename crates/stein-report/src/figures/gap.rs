//! A metric's place between its baseline and its floor, small enough for a table.

use stein_record::MetricRecord;

use crate::canvas::{Style, Svg, Trouble, svg};
use crate::number::estimate;
use crate::palette::Tone;

const SIZE: (f64, f64) = (150.0, 20.0);

/// A line with the baseline, the floor and the samples' value; real data are always on the right. With what it shows
/// in words.
pub(crate) fn draw(metric: &MetricRecord) -> Result<Option<(Svg, String)>, Trouble> {
    let (Some(floor), Some(baseline)) = (metric.floor, metric.baseline) else { return Ok(None) };
    let values = [baseline.value, floor.value, metric.estimate.value];
    if values.iter().any(|v| !v.is_finite()) || floor.value == baseline.value {
        return Ok(None);
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (left, right, y) = (8.0, SIZE.0 - 8.0, 0.5 * SIZE.1);
    let at = |v: f64| {
        let t = ((v - low) / (high - low)).clamp(0.0, 1.0);
        let t = if floor.value < baseline.value { 1.0 - t } else { t };
        left + t * (right - left)
    };
    let error = if metric.estimate.standard_error.is_finite() { 2.0 * metric.estimate.standard_error } else { 0.0 };
    let drawn = svg(SIZE, |canvas| {
        canvas.line(&[(left, y), (right, y)], Style::line(Tone::Grid, 2.0))?;
        canvas.disc((at(baseline.value), y), 4.0, Style::fill(Tone::Gaussian))?;
        let x = at(floor.value);
        canvas.line(&[(x, y - 7.0), (x, y + 7.0)], Style::line(Tone::Truth, 2.6))?;
        let (a, b) = (at(metric.estimate.value - error), at(metric.estimate.value + error));
        canvas.line(&[(a, y), (b, y)], Style::line(Tone::Train, 2.0))?;
        canvas.disc((at(metric.estimate.value), y), 4.4, Style::fill(Tone::Paper))?;
        canvas.disc((at(metric.estimate.value), y), 3.6, Style::fill(Tone::Train))
    })?;
    let words = format!(
        "Fitted Gaussian {}, samples {}, real data {}.",
        estimate(&baseline),
        estimate(&metric.estimate),
        estimate(&floor)
    );
    Ok(Some((drawn, words)))
}
