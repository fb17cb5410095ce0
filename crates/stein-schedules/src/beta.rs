//! α(t) = exp(−¼t²(β₁ − β₀) − ½tβ₀): the signal that is left of x at time t when β grows linearly from β₀ to β₁.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::Invalid;

use crate::ladder::check_levels;

/// The least α: below it nothing of the signal is left to single precision.
pub(crate) const LEAST_ALPHA: f64 = 1e-6;

/// What the two kernels of the score SDE have in common: all of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Beta {
    /// β₀, at t = 0.
    #[serde(rename = "beta-min")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub min: f64,
    /// β₁, at t = 1.
    #[serde(rename = "beta-max")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub max: f64,
    /// L, the number of levels.
    #[schemars(range(min = 1, max = 100000))]
    pub levels: usize,
    /// The time of the last level.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub epsilon: f64,
}

impl Default for Beta {
    fn default() -> Self {
        Self { min: 0.1, max: 20.0, levels: 1000, epsilon: 1e-3 }
    }
}

impl Beta {
    /// ln α(t).
    pub(crate) fn log_alpha(&self, t: f64) -> f64 {
        -0.25 * t * t * (self.max - self.min) - 0.5 * t * self.min
    }

    /// The times of the levels, evenly from 1 down to epsilon.
    pub(crate) fn times(&self) -> impl Iterator<Item = f64> {
        let last = self.levels.saturating_sub(1).max(1) as f64;
        let epsilon = self.epsilon;
        (0..self.levels).map(move |i| i as f64 / last).map(move |s| (1.0 - s) + s * epsilon)
    }

    /// Refuses parameters out of range.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let Self { min, max, levels, epsilon } = *self;
        Invalid::unless_positive("beta-min", min)?;
        Invalid::unless_positive("beta-max", max)?;
        if max < min {
            return Err(Invalid::key(
                "beta-max",
                format!("`beta-max` is {max}; it must not be below `beta-min`, {min}"),
            ));
        }
        let most = -4.0 * LEAST_ALPHA.ln() - min;
        if max > most {
            return Err(Invalid::key(
                "beta-max",
                format!(
                    "`beta-max` is {max}, which leaves less than {LEAST_ALPHA:e} of the signal at t = 1; `beta-min` and \
                     `beta-max` together must be at most {:.1}",
                    most + min
                ),
            ));
        }
        check_levels(levels)?;
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return Err(Invalid::key("epsilon", format!("`epsilon` is {epsilon}; it must be between 0 and 1")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Beta = Beta { min: 0.1, max: 20.0, levels: 5, epsilon: 1e-3 };

    #[test]
    fn alpha_is_the_exponential_of_the_integral_of_beta() {
        for t in [1e-3, 0.3, 1.0] {
            let n = 10_000;
            let step = t / f64::from(n);
            let beta = |s: f64| PAPER.min + s * (PAPER.max - PAPER.min);
            let integral: f64 = (0..n).map(|i| beta((f64::from(i) + 0.5) * step) * step).sum();
            assert!((PAPER.log_alpha(t) + 0.5 * integral).abs() < 1e-9);
            // The twin without ½ is √ of nothing that the paper has.
            assert!((PAPER.log_alpha(t) + integral).abs() > 1e-5);
        }
    }

    #[test]
    fn times_fall_evenly_from_one_to_epsilon() {
        let times: Vec<f64> = PAPER.times().collect();
        let expected = [1.0, 0.75025, 0.5005, 0.25075, 0.001];
        assert!(times.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{times:?}");
        // However small epsilon is, the last level has noise.
        assert_eq!(Beta { epsilon: 1e-30, ..PAPER }.times().last(), Some(1e-30));
        assert_eq!(Beta { levels: 1, ..PAPER }.times().collect::<Vec<_>>(), [1.0]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let key = |beta: Beta| beta.check().unwrap_err().key;
        assert_eq!(PAPER.check(), Ok(()));
        assert_eq!(key(Beta { min: 0.0, ..PAPER }).as_deref(), Some("beta-min"));
        assert_eq!(key(Beta { max: 0.05, ..PAPER }).as_deref(), Some("beta-max"));
        assert_eq!(key(Beta { max: 56.0, ..PAPER }).as_deref(), Some("beta-max"));
        assert_eq!(key(Beta { max: f64::NAN, ..PAPER }).as_deref(), Some("beta-max"));
        assert_eq!(key(Beta { min: 60.0, max: 60.0, ..PAPER }).as_deref(), Some("beta-max"));
        assert_eq!(key(Beta { levels: 0, ..PAPER }).as_deref(), Some("levels"));
        assert_eq!(key(Beta { epsilon: 1.0, ..PAPER }).as_deref(), Some("epsilon"));
        assert_eq!(key(Beta { epsilon: 0.0, ..PAPER }).as_deref(), Some("epsilon"));
    }
}
