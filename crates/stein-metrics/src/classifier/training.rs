//! Its training.

use std::ops::ControlFlow;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, activation};
use stein_core::{Dataset, ImageShape, Labels, Streams, class_tensor, matrix};

use super::Classifier;

/// Steps, of [`BATCH`] rows each.
pub(super) const STEPS: usize = 1500;
/// Rows of a step.
pub(super) const BATCH: usize = 64;
/// The first step's; it falls to 0 by a cosine.
const LEARNING_RATE: f64 = 2e-3;
/// Of the classifier, whatever the run's: classifiers of runs are to be the same.
const SEED: u64 = 0;

impl Classifier {
    /// The network before training.
    pub(super) fn untrained(dataset: &Dataset, image: ImageShape, labels: &Labels, device: &Device) -> Self {
        let mean = dataset.mean();
        let centre = mean.iter().map(|&m| f64::from(m)).sum::<f64>() / mean.len().max(1) as f64;
        let mut noise = Streams::new(SEED).at("classifier", 0);
        Self::new(image, (centre, dataset.spread()), labels.count, &mut noise, device)
    }

    /// Trains it on batches of the training rows; `watch` hears of each step and may stop it, which gives `None`.
    pub(super) fn trained(
        dataset: &Dataset,
        image: ImageShape,
        labels: &Labels,
        device: &Device,
        mut watch: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Option<Self> {
        let device = device.clone().autodiff();
        let streams = Streams::new(SEED);
        let mut network = Self::untrained(dataset, image, labels, &device);
        let mut optimizer = AdamConfig::new().init();
        for step in 0..STEPS {
            if watch(step).is_break() {
                return None;
            }
            let mut noise = streams.at("classifier batch", step as u64);
            let (rows, labels) = dataset.batch_with_labels(BATCH, &mut noise);
            let labels = class_tensor(&labels?, &device);
            let [_, logits] = network.forward(matrix(rows, dataset.dimension(), &device));
            let gradients = cross_entropy(logits, labels).backward();
            let gradients = GradientsParams::from_grads(gradients, &network);
            network = optimizer.step(learning_rate(step), network, gradients);
        }
        Some(network.valid())
    }
}

/// −mean ln p(label), `[1]`, of `logits` `[B, K]`.
fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    let log_probabilities = activation::log_softmax(logits, 1);
    -log_probabilities.gather(1, labels.unsqueeze_dim::<2>(1)).mean()
}

fn learning_rate(step: usize) -> f64 {
    0.5 * LEARNING_RATE * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos())
}

#[cfg(test)]
mod tests {
    use stein_core::to_host;

    use super::*;

    #[test]
    fn cross_entropy_by_hand() {
        let device = Device::flex();
        // Probabilities ¾ and ¼; labels 0 and 1.
        let logits = matrix(vec![3f32.ln(), 0.0, 3f32.ln(), 0.0], 2, &device);
        let got = to_host(cross_entropy(logits, class_tensor(&[0, 1], &device)))[0];
        let expected = -(0.75f32.ln() + 0.25f32.ln()) / 2.0;
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    }

    #[test]
    fn the_rate_falls_to_nothing() {
        assert_eq!(learning_rate(0), LEARNING_RATE);
        assert!((learning_rate(STEPS / 2) - 0.5 * LEARNING_RATE).abs() < 1e-12);
        assert!(learning_rate(STEPS - 1) < 1e-8);
    }
}
