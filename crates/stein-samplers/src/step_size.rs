//! Langevin step sizes.

use std::fmt::Debug;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Invalid, NoiseSchedule};

use crate::technique_4::least_steps;
use crate::walk::{unless_exploding, unless_geometric, unless_ladder};
use crate::{Convention, Technique4};

/// A step size, or a word for one that follows from the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StepSize<W = Auto> {
    /// ε itself.
    Value(#[schemars(extend("exclusiveMinimum" = 0))] f64),
    /// From the schedule.
    Auto(W),
}

/// The words that a step size has.
pub trait Word: Debug + Copy {
    /// `auto`.
    const AUTO: Self;
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Auto {
    /// From σ_L.
    #[serde(rename = "auto")]
    Auto,
}

/// The words of a step size that shrinks down a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Annealing {
    /// From σ_L.
    Auto,
    /// Technique 4 of NCSNv2: the variance after a level that began at exactly σ_{i−1}² is nearest to σ_i².
    T4,
    /// The same for what errors come to at the end of the ladder, where each level begins as the one before ended.
    T4Accumulated,
}

impl Word for Auto {
    const AUTO: Self = Self::Auto;
}

impl Word for Annealing {
    const AUTO: Self = Self::Auto;
}

/// ε/σ_L² of `step-size = "auto"`, paper convention. A Langevin step at level i multiplies deviations of scale σ_i by
/// 1 − ε/(2σ_L²), so this is stable, and ten steps forget nearly all of where a level began.
const AUTO: f64 = 0.3;

impl<W: Word> StepSize<W> {
    /// From σ_L.
    pub const AUTO: Self = Self::Auto(W::AUTO);

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
        if schedule.last().is_clean() && matches!(self, Self::Auto(_)) {
            let message = "`step-size` needs a number: without noise there is no σ that it could follow from";
            return Err(Invalid::key("step-size", message));
        }
        Ok(())
    }
}

impl StepSize {
    /// The step size over σ_L², in this convention.
    pub fn relative(self, sigma_min: f64, convention: Convention) -> f64 {
        match self {
            Self::Value(step) => step / (sigma_min * sigma_min),
            Self::Auto(Auto::Auto) => convention.of_paper(AUTO),
        }
    }

    /// The step size at σ, in this convention: `"auto"` scales with σ².
    pub fn at(self, sigma: f64, convention: Convention) -> f64 {
        match self {
            Self::Value(step) => step,
            Self::Auto(_) => self.relative(sigma, convention) * sigma * sigma,
        }
    }
}

/// Technique 4 for a ladder, by its ends, and so many steps a level.
fn technique(schedule: &dyn NoiseSchedule, steps_per_level: usize) -> Technique4 {
    let gamma = (schedule.span() / (schedule.levels().len().max(2) - 1) as f64).exp();
    Technique4 { gamma, steps_per_level }
}

impl StepSize<Annealing> {
    /// The step size over σ_L², in this convention, for so many steps at each level.
    pub fn relative(self, schedule: &dyn NoiseSchedule, steps_per_level: usize, convention: Convention) -> f64 {
        let levels = schedule.levels().len();
        let technique = || technique(schedule, steps_per_level);
        match self {
            Self::Value(step) => step / schedule.last().sigma.powi(2),
            Self::Auto(Annealing::Auto) => convention.of_paper(AUTO),
            // Technique 4 counts in steps of the repository's.
            Self::Auto(Annealing::T4) => convention.of_paper(2.0 * technique().best_step()),
            Self::Auto(Annealing::T4Accumulated) => {
                convention.of_paper(2.0 * technique().best_step_accumulated(levels))
            }
        }
    }

    /// The least number of steps a level at which technique 4's variance is off by at most `most` of σ_i²; `None` where the step
    /// size is not that technique's, or no sensible number is enough.
    pub(crate) fn least_steps(self, schedule: &dyn NoiseSchedule, most: f64) -> Option<usize> {
        let levels = schedule.levels().len();
        match self {
            Self::Auto(Annealing::T4) => least_steps(most, |steps| {
                let technique = technique(schedule, steps);
                (technique.variance_ratio(technique.best_step()) - 1.0).abs()
            }),
            Self::Auto(Annealing::T4Accumulated) => least_steps(most, |steps| {
                let technique = technique(schedule, steps);
                let ends = technique.accumulated(technique.best_step_accumulated(levels), levels);
                ends.last().map_or(f64::INFINITY, |end| (end - 1.0).abs())
            }),
            _ => None,
        }
    }

    /// Refuses technique 4 for a ladder that it says nothing of.
    ///
    /// # Errors
    /// If it is asked for and the ladder is not a geometric, variance-exploding one.
    pub(crate) fn check_ladder(self, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
        let word = match self {
            Self::Value(_) | Self::Auto(Annealing::Auto) => return Ok(()),
            Self::Auto(Annealing::T4) => "step-size = \"t4\"",
            Self::Auto(Annealing::T4Accumulated) => "step-size = \"t4-accumulated\"",
        };
        unless_ladder(word, schedule)
            .and_then(|()| unless_exploding(word, schedule))
            .and_then(|()| unless_geometric(word, schedule))
            .map_err(|e| Invalid::key("step-size", e.message))
    }
}
