//! One training step: of a run, of the estimate of what a run costs, of a benchmark.

use burn::tensor::Tensor;
use stein_experiment::Training;
use stein_kernels::on_workers;

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
    let device = state.parameters.device();
    let mut sum: Option<Tensor<1>> = None;
    for _ in 1..training.accumulate {
        let batch = next()?;
        let gradient = on_workers(&device, || gradient(trainee, state, layout, batch));
        sum = Some(added(sum, gradient));
    }
    let batch = next()?;
    Ok(on_workers(&device, || {
        let mut gradient = added(sum, gradient(trainee, state, layout, batch));
        if training.accumulate > 1 {
            gradient = gradient / training.accumulate as f64;
        }
        let norm = state.update(gradient, training);
        *trainee = layout.unflatten(trainee.clone(), state.parameters.clone());
        norm
    }))
}

/// The gradient of a batch, whose loss goes to the mean since the last log.
fn gradient(trainee: &Trainee, state: &mut TrainingState, layout: &Layout, batch: TrainingBatch) -> Tensor<1> {
    let (loss, gradients) = trainee.loss_and_gradients(batch);
    state.interval.add(loss);
    layout.gradients(trainee, &gradients)
}

fn added(sum: Option<Tensor<1>>, gradient: Tensor<1>) -> Tensor<1> {
    match sum {
        None => gradient,
        Some(sum) => sum + gradient,
    }
}
