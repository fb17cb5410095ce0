//! σ as given.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, NoiseSchedule, SchedulePart};

use crate::ladder::{Ladder, MOST_LEVELS};

/// The levels given one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Explicit {
    /// σ₁ > … > σ_L, each above 0.
    #[schemars(length(min = 1, max = 100000), extend("examples" = [[4.0, 1.0, 0.2]]))]
    pub values: Vec<f64>,
}

impl Component<SchedulePart> for Explicit {
    const KIND: &'static str = "explicit";

    fn check(&self) -> Result<(), Invalid> {
        if self.values.is_empty() {
            return Err(Invalid::key("values", "`values` is empty; a schedule has at least one level"));
        }
        if self.values.len() > MOST_LEVELS {
            let n = self.values.len();
            return Err(Invalid::key("values", format!("`values` has {n} levels; at most {MOST_LEVELS} are sensible")));
        }
        for (i, &sigma) in self.values.iter().enumerate() {
            let wrong = |message: String| Err(Invalid::key(&format!("values.{i}"), message));
            if !(sigma > 0.0 && sigma.is_finite()) {
                return wrong(format!("σ = {sigma} in `values`; each must be above 0 and finite"));
            }
            if i > 0 && sigma >= self.values[i - 1] {
                let before = self.values[i - 1];
                return wrong(format!("σ = {sigma} in `values` follows {before}; each must be below the one before"));
            }
        }
        Ok(())
    }

    fn build(&self, _: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        Ladder::exploding(self.values.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(values: &[f64]) -> Result<(), Invalid> {
        Explicit { values: values.to_vec() }.check()
    }

    #[test]
    fn the_first_wrong_value_is_named() {
        let key = |values: &[f64]| checked(values).unwrap_err().key;
        assert_eq!(key(&[]).as_deref(), Some("values"));
        assert_eq!(key(&[0.0]).as_deref(), Some("values.0"));
        assert_eq!(key(&[3.0, 1.0, 1.0, 2.0]).as_deref(), Some("values.2"));
        assert_eq!(key(&[3.0, 4.0]).as_deref(), Some("values.1"));
        assert_eq!(key(&[3.0, f64::NAN]).as_deref(), Some("values.1"));
        assert_eq!(key(&[3.0, 1.0, -1.0]).as_deref(), Some("values.2"));
        assert!(checked(&[3.0, 4.0]).unwrap_err().message.contains("follows 3"));
    }

    #[test]
    fn descending_values_are_the_levels() {
        assert_eq!(checked(&[3.0, 1.0, 0.1]), Ok(()));
        assert_eq!(checked(&[2.0]), Ok(()));
        let built = Ladder::exploding(vec![3.0, 1.0, 0.1]).unwrap();
        let sigmas: Vec<f64> = built.levels().iter().map(|l| l.sigma).collect();
        assert_eq!(sigmas, [3.0, 1.0, 0.1]);
        assert!(built.levels().iter().all(|l| l.alpha == 1.0));
    }
}
