//! Densities that know themselves.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::{Condition, Level, Noise};

/// A density with a known score, clean, at noise levels, or both: see [`knows`](Self::knows).
///
/// At a level (α, σ) the density meant is that of x̃ = α x + σ z with x from the clean density.
pub trait Target: Debug + Send + Sync {
    /// D.
    fn dimension(&self) -> usize;

    /// Whether density and score are known at a level; they are asked for nowhere else. Point masses have none without noise,
    /// and what noise makes of a funnel has no closed form.
    fn knows(&self, _level: Level) -> bool {
        true
    }

    /// Whether it is the law of the training rows themselves, smoothed. Held-out rows are no draws of it then: its loss on them
    /// is what memorising scores, and no floor.
    fn is_empirical(&self) -> bool {
        false
    }

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

    /// The points, for laws of point masses.
    fn points(&self) -> Option<&[Vec<f64>]> {
        None
    }

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
