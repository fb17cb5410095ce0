//! DPM-Solver++(2M), algorithm 2.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork,
};

use crate::denoise;
use crate::walk::{Walk, unless_ladder};

/// The probability flow by a multistep method of order 2 on the Tweedie mean x̂, one network evaluation a step:
/// x' = (σ'/σ) x + α' (1 − e^{−h}) D.
///
/// h is the step in λ = ln(α/σ), and D = x̂_i + h/(2 h_before) (x̂_i − x̂_{i−1}) continues x̂ to the middle of the step; the
/// first step has D = x̂. No noise is drawn, but for the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DpmSolverPp2m {
    /// Whether the last step goes from the smallest level to none, where x is its Tweedie mean.
    pub denoise: bool,
}

impl Default for DpmSolverPp2m {
    fn default() -> Self {
        Self { denoise: true }
    }
}

impl Component<SamplerPart> for DpmSolverPp2m {
    const KIND: &'static str = "dpm-solver-pp-2m";
    const PAPER: &'static str = "Lu et al. 2022, arXiv 2211.01095, algorithm 2";

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for DpmSolverPp2m {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        _: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let mut walk = Walk::down(schedule, self.denoise, observer);
        // x̂ and h of the step before.
        let mut before: Option<(Tensor<2>, f64)> = None;
        for pair in schedule.levels().windows(2) {
            let (level, next) = (pair[0], pair[1]);
            let h = level.log_ratio() - next.log_ratio();
            let clean = denoise(score, x.clone(), level);
            let middle = match before {
                Some((clean_before, h_before)) => {
                    clean.clone() + (clean.clone() - clean_before) * (h / (2.0 * h_before))
                }
                None => clean.clone(),
            };
            // 1 − e^{−h}, to all digits where h is small.
            x = x * (next.sigma / level.sigma) + middle * (next.alpha * -(-h).exp_m1());
            before = Some((clean, h));
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
