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
}

/// Sees every step of a sampler: progress, trajectories, GIFs; may stop it.
pub trait Observer {
    /// Called after each step with the state `[B, D]`.
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()>;

    /// Called before that by samplers that [project](Sampler::projects), with the level that the state `[B, D]` is now at: moves
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
    /// Chains left the numbers.
    #[error(
        "{chains} of {of} chains are not finite: the step size is too large for this score, or the network has diverged"
    )]
    Diverged {
        /// Chains that are not finite.
        chains: usize,
        /// Chains in all.
        of: usize,
    },
    /// The observer stopped it.
    #[error("sampling was stopped at step {step}")]
    Stopped {
        /// The step after which it stopped.
        step: usize,
    },
}

/// A sampler: from a start to samples, along the score.
pub trait Sampler: Debug + Send + Sync {
    /// Moves the chains `x` `[B, D]` and gives the samples `[B, D]`.
    ///
    /// # Errors
    /// [`SampleError::Stopped`] if the observer stops it. Divergence is checked by who draws (the chains' values are read
    /// there anyway).
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError>;

    /// Whether it lets [`Observer::project`] move the state after each step.
    fn projects(&self) -> bool {
        false
    }

    /// Network evaluations that one sample takes.
    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> u64;
}
