//! The probability flow by Heun's method.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork,
};

use crate::denoise::score_at;
use crate::walk::{Walk, unless_ladder};

/// The probability flow, the ODE whose marginals are those of the reverse SDE, by Heun's method on the schedule's levels.
///
/// In y = x/α and ρ = σ/α it is dy/dρ = −σ s for every schedule; where α = 1 this is `edm` without churn. No noise is drawn,
/// but for the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProbabilityFlow {
    /// Whether an Euler step from the smallest level to none follows: x becomes its Tweedie mean.
    pub denoise: bool,
}

impl Default for ProbabilityFlow {
    fn default() -> Self {
        Self { denoise: true }
    }
}

impl Component<SamplerPart> for ProbabilityFlow {
    const KIND: &'static str = "probability-flow";
    const PAPER: &'static str = "Song et al. 2021, arXiv 2011.13456, section 4.3";

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for ProbabilityFlow {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        _: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let mut walk = Walk::down(schedule, self.denoise, observer);
        for pair in schedule.levels().windows(2) {
            let (level, next) = (pair[0], pair[1]);
            let step = next.sigma / next.alpha - level.sigma / level.alpha;
            let slope = score_at(score, &x, level) * -level.sigma;
            let y = x / level.alpha;
            let euler = (y.clone() + slope.clone() * step) * next.alpha;
            let slope_there = score_at(score, &euler, next) * -next.sigma;
            x = (y + (slope + slope_there) * (step / 2.0)) * next.alpha;
            x = walk.arrive(next, x);
            walk.step(level, &x)?;
        }
        if self.denoise {
            x = walk.denoise(score, x, schedule.last())?;
        }
        Ok(x)
    }

    fn projects(&self) -> bool {
        true
    }

    fn solves_flow(&self) -> bool {
        true
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        Some((2 * (schedule.levels().len() - 1) + usize::from(self.denoise)) as u64)
    }
}
