//! Densities and levels that the proofs share.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, ExactScore, Level, Levels, Noise, NoiseSchedule, Streams, Target, matrix, to_host};
use stein_data::IsotropicMixture;

pub(crate) fn device() -> Device {
    Device::flex()
}

/// The three modes of REFERENCE: weights .5, .3, .2, standard deviation .5.
pub(crate) fn three_modes() -> IsotropicMixture {
    IsotropicMixture::new(vec![vec![-2.5, -1.5], vec![2.5, -1.5], vec![0.0, 2.5]], vec![0.5; 3], vec![0.5, 0.3, 0.2])
}

pub(crate) fn gaussian(mean: Vec<f64>, std: f64) -> IsotropicMixture {
    IsotropicMixture::new(vec![mean], vec![std], vec![1.0])
}

pub(crate) fn exact(target: IsotropicMixture) -> ExactScore {
    ExactScore::new(Arc::new(target))
}

/// A schedule of given σ.
#[derive(Debug)]
pub(crate) struct Sigmas(pub(crate) Vec<Level>);

impl Sigmas {
    pub(crate) fn new(sigmas: &[f64]) -> Self {
        Self(sigmas.iter().map(|&s| Level::exploding(s)).collect())
    }
}

impl NoiseSchedule for Sigmas {
    fn levels(&self) -> &[Level] {
        &self.0
    }

    /// α² + σ² = 1 where the levels have an α.
    fn at_ratio(&self, ratio: f64) -> Level {
        if self.0[0].alpha == 1.0 {
            return Level::exploding(ratio);
        }
        let alpha = 1.0 / (1.0 + ratio * ratio).sqrt();
        Level { alpha, sigma: ratio * alpha }
    }
}

pub(crate) fn noise(name: &str) -> Noise {
    Streams::new(11).at(name, 0)
}

/// `n` draws of the clean density and as many standard normals, `[n, D]` each.
pub(crate) fn draws(target: &dyn Target, n: usize, name: &str) -> (Tensor<2>, Tensor<2>) {
    let mut noise = noise(name);
    let d = target.dimension();
    let clean = matrix(target.sample(n, &mut noise), d, &device());
    (clean, matrix(noise.normals(n * d), d, &device()))
}

pub(crate) fn at(level: Level, n: usize) -> Condition {
    Condition::uniform(level, n, &device())
}

/// Mean and standard error of some numbers.
pub(crate) fn mean(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// ½‖row‖² of each row.
pub(crate) fn half_squares(rows: Tensor<2>) -> Vec<f32> {
    to_host(rows.square().sum_dim(1) * 0.5)
}

pub(crate) fn levels(condition: &Condition) -> Levels {
    condition.levels.clone().expect("a noisy condition")
}
