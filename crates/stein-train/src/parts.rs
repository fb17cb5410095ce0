//! Batches in parts, each of which a thread takes through the network and back.
//!
//! Threads that share every operation wait for each other at every operation; so they meet once a step. The cut depends on the
//! batch and the network alone, never on the threads: the same bits for any number of them.

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use stein_core::Objective;
use stein_kernels::is_host;

use crate::{Layout, Trainee, TrainingBatch};

/// Examples of a part at least: with fewer, matrix products are slower.
const EXAMPLES: usize = 64;
/// Parts at most: each has a gradient of all parameters.
const MOST: usize = 4;
/// Examples times parameters from which parts are worth it: below, what a network does beside its products decides.
const WORTH: usize = 1 << 23;

/// A part of a batch.
#[derive(Debug)]
pub(crate) struct BatchPart {
    batch: TrainingBatch,
    /// Its share of the batch's examples.
    share: f64,
}

/// The parts of a batch for a network of so many parameters: one on a GPU, or where the objective wants the examples together.
pub(crate) fn cut(
    mut batch: TrainingBatch,
    objective: &dyn Objective,
    parameters: usize,
    device: &Device,
) -> Vec<BatchPart> {
    let examples = batch.weights.dims()[0];
    let count = (examples / EXAMPLES).min(MOST);
    if !is_host(device) || count < 2 || examples * parameters < WORTH {
        return vec![BatchPart { batch, share: 1.0 }];
    }
    let Some(directions) = objective.directions(&batch.perturbed, &mut batch.noise.clone()) else {
        return vec![BatchPart { batch, share: 1.0 }];
    };
    batch.perturbed = batch.perturbed.with_probes(directions);
    let begin = |part: usize| part * examples / count;
    let part = |part: usize| {
        let (from, rows) = (begin(part), begin(part + 1) - begin(part));
        let perturbed = batch.perturbed.narrow(from, rows);
        let weights = batch.weights.clone().narrow(0, from, rows);
        let batch = TrainingBatch { perturbed, weights, noise: batch.noise.clone() };
        BatchPart { batch, share: rows as f64 / examples as f64 }
    };
    (0..count).map(part).collect()
}

impl BatchPart {
    /// What it adds to the batch's loss; `parameters` are those of the trainee, in order, and its gradients will be `scale` times the loss's.
    pub(crate) fn loss(self, trainee: &Trainee, layout: &Layout, parameters: &Tensor<1>, scale: u64) -> PartLoss {
        let Self { batch, share } = self;
        let scale = scale as f64;
        if share == 1.0 {
            return PartLoss { loss: trainee.loss(batch), trainee: trainee.clone(), scale };
        }
        // A tape is one thread's: parts that shared parameters on it would wait for each other.
        let trainee = layout.unflatten(trainee.clone(), parameters.clone());
        PartLoss { loss: trainee.loss(batch) * share, trainee, scale }
    }
}

/// The loss of a part, on the tape of a trainee.
#[derive(Debug)]
pub(crate) struct PartLoss {
    loss: Tensor<1>,
    trainee: Trainee,
    scale: f64,
}

impl PartLoss {
    /// The loss itself, `[1]`.
    pub(crate) fn value(&self) -> Tensor<1> {
        self.loss.clone().inner()
    }

    /// Its gradients times the scale.
    pub(crate) fn gradients(self) -> GradientsParams {
        let loss = if self.scale == 1.0 { self.loss } else { self.loss * self.scale };
        GradientsParams::from_grads(loss.backward(), &self.trainee)
    }
}
