//! α(t) = exp(−½∫β), σ = √(1 − α²).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Level, NoiseSchedule, SchedulePart};

use crate::beta::Beta;
use crate::ladder::Ladder;

/// The variance-preserving kernel: α² + σ² = 1, so that data of variance 1 keep it; β(t) linear.
///
/// Levels lie at even times from 1 down to epsilon.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct VariancePreserving(pub Beta);

impl VariancePreserving {
    fn ladder(&self) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        Ladder::build(self.0.times().map(|t| level(self.0.log_alpha(t))).collect(), at_ratio)
    }
}

/// The level of α.
fn level(log_alpha: f64) -> Level {
    Level { alpha: log_alpha.exp(), sigma: (-(2.0 * log_alpha).exp_m1()).sqrt() }
}

/// σ/α = r and α² + σ² = 1.
pub(crate) fn at_ratio(ratio: f64) -> Level {
    let alpha = 1.0f64.hypot(ratio).recip();
    Level { alpha, sigma: ratio * alpha }
}

impl Component<SchedulePart> for VariancePreserving {
    const KIND: &'static str = "variance-preserving";
    const PAPER: &'static str = "Song et al. 2021, arXiv 2011.13456, equation 11";

    fn check(&self) -> Result<(), Invalid> {
        self.0.check()
    }

    fn build(&self, _: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        self.ladder()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_papers() {
        let schedule = VariancePreserving::default().ladder().unwrap();
        assert_eq!(schedule.levels().len(), 1000);
        let near = |level: Level, alpha: f64, sigma: f64| {
            assert!((level.alpha / alpha - 1.0).abs() < 1e-9 && (level.sigma / sigma - 1.0).abs() < 1e-9, "{level:?}");
        };
        // β integrates to 10.05 over [0, 1].
        near(schedule.first(), (-5.025f64).exp(), (1.0 - (-10.05f64).exp()).sqrt());
        near(schedule.last(), 0.9999450265110976, 0.010485416335094895);
        for level in schedule.levels() {
            assert!((level.alpha * level.alpha + level.sigma * level.sigma - 1.0).abs() < 1e-12, "{level:?}");
        }
    }

    #[test]
    fn levels_are_found_again_by_their_ratio() {
        let schedule = VariancePreserving::default().ladder().unwrap();
        for &level in schedule.levels() {
            let found = schedule.at_ratio(level.sigma / level.alpha);
            assert!((found.alpha / level.alpha - 1.0).abs() < 1e-9, "{found:?}, not {level:?}");
            assert!((found.sigma / level.sigma - 1.0).abs() < 1e-9, "{found:?}, not {level:?}");
        }
        // The twin of variance-exploding schedules.
        let level = schedule.levels()[500];
        let wrong = Level::exploding(level.sigma / level.alpha);
        assert!((wrong.alpha / level.alpha - 1.0).abs() > 0.01);
    }
}
