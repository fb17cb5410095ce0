//! λ(σ): how much each noise level counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::Invalid;

/// λ(σ), by which an example's loss is multiplied; a key of every objective. Without noise there is no σ, and λ = 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// λ = 1.
    None,
    /// λ = σ²: every level's loss is of the same order (Song & Ermon 2019, section 4.2).
    #[default]
    Sigma2,
    /// λ = σ²(σ² + σ_d²)/σ_d², with the network's `sigma-data`: the loss of EDM, of which ½ is kept here (Karras et al. 2022,
    /// table 1).
    Edm,
    /// λ = 2σ²/p(ln σ/α), with p the density of training draws: the mean over draws is ∫ g² (·) dt, which bounds the KL
    /// divergence of the reverse SDE in nats (Song et al. 2021, arXiv 2101.09258). Needs two levels or more.
    Likelihood,
    /// λ = σ^p.
    Power(f64),
}

/// What λ is a function of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightAt {
    /// σ.
    pub sigma: f64,
    /// σ_d, the standard deviation of the data, for `edm`.
    pub sigma_data: f64,
    /// The density of ln(σ/α) at this level in training, for `likelihood`.
    pub draw_density: f64,
}

impl Weighting {
    /// λ(σ).
    pub fn at(self, at: WeightAt) -> f64 {
        let sigma2 = at.sigma * at.sigma;
        match self {
            Self::None => 1.0,
            Self::Sigma2 => sigma2,
            Self::Edm => {
                let data2 = at.sigma_data * at.sigma_data;
                sigma2 * (sigma2 + data2) / data2
            }
            Self::Likelihood => 2.0 * sigma2 / at.draw_density,
            Self::Power(p) => at.sigma.powf(p),
        }
    }

    /// Refuses an exponent that is not a number.
    ///
    /// # Errors
    /// If it is not finite.
    pub fn check(self) -> Result<(), Invalid> {
        match self {
            Self::Power(p) if !p.is_finite() => {
                Err(Invalid::key("weighting", format!("the power is {p}; it must be finite")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(weighting: Weighting, sigma: f64) -> f64 {
        weighting.at(WeightAt { sigma, sigma_data: 0.5, draw_density: 0.25 })
    }

    #[test]
    fn values_and_names() {
        assert_eq!(at(Weighting::None, 3.0), 1.0);
        assert_eq!(at(Weighting::Sigma2, 3.0), 9.0);
        assert_eq!(at(Weighting::Power(3.0), 2.0), 8.0);
        assert_eq!(at(Weighting::Likelihood, 3.0), 72.0);
        #[derive(Deserialize)]
        struct Table {
            w: Weighting,
        }
        let read = |text: &str| toml::from_str::<Table>(text).unwrap().w;
        assert_eq!(read("w = \"none\""), Weighting::None);
        assert_eq!(read("w = \"sigma2\""), Weighting::Sigma2);
        assert_eq!(read("w = \"edm\""), Weighting::Edm);
        assert_eq!(read("w = \"likelihood\""), Weighting::Likelihood);
        assert_eq!(read("w = { power = 1.5 }"), Weighting::Power(1.5));
        assert_eq!(read("w.power = 1"), Weighting::Power(1.0));
    }

    /// EDM weighs ‖D − x‖² by (σ² + σ_d²)/(σσ_d)²; with s = (D − x̃)/σ², D − x = σ²(s + z/σ), so ‖D − x‖² = 2σ⁴ · ½‖s + z/σ‖²,
    /// of which half is kept.
    #[test]
    fn edm_is_the_paper_s_weighting_of_the_denoiser_s_error() {
        for sigma in [0.01f64, 0.5, 40.0] {
            let papers = (sigma * sigma + 0.25) / (sigma * 0.5).powi(2);
            let half = 0.5 * papers * 2.0 * sigma.powi(4);
            assert!((at(Weighting::Edm, sigma) / half - 1.0).abs() < 1e-12);
            assert!((at(Weighting::Edm, sigma) / (papers * sigma * sigma) - 1.0).abs() > 1e-2 || sigma == 1.0);
        }
    }
}
