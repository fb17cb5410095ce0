//! How training draws noise levels.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Invalid, Level, Noise, NoiseSchedule};

/// The density over σ at which training draws levels; a key of every schedule. Samplers walk down the schedule's own levels
/// whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Density {
    /// Each of the schedule's levels with equal probability.
    #[default]
    Levels,
    /// ln(σ/α) uniform between the schedule's ends.
    LogUniform,
    /// ln(σ/α) normal, within the schedule's ends (Karras et al. 2022, arXiv 2206.00364, table 1).
    LogNormal(LogNormal),
}

/// The parameters of a log-normal density.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogNormal {
    /// The mean of ln(σ/α).
    pub mean: f64,
    /// The standard deviation of ln(σ/α).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub std: f64,
}

impl Default for LogNormal {
    fn default() -> Self {
        Self { mean: -1.2, std: 1.2 }
    }
}

/// The least part of a log-normal's mass between the schedule's ends: draws outside are drawn again.
const LEAST_MASS: f64 = 0.01;

impl Density {
    /// Refuses parameters out of range.
    ///
    /// # Errors
    /// Which one.
    pub fn check(self) -> Result<(), Invalid> {
        let Self::LogNormal(LogNormal { mean, std }) = self else { return Ok(()) };
        if !mean.is_finite() {
            return Err(Invalid::key("density", format!("the `mean` of ln σ is {mean}; it must be finite")));
        }
        if !(std > 0.0 && std.is_finite()) {
            return Err(Invalid::key("density", format!("the `std` of ln σ is {std}; it must be above 0 and finite")));
        }
        Ok(())
    }

    /// The schedule with its levels drawn like this.
    ///
    /// # Errors
    /// If the density does not fit the schedule.
    pub fn over(self, schedule: Arc<dyn NoiseSchedule>) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        if self == Self::Levels {
            return Ok(schedule);
        }
        if schedule.levels().len() < 2 {
            return Err(Invalid::key("density", "a `density` over σ needs a schedule of at least two levels"));
        }
        let mass = self.mass(&*schedule);
        if mass < LEAST_MASS {
            let ratio = |level: Level| level.sigma / level.alpha;
            let (low, high) = (ratio(schedule.last()), ratio(schedule.first()));
            let of = if schedule.first().alpha == 1.0 { "σ" } else { "σ/α" };
            return Err(Invalid::key(
                "density",
                format!("only {:.1e} of this `density` lies between {of} = {low} and {of} = {high}", mass),
            ));
        }
        Ok(Arc::new(Continuous { schedule, density: self, mass }))
    }

    /// The probability that a draw lies between the schedule's ends.
    fn mass(self, schedule: &dyn NoiseSchedule) -> f64 {
        match self {
            Self::LogNormal(LogNormal { mean, std }) => {
                let below =
                    |level: Level| 0.5 * libm::erfc((mean - level.log_ratio()) / (std * std::f64::consts::SQRT_2));
                below(schedule.first()) - below(schedule.last())
            }
            _ => 1.0,
        }
    }
}

/// A schedule whose training levels lie in a continuum.
#[derive(Debug)]
struct Continuous {
    schedule: Arc<dyn NoiseSchedule>,
    density: Density,
    mass: f64,
}

impl Continuous {
    fn draw_log_ratio(&self, noise: &mut Noise) -> f64 {
        let low = self.last().log_ratio();
        match self.density {
            Density::LogNormal(LogNormal { mean, std }) => loop {
                // A share of at least LEAST_MASS is accepted.
                let log_ratio = mean + std * f64::from(noise.normal());
                if (low..=low + self.span()).contains(&log_ratio) {
                    return log_ratio;
                }
            },
            _ => low + self.span() * noise.uniform(),
        }
    }
}

impl NoiseSchedule for Continuous {
    fn levels(&self) -> &[Level] {
        self.schedule.levels()
    }

    fn at_ratio(&self, ratio: f64) -> Level {
        self.schedule.at_ratio(ratio)
    }

    fn draw(&self, noise: &mut Noise, batch: usize) -> Vec<Level> {
        (0..batch).map(|_| self.at_ratio(self.draw_log_ratio(noise).exp())).collect()
    }

