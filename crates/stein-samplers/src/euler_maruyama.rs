//! The reverse SDE by the Euler–Maruyama method.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork, matrix,
};

use crate::denoise::score_at;
use crate::transition::Transition;
use crate::walk::{Walk, unless_ladder};

/// The reverse SDE in steps from level to level, x ← x + ½(1 − a²) x + v s + √v z with a = α_i/α_{i+1}, v = σ_i² − a² σ_{i+1}².
///
/// dx = (f x − g² s) dt + g dw̄ has f = d ln α/dt and g² = dσ²/dt − 2 f σ²; v is the integral of g² over the step, and
/// −½(1 − a²) that of f to first order. Where α = 1, v is σ_i² − σ_{i+1}²; where α² + σ² = 1, 1 − a² and v both are β_i. The levels
/// are the time grid: the error falls as 1/L.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EulerMaruyama {
    /// Whether a step without noise from the smallest level to none follows: x becomes its Tweedie mean.
    pub denoise: bool,
}

impl Default for EulerMaruyama {
    fn default() -> Self {
        Self { denoise: true }
    }
}

impl Component<SamplerPart> for EulerMaruyama {
    const KIND: &'static str = "euler-maruyama";
    const PAPER: &'static str = "Song et al. 2021, arXiv 2011.13456, equation 6";

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for EulerMaruyama {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let (d, device) = (x.dims()[1], x.device());
        let mut walk = Walk::down(schedule, self.denoise, observer);
        for pair in schedule.levels().windows(2) {
            let (level, next) = (pair[0], pair[1]);
            let Transition { keep, variance } = Transition::between(level, next);
            let z = matrix(noise.normals(d), d, &device);
            let s = score_at(score, &x, level);
            x = x * (1.0 + (1.0 - keep * keep) / 2.0) + s * variance + z * variance.sqrt();
            x = walk.arrive(next, x);
            walk.step(level, &x)?;
        }
        if self.denoise {
            x = walk.denoise(score, x, schedule.last())?;
        }
        Ok(x)
    }

    fn conditions(&self) -> bool {
        true
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        Some((schedule.levels().len() - 1 + usize::from(self.denoise)) as u64)
    }
}
