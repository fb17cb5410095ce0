//! Samplers.

use std::fmt::Debug;
use std::ops::ControlFlow;

use burn::tensor::Tensor;

use crate::{ChainNoise, Level, NoiseSchedule, ScoreNetwork};

/// What an [`Observer`] is told of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepInfo {
    /// Steps done, from 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The level that the step was taken at; σ = 0 after the final denoising.
    pub level: Level,
    /// The mean over the chains of the probability with which this step's proposals were accepted; `None` where nothing is
    /// rejected.
    pub acceptance: Option<f64>,
}

/// Sees every step of a sampler: progress, trajectories, GIFs; may stop it.
pub trait Observer {
    /// Called after each step with the state `[B, D]`.
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()>;

    /// Called before that by samplers that [can](Sampler::conditions), with the level that the state `[B, D]` is now at: moves
    /// it to where it has to be, for what is known of it. By default it stays.
    fn project(&mut self, _level: Level, x: Tensor<2>) -> Tensor<2> {
        x
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn step(&mut self, _: StepInfo, _: &Tensor<2>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Why a sampler did not end.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// Chains left the numbers, or went farther than any data could be.
    #[error("{0}")]
    Diverged(Divergence),
    /// A solver with steps of its own met a score that is not a number, however short the step.
    #[error("the score is not finite at σ/α = {ratio:.3e}: the network has diverged")]
    NotFinite {
        /// σ/α there.
        ratio: f64,
    },
    /// A solver with steps of its own does not meet its tolerance.
    #[error(
        "the solver is at σ/α = {ratio:.3e} after {steps} steps and would need more, or shorter ones than single precision \
         can tell apart: allow a larger error by `rtol` and `atol`"
    )]
    Unsolved {
        /// Steps of the chain that it gave up at.
        steps: usize,
        /// σ/α there.
        ratio: f64,
    },
    /// The observer stopped it.
    #[error("sampling was stopped at step {step}")]
    Stopped {
        /// The step after which it stopped.
        step: usize,
    },
    /// The sampler accepts and rejects, and the network does not say by what.
    #[error("the sampler needs the log density, which this network does not have")]
    NoLogDensity,
}

/// Where chains diverged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Divergence {
    /// Chains that are not finite or ran away.
    pub chains: usize,
    /// Chains that were looked at.
    pub of: usize,
    /// The step after which it was seen; it may have happened some steps before.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// σ there.
    pub sigma: f64,
    /// The farthest from the data's mean that a finite chain was, and the farthest that is believed; `None` where all that
    /// diverged are not finite.
    pub ran_away: Option<[f64; 2]>,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { chains, of, step, steps, sigma, ran_away } = self;
        match ran_away {
            None => write!(f, "{chains} of {of} chains are not finite")?,
            Some([farthest, limit]) => write!(
                f,
                "{chains} of {of} chains ran away, as far as {farthest:.3e} from the data's mean (at most {limit:.3e} is believed)"
            )?,
        }
        write!(
            f,
            " after step {step} of {steps} (σ = {sigma}): the step size is too large for this score, or the network has diverged"
        )
    }
}

/// A sampler: from a start to samples, along the score.
pub trait Sampler: Debug + Send + Sync {
    /// Moves the chains `x` `[B, D]` and gives the samples `[B, D]`.
    ///
    /// # Errors
    /// [`SampleError::Stopped`] if the observer stops it; [`SampleError::NoLogDensity`] if it needs one and the network has none,
    /// which whoever builds the two sees beforehand. Divergence is checked by who draws (the chains' values are read
    /// there anyway).
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError>;

    /// Whether samples can be drawn given a measurement: the score is asked for at all chains at once, in their order, and
    /// [`Observer::project`] may move them after each step.
    fn conditions(&self) -> bool {
        false
    }

    /// Whether it solves the probability flow: no noise is drawn but for the start, which alone decides where a chain ends.
    fn solves_flow(&self) -> bool {
        false
    }

    /// The level of its first step: chains that start from data have that level's noise.
    fn begins(&self, schedule: &dyn NoiseSchedule) -> Level {
        schedule.first()
    }

    /// Evaluations of the score that one sample takes; `None` where that depends on the way that the chains take.
    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64>;

    /// Whether it can only go along a network that has a [log density](ScoreNetwork::log_density).
    fn needs_log_density(&self) -> bool {
        false
    }

    /// What those of its keys come to on a schedule that may follow from it, where they say `auto` or a number.
    fn settled(&self, _schedule: &dyn NoiseSchedule) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}
