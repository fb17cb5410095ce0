//! Hamiltonian Monte Carlo.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Condition, Invalid, Level, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext,
    SamplerPart, ScoreNetwork, matrix,
};

use crate::StepSize;
use crate::metropolis::State;
use crate::walk::Walk;

/// Trajectories of H(x, p) = −log p(x) + ½‖p‖² by the leapfrog method, from a fresh momentum of unit mass each, accepted with
/// probability min(1, e^{H − H'}): its stationary law is the density itself, whatever the step size.
///
/// p(x) is the density of the smallest σ, p_{σ_L}, or the clean one where there is no noise. It must be known up to a constant. A
/// trajectory to where density or score is no number is rejected. One leapfrog step h is `mala` with α = h². On a normal of
/// standard deviation s the method is unstable from h = 2 s on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Hmc {
    /// Trajectories.
    #[schemars(range(min = 1))]
    pub steps: usize,
    /// Leapfrog steps of a trajectory.
    #[schemars(range(min = 1))]
    pub leapfrog_steps: usize,
    /// The leapfrog step size h; `"auto"` is σ_L/2.
    pub step_size: StepSize,
    /// Whether the last step replaces x by its Tweedie mean x + σ² s.
    pub denoise: bool,
}

impl Default for Hmc {
    fn default() -> Self {
        Self { steps: 100, leapfrog_steps: 10, step_size: StepSize::AUTO, denoise: false }
    }
}

impl Hmc {
    /// h.
    fn leapfrog_step(&self, sigma_min: f64) -> f64 {
        match self.step_size {
            StepSize::Value(step) => step,
            StepSize::Auto(_) => sigma_min / 2.0,
        }
    }
}

/// Where a trajectory is: place, score there and momentum, `[B, D]` each.
#[derive(Debug, Clone)]
pub struct Phase {
    /// x.
    pub x: Tensor<2>,
    /// s(x).
    pub score: Tensor<2>,
    /// p.
    pub momentum: Tensor<2>,
}

/// `count` leapfrog steps of size h: p ← p + (h/2) s, then x ← x + h p, then p ← p + (h/2) s with the score there.
///
/// From its end with −p it leads back to where it began, with −p there; volume is kept.
pub fn leapfrog(score: &dyn ScoreNetwork, condition: &Condition, from: Phase, h: f64, count: usize) -> Phase {
    let Phase { mut x, score: mut s, momentum: mut p } = from;
    for _ in 0..count {
        p = p + s * (h / 2.0);
        x = x + p.clone() * h;
        s = score.score(x.clone(), condition);
        p = p + s.clone() * (h / 2.0);
    }
    Phase { x, score: s, momentum: p }
}

/// A trajectory of `count` steps of size h from a fresh momentum, accepted or not; the mean probability of that too.
pub(crate) fn trajectory(
    score: &dyn ScoreNetwork,
    condition: &Condition,
    state: State,
    h: f64,
    count: usize,
    noise: &mut ChainNoise,
) -> Result<(State, f64), SampleError> {
    let d = state.x.dims()[1];
    let p = matrix(noise.normals(d), d, &state.x.device());
    let from = Phase { x: state.x.clone(), score: state.score.clone(), momentum: p.clone() };
    let end = leapfrog(score, condition, from, h, count);
    // ½‖p‖² − ½‖p'‖²
    let lost = ((p.clone() - end.momentum.clone()) * (p + end.momentum)).sum_dim(1) * 0.5;
    let proposal = State::new(score, end.x, end.score, condition)?;
    Ok(state.accept(proposal, lost, noise))
}

impl Component<SamplerPart> for Hmc {
    const KIND: &'static str = "hmc";
    const PAPER: &'static str = "Duane et al. 1987; Neal 2011, arXiv 1206.1901";

    fn check(&self) -> Result<(), Invalid> {
        for (key, value) in [("steps", self.steps), ("leapfrog-steps", self.leapfrog_steps)] {
            Invalid::unless_some(key, value)?;
            Invalid::unless_at_most(key, value, 1_000_000_000)?;
        }
        self.step_size.check()
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        self.step_size.unless_unknown(context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for Hmc {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let level = schedule.last();
        let condition = Condition::uniform(level, x.dims()[0], &x.device());
        let h = self.leapfrog_step(level.sigma);
        let mut walk = Walk::of(self.steps + usize::from(self.denoise), observer);
        let mut state = State::start(score, x, &condition)?;
        for _ in 0..self.steps {
            let (next, acceptance) = trajectory(score, &condition, state, h, self.leapfrog_steps, noise)?;
            state = next;
            walk.proposed(level, acceptance, &state.x)?;
        }
        if self.denoise { walk.denoise(score, state.x, level) } else { Ok(state.x) }
    }

    fn begins(&self, schedule: &dyn NoiseSchedule) -> Level {
        schedule.last()
    }

    fn settled(&self, schedule: &dyn NoiseSchedule) -> Vec<(&'static str, f64)> {
        vec![("step-size", self.leapfrog_step(schedule.last().sigma))]
    }

    fn evaluations(&self, _: &dyn NoiseSchedule) -> Option<u64> {
        Some(1 + self.steps as u64 * self.leapfrog_steps as u64 + u64::from(self.denoise))
    }

    fn needs_log_density(&self) -> bool {
        true
    }
}
