//! The vocabulary of stein: what an objective, a schedule, a sampler, a network and a target *are*.
//!
//! A data distribution p is perturbed by the kernel x̃ = α x + σ z, z ~ N(0, I), which gives a family p_σ. A score network
//! s(x̃, σ) is trained to be ∇ log p_σ, and a sampler walks along it. Hence five traits, all object-safe:
//!
//! | trait | what it is |
//! |---|---|
//! | [`ScoreNetwork`] | s(x, σ), with its directional derivatives; authors write [`Network`] |
//! | [`Objective`] | one number an example that is least when s is the score |
//! | [`NoiseSchedule`] | the levels σ₁ > … > σ_L, α at each, and how training draws them |
//! | [`Sampler`] | from noise to samples |
//! | [`Target`] | a density that knows its own score: clean, with noise, or both |
//!
//! and a sixth, [`Metric`], that says how good samples are. Data, noise and scores are matrices `[B, D]`: B examples of D
//! numbers; a network that wants images reshapes inside.
//!
//! Components are chosen by name from a [`Registry`]; someone else's crate adds its own with the same call
//! ([`Catalogue::add`]) that the built-in ones use. Noise comes from [`Streams`], never from a backend's generator.

#![forbid(unsafe_code)]

mod component;
mod dataset;
mod energy;
mod erased;
mod exact;
pub mod init;
mod level;
mod metric;
mod network;
mod noise;
mod objective;
mod sampler;
mod schedule;
mod target;

pub use component::{Catalogue, Component, Configured, Entry, Invalid, Part, Registry, without_defaults};
pub use component::{
    DataPart, InversePart, MetricPart, NetworkContext, NetworkPart, ObjectivePart, SamplerContext, SamplerPart,
    SchedulePart,
};
pub use dataset::{Dataset, ImageShape, LOGIT, Labels};
pub use energy::{Energy, score_of_energy};
pub use erased::{AnyNetwork, ErasedNetwork};
pub use exact::ExactScore;
pub use level::{Condition, Level, Levels, class_tensor, evenly_spread};
pub use metric::{Metric, MetricContext, Watch};
pub use network::{Network, ScoreNetwork};
pub use noise::{ChainNoise, Noise, Streams};
pub use objective::{Objective, Perturbed};
pub use sampler::{Divergence, NoObserver, Observer, SampleError, Sampler, StepInfo};
pub use schedule::NoiseSchedule;
/// The argument and value of [`ScoreNetwork::jet`].
pub use stein_jet::Jet;
pub use target::{ModesView, Target};

use burn::tensor::{Device, GradientCheckpointingStrategy, Tensor, TensorData};
use stein_record::Array;

/// Host rows as a tensor `[N, D]`.
pub fn to_tensor(rows: &Array, device: &Device) -> Tensor<2> {
    matrix(rows.data.clone(), rows.row_length(), device)
}

/// Host numbers, row major, as a tensor with `columns` columns.
pub fn matrix(data: Vec<f32>, columns: usize, device: &Device) -> Tensor<2> {
    let rows = data.len().checked_div(columns).unwrap_or(0);
    Tensor::from_data(TensorData::new(data, [rows, columns]), device)
}

/// Host numbers as a vector.
pub fn vector(data: Vec<f32>, device: &Device) -> Tensor<1> {
    let n = data.len();
    Tensor::from_data(TensorData::new(data, [n]), device)
}

/// A tensor on the tape, by the strategy of another tensor there: all of a tape must have the same.
pub fn taped<const D: usize>(plain: Tensor<D>, strategy: Option<GradientCheckpointingStrategy>) -> Tensor<D> {
    let on_tape = plain.autodiff();
    match strategy {
        Some(strategy) => on_tape.with_gradient_checkpointing_strategy(strategy),
        None => on_tape,
    }
}

/// A tensor's values on the host, row major, as `f32`.
///
/// # Panics
/// If the device fails to give them; there is no going on then.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data().convert::<f32>();
    data.try_into_vec().expect("converted to f32")
}

/// A matrix's values on the host.
pub fn to_array(tensor: Tensor<2>) -> Array {
    let shape = tensor.dims();
    Array::new(shape, to_host(tensor))
}
