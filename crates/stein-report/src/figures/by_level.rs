//! A quantity against σ.

use stein_record::{Estimate, MetricRecord};

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::{Drawn, Figure};
use crate::number::significant;
use crate::palette::Tone;
use crate::sweep::CURL;
use crate::text::visible;

/// What single precision leaves of a curl that there is not.
const ROUNDING: f64 = 1e-6;
/// What a curl is, level by level.
pub(crate) const ABOUT_CURL: &str = "‖J − Jᵀ‖/‖J‖ with J = ∂s/∂x, the score's Jacobian at held-out rows with the noise of the level: 0 for a gradient, as every true score is, √2 where as much of J turns as does not, 2 at most.";

/// A metric that is measured at several noise levels.
pub(crate) fn metric(metric: &MetricRecord) -> Drawn {
    if metric.by_level.len() < 2 || is_rounding(metric) {
        return Ok(None);
    }
    let points = metric.by_level.iter().map(|l| (l.sigma, l.estimate));
    let label = visible(&metric.label);
    if metric.name == CURL {
        draw(points, &label, "‖J − Jᵀ‖/‖J‖", ABOUT_CURL)
    } else {
        draw(points, &label, &label, &visible(&metric.about))
    }
}

/// Whether a metric is a curl that is nothing but rounding at all levels.
pub(crate) fn is_rounding(metric: &MetricRecord) -> bool {
    let mut values = metric.by_level.iter().map(|l| l.estimate.value).chain([metric.estimate.value]);
    // What is not finite is no rounding.
    metric.name == CURL && values.all(|value| value.abs() < ROUNDING)
}

/// The finite values at positive σ, joined by a line; `axis` is what the axis is called.
pub(crate) fn draw(values: impl Iterator<Item = (f64, Estimate)>, label: &str, axis: &str, caption: &str) -> Drawn {
    let mut points: Vec<(f64, f64, f64)> = values.map(|(sigma, e)| (sigma, e.value, e.standard_error)).collect();
    points.retain(|p| p.0.is_finite() && p.0 > 0.0 && p.1.is_finite());
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(worst) = points.iter().max_by(|a, b| a.1.total_cmp(&b.1)).copied() else { return Ok(None) };
    let alt = format!(
        "Line chart of the {label} at {} noise levels; the largest value is {} at σ = {}.",
        points.len(),
        significant(worst.1, 2),
        significant(worst.0, 2)
    );
    let chart = Chart {
        x: Axis::log(points.iter().map(|p| p.0)),
        y: Axis::auto(points.iter().map(|p| p.1)),
        x_label: "noise level σ".into(),
        y_label: axis.into(),
        series: vec![Series::measured("", Tone::Train, points)],
        broken: Vec::new(),
    };
    Ok(Some(Figure::single(chart.draw()?, alt, format!("{caption} Bars are ±1 standard error."))))
}
