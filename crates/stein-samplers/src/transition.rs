//! The forward chain between two levels.

use stein_core::Level;

/// x_i = a x_{i+1} + √v z: what takes the kernel of the next level to that of this one, for any α and σ.
///
/// a = α_i/α_{i+1}, v = σ_i² − a² σ_{i+1}². Where α = 1, v is σ_i² − σ_{i+1}²; where α² + σ² = 1, a² is 1 − β_i and v is β_i of DDPM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transition {
    /// a.
    pub(crate) keep: f64,
    /// v.
    pub(crate) variance: f64,
}

impl Transition {
    /// From `next`, which has less noise, up to `level`.
    pub(crate) fn between(level: Level, next: Level) -> Self {
        let keep = level.alpha / next.alpha;
        let left = keep * next.sigma;
        Self { keep, variance: level.sigma * level.sigma - left * left }
    }
}
