//! `auto`: what follows from the data, by techniques 1 and 2 of NCSNv2 (Song & Ermon 2020, arXiv 2006.09011).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Dataset, Invalid};

use crate::ladder::{MOST_LEVELS, check_ends};
use crate::{Ends, largest_distance};

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Auto {
    /// From the data.
    #[serde(rename = "auto")]
    Auto,
}

/// σ₁: a number, or the largest distance between training rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SigmaMax {
    /// σ₁ itself.
    Value(#[schemars(extend("exclusiveMinimum" = 0))] f64),
    /// From the data.
    Auto(Auto),
}

/// L: a number, or as many as make neighbours overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LevelCount {
    /// L itself.
    Value(#[schemars(range(min = 1, max = 100000))] usize),
    /// From the data's dimension and the ends.
    Auto(Auto),
}

impl From<f64> for SigmaMax {
    fn from(sigma: f64) -> Self {
        Self::Value(sigma)
    }
}

impl From<usize> for LevelCount {
    fn from(levels: usize) -> Self {
        Self::Value(levels)
    }
}

impl SigmaMax {
    /// From the data.
    pub const AUTO: Self = Self::Auto(Auto::Auto);

    /// Refuses ends and a number of levels out of range, as far as they are known without data.
    pub(crate) fn check(self, sigma_min: f64, levels: usize) -> Result<(), Invalid> {
        match self {
            Self::Value(sigma_max) => check_ends(sigma_max, sigma_min, levels),
            // Any σ above σ_L.
            Self::Auto(_) => check_ends(f64::MAX, sigma_min, levels),
        }
    }

    /// σ₁ for these data, above σ_L.
    pub(crate) fn over(self, data: &Dataset, sigma_min: f64) -> Result<f64, Invalid> {
        let Self::Auto(_) = self else { return Ok(self.value().unwrap_or_default()) };
        let wrong = |message: String| Err(Invalid::key("sigma-max", message));
        let distance = largest_distance(data);
        if distance == 0.0 {
            return wrong(
                "`sigma-max` = \"auto\" is the largest distance between training rows, and here are no two that differ (a \
 schedule by itself has no rows)".into(),
            );
        }
        if !distance.is_finite() || distance <= sigma_min {
            return wrong(format!(
                "`sigma-max` = \"auto\" is {distance}, the largest distance between training rows; it must be finite and above \
                 `sigma-min`, {sigma_min}"
            ));
        }
        Ok(distance)
    }

    pub(crate) fn value(self) -> Option<f64> {
        match self {
            Self::Value(sigma) => Some(sigma),
            Self::Auto(_) => None,
        }
    }
}

impl LevelCount {
    /// From the data's dimension and the ends.
    pub const AUTO: Self = Self::Auto(Auto::Auto);

    /// L between these ends, where neighbours are to overlap by at least `overlap`.
    pub(crate) fn between(self, ends: Ends, overlap: f64) -> Result<usize, Invalid> {
        let Self::Auto(_) = self else { return Ok(self.value().unwrap_or_default()) };
        let levels = ends.levels(overlap).ceil();
        if levels > MOST_LEVELS as f64 {
            return Err(Invalid::key(
                "levels",
                format!(
                    "`levels` = \"auto\" comes to {levels} for an `overlap` of {overlap}; at most {MOST_LEVELS} are sensible"
                ),
            ));
        }
        Ok(levels as usize)
    }

    pub(crate) fn value(self) -> Option<usize> {
        match self {
            Self::Value(levels) => Some(levels),
            Self::Auto(_) => None,
        }
    }
}
