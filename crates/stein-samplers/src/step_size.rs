//! Langevin step sizes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Invalid, NoiseSchedule};

use crate::Convention;

/// A step size, or one that follows from the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StepSize {
    /// ε itself.
    Value(#[schemars(extend("exclusiveMinimum" = 0))] f64),
    /// From σ_L.
    Auto(Auto),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Auto {
    /// From σ_L.
    #[serde(rename = "auto")]
    Auto,
}

/// ε/σ_L² of `step-size = "auto"`, paper convention. A Langevin step at level i multiplies deviations of scale σ_i by
/// 1 − ε/(2σ_L²), so this is stable, and ten steps forget nearly all of where a level began.
const AUTO: f64 = 0.3;

impl StepSize {
    /// From σ_L.
    pub const AUTO: Self = Self::Auto(Auto::Auto);

    /// The step size over σ_L², in this convention.
    pub fn relative(self, sigma_min: f64, convention: Convention) -> f64 {
        match (self, convention) {
            (Self::Value(step), _) => step / (sigma_min * sigma_min),
            (Self::Auto(_), Convention::Paper) => AUTO,
            (Self::Auto(_), Convention::Repository) => AUTO / 2.0,
        }
    }

    /// The step size at σ, in this convention: `"auto"` scales with σ².
    pub fn at(self, sigma: f64, convention: Convention) -> f64 {
        match self {
            Self::Value(step) => step,
            Self::Auto(_) => self.relative(sigma, convention) * sigma * sigma,
        }
    }

    /// Refuses a step size that is not above zero and finite.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(self) -> Result<(), Invalid> {
        match self {
            Self::Value(step) => Invalid::unless_positive("step-size", step),
            Self::Auto(_) => Ok(()),
        }
    }

    /// Refuses `"auto"` where there is no σ to follow.
    pub(crate) fn unless_unknown(self, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
        if schedule.last().is_clean() && self == Self::AUTO {
            let message = "`step-size` needs a number: without noise there is no σ that it could follow from";
            return Err(Invalid::key("step-size", message));
        }
        Ok(())
    }
}
