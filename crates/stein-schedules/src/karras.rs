//! σ_i = (σ₁^{1/ρ} + (i−1)/(L−1) (σ_L^{1/ρ} − σ₁^{1/ρ}))^ρ.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, NoiseSchedule, SchedulePart};

use crate::SigmaMax;
use crate::ladder::{Ladder, with_exact_ends};

/// A ladder of equal steps in σ^{1/ρ} from sigma-max down to sigma-min, both included; ρ > 1 puts more levels at small σ.
///
/// The final 0 of the paper's samplers is no level. ρ = 1 is `uniform`, and large ρ goes to `geometric`. `levels = 1` means the
/// one level sigma-max.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Karras {
    /// σ₁, the largest standard deviation; `"auto"` is the largest distance between training rows (NCSNv2, technique 1), of so
    /// many as 4096 of them.
    pub sigma_max: SigmaMax,
    /// σ_L, the smallest.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma_min: f64,
    /// L, the number of levels, without the final 0.
    #[schemars(range(min = 1, max = 100000))]
    pub levels: usize,
    /// ρ.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rho: f64,
}

impl Default for Karras {
    fn default() -> Self {
        Self { sigma_max: SigmaMax::Value(80.0), sigma_min: 0.002, levels: 18, rho: 7.0 }
    }
}

/// The σ of a Karras ladder, both ends exact.
pub fn karras(sigma_max: f64, sigma_min: f64, levels: usize, rho: f64) -> Vec<f64> {
    // (1 + t ((σ_L/σ₁)^{1/ρ} − 1))^ρ, in logarithms: the power neither overflows for small ρ nor rounds to 1 for large.
    let end = ((sigma_min / sigma_max).ln() / rho).exp_m1();
    with_exact_ends(sigma_max, sigma_min, levels, |t| sigma_max * (rho * (t * end).ln_1p()).exp())
}

impl Component<SchedulePart> for Karras {
    const KIND: &'static str = "karras";
    const PAPER: &'static str = "Karras et al. 2022, arXiv 2206.00364, equation 5";

    fn check(&self) -> Result<(), Invalid> {
        self.sigma_max.check(self.sigma_min, self.levels)?;
        Invalid::unless_positive("rho", self.rho)
    }

    fn build(&self, data: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        let sigma_max = self.sigma_max.over(data, self.sigma_min)?;
        Ladder::exploding(karras(sigma_max, self.sigma_min, self.levels, self.rho))
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
    fn eighteen_levels_are_edms() {
        let sigmas = karras(80.0, 0.002, 18, 7.0);
        assert_eq!((sigmas.len(), sigmas[0], sigmas[17]), (18, 80.0, 0.002));
        // The formula as printed, in double precision elsewhere.
        let begin = [80.0, 57.58598472124816, 40.78557379650796, 28.374584604156844];
        assert!(apart(&sigmas[..4], &begin) < 1e-12);
        assert!((sigmas[16] / 0.0075280199627840785 - 1.0).abs() < 1e-12);
        let other = [10.0, 5.194486977829882, 2.2444725900224367, 0.6972219072037729, 0.1];
        assert!(apart(&karras(10.0, 0.1, 5, 3.0), &other) < 1e-12);
        // The twin that counts the final 0 as a level would be a step too coarse.
        assert!(apart(&karras(80.0, 0.002, 17, 7.0)[..4], &begin) > 0.01);
    }

    #[test]
    fn rho_goes_from_uniform_to_geometric() {
        assert!(apart(&karras(4.0, 0.1, 9, 1.0), &crate::uniform(4.0, 0.1, 9)) < 1e-12);
        assert!(apart(&karras(4.0, 0.1, 9, 1e9), &crate::geometric(4.0, 0.1, 9)) < 1e-7);
        assert!(apart(&karras(4.0, 0.1, 9, 7.0), &crate::geometric(4.0, 0.1, 9)) > 0.1);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let wrong = |rho| Karras { rho, ..Karras::default() }.check().unwrap_err().key;
        assert_eq!(wrong(0.0).as_deref(), Some("rho"));
        assert_eq!(wrong(f64::NAN).as_deref(), Some("rho"));
        let upside_down = Karras { sigma_min: 81.0, ..Karras::default() };
        assert_eq!(upside_down.check().unwrap_err().key.as_deref(), Some("sigma-min"));
        assert_eq!(Karras::default().check(), Ok(()));
        // So small a ρ puts all levels but the last at sigma-max.
        assert!(Ladder::exploding(karras(80.0, 0.002, 18, 1e-30)).is_err());
    }
}
