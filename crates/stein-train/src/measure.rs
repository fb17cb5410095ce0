//! What a step costs, by doing a few.

use std::time::Instant;

use burn::tensor::Device;
use stein_experiment::{Plan, Training};

use crate::run::peak_memory;
use crate::{Batches, Layout, RunError, Trainee, TrainingState, trainee, training_step};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepCost {
    /// Seconds of a training step.
    pub seconds: f64,
    /// The process's largest resident set so far, in bytes, if the system tells.
    pub memory: Option<u64>,
}

/// Steps that are timed, after one that warms up.
const STEPS: u64 = 3;
/// No more than this many seconds are spent.
const BUDGET: f64 = 5.0;

/// Does a few training steps and throws them away.
///
/// # Errors
/// If the network cannot be built on this device.
pub fn measure(plan: &Plan, device: &Device) -> Result<Option<StepCost>, RunError> {
    let training = &plan.experiment.training;
    if training.steps == 0 {
        return Ok(None);
    }
    let on_tape = trainee::on_tape(plan, device)?;
    let mut trainee = Trainee::new(plan.network(&on_tape)?, plan.objective.clone());
    let layout = Layout::of(&trainee).for_training(training);
    let mut state = TrainingState::new(&layout, &trainee);
    // With weights of the training's precision.
    trainee = layout.unflatten(trainee, state.parameters.clone());
    let batches = Batches::new(plan, &on_tape);
    let of_one_batch = Training { accumulate: 1, ..training.clone() };
    let (mut timed, mut seconds) = (0, 0.0);
    let begun = Instant::now();
    for step in 0..=STEPS {
        let started = Instant::now();
        let next = || Ok::<_, RunError>(batches.training(step));
        stein_core::to_host(training_step(&mut trainee, &mut state, &layout, &of_one_batch, next)?);
        let took = started.elapsed().as_secs_f64() * training.accumulate as f64;
        if step > 0 || begun.elapsed().as_secs_f64() > BUDGET {
            (timed, seconds) = (timed + 1, seconds + took);
        }
        if begun.elapsed().as_secs_f64() > BUDGET {
            break;
        }
    }
    Ok(Some(StepCost { seconds: seconds / f64::from(timed), memory: peak_memory() }))
}
