//! Tweedie's formula.

use burn::tensor::Tensor;
use stein_core::{Condition, Level, ScoreNetwork};

/// s(x, σ), `[B, D]`, with all chains at one level.
pub(crate) fn score_at(score: &dyn ScoreNetwork, x: &Tensor<2>, level: Level) -> Tensor<2> {
    score.score(x.clone(), &Condition::uniform(level, x.dims()[0], &x.device()))
}

/// E[x | x̃] = (x̃ + σ² s(x̃, σ))/α, `[B, D]` (Robbins 1956; Jolicoeur-Martineau et al. 2020, arXiv 2009.05475, section 3).
pub fn denoise(score: &dyn ScoreNetwork, x: Tensor<2>, level: Level) -> Tensor<2> {
    let s = score_at(score, &x, level);
    (x + s * (level.sigma * level.sigma)) / level.alpha
}
