//! Denoising diffusion implicit models, η = 0.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork,
};

use crate::denoise::score_at;
use crate::walk::{Walk, unless_ladder};

/// The deterministic sampler of DDIM: from level to level with the same estimate of the noise, x' = α' x̂ + σ' ẑ.
///
/// x̂ = (x + σ² s)/α is the Tweedie mean, ẑ = −σ s. No noise is drawn, but for the start. It is Euler's method on the
/// probability flow, in x/α against σ/α.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Ddim {
    /// Whether the last step goes from the smallest level to none, where x is its Tweedie mean.
    pub denoise: bool,
}

impl Default for Ddim {
    fn default() -> Self {
        Self { denoise: true }
    }
}

impl Component<SamplerPart> for Ddim {
    const KIND: &'static str = "ddim";
    const PAPER: &'static str = "Song, Meng & Ermon 2020, arXiv 2010.02502, equation 12 with η = 0";

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for Ddim {
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
            let s = score_at(score, &x, level);
            let z = s.clone() * -level.sigma;
            let clean = (x + s * (level.sigma * level.sigma)) / level.alpha;
            x = clean * next.alpha + z * next.sigma;
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

    fn solves_flow(&self) -> bool {
        true
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        Some((schedule.levels().len() - 1 + usize::from(self.denoise)) as u64)
    }
}
