//! One training step: of a run, of the estimate of what a run costs, of a benchmark.

use burn::tensor::Tensor;
use stein_experiment::Training;
use stein_kernels::{Gradient, in_parts, on_workers};

use crate::parts::cut;
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
        let gradient = on_workers(&device, || gradient(trainee, state, layout, batch)).into_tensor();
        sum = Some(added(sum, gradient));
    }
    let batch = next()?;
    Ok(on_workers(&device, || {
        let mut gradient = gradient(trainee, state, layout, batch);
        if sum.is_some() {
            gradient = (added(sum, gradient.into_tensor()) / training.accumulate as f64).into();
        }
        let norm = state.update(gradient, training);
        *trainee = layout.unflatten(trainee.clone(), state.parameters.clone());
        norm
    }))
}

/// The gradient of a batch, whose loss goes to the mean since the last log.
fn gradient(trainee: &Trainee, state: &mut TrainingState, layout: &Layout, batch: TrainingBatch) -> Gradient {
    let device = state.parameters.device();
    let parts = cut(batch, trainee.objective(), layout.length(), &device);
    let found = in_parts(&device, parts, |part| {
        let loss = part.loss(trainee, layout, &state.parameters);
        (loss.value(), loss.gradients())
    });
    let (losses, gradients): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    state.interval.add(losses.into_iter().reduce(|a, b| a + b).expect("a batch has a part at least"));
    layout.sum(trainee, gradients, &state.parameters)
}

fn added(sum: Option<Tensor<1>>, gradient: Tensor<1>) -> Tensor<1> {
    match sum {
        None => gradient,
        Some(sum) => sum + gradient,
    }
}
