//! σ_i = σ_L (σ₁/σ_L)^{(1 − (i−1)/(L−1))^ρ}.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, NoiseSchedule, SchedulePart};

use crate::SigmaMax;
use crate::ladder::{Ladder, with_exact_ends};

/// A ladder from sigma-max down to sigma-min, both included, whose ln σ falls as the power ρ of what is left of the way.
///
/// ρ = 1, what samplers call exponential, is `geometric` by its other name; ρ > 1, polyexponential, puts more levels at small σ.
/// The final 0 of those samplers is no level. `levels = 1` means the one level sigma-max.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Exponential {
    /// σ₁, the largest standard deviation; `"auto"` is the largest distance between training rows (NCSNv2, technique 1), of so
    /// many as 4096 of them.
    pub sigma_max: SigmaMax,
    /// σ_L, the smallest.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma_min: f64,
    /// L, the number of levels.
    #[schemars(range(min = 1, max = 100000))]
    pub levels: usize,
    /// ρ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rho: f64,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { sigma_max: SigmaMax::Value(4.0), sigma_min: 0.02, levels: 20, rho: 1.0 }
    }
}

/// The σ of an exponential ladder, both ends exact.
pub fn exponential(sigma_max: f64, sigma_min: f64, levels: usize, rho: f64) -> Vec<f64> {
    let range = (sigma_max / sigma_min).ln();
    with_exact_ends(sigma_max, sigma_min, levels, |t| sigma_min * ((1.0 - t).powf(rho) * range).exp())
}

impl Component<SchedulePart> for Exponential {
    const KIND: &'static str = "exponential";
    const PAPER: &'static str = "k-diffusion, get_sigmas_exponential and get_sigmas_polyexponential";

    fn check(&self) -> Result<(), Invalid> {
        self.sigma_max.check(self.sigma_min, self.levels)?;
        Invalid::unless_positive("rho", self.rho)
    }

    fn build(&self, data: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        let sigma_max = self.sigma_max.over(data, self.sigma_min)?;
        Ladder::exploding(exponential(sigma_max, self.sigma_min, self.levels, self.rho))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn with_rho_one_it_is_geometric() {
        assert!(apart(&exponential(14.6, 0.03, 12, 1.0), &crate::geometric(14.6, 0.03, 12)) < 1e-12);
        // The twin of equal steps in σ.
        assert!(apart(&exponential(14.6, 0.03, 12, 1.0), &crate::uniform(14.6, 0.03, 12)) > 0.9);
        assert_eq!(exponential(3.0, 0.1, 1, 2.0), [3.0]);
    }

    #[test]
    fn powers_of_the_way_left_are_kept() {
        let sigmas = exponential(14.614642, 0.0291675, 5, 1.5);
        // exp(ramp^ρ ln(σ₁/σ_L) + ln σ_L), in double precision elsewhere.
        let expected = [14.614642, 1.6539734589954502, 0.26269639187599125, 0.06344323626211254, 0.0291675];
        assert!(apart(&sigmas, &expected) < 1e-12, "{sigmas:?}");
        // The twin with the power on the way gone.
        let wrong: Vec<f64> =
            (0..5).map(|i| 14.614642 * (-(f64::from(i) / 4.0).powf(1.5) * 501.0588f64.ln()).exp()).collect();
        assert!(apart(&sigmas[1..4], &wrong[1..4]) > 0.1);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let wrong = |rho| Exponential { rho, ..Exponential::default() }.check().unwrap_err().key;
        assert_eq!(wrong(0.0).as_deref(), Some("rho"));
        assert_eq!(wrong(f64::INFINITY).as_deref(), Some("rho"));
        let upside_down = Exponential { sigma_min: 5.0, ..Exponential::default() };
        assert_eq!(upside_down.check().unwrap_err().key.as_deref(), Some("sigma-min"));
        assert_eq!(Exponential::default().check(), Ok(()));
        // So large a ρ puts all levels but the first at sigma-min.
        assert!(Ladder::exploding(exponential(4.0, 0.02, 20, 1e6)).is_err());
    }
}
