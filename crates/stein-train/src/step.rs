//! One training step: of a run, of the estimate of what a run costs, of a benchmark.

use burn::tensor::Tensor;
use stein_core::to_host;
use stein_experiment::Training;
use stein_kernels::{Gradient, in_parts, on_workers};

use crate::adam::clip;
use crate::parts::cut;
use crate::state::NotFinite;
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
    next: impl FnMut() -> Result<TrainingBatch, E>,
) -> Result<Tensor<1>, E> {
    with_gradient(trainee, state, layout, training, next, |trainee, state, losses, gradient| {
        losses.into_iter().for_each(|loss| state.interval.add(loss));
        let norm = state.update(gradient, training);
        *trainee = layout.unflatten(trainee.clone(), state.parameters.clone());
        norm
    })
}

/// How a step went whose loss and gradient were looked at.
#[derive(Debug)]
pub(crate) enum Looked {
    /// Both are finite, and state and network have moved on. The gradient's norm, `[1]`.
    Taken(Tensor<1>),
    /// One is not, and nothing has moved but the count of steps. The gradient's norm, `[1]`.
    LeftOut(Tensor<1>),
    /// One is not, and no more steps may be left out: nothing has moved.
    NotFinite(NotFinite),
}

/// Takes one step as [`training_step`] does, to the same bits, if its losses and its gradient are finite. On a GPU they are waited
/// for.
///
/// # Errors
/// Those of `next`.
pub(crate) fn looked_step<E>(
    trainee: &mut Trainee,
    state: &mut TrainingState,
    layout: &Layout,
    training: &Training,
    next: impl FnMut() -> Result<TrainingBatch, E>,
) -> Result<Looked, E> {
    with_gradient(trainee, state, layout, training, next, |trainee, state, losses, gradient| {
        let (factor, norm) = clip(&gradient, training.clip);
        let host = |value: &Tensor<1>| f64::from(to_host(value.clone())[0]);
        let numbers = losses.iter().map(|loss| ("the loss", host(loss))).chain([("the gradient norm", host(&norm))]);
        if let Some(found) = NotFinite::among(numbers) {
            // Where an update has left the numbers, every step after it would be left out.
            if state.skipped >= training.skip_non_finite || !state.is_sound() {
                return Looked::NotFinite(found);
            }
            state.leave_out();
            return Looked::LeftOut(norm);
        }
        losses.into_iter().for_each(|loss| state.interval.add(loss));
        state.advance(gradient, factor, training);
        *trainee = layout.unflatten(trainee.clone(), state.parameters.clone());
        Looked::Taken(norm)
    })
}

/// Does something with the losses of a step's batches, each `[1]`, and their mean gradient.
pub(crate) fn with_gradient<E, R: Send>(
    trainee: &mut Trainee,
    state: &mut TrainingState,
    layout: &Layout,
    training: &Training,
    mut next: impl FnMut() -> Result<TrainingBatch, E>,
    then: impl FnOnce(&mut Trainee, &mut TrainingState, Vec<Tensor<1>>, Gradient) -> R + Send,
) -> Result<R, E> {
    let device = state.parameters.device();
    let (mut losses, mut sum) = (Vec::with_capacity(training.accumulate.min(64)), None);
    for _ in 1..training.accumulate {
        let batch = next()?;
        let (loss, gradient) = on_workers(&device, || gradient(trainee, state, layout, batch, training.loss_scale));
        losses.push(loss);
        sum = Some(added(sum, gradient.into_tensor()));
    }
    let batch = next()?;
    Ok(on_workers(&device, || {
        let (loss, mut gradient) = gradient(trainee, state, layout, batch, training.loss_scale);
        losses.push(loss);
        if sum.is_some() {
            gradient = (added(sum, gradient.into_tensor()) / training.accumulate as f64).into();
        }
        then(trainee, state, losses, gradient)
    }))
}

/// The loss of a batch, `[1]`, and its gradient, which is `scale` times that on the way back.
fn gradient(
    trainee: &Trainee,
    state: &TrainingState,
    layout: &Layout,
    batch: TrainingBatch,
    scale: u64,
) -> (Tensor<1>, Gradient) {
    let device = state.parameters.device();
    let parts = cut(batch, trainee.objective(), layout.length(), &device);
    let found = in_parts(&device, parts, |part| {
        let loss = part.loss(trainee, layout, &state.parameters, scale);
        (loss.value(), loss.gradients())
    });
    let (losses, gradients): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let loss = losses.into_iter().reduce(|a, b| a + b).expect("a batch has a part at least");
    (loss, layout.sum(trainee, gradients, &state.parameters, scale))
}

fn added(sum: Option<Tensor<1>>, gradient: Tensor<1>) -> Tensor<1> {
    match sum {
        None => gradient,
        Some(sum) => sum + gradient,
    }
}
