//! A list of levels as a schedule, and the checks that schedules share.

use std::sync::Arc;

use stein_core::{Invalid, Level, NoiseSchedule};

/// More levels would only be a mistake.
pub(crate) const MOST_LEVELS: usize = 100_000;

/// Levels, and how α goes with σ between them.
#[derive(Debug)]
pub(crate) struct Ladder {
    levels: Vec<Level>,
    at_ratio: fn(f64) -> Level,
}

impl Ladder {
    /// The variance-exploding ladder of these σ.
    pub(crate) fn exploding(sigmas: Vec<f64>) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        Self::build(sigmas.into_iter().map(Level::exploding).collect(), Level::exploding)
    }

    /// Refuses levels that rounding has made alike: σ must fall strictly.
    pub(crate) fn build(levels: Vec<Level>, at_ratio: fn(f64) -> Level) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        if let Some(i) = levels.windows(2).position(|pair| pair[1].sigma >= pair[0].sigma) {
            return Err(Invalid::new(format!(
                "levels {} and {} both have σ = {}: the levels are too many for so small a range",
                i + 1,
                i + 2,
                levels[i].sigma
            )));
        }
        Ok(Arc::new(Self { levels, at_ratio }))
    }
}

impl NoiseSchedule for Ladder {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn at_ratio(&self, ratio: f64) -> Level {
        (self.at_ratio)(ratio)
    }
}

/// Refuses a number of levels out of range.
pub(crate) fn check_levels(levels: usize) -> Result<(), Invalid> {
    Invalid::unless_some("levels", levels)?;
    if levels > MOST_LEVELS {
        return Err(Invalid::key("levels", format!("`levels` is {levels}; at most {MOST_LEVELS} are sensible")));
    }
    Ok(())
}

/// Refuses ends that are not positive and descending, and a number of levels out of range. One level needs no `sigma-min`.
pub(crate) fn check_ends(sigma_max: f64, sigma_min: f64, levels: usize) -> Result<(), Invalid> {
    Invalid::unless_positive("sigma-max", sigma_max)?;
    Invalid::unless_positive("sigma-min", sigma_min)?;
    check_levels(levels)?;
    if levels > 1 && sigma_min >= sigma_max {
        return Err(Invalid::key(
            "sigma-min",
            format!("`sigma-min` is {sigma_min}; it must be below `sigma-max`, {sigma_max}"),
        ));
    }
    Ok(())
}

/// σ₁ and σ_L exactly, and between them what `between` makes of i/(L − 1).
pub(crate) fn with_exact_ends(sigma_max: f64, sigma_min: f64, levels: usize, between: impl Fn(f64) -> f64) -> Vec<f64> {
    let last = levels.saturating_sub(1);
    (0..levels)
        .map(|i| match i {
            0 => sigma_max,
            i if i == last => sigma_min,
            i => between(i as f64 / last as f64),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_out_of_range_are_refused_at_their_key() {
        let wrong = |sigma_max, sigma_min, levels| check_ends(sigma_max, sigma_min, levels).unwrap_err().key;
        assert_eq!(wrong(-1.0, 0.1, 3).as_deref(), Some("sigma-max"));
        assert_eq!(wrong(f64::INFINITY, 0.1, 3).as_deref(), Some("sigma-max"));
        assert_eq!(wrong(1.0, 2.0, 3).as_deref(), Some("sigma-min"));
        assert_eq!(wrong(1.0, 1.0, 2).as_deref(), Some("sigma-min"));
        assert_eq!(wrong(1.0, f64::NAN, 3).as_deref(), Some("sigma-min"));
        assert_eq!(wrong(1.0, 0.1, 0).as_deref(), Some("levels"));
        assert_eq!(wrong(1.0, 0.1, 100_001).as_deref(), Some("levels"));
        assert_eq!(check_ends(1.0, 1.0, 1), Ok(()));
        assert_eq!(check_ends(1.0, 0.1, 100_000), Ok(()));
    }

    #[test]
    fn levels_that_rounding_makes_alike_are_refused() {
        assert!(Ladder::exploding(vec![2.0, 1.0, 1.0]).unwrap_err().message.contains("levels 2 and 3 both have σ = 1"));
        assert_eq!(Ladder::exploding(vec![2.0, 1.0, 0.5]).unwrap().levels().len(), 3);
    }
}
