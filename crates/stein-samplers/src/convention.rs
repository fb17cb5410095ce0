//! What a step size means: papers and their repositories differ by a factor of two.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The meaning of a Langevin step size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Convention {
    /// x ← x + (α/2) s + √α z, as in the papers.
    #[default]
    Paper,
    /// x ← x + α s + √(2α) z, as in the repository of NCSN: α there is half of α here.
    Repository,
}

impl Convention {
    /// What the paper calls a step size `step`, in this convention.
    pub(crate) fn of_paper(self, step: f64) -> f64 {
        match self {
            Self::Paper => step,
            Self::Repository => step / 2.0,
        }
    }

    /// The factors of the score and of the noise for a step size.
    pub fn factors(self, step_size: f64) -> (f64, f64) {
        match self {
            Self::Paper => (step_size / 2.0, step_size.sqrt()),
            Self::Repository => (step_size, (2.0 * step_size).sqrt()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_step_is_half_the_paper_step() {
        let (score, noise) = Convention::Paper.factors(0.2);
        assert_eq!(Convention::Repository.factors(0.1), (score, noise));
        // Either way the noise variance is twice the drift factor: the law of Langevin dynamics.
        assert!((noise * noise / score - 2.0).abs() < 1e-12);
    }
}