    fn draw_density(&self, level: Level) -> f64 {
        match self.density {
            Density::LogNormal(LogNormal { mean, std }) => {
                let z = (level.log_ratio() - mean) / std;
                (-0.5 * z * z).exp() / (std * std::f64::consts::TAU.sqrt() * self.mass)
            }
            _ => self.span().recip(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Geometric;
    use stein_core::{Component, Streams};

    #[derive(Debug)]
    struct Ladder(Vec<Level>);

    impl NoiseSchedule for Ladder {
        fn levels(&self) -> &[Level] {
            &self.0
        }
    }

    fn ladder(sigmas: &[f64]) -> Arc<dyn NoiseSchedule> {
        Arc::new(Ladder(sigmas.iter().map(|&s| Level::exploding(s)).collect()))
    }

    /// ∫ p d ln σ over the ladder, by the midpoint rule.
    fn integral(schedule: &dyn NoiseSchedule) -> f64 {
        let n = 20_000;
        let step = schedule.span() / f64::from(n);
        let low = schedule.last().log_ratio();
        (0..n).map(|i| schedule.draw_density(Level::exploding((low + (f64::from(i) + 0.5) * step).exp())) * step).sum()
    }

    #[test]
    fn densities_integrate_to_one_and_draws_follow_them() {
        let normal = LogNormal { mean: -0.5, std: 0.8 };
        for density in [Density::LogUniform, Density::LogNormal(normal)] {
            let schedule = density.over(ladder(&[3.0, 1.0, 0.2])).unwrap();
            assert!((integral(&*schedule) - 1.0).abs() < 1e-6);
            let n = 100_000;
            let draws = schedule.draw(&mut Streams::new(3).at("density", 0), n);
            assert!(draws.iter().all(|l| (0.2..=3.0).contains(&l.sigma)));
            for cut in [0.4f64, 1.0, 2.0] {
                let found = draws.iter().filter(|l| l.sigma < cut).count() as f64 / n as f64;
                let steps = 4000;
                let (low, step) = (0.2f64.ln(), (cut / 0.2).ln() / f64::from(steps));
                let at = |i: u32| Level::exploding((low + (f64::from(i) + 0.5) * step).exp());
                let expected: f64 = (0..steps).map(|i| schedule.draw_density(at(i)) * step).sum();
                let error = (expected * (1.0 - expected) / n as f64).sqrt();
                assert!((found - expected).abs() < 4.0 * error, "{density:?} below {cut}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn a_geometric_ladder_is_log_uniform_and_others_are_not() {
        let geometric = crate::geometric(3.0, 0.2, 7);
        let schedule = ladder(&geometric);
        for level in schedule.levels() {
            assert!((schedule.draw_density(*level) * schedule.span() - 1.0).abs() < 1e-12);
        }
        // Uniform in σ: the density of ln σ grows with σ, dln σ = dσ/σ.
        let uniform: Vec<f64> = (0..2000).map(|i| 3.0 - 2.8 * f64::from(i) / 1999.0).collect();
        let schedule = ladder(&uniform);
        let at = |sigma: f64| schedule.draw_density(Level::exploding(sigma));
        assert!((at(2.0) / at(0.5) - 4.0).abs() < 0.02);
        assert!((at(2.0) - 2.0 / 2.8).abs() < 0.01);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let far = Density::LogNormal(LogNormal { mean: 20.0, std: 0.5 });
        assert!(far.over(ladder(&[3.0, 0.2])).unwrap_err().message.contains("between σ = 0.2 and σ = 3"));
        // Where α < 1 the density is over σ/α.
        let shrunk = Arc::new(Ladder(vec![Level { alpha: 0.1, sigma: 0.9 }, Level { alpha: 0.8, sigma: 0.4 }]));
        assert!(far.over(shrunk).unwrap_err().message.contains("between σ/α = 0.5 and σ/α = 9"));
        assert!(Density::LogUniform.over(ladder(&[1.0])).is_err());
        assert!(Density::LogNormal(LogNormal { mean: 0.0, std: 0.0 }).check().is_err());
        assert!(Geometric::default().check().is_ok());
    }
}
