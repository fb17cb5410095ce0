//! The Inception network that published FIDs are by, with weights that the user brings.
//!
//! pytorch-fid's network and what it does to pictures, step by step: 8-bit numbers, a bilinear resize to 299×299, the network that
//! TensorFlow published in 2015 with its peculiar pools, features of its last mean. No weights come with stein.

mod architecture;
mod cache;
mod features;
mod fid_training;
mod metrics;
mod network;
mod pictures;
mod weights;

#[cfg(test)]
mod testing;

pub use fid_training::FidTraining;
pub use metrics::InceptionMetrics;
pub use network::{INCEPTION_FEATURES, Inception};
pub use pictures::Pictures;
pub use weights::InceptionWeights;
