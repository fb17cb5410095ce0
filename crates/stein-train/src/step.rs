//! One training step: of a run, of the estimate of what a run costs, of a benchmark.

use burn::tensor::Tensor;
use stein_experiment::Training;

use crate::{Layout, Trainee, TrainingBatch, TrainingState};

/// Takes one step with the mean gradient of `training.accumulate` batches, which `next` gives: state and network move on.
/// Gives the gradient's norm before clipping, `[1]`.
///
/// # Errors
/// Those of `next`.
pub fn training_step<E>(
    trainee: &mut Trainee,
    state: &mut TrainingState,
    layout: &Layout,
    training: &Training,
    mut next: impl FnMut() -> Result<TrainingBatch, E>,
) -> Result<Tensor<1>, E> {
    let mut part = || {
        let (loss, gradients) = trainee.loss_and_gradients(next()?);
        state.interval.add(loss);
        Ok(layout.gradients(trainee, &gradients))
    };
    let mut gradient = part()?;
    for _ in 1..training.accumulate {
        gradient = gradient + part()?;
    }
    if training.accumulate > 1 {
        gradient = gradient / training.accumulate as f64;
    }
    let norm = state.update(gradient, training);
    *trainee = layout.unflatten(trainee.clone(), state.parameters.clone());
    Ok(norm)
}
