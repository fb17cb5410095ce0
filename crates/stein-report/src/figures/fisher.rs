//! Fisher divergence to a known density, per noise level.

use stein_record::{Estimate, LevelRecord};

use super::{Drawn, by_level};
use crate::number::significant;

/// σ²F per level.
pub(crate) fn scaled(levels: &[LevelRecord]) -> Drawn {
    let mean = mean(levels, |l| l.fisher).map_or(String::new(), |m| format!(", {}", significant(m, 3)));
    // A ladder of one level bounds nothing.
    let bound = if levels.iter().any(|l| l.sigma != levels[0].sigma) {
        format!(
            " Its mean{mean}, times twice the logarithm of largest over smallest σ, bounds what the error costs in KL divergence."
        )
    } else {
        String::new()
    };
    draw(
        levels,
        |l| l.fisher,
        "σ² × Fisher divergence",
        &format!(
            "σ²F with F = ½E‖s − ∇log p‖², the score's error where the noisy data are, in units in which levels can be compared.{bound}"
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
    by_level::draw(levels.iter().filter_map(|l| Some((l.sigma, pick(l)?))), label, label, caption)
}
