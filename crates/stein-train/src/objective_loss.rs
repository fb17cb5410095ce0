//! The weighted mean of an objective over a batch.

use burn::tensor::Tensor;
use stein_core::{Objective, ScoreNetwork};

use crate::TrainingBatch;

/// mean_b λ(σ_b) loss_b, `[1]`.
pub(crate) fn weighted_loss(
    objective: &dyn Objective,
    network: &dyn ScoreNetwork,
    mut batch: TrainingBatch,
) -> Tensor<1> {
    let losses = objective.loss(network, &batch.perturbed, &mut batch.noise);
    (losses * batch.weights).mean()
}
