//! Consistent annealed sampling, algorithm 2 of Jolicoeur-Martineau et al.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork, matrix,
};

use crate::denoise::score_at;
use crate::walk::{Walk, ratio, unless_exploding, unless_geometric, unless_ladder};
use crate::{Convention, StepSize};

/// Annealed Langevin dynamics with just the noise that takes the samples' σ_i to σ_{i+1}: one step a level,
/// x ← x + η σ_i² s + σ_{i+1} β z.
///
/// η = ε/σ_L², γ = σ_{i+1}/σ_i and β = √(1 − ((1 − η)/γ)²), so the levels must be geometric and ε from (1 − γ) σ_L², where
/// no noise is added, to (1 + γ) σ_L². A step is taken at every level, the last without noise: σ_{L+1} is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConsistentAnnealed {
    /// ε, the whole factor of the score at the smallest level; `"auto"` is (1 − γ²) σ_L², which makes each step an ancestral
    /// one: a draw of the next level given this one and the Tweedie mean.
    pub step_size: StepSize,
    /// Whether the step at σ_L goes to the Tweedie mean x + σ_L² s; else to x + η σ_L² s, which leaves (1 − η) σ_L of the noise,
    /// as in the authors' code.
    pub denoise: bool,
}

impl Default for ConsistentAnnealed {
    fn default() -> Self {
        Self { step_size: StepSize::AUTO, denoise: true }
    }
}

impl ConsistentAnnealed {
    /// η, and the square of β.
    fn factors(&self, schedule: &dyn NoiseSchedule) -> (f64, f64) {
        let gamma = ratio(schedule);
        let eta = match self.step_size {
            StepSize::Value(_) => self.step_size.relative(schedule.last().sigma, Convention::Repository),
            StepSize::Auto(_) => 1.0 - gamma * gamma,
        };
        (eta, 1.0 - ((1.0 - eta) / gamma).powi(2))
    }
}

/// What rounding may take off β² = 0, the end of the range.
const ROUNDING: f64 = 1e-9;

impl Component<SamplerPart> for ConsistentAnnealed {
    const KIND: &'static str = "consistent-annealed";
    const PAPER: &'static str = "Jolicoeur-Martineau et al. 2020, arXiv 2009.05475, algorithm 2";

    fn check(&self) -> Result<(), Invalid> {
        self.step_size.check()
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        let schedule = context.schedule;
        unless_ladder(Self::KIND, schedule)?;
        unless_exploding(Self::KIND, schedule)?;
        unless_geometric(Self::KIND, schedule)?;
        if self.factors(schedule).1 < -ROUNDING {
            let (gamma, sigma_min, levels) = (ratio(schedule), schedule.last().sigma, schedule.levels().len());
            let (least, most) = ((1.0 - gamma) * sigma_min.powi(2), (1.0 + gamma) * sigma_min.powi(2));
            return Err(Invalid::key(
                "step-size",
                format!(
                    "`step-size` leaves no noise that keeps σ_i at each level; with σ_L = {sigma_min} and {levels} levels it \
                     must be from {least:.3e} to {most:.3e}"
                ),
            ));
        }
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for ConsistentAnnealed {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let (d, device) = (x.dims()[1], x.device());
        let (eta, beta2) = self.factors(schedule);
        let beta = beta2.max(0.0).sqrt();
        let mut walk = Walk::of(schedule.levels().len(), observer);
        for pair in schedule.levels().windows(2) {
            let (level, next) = (pair[0], pair[1]);
            let z = matrix(noise.normals(d), d, &device);
            let s = score_at(score, &x, level);
            x = x + s * (eta * level.sigma * level.sigma) + z * (next.sigma * beta);
            x = walk.arrive(next, x);
            walk.step(level, &x)?;
        }
        let level = schedule.last();
        if self.denoise {
            return walk.denoise(score, x, level);
        }
        let s = score_at(score, &x, level);
        x = x + s * (eta * level.sigma * level.sigma);
        walk.step(level, &x)?;
        Ok(x)
    }

    fn conditions(&self) -> bool {
        true
    }

    fn settled(&self, schedule: &dyn NoiseSchedule) -> Vec<(&'static str, f64)> {
        vec![("step-size", self.factors(schedule).0 * schedule.last().sigma.powi(2))]
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        Some(schedule.levels().len() as u64)
    }
}
