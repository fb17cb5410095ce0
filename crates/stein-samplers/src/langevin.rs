//! The unadjusted Langevin algorithm.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Condition, Invalid, Level, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext,
    SamplerPart, ScoreNetwork, matrix,
};

use crate::walk::Walk;
use crate::{Convention, StepSize};

/// Unadjusted Langevin dynamics with the score at the smallest σ, or the clean score where there is no noise.
///
/// Its stationary law is that density only as the step size goes to 0: on N(0, 1) its variance is 1/(1 − α/4). Between well
/// separated modes it does not mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Langevin {
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

impl Default for Langevin {
    fn default() -> Self {
        Self { steps: 1000, step_size: StepSize::AUTO, convention: Convention::Paper, denoise: false }
    }
}

impl Component<SamplerPart> for Langevin {
    const KIND: &'static str = "langevin";
    const PAPER: &'static str = "Roberts & Tweedie 1996; Welling & Teh 2011";

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

impl Sampler for Langevin {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let level = schedule.last();
        let ([batch, d], device) = (x.dims(), x.device());
        let condition = Condition::uniform(level, batch, &device);
        let step_size = self.step_size.at(level.sigma, self.convention);
        let (drift, diffusion) = self.convention.factors(step_size);
        let mut walk = Walk::of(self.steps + usize::from(self.denoise), observer);
        for _ in 0..self.steps {
            let z = matrix(noise.normals(d), d, &device);
            let s = score.score(x.clone(), &condition);
            x = walk.arrive(level, x + s * drift + z * diffusion);
            walk.step(level, &x)?;
        }
        if self.denoise {
            x = walk.denoise(score, x, level)?;
        }
        Ok(x)
    }

    fn conditions(&self) -> bool {
        true
    }

    fn begins(&self, schedule: &dyn NoiseSchedule) -> Level {
        schedule.last()
    }

    fn settled(&self, schedule: &dyn NoiseSchedule) -> Vec<(&'static str, f64)> {
        vec![("step-size", self.step_size.at(schedule.last().sigma, self.convention))]
    }

    fn evaluations(&self, _: &dyn NoiseSchedule) -> Option<u64> {
        Some((self.steps + usize::from(self.denoise)) as u64)
    }
}
