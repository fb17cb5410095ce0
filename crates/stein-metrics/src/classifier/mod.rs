//! A small classifier, trained here on the labels of the data, and what samples are to it.
//!
//! Distances between pixels see little of what images show; the features of a network that was trained on the same data see more. This one
//! is no Inception network, and its numbers compare with each other alone: metrics are named for it.

mod cache;
mod metrics;
mod network;
mod training;

pub use metrics::{ClassifierMetrics, nearest_by_features};
pub use network::{Classifier, FEATURES, Read};
