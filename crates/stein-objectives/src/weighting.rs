//! λ(σ): how much each noise level counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::Invalid;

/// λ(σ), by which an example's loss is multiplied; a key of every objective.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// λ = 1.
    None,
    /// λ = σ²: every level's loss is of the same order (Song & Ermon 2019, section 4.2).
    #[default]
    Sigma2,
    /// λ = σ^p.
    Power(f64),
}

impl Weighting {
    /// λ(σ).
    pub fn at(self, sigma: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Sigma2 => sigma * sigma,
            Self::Power(p) => sigma.powf(p),
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

    #[test]
    fn values_and_names() {
        assert_eq!(Weighting::None.at(3.0), 1.0);
        assert_eq!(Weighting::Sigma2.at(3.0), 9.0);
        assert_eq!(Weighting::Power(3.0).at(2.0), 8.0);
        #[derive(Deserialize)]
        struct Table {
            w: Weighting,
        }
        let read = |text: &str| toml::from_str::<Table>(text).unwrap().w;
        assert_eq!(read("w = \"none\""), Weighting::None);
        assert_eq!(read("w = \"sigma2\""), Weighting::Sigma2);
        assert_eq!(read("w = { power = 1.5 }"), Weighting::Power(1.5));
        assert_eq!(read("w.power = 1"), Weighting::Power(1.0));
    }
}
