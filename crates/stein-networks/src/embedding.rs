//! What a network is told of σ: functions of ln(σ/α), the logarithm of the noise-to-signal ratio.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};
use stein_core::{Levels, vector};

/// ln(σ/α) itself, `[B, 1]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSigma;

impl LogSigma {
    /// ln(σ/α), `[B, 1]`.
    pub fn features(levels: &Levels) -> Tensor<2> {
        (levels.sigma.clone() / levels.alpha.clone()).log().unsqueeze_dim::<2>(1)
    }
}

/// Sines and cosines of ln(σ/α) at frequencies in geometric progression.
#[derive(Module, Debug)]
pub struct SineCosine {
    frequencies: Tensor<1>,
}

/// Between the lowest and the highest frequency, in radians a unit of ln σ: a ladder spans about five such units, and
/// neighbouring levels lie a quarter of one apart.
const FREQUENCIES: (f64, f64) = (0.25, 8.0);

impl SineCosine {
    /// `pairs` sine and cosine pairs.
    pub fn new(pairs: usize, device: &Device) -> Self {
        let (low, high) = FREQUENCIES;
        let ratio = (high / low).powf(1.0 / (pairs.max(2) - 1) as f64);
        let frequencies = (0..pairs).map(|i| (low * ratio.powi(i as i32)) as f32).collect();
        Self { frequencies: vector(frequencies, device) }
    }

    /// `[B, 2·pairs]`.
    pub fn features(&self, levels: &Levels) -> Tensor<2> {
        let log_sigma = LogSigma::features(levels);
        let frequencies = self.frequencies.clone().cast(FloatDType::from(log_sigma.dtype())).unsqueeze::<2>();
        let phase = log_sigma * frequencies;
        Tensor::cat(vec![phase.clone().sin(), phase.cos()], 1)
    }
}
