//! Annealed Langevin dynamics, algorithm 1 of NCSN.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Condition, Invalid, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext,
    SamplerPart, ScoreNetwork, matrix,
};

use crate::technique_4::MOST_STEPS;
use crate::walk::Walk;
use crate::{Annealing, Convention, StepSize};

/// Langevin dynamics at each noise level from the largest to the smallest, with step sizes α_i = ε σ_i²/σ_L².
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AnnealedLangevin {
    /// T, Langevin steps at each level.
    #[schemars(range(min = 1))]
    pub steps_per_level: usize,
    /// ε, the step size at the smallest level; `"auto"` is 0.3 σ_L² (0.15 σ_L² in the repository's convention), which is
    /// stable at every level. `"t4"` is NCSNv2's technique 4 for a geometric ladder and T steps a level, `"t4-accumulated"` the
    /// same for what its errors come to at the ladder's end.
    pub step_size: StepSize<Annealing>,
    /// With `step-size = "t4"` or `"t4-accumulated"`: T is the least number of steps at which that technique's variance is off
    /// by at most this much of σ_i², whatever `steps-per-level` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub variance_error: Option<f64>,
    /// What a step size means.
    pub convention: Convention,
    /// Whether the last step replaces x by its Tweedie mean x + σ_L² s.
    pub denoise: bool,
}

impl Default for AnnealedLangevin {
    fn default() -> Self {
        Self {
            steps_per_level: 10,
            step_size: StepSize::AUTO,
            variance_error: None,
            convention: Convention::Paper,
            denoise: true,
        }
    }
}

impl AnnealedLangevin {
    /// T.
    fn steps(&self, schedule: &dyn NoiseSchedule) -> usize {
        let least = self.variance_error.and_then(|most| self.step_size.least_steps(schedule, most));
        least.unwrap_or(self.steps_per_level)
    }

    /// ε/σ_L² in this convention.
    fn relative_step(&self, schedule: &dyn NoiseSchedule) -> f64 {
        self.step_size.relative(schedule, self.steps(schedule), self.convention)
    }
}

impl Component<SamplerPart> for AnnealedLangevin {
    const KIND: &'static str = "annealed-langevin";
    const PAPER: &'static str = "Song & Ermon 2019, arXiv 1907.05600, algorithm 1";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_some("steps-per-level", self.steps_per_level)?;
        Invalid::unless_at_most("steps-per-level", self.steps_per_level, 1_000_000)?;
        if let Some(most) = self.variance_error {
            if !(most > 0.0 && most < 1.0) {
                let message = format!("`variance-error` is {most}; it must be above 0 and below 1");
                return Err(Invalid::key("variance-error", message));
            }
            if !matches!(self.step_size, StepSize::Auto(Annealing::T4 | Annealing::T4Accumulated)) {
                let message =
                    "`variance-error` is technique 4's: it goes with step-size = \"t4\" or \"t4-accumulated\"";
                return Err(Invalid::key("variance-error", message));
            }
        }
        self.step_size.check()
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        let sigma_min = context.schedule.last().sigma;
        if context.schedule.last().is_clean() {
            return Err(Invalid::new(
                "`annealed-langevin` walks down noise levels, and there is no noise; take `langevin`",
            ));
        }
        self.step_size.check_ladder(context.schedule)?;
        if let Some(most) = self.variance_error
            && self.step_size.least_steps(context.schedule, most).is_none()
        {
            let message = format!(
                "no number of steps up to {MOST_STEPS} makes the variance right to {most} on this ladder; it needs more levels, or a \
                 larger `variance-error`"
            );
            return Err(Invalid::key("variance-error", message));
        }
        let (drift, _) = self.convention.factors(self.relative_step(context.schedule));
        // The score of N(0, σ²) is −x/σ²: a drift above 2σ² throws x farther than it was.
        if drift >= 2.0 {
            let most = sigma_min * sigma_min * 2.0 / self.convention.factors(1.0).0;
            return Err(Invalid::key(
                "step-size",
                format!(
                    "`step-size` makes every Langevin step overshoot; with σ_L = {sigma_min} it must be below {most:.3e}"
                ),
            ));
        }
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for AnnealedLangevin {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let ([batch, d], device) = (x.dims(), x.device());
        let (relative, steps_per_level) = (self.relative_step(schedule), self.steps(schedule));
        let steps = schedule.levels().len() * steps_per_level + usize::from(self.denoise);
        let mut walk = Walk::of(steps, observer);
        for &level in schedule.levels() {
            let condition = Condition::uniform(level, batch, &device);
            // α_i = ε σ_i²/σ_L²
            let (drift, diffusion) = self.convention.factors(relative * level.sigma * level.sigma);
            for _ in 0..steps_per_level {
                let z = matrix(noise.normals(d), d, &device);
                let s = score.score(x.clone(), &condition);
                x = walk.arrive(level, x + s * drift + z * diffusion);
                walk.step(level, &x)?;
            }
        }
        if self.denoise {
            x = walk.denoise(score, x, schedule.last())?;
        }
        Ok(x)
    }

    fn conditions(&self) -> bool {
        true
    }

    fn settled(&self, schedule: &dyn NoiseSchedule) -> Vec<(&'static str, f64)> {
        let mut out = vec![("step-size", self.relative_step(schedule) * schedule.last().sigma.powi(2))];
        if self.variance_error.is_some() {
            out.push(("steps-per-level", self.steps(schedule) as f64));
        }
        out
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        Some((schedule.levels().len() * self.steps(schedule) + usize::from(self.denoise)) as u64)
    }
}
