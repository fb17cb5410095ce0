//! σ_i = σ₁ γ^{−(i−1)}, γ = (σ₁/σ_L)^{1/(L−1)}.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, NoiseSchedule, SchedulePart};

use crate::ladder::{Ladder, with_exact_ends};
use crate::{Ends, LevelCount, MOST_OVERLAP, SigmaMax};

/// A geometric ladder from sigma-max down to sigma-min, both included: each level is the one before over γ.
///
/// `levels = 1` means the one level sigma-max.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Geometric {
    /// σ₁, the largest standard deviation; `"auto"` is the largest distance between training rows (NCSNv2, technique 1), of so
    /// many as 4096 of them.
    pub sigma_max: SigmaMax,
    /// σ_L, the smallest.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma_min: f64,
    /// L, the number of levels; `"auto"` is the least number at which neighbours overlap by `overlap` (NCSNv2, technique 2). In
    /// fewer than five dimensions that may be two, however far apart the ends are.
    pub levels: LevelCount,
    /// C, the overlap that `levels = "auto"` asks for: how much of a level's noise the next one covers.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 0.9973))]
    pub overlap: f64,
}

impl Default for Geometric {
    fn default() -> Self {
        Self { sigma_max: SigmaMax::Value(4.0), sigma_min: 0.02, levels: LevelCount::Value(20), overlap: 0.5 }
    }
}

/// The σ of a geometric ladder, both ends exact.
pub fn geometric(sigma_max: f64, sigma_min: f64, levels: usize) -> Vec<f64> {
    with_exact_ends(sigma_max, sigma_min, levels, |t| sigma_max * (sigma_min / sigma_max).powf(t))
}

impl Component<SchedulePart> for Geometric {
    const KIND: &'static str = "geometric";
    const PAPER: &'static str = "Song & Ermon 2019, arXiv 1907.05600";

    fn check(&self) -> Result<(), Invalid> {
        // As many as `auto` can come to: at least two.
        self.sigma_max.check(self.sigma_min, self.levels.value().unwrap_or(2))?;
        let overlap = self.overlap;
        if !(overlap > 0.0 && overlap < MOST_OVERLAP) {
            let message = format!(
                "`overlap` is {overlap}; it must be above 0 and below {MOST_OVERLAP:.4}, the overlap of a level with itself"
            );
            return Err(Invalid::key("overlap", message));
        }
        Ok(())
    }

    fn build(&self, data: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        let sigma_max = self.sigma_max.over(data, self.sigma_min)?;
        let ends = Ends { dimension: data.dimension(), sigma_max, sigma_min: self.sigma_min };
        Ladder::exploding(geometric(sigma_max, self.sigma_min, self.levels.between(ends, self.overlap)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(sigmas: &[f64]) -> Vec<f64> {
        sigmas.windows(2).map(|w| w[0] / w[1]).collect()
    }

    #[test]
    fn both_ends_are_included_and_the_ratio_is_constant() {
        // NCSN's CIFAR-10 ladder: 1 → 0.01 in 10 levels has γ = 100^{1/9}.
        let sigmas = geometric(1.0, 0.01, 10);
        assert_eq!((sigmas.len(), sigmas[0], sigmas[9]), (10, 1.0, 0.01));
        let gamma = 100f64.powf(1.0 / 9.0);
        assert!(ratios(&sigmas).iter().all(|r| (r / gamma - 1.0).abs() < 1e-12));
        // The twin with L in place of L − 1 in the exponent misses the last level.
        let wrong: Vec<f64> = (0..10).map(|i| 0.01f64.powf(f64::from(i) / 10.0)).collect();
        assert!((wrong[9] - 0.01).abs() > 1e-3);
        assert!(ratios(&wrong).iter().any(|r| (r / gamma - 1.0).abs() > 1e-2));
    }

    #[test]
    fn one_level_is_sigma_max() {
        assert_eq!(geometric(3.0, 0.1, 1), [3.0]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let wrong = |sigma_max: f64, sigma_min, levels: usize| {
            let ends =
                Geometric { sigma_max: sigma_max.into(), sigma_min, levels: levels.into(), ..Geometric::default() };
            ends.check().unwrap_err().key
        };
        assert_eq!(wrong(-1.0, 0.1, 3).as_deref(), Some("sigma-max"));
        assert_eq!(wrong(1.0, 2.0, 3).as_deref(), Some("sigma-min"));
        assert_eq!(wrong(1.0, f64::NAN, 3).as_deref(), Some("sigma-min"));
        assert_eq!(wrong(1.0, 0.1, 0).as_deref(), Some("levels"));
        for overlap in [0.0, 0.998, f64::NAN] {
            let key = Geometric { overlap, ..Geometric::default() }.check().unwrap_err().key;
            assert_eq!(key.as_deref(), Some("overlap"));
        }
    }
}
