//! Fisher divergence to a known density, per noise level.

use stein_record::{Estimate, LevelRecord};

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::{Drawn, Figure};
use crate::number::significant;
use crate::palette::Tone;

/// σ²F per level.
pub(crate) fn scaled(levels: &[LevelRecord]) -> Drawn {
    let mean = mean(levels, |l| l.fisher);
    draw(
        levels,
        |l| l.fisher,
        "σ² × Fisher divergence",
        &format!(
            "σ²F with F = ½E‖s − ∇log p‖², the score's error where the noisy data are, in units in which levels can be compared. Its mean{}, times twice the logarithm of largest over smallest σ, bounds what the error costs in KL divergence.",
            mean.map_or(String::new(), |m| format!(", {}", significant(m, 3)))
        ),
    )
}

/// F over that of the zero score, per level.
pub(crate) fn relative(levels: &[LevelRecord]) -> Drawn {
    draw(
        levels,
        |l| l.relative_fisher,
        "relative Fisher divergence",
        "F over ½E‖∇log p‖²: 0 is the true score, 1 is no better than a score of zero everywhere.",
    )
}

/// The mean over the levels that have a finite one.
pub(crate) fn mean(levels: &[LevelRecord], pick: impl Fn(&LevelRecord) -> Option<Estimate>) -> Option<f64> {
    let values: Vec<f64> = levels.iter().filter_map(pick).map(|e| e.value).filter(|v| v.is_finite()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn draw(levels: &[LevelRecord], pick: fn(&LevelRecord) -> Option<Estimate>, label: &str, caption: &str) -> Drawn {
    let mut points: Vec<(f64, f64, f64)> =
        levels.iter().filter_map(|l| pick(l).map(|e| (l.sigma, e.value, e.standard_error))).collect();
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
        y_label: label.into(),
        series: vec![Series::measured("", Tone::Train, points)],
        broken: Vec::new(),
    };
    Ok(Some(Figure::single(chart.draw()?, alt, format!("{caption} Bars are ±1 standard error."))))
}
