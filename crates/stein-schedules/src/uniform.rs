//! σ_i = σ₁ + (i−1)/(L−1) (σ_L − σ₁).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, NoiseSchedule, SchedulePart};

use crate::SigmaMax;
use crate::ladder::{Ladder, with_exact_ends};

/// A ladder of equal steps in σ from sigma-max down to sigma-min, both included.
///
/// `levels = 1` means the one level sigma-max.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Uniform {
    /// σ₁, the largest standard deviation; `"auto"` is the largest distance between training rows (NCSNv2, technique 1), of so
    /// many as 4096 of them.
    pub sigma_max: SigmaMax,
    /// σ_L, the smallest.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma_min: f64,
    /// L, the number of levels.
    #[schemars(range(min = 1, max = 100000))]
    pub levels: usize,
}

impl Default for Uniform {
    fn default() -> Self {
        Self { sigma_max: SigmaMax::Value(4.0), sigma_min: 0.02, levels: 20 }
    }
}

/// The σ of a uniform ladder, both ends exact.
pub fn uniform(sigma_max: f64, sigma_min: f64, levels: usize) -> Vec<f64> {
    with_exact_ends(sigma_max, sigma_min, levels, |t| sigma_max + t * (sigma_min - sigma_max))
}

impl Component<SchedulePart> for Uniform {
    const KIND: &'static str = "uniform";

    fn check(&self) -> Result<(), Invalid> {
        self.sigma_max.check(self.sigma_min, self.levels)
    }

    fn build(&self, data: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        let sigma_max = self.sigma_max.over(data, self.sigma_min)?;
        Ladder::exploding(uniform(sigma_max, self.sigma_min, self.levels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_equal_and_both_ends_included() {
        let sigmas = uniform(5.0, 1.0, 9);
        assert_eq!(sigmas, [5.0, 4.5, 4.0, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0]);
        // The twin with equal ratios has the same ends and another middle.
        let wrong = crate::geometric(5.0, 1.0, 9);
        assert_eq!((wrong[0], wrong[8]), (5.0, 1.0));
        assert!((wrong[4] - sigmas[4]).abs() > 0.5);
    }

    #[test]
    fn one_level_is_sigma_max() {
        assert_eq!(uniform(3.0, 0.1, 1), [3.0]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert_eq!(Uniform { levels: 0, ..Uniform::default() }.check().unwrap_err().key.as_deref(), Some("levels"));
        assert_eq!(Uniform::default().check(), Ok(()));
    }
}
