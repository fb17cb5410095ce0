//! The Metropolis-adjusted Langevin algorithm.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Condition, Invalid, Level, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext,
    SamplerPart, ScoreNetwork, matrix,
};

use crate::metropolis::State;
use crate::walk::Walk;
use crate::{Convention, StepSize};

/// Langevin steps as proposals, accepted with probability min(1, p(x') q(x | x')/(p(x) q(x' | x))): its stationary law is the
/// density itself, whatever the step size.
///
/// p is the density of the smallest σ, p_{σ_L}, or the clean one where there is no noise. It must be known up to a constant. A
/// proposal where density or score is no number is rejected. Between well separated modes it does not mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Mala {
    /// Steps.
    #[schemars(range(min = 1))]
    pub steps: usize,
    /// The step size α; `"auto"` is 0.3 σ_L² (0.15 σ_L² in the repository's convention).
    pub step_size: StepSize,
    /// What the step size means.
    pub convention: Convention,
    /// Whether the last step replaces x by its Tweedie mean x + σ² s.
    pub denoise: bool,
}

impl Default for Mala {
    fn default() -> Self {
        Self { steps: 1000, step_size: StepSize::AUTO, convention: Convention::Paper, denoise: false }
    }
}

impl Component<SamplerPart> for Mala {
    const KIND: &'static str = "mala";
    const PAPER: &'static str = "Besag 1994; Roberts & Tweedie 1996";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_some("steps", self.steps)?;
        Invalid::unless_at_most("steps", self.steps, 1_000_000_000)?;
        self.step_size.check()
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        self.step_size.unless_unknown(context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for Mala {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let level = schedule.last();
        let ([batch, d], device) = (x.dims(), x.device());
        let condition = Condition::uniform(level, batch, &device);
        let (drift, diffusion) = self.convention.factors(self.step_size.at(level.sigma, self.convention));
        let mut walk = Walk::of(self.steps + usize::from(self.denoise), observer);
        let mut state = State::start(score, x, &condition)?;
        for _ in 0..self.steps {
            let z = matrix(noise.normals(d), d, &device);
            let x = state.x.clone() + state.score.clone() * drift + z.clone() * diffusion;
            let proposal = State::at(score, x, &condition)?;
            // ln q(x | x') − ln q(x' | x) = ½‖z‖² − ½‖z + (b/2)(s + s')‖², b the factor of z, multiplied out: the squares of z,
            // which would take the digits, are gone.
            let both = state.score.clone() + proposal.score.clone();
            let back = (both.clone() * (z + both * (diffusion / 4.0))).sum_dim(1) * (-diffusion / 2.0);
            let (next, acceptance) = state.accept(proposal, back, noise);
            state = next;
            walk.proposed(level, acceptance, &state.x)?;
        }
        if self.denoise { walk.denoise(score, state.x, level) } else { Ok(state.x) }
    }

    fn begins(&self, schedule: &dyn NoiseSchedule) -> Level {
        schedule.last()
    }

    fn settled(&self, schedule: &dyn NoiseSchedule) -> Vec<(&'static str, f64)> {
        vec![("step-size", self.step_size.at(schedule.last().sigma, self.convention))]
    }

    fn evaluations(&self, _: &dyn NoiseSchedule) -> Option<u64> {
        Some((1 + self.steps + usize::from(self.denoise)) as u64)
    }

    fn needs_log_density(&self) -> bool {
        true
    }
}
