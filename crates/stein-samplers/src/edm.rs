//! The stochastic sampler of EDM, algorithm 2.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, Level, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork, matrix,
};

use crate::flow::heun_step;
use crate::walk::{Walk, unless_ladder};

/// Heun's method on the probability flow dy/dρ = −σ s, with noise added before each step: churn.
///
/// y is x/α and ρ is σ/α: x and σ themselves where α = 1. A step first raises ρ_i to ρ̂ = (1 + γ) ρ_i with fresh noise,
/// γ = min(churn/L, √2 − 1) for ρ_i from churn-min to churn-max and else 0. Without churn it is deterministic, but draws its
/// normals all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Edm {
    /// S_churn, how much noise is added over all steps; 0 for none.
    #[schemars(range(min = 0))]
    pub churn: f64,
    /// S_tmin, the smallest σ/α at which noise is added.
    #[schemars(range(min = 0))]
    pub churn_min: f64,
    /// S_tmax, the largest; `inf` for no limit.
    #[schemars(range(min = 0))]
    pub churn_max: f64,
    /// S_noise, the standard deviation of the added normals.
    #[schemars(range(min = 0))]
    pub noise: f64,
    /// Whether an Euler step from the smallest level to none follows: x becomes its Tweedie mean.
    pub denoise: bool,
}

impl Default for Edm {
    fn default() -> Self {
        Self { churn: 0.0, churn_min: 0.0, churn_max: f64::INFINITY, noise: 1.0, denoise: true }
    }
}

impl Edm {
    /// ρ̂, what churn raises ρ to where the ladder has `levels`.
    fn raised(&self, ratio: f64, levels: usize) -> f64 {
        let inside = (self.churn_min..=self.churn_max).contains(&ratio);
        let gamma = if inside { (self.churn / levels as f64).min(std::f64::consts::SQRT_2 - 1.0) } else { 0.0 };
        (1.0 + gamma) * ratio
    }
}

impl Component<SamplerPart> for Edm {
    const KIND: &'static str = "edm";
    const PAPER: &'static str = "Karras et al. 2022, arXiv 2206.00364, algorithm 2";

    fn check(&self) -> Result<(), Invalid> {
        for (key, value) in [("churn", self.churn), ("churn-min", self.churn_min), ("noise", self.noise)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Invalid::key(key, format!("`{key}` is {value}; it must be at least 0 and finite")));
            }
        }
        let (low, high) = (self.churn_min, self.churn_max);
        // Not a number is no limit either.
        if high.is_nan() || high < low {
            let message = format!("`churn-max` is {high}; it must be at least `churn-min`, {low} (`inf` for no limit)");
            return Err(Invalid::key("churn-max", message));
        }
        Ok(())
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for Edm {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let (d, device) = (x.dims()[1], x.device());
        let levels = schedule.levels();
        let mut walk = Walk::down(schedule, self.denoise, observer);
        // y at the level that the step is taken from, and that level.
        let mut churned = |x: Tensor<2>, level: Level| {
            let ratio = level.sigma / level.alpha;
            let raised = self.raised(ratio, levels.len());
            let z = matrix(noise.normals(d), d, &device);
            let added = self.noise * (raised * raised - ratio * ratio).sqrt();
            (x / level.alpha + z * added, if raised == ratio { level } else { schedule.at_ratio(raised) })
        };
        for pair in levels.windows(2) {
            let (level, next) = (pair[0], pair[1]);
            let (y, raised) = churned(x, level);
            let from = y.clone() * raised.alpha;
            x = walk.arrive(next, heun_step(score, &from, y, raised, next));
            walk.step(level, &x)?;
        }
        if self.denoise {
            let (y, raised) = churned(x, schedule.last());
            // Euler to ρ = 0: y − ρ̂ · (−σ̂ s). Heun's second slope does not exist there.
            x = walk.denoise(score, y * raised.alpha, raised)?;
        }
        Ok(x)
    }

    fn conditions(&self) -> bool {
        true
    }

    fn solves_flow(&self) -> bool {
        self.churn == 0.0
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        Some((2 * (schedule.levels().len() - 1) + usize::from(self.denoise)) as u64)
    }
}
