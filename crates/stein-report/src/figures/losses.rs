//! The loss over training.

use stein_record::{MetricLine, Split};

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::{Drawn, Figure};
use crate::number::significant;
use crate::palette::Tone;

/// Points a line is thinned to.
const MOST_POINTS: usize = 700;

/// Loss curves of training and held-out rows, raw and smoothed.
pub(crate) fn figure(metrics: &[MetricLine]) -> Drawn {
    let losses = |split| -> Vec<(f64, f64)> {
        let lines = metrics.iter().filter(|m| m.name == "loss" && m.split == split);
        lines.map(|m| (m.step as f64, m.value)).collect()
    };
    let (train, held_out) = (losses(Split::Train), losses(Split::HeldOut));
    let all = || train.iter().chain(&held_out);
    if !all().any(|p| p.1.is_finite()) {
        return Ok(None);
    }
    let mut series = Vec::new();
    let mut spans = Vec::new();
    for (points, label, tone) in [(&train, "train", Tone::Train), (&held_out, "held-out", Tone::HeldOut)] {
        if points.is_empty() {
            continue;
        }
        let span = points.len() / 30;
        if span < 3 {
            // Too few to smooth.
            series.push(Series { dots: points.len() < 40, ..Series::line(label, tone, points.iter().copied()) });
            continue;
        }
        spans.push(format!("{span} records ({label})"));
        series.insert(0, Series::line("", tone, thin(points)).faint());
        series.push(Series::line(label, tone, thin(&smoothed(points, span))));
    }
    let broken: Vec<f64> = all().filter(|p| !p.1.is_finite()).map(|p| p.0).collect();
    let y = Axis::auto(all().map(|p| p.1));
    let last = |points: &[(f64, f64)]| points.iter().rev().find(|p| p.1.is_finite()).map(|p| p.1);
    let ends = [("training", last(&train)), ("held-out", last(&held_out))];
    let ends: Vec<String> =
        ends.iter().filter_map(|(name, v)| Some(format!("{name} loss ends at {}", significant((*v)?, 3)))).collect();
    let alt = format!("Line chart of the loss over training steps; {}.", ends.join(", "));
    let mut caption = format!(
        "Weighted loss over training{}.{}",
        if y.is_log() { ", on a logarithmic axis" } else { "" },
        if held_out.is_empty() {
            ""
        } else {
            " The held-out loss is the averaged network's, on the same rows and noise each time, so its changes are the network's."
        }
    );
    if !spans.is_empty() {
        caption.push_str(&format!(
            " Faint lines are raw, bold ones an exponential moving average over about {}.",
            spans.join(" and ")
        ));
    }
    if let Some(first) = broken.iter().copied().reduce(f64::min) {
        caption.push_str(&format!(
            " Crosses at the top mark {}; the first is at step {first}.",
            crate::text::count(broken.len(), "value") + " that are not finite"
        ));
    }
    let steps = all().map(|p| p.0).fold(0.0, f64::max);
    let first = all().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let x = Axis::linear(if first < 0.3 * steps { 0.0 } else { first }, steps.max(1.0));
    let broken = broken.into_iter().take(50).collect();
    let chart = Chart { x, y, x_label: "training step".into(), y_label: "weighted loss".into(), series, broken };
    Ok(Some(Figure::single(chart.draw()?, alt, caption)))
}

/// An exponential moving average over about `span` values, started at the first; values that are not finite are
/// passed over.
fn smoothed(points: &[(f64, f64)], span: usize) -> Vec<(f64, f64)> {
    let keep = 1.0 - 2.0 / (span as f64 + 1.0);
    // Dividing by the weights so far makes the start an ordinary mean instead of the first value's echo.
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|p| p.1.is_finite());
    finite
        .map(|&(x, y)| {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
            (x, sum / weight)
        })
        .collect()
}

/// At most [`MOST_POINTS`] of the points; each bucket keeps its lowest and highest, so that spikes stay.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let mut out = Vec::with_capacity(MOST_POINTS);
    for bucket in points.chunks(points.len().div_ceil(MOST_POINTS / 2)) {
        let finite = || (0..bucket.len()).filter(|&i| bucket[i].1.is_finite());
        let low = finite().min_by(|&a, &b| bucket[a].1.total_cmp(&bucket[b].1));
        let high = finite().max_by(|&a, &b| bucket[a].1.total_cmp(&bucket[b].1));
        match (low, high) {
            (Some(low), Some(high)) if low != high => out.extend([bucket[low.min(high)], bucket[low.max(high)]]),
            (Some(i), _) | (None, Some(i)) => out.push(bucket[i]),
            (None, None) => out.push(bucket[0]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_passes_over_what_is_not_finite() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, f64::INFINITY), (4.0, 1.0)];
        assert_eq!(smoothed(&points, 5), [(0.0, 1.0), (2.0, 1.0), (4.0, 1.0)]);
    }

    #[test]
    fn thinning_keeps_spikes() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[5432].1 = 100.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= MOST_POINTS + 2 && thinned.contains(&(5432.0, 100.0)));
    }
}
