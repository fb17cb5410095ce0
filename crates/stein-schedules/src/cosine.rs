//! ᾱ(t) = f(t)/f(0), f(t) = cos²((t + s)/(1 + s) · π/2); α = √ᾱ, σ = √(1 − ᾱ).

use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Level, NoiseSchedule, SchedulePart};

use crate::beta::LEAST_ALPHA;
use crate::ladder::{Ladder, check_levels};
use crate::variance_preserving;

/// A variance-preserving schedule whose signal falls as a squared cosine: slowly at both ends, where a linear β rushes.
///
/// Levels lie at t = 1, (L−1)/L, …, 1/L, the steps of the paper with T = L. At t = 1 no signal would be left: each step's β is
/// at most max-beta, so that α₁² is 1 − max-beta of what is left at the level before. t = 0 is no level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cosine {
    /// L, the number of levels, and of the paper's steps.
    #[schemars(range(min = 1, max = 100000))]
    pub levels: usize,
    /// s, which keeps the smallest levels' noise from vanishing.
    #[schemars(range(min = 0, max = 1))]
    pub s: f64,
    /// The largest β = 1 − ᾱ_t/ᾱ_{t−1} of a step.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub max_beta: f64,
}

impl Default for Cosine {
    fn default() -> Self {
        Self { levels: 1000, s: 0.008, max_beta: 0.999 }
    }
}

impl Cosine {
    /// ᾱ of each level, from the noisiest.
    fn signals(&self) -> Vec<f64> {
        let root = |step: usize| ((step as f64 / self.levels as f64 + self.s) / (1.0 + self.s) * FRAC_PI_2).cos();
        let kept = |step: usize| (root(step) / root(step - 1)).powi(2).max(1.0 - self.max_beta);
        let mut signals: Vec<f64> = (1..=self.levels)
            .scan(1.0, |signal, step| {
                *signal *= kept(step);
                Some(*signal)
            })
            .collect();
        signals.reverse();
        signals
    }

    fn ladder(&self) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        let level = |signal: f64| Level { alpha: signal.sqrt(), sigma: (1.0 - signal).sqrt() };
        Ladder::build(self.signals().into_iter().map(level).collect(), variance_preserving::at_ratio)
    }
}

impl Component<SchedulePart> for Cosine {
    const KIND: &'static str = "cosine";
    const PAPER: &'static str = "Nichol & Dhariwal 2021, arXiv 2102.09672, equation 17";

    fn check(&self) -> Result<(), Invalid> {
        check_levels(self.levels)?;
        let Self { s, max_beta, .. } = *self;
        if !(0.0..=1.0).contains(&s) {
            return Err(Invalid::key("s", format!("`s` is {s}; it must be from 0 to 1")));
        }
        if !(1e-12..1.0).contains(&max_beta) {
            return Err(Invalid::key(
                "max-beta",
                format!("`max-beta` is {max_beta}; it must be from 1e-12 to below 1"),
            ));
        }
        let alpha = self.signals()[0].sqrt();
        if alpha < LEAST_ALPHA {
            return Err(Invalid::new(format!(
                "the first level leaves {alpha:.1e} of the signal; it must leave {LEAST_ALPHA:e}: take fewer `levels` or a smaller \
                 `max-beta`"
            )));
        }
        Ok(())
    }

    fn build(&self, _: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        self.ladder()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(level: Level, (alpha, sigma): (f64, f64)) {
        assert!((level.alpha / alpha - 1.0).abs() < 1e-9 && (level.sigma / sigma - 1.0).abs() < 1e-9, "{level:?}");
    }

    #[test]
    fn levels_are_the_papers_steps() {
        // The product of 1 − β_t, β_t = min(1 − f(t)/f(t−1), .999), in double precision elsewhere.
        let schedule = Cosine::default().ladder().unwrap();
        let levels = schedule.levels();
        assert_eq!(levels.len(), 1000);
        near(levels[0], (4.9282521313695554e-5, 0.9999999987856165));
        near(levels[1], (0.001558450161870714, 0.9999987856158091));
        near(levels[500], (0.7027400589411693, 0.7114467018402445));
        near(levels[999], (0.9999793576745362, 0.0064252801356804));
        let schedule = Cosine { levels: 4, ..Cosine::default() }.ladder().unwrap();
        near(schedule.levels()[0], (0.012011332248578255, 0.9999278613468144));
        near(schedule.levels()[3], (0.9203326362391506, 0.39113659848331156));
        for level in levels {
            assert!((level.alpha * level.alpha + level.sigma * level.sigma - 1.0).abs() < 1e-12, "{level:?}");
        }
    }

    #[test]
    fn between_the_ends_it_is_the_cosine_itself() {
        let schedule = Cosine { levels: 10, s: 0.0, ..Cosine::default() }.ladder().unwrap();
        for (i, level) in schedule.levels().iter().enumerate().skip(1) {
            // s = 0: α = cos(πt/2), σ = sin(πt/2).
            let (sin, cos) = ((10 - i) as f64 / 10.0 * FRAC_PI_2).sin_cos();
            near(*level, (cos, sin));
        }
        // The twin with s has another middle, and clipping is all that keeps the first level's signal.
        let twin = Cosine { levels: 10, s: 0.05, ..Cosine::default() }.ladder().unwrap();
        assert!((twin.levels()[5].alpha / schedule.levels()[5].alpha - 1.0).abs() > 0.01);
        assert!((schedule.first().alpha - schedule.levels()[1].alpha * 0.001f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn levels_are_found_again_by_their_ratio() {
        let schedule = Cosine { levels: 50, ..Cosine::default() }.ladder().unwrap();
        for &level in schedule.levels() {
            let found = schedule.at_ratio(level.sigma / level.alpha);
            near(found, (level.alpha, level.sigma));
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let key = |cosine: Cosine| cosine.check().unwrap_err().key;
        let cosine = Cosine::default();
        assert_eq!(cosine.check(), Ok(()));
        assert_eq!(key(Cosine { levels: 0, ..cosine }).as_deref(), Some("levels"));
        assert_eq!(key(Cosine { s: -0.1, ..cosine }).as_deref(), Some("s"));
        assert_eq!(key(Cosine { s: f64::NAN, ..cosine }).as_deref(), Some("s"));
        assert_eq!(key(Cosine { max_beta: 1.0, ..cosine }).as_deref(), Some("max-beta"));
        assert!(Cosine { max_beta: 1.0 - 1e-12, ..cosine }.check().unwrap_err().message.contains("of the signal"));
    }
}
