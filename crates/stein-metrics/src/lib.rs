//! Metrics: how good samples are, with standard errors, floors and baselines.
//!
//! | kind | what it measures |
//! |---|---|
//! | `precision-recall` | k-NN manifolds: samples that look real, real rows that are covered |
//! | `one-nearest-neighbour` | whether a 1-NN classifier tells samples from data |
//! | `mmd` | kernel distance at three bandwidths |
//! | `energy-distance`, `sliced-wasserstein` | distances between the two laws |
//! | `nearest-training` | memorisation: how near samples lie to training rows |
//! | `classifier` | what samples are to a classifier that is trained on the data: Fréchet and kernel distance, precision, recall, density and coverage of its features, confidence, balance of classes |
//! | `inception` | what samples are to the Inception network that published FIDs are by, with weights that the user brings: `fid`, `kid`, precision, recall, density and coverage of its features |
//! | `fid-training` | FID as it is published: against all training rows |
//! | `residual-noise` | noise left about point masses |
//! | `fisher-divergence`, `mode-weights`, `moments` | against a known density |
//! | `curl` | whether the score is a gradient |
//!
//! Where they make sense, a value comes with its *floor*, the same metric with real rows in place of samples, and its *baseline*, with a Gaussian
//! fitted to the training rows. The numerics are in [`stats`], free of tensors.

#![forbid(unsafe_code)]

mod classifier;
mod compare;
mod completions;
mod curl;
mod inception;
mod known_density;
mod moments;
mod nearest_training;
mod residual_noise;
pub mod stats;
mod two_sample;

pub use classifier::{Classifier, ClassifierMetrics, FEATURES, Read, nearest_by_features};
pub use completions::{Baseline, Completions, completion_metrics};
pub use curl::Curl;
pub use inception::{FidTraining, INCEPTION_FEATURES, Inception, InceptionMetrics, InceptionWeights, Pictures};
pub use known_density::{FisherDivergence, ModeWeights, count_modes};
pub use moments::Moments;
pub use nearest_training::NearestTraining;
pub use residual_noise::ResidualNoise;
pub use two_sample::{EnergyDistance, Mmd, OneNearestNeighbour, PrecisionRecall, SlicedWasserstein};

use stein_core::{Catalogue, MetricPart};

/// Makes the metrics of this crate known, in the order in which a report shows them.
pub fn register(catalogue: &mut Catalogue<MetricPart>) {
    catalogue
        .add::<FisherDivergence>()
        .add::<Curl>()
        .add::<ModeWeights>()
        .add::<Moments>()
        .add::<ResidualNoise>()
        .add::<PrecisionRecall>()
        .add::<OneNearestNeighbour>()
        .add::<Mmd>()
        .add::<EnergyDistance>()
        .add::<SlicedWasserstein>()
        .add::<NearestTraining>()
        .add::<ClassifierMetrics>()
        .add::<InceptionMetrics>()
        .add::<FidTraining>();
}
