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
    /// Each of the schedule's levels with equal probability, a batch's draws spread over them: as many of each as of any
    /// other, give or take one (see `stratified`).
    StratifiedLevels,
    /// ln(σ/α) uniform between the schedule's ends.
    LogUniform,
    /// The same, one draw in each of B equal parts of the range, for a batch of B: with u uniform, the i-th lies at
    /// u + i/B mod 1 of the way (Kingma et al. 2021, arXiv 2107.00630, appendix I). Losses vary less from batch to batch.
    Stratified,
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
        match self {
            Self::Levels => return Ok(schedule),
            Self::StratifiedLevels => return Ok(Arc::new(StratifiedLevels(schedule))),
            Self::LogUniform | Self::Stratified | Self::LogNormal(_) => {}
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

/// B numbers uniform in [0, 1), one in each of B equal parts of some partition: u + i/B mod 1.
fn stratified(noise: &mut Noise, batch: usize) -> impl Iterator<Item = f64> {
    let first = noise.uniform();
    (0..batch).map(move |i| (first + i as f64 / batch as f64).fract())
}

/// A schedule whose levels are drawn evenly.
#[derive(Debug)]
struct StratifiedLevels(Arc<dyn NoiseSchedule>);

impl NoiseSchedule for StratifiedLevels {
    fn levels(&self) -> &[Level] {
        self.0.levels()
    }

    fn at_ratio(&self, ratio: f64) -> Level {
        self.0.at_ratio(ratio)
    }

    fn draw(&self, noise: &mut Noise, batch: usize) -> Vec<Level> {
        let levels = self.levels();
        // u is below 1, and so is the product below L but for rounding.
        let index = |u: f64| ((u * levels.len() as f64) as usize).min(levels.len() - 1);
        stratified(noise, batch).map(|u| levels[index(u)]).collect()
    }

    fn draw_density(&self, level: Level) -> f64 {
        self.0.draw_density(level)
    }
}

impl Continuous {
    /// The level at a part of the way up from the last to the first, in ln(σ/α).
    fn at(&self, part: f64) -> Level {
        self.at_ratio((self.last().log_ratio() + self.span() * part).exp())
    }

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
        match self.density {
            Density::Stratified => stratified(noise, batch).map(|u| self.at(u)).collect(),
            _ => (0..batch).map(|_| self.at_ratio(self.draw_log_ratio(noise).exp())).collect(),
        }
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
        for density in [Density::LogUniform, Density::Stratified, Density::LogNormal(normal)] {
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

    fn over(density: Density) -> Arc<dyn NoiseSchedule> {
        density.over(ladder(&crate::geometric(8.0, 0.5, 4))).unwrap()
    }

    /// One draw in each stratum of every batch, and each draw uniform by itself.
    #[test]
    fn stratified_draws_hit_each_stratum_once() {
        let schedule = over(Density::Stratified);
        let (batch, batches) = (12usize, 4000);
        let part = |level: Level| (level.log_ratio() - 0.5f64.ln()) / 16f64.ln();
        // The share of first draws in each fifth of the range.
        let mut fifths = [0.0; 5];
        for step in 0..batches {
            let parts: Vec<f64> =
                schedule.draw(&mut Streams::new(2).at("levels", step), batch).into_iter().map(part).collect();
            // Strata of the partition that begins at the batch's own u.
            let mut strata: Vec<usize> = parts.iter().map(|p| (p * batch as f64).floor() as usize % batch).collect();
            strata.sort_unstable();
            let whole: Vec<usize> = (0..batch).collect();
            assert!(parts.iter().all(|p| (0.0..1.0 + 1e-12).contains(p)));
            // A draw on a boundary may round into the next stratum; none does in these batches.
            assert_eq!(strata, whole, "batch {step}: {parts:?}");
            fifths[(parts[0] * 5.0) as usize] += 1.0 / batches as f64;
        }
        // Four standard errors of a share of 1/5.
        let error = 4.0 * (0.2f64 * 0.8 / batches as f64).sqrt();
        assert!(fifths.iter().all(|share| (share - 0.2).abs() < error), "{fifths:?}");
        // Independent draws do no such thing.
        let schedule = over(Density::LogUniform);
        let parts = schedule.draw(&mut Streams::new(2).at("levels", 0), batch).into_iter().map(part);
        let mut strata: Vec<usize> = parts.map(|p| (p * batch as f64).floor() as usize).collect();
        strata.sort_unstable();
        strata.dedup();
        assert!(strata.len() < batch);
    }

    /// Mean and variance over batches of a batch's mean of f(ln σ).
    fn batch_means(density: Density, batch: usize, f: impl Fn(f64) -> f64) -> (f64, f64) {
        let schedule = over(density);
        let batches = 5000;
        let means: Vec<f64> = (0..batches)
            .map(|step| {
                let draws = schedule.draw(&mut Streams::new(3).at("levels", step), batch);
                draws.iter().map(|l| f(l.log_ratio())).sum::<f64>() / batch as f64
            })
            .collect();
        let mean = means.iter().sum::<f64>() / batches as f64;
        (mean, means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (batches - 1) as f64)
    }

    /// E f is the same, and its estimate from a batch varies less: by 1/B for a linear f with a jump, by more where f closes.
    #[test]
    fn stratified_means_are_unbiased_and_vary_less() {
        let batch = 16;
        let f = |log: f64| log.exp();
        // ∫ σ d ln σ / ln 16 from .5 to 8.
        let expected = (8.0 - 0.5) / 16f64.ln();
        let (independent, scatter) = batch_means(Density::LogUniform, batch, f);
        let (stratified, less) = batch_means(Density::Stratified, batch, f);
        for (mean, variance) in [(independent, scatter), (stratified, less)] {
            assert!((mean - expected).abs() < 4.0 * (variance / 5000.0).sqrt(), "{mean}, not {expected}");
        }
        // Of f's variance B⁻¹ is left to independent draws; f is σ, E σ² = (64 − .25)/(2 ln 16).
        let of_one = 63.75 / (2.0 * 16f64.ln()) - expected * expected;
        assert!((scatter / (of_one / batch as f64) - 1.0).abs() < 0.1, "{scatter}");
        assert!(less < scatter / 5.0, "{less}, not much below {scatter}");
    }

    /// Over levels: each as often as any other in a batch that L divides, give or take one in any.
    #[test]
    fn stratified_levels_are_drawn_evenly() {
        let schedule = over(Density::StratifiedLevels);
        let counts = |batch: usize, step: u64| -> Vec<usize> {
            let draws = schedule.draw(&mut Streams::new(4).at("levels", step), batch);
            schedule.levels().iter().map(|l| draws.iter().filter(|d| *d == l).count()).collect()
        };
        let mut of_six = [0.0; 4];
        for step in 0..2000 {
            assert_eq!(counts(12, step), [3; 4]);
            let six = counts(6, step);
            assert!(six.iter().all(|n| (1..=2).contains(n)), "{six:?}");
            of_six.iter_mut().zip(six).for_each(|(sum, n)| *sum += n as f64 / 2000.0);
        }
        // On average a quarter of six each.
        assert!(of_six.iter().all(|n| (n - 1.5).abs() < 4.0 * (0.25f64 / 2000.0).sqrt()), "{of_six:?}");
        // The density is that of independent draws.
        let level = schedule.levels()[1];
        assert_eq!(schedule.draw_density(level), over(Density::Levels).draw_density(level));
        assert_eq!(over(Density::Stratified).draw_density(level), over(Density::LogUniform).draw_density(level),);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let far = Density::LogNormal(LogNormal { mean: 20.0, std: 0.5 });
        assert!(far.over(ladder(&[3.0, 0.2])).unwrap_err().message.contains("between σ = 0.2 and σ = 3"));
        // Where α < 1 the density is over σ/α.
        let shrunk = Arc::new(Ladder(vec![Level { alpha: 0.1, sigma: 0.9 }, Level { alpha: 0.8, sigma: 0.4 }]));
        assert!(far.over(shrunk).unwrap_err().message.contains("between σ/α = 0.5 and σ/α = 9"));
        assert!(Density::LogUniform.over(ladder(&[1.0])).is_err());
        assert!(Density::Stratified.over(ladder(&[1.0])).is_err());
        assert!(Density::StratifiedLevels.over(ladder(&[1.0])).is_ok());
        assert!(Density::LogNormal(LogNormal { mean: 0.0, std: 0.0 }).check().is_err());
        assert!(Geometric::default().check().is_ok());
    }
}
