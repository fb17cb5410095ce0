//! Accepting and rejecting, chain by chain (Metropolis et al. 1953; Hastings 1970).

use burn::tensor::{Tensor, TensorData};
use stein_core::{ChainNoise, Condition, SampleError, ScoreNetwork, to_host};

/// Where chains are, with what the next proposal needs of it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// `[B, D]`.
    pub(crate) x: Tensor<2>,
    /// The score at x, `[B, D]`.
    pub(crate) score: Tensor<2>,
    /// log p(x) up to a constant, `[B, 1]`.
    log_density: Tensor<2>,
}

impl State {
    /// At x, whose score is known.
    pub(crate) fn new(
        network: &dyn ScoreNetwork,
        x: Tensor<2>,
        score: Tensor<2>,
        condition: &Condition,
    ) -> Result<Self, SampleError> {
        let log_density = network.log_density(x.clone(), condition).ok_or(SampleError::NoLogDensity)?;
        Ok(Self { x, score, log_density: log_density.unsqueeze_dim(1) })
    }

    /// At x.
    pub(crate) fn at(network: &dyn ScoreNetwork, x: Tensor<2>, condition: &Condition) -> Result<Self, SampleError> {
        let score = network.score(x.clone(), condition);
        Self::new(network, x, score, condition)
    }

    /// Where chains start. One whose score is no number there could never leave: it is made no number itself, so that whoever draws
    /// sees it.
    pub(crate) fn start(network: &dyn ScoreNetwork, x: Tensor<2>, condition: &Condition) -> Result<Self, SampleError> {
        let state = Self::at(network, x, condition)?;
        let lost = state.score.clone().is_finite().bool_not();
        Ok(Self { x: state.x.mask_fill(lost, f32::NAN), ..state })
    }

    /// Moves each chain to its proposal with probability min(1, p(x')/p(x) · e^correction), `[B, 1]`. Gives the mean of these
    /// probabilities too.
    pub(crate) fn accept(self, proposal: Self, correction: Tensor<2>, noise: &mut ChainNoise) -> (Self, f64) {
        let log_ratio = proposal.log_density.clone() - self.log_density.clone() + correction;
        let probabilities: Vec<f64> = to_host(log_ratio).into_iter().map(probability).collect();
        let rejected = noise.uniforms(1).into_iter().zip(&probabilities).map(|(u, p)| f64::from(u) >= *p);
        let rejected = TensorData::new(rejected.collect::<Vec<bool>>(), [probabilities.len(), 1]);
        let rejected = Tensor::from_data(rejected, &self.x.device());
        let [batch, d] = self.x.dims();
        let rows = rejected.clone().expand([batch, d]);
        let next = Self {
            x: proposal.x.mask_where(rows.clone(), self.x),
            score: proposal.score.mask_where(rows, self.score),
            log_density: proposal.log_density.mask_where(rejected, self.log_density),
        };
        (next, probabilities.iter().sum::<f64>() / batch.max(1) as f64)
    }
}

/// min(1, e^log_ratio). A proposal where the density or the score is no number is never accepted.
fn probability(log_ratio: f32) -> f64 {
    if log_ratio.is_nan() { 0.0 } else { f64::from(log_ratio).exp().min(1.0) }
}
