//! Densities that know themselves.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::{Condition, Noise};

/// A density with a known score, clean and at every noise level.
///
/// At a level (α, σ) the density meant is that of x̃ = α x + σ z with x from the clean density.
pub trait Target: Debug + Send + Sync {
    /// D.
    fn dimension(&self) -> usize;

    /// log p_σ(x) in nats, `[B]`, at `x` `[B, D]`.
    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Tensor<1>;

    /// ∇ log p_σ(x), `[B, D]`, at `x` `[B, D]`.
    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2>;

    /// J v, the directional derivative of the score along each `v` `[B, D]`, `[B, D]` each; `None` where it is not known.
    fn score_derivatives(
        &self,
        _x: Tensor<2>,
        _directions: Vec<Tensor<2>>,
        _condition: &Condition,
    ) -> Option<Vec<Tensor<2>>> {
        None
    }

    /// `n` independent draws of the clean density, row major `[n, D]`.
    fn sample(&self, n: usize, noise: &mut Noise) -> Vec<f32>;

    /// The modes, for mixtures whose modes are to be counted.
    fn modes(&self) -> Option<ModesView<'_>> {
        None
    }
}

/// The components of a mixture: means `[K][D]`, standard deviations `[K]` and weights `[K]`.
#[derive(Debug, Clone, Copy)]
pub struct ModesView<'a> {
    /// The means.
    pub means: &'a [Vec<f64>],
    /// The components' standard deviations.
    pub std: &'a [f64],
    /// The weights, summing to one.
    pub weights: &'a [f64],
}
