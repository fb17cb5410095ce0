//! N(m, C), and at a noise level N(α m, α² C + σ² I), by the eigenvectors of C, which no level changes.

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, Noise, Target, matrix, vector};

use crate::isotropic_mixture::columns;
use crate::symmetric::{Eigen, eigen};

/// A Gaussian of any covariance. Its density and score are known at every noise level.
#[derive(Debug, Clone)]
pub struct FullGaussian {
    mean: Vec<f64>,
    covariance: Eigen,
}

/// x in the eigenvectors' coordinates.
struct Turned {
    /// Qᵀ(x − α m), `[B, D]`.
    centred: Tensor<2>,
    /// α² λ + σ², `[B, D]`.
    variance: Tensor<2>,
    /// Qᵀ, `[D, D]`.
    vectors: Tensor<2>,
}

impl FullGaussian {
    /// N(m, C) with `mean` `[D]` and `covariance` `[D][D]`.
    ///
    /// # Errors
    /// Why `covariance` is none: what is not square, not symmetric or not positive definite.
    pub fn new(mean: Vec<f64>, covariance: &[Vec<f64>]) -> Result<Self, String> {
        let d = mean.len();
        if covariance.len() != d {
            return Err(format!("it has {} rows for {d} dimensions", covariance.len()));
        }
        if let Some(i) = covariance.iter().position(|row| row.len() != d) {
            return Err(format!("row {} has {} numbers, not {d}", i + 1, covariance[i].len()));
        }
        if covariance.iter().flatten().any(|x| !x.is_finite()) {
            return Err("it must be finite numbers".into());
        }
        let size = covariance.iter().flatten().fold(0.0f64, |most, x| most.max(x.abs()));
        if let Some((i, j)) = unequal(covariance, 1e-9 * size) {
            let (a, b) = (covariance[i][j], covariance[j][i]);
            let (i, j) = (i + 1, j + 1);
            return Err(format!("it is not symmetric: row {i} has {a} in column {j}, row {j} has {b} in {i}"));
        }
        let covariance = eigen(&covariance.concat(), d);
        let least = covariance.values.iter().copied().fold(f64::INFINITY, f64::min);
        if least <= 1e-12 * size {
            return Err(format!("it is not positive definite: its least eigenvalue is {least:.3e}"));
        }
        Ok(Self { mean, covariance })
    }

    fn turned(&self, x: Tensor<2>, condition: &Condition) -> Turned {
        let device = x.device();
        let (alpha, sigma) = columns(condition, x.dims()[0], &device);
        let row = |values: &[f64]| vector(narrow(values), &device).unsqueeze::<2>();
        let vectors = self.vectors(&device);
        Turned {
            centred: (x - alpha.clone() * row(&self.mean)).matmul(vectors.clone().transpose()),
            variance: alpha.square() * row(&self.covariance.values) + sigma.square(),
            vectors,
        }
    }

    fn vectors(&self, device: &Device) -> Tensor<2> {
        matrix(narrow(&self.covariance.vectors), self.mean.len(), device)
    }
}

/// The first place that differs by more than rounding from its mirror image.
fn unequal(matrix: &[Vec<f64>], rounding: f64) -> Option<(usize, usize)> {
    let mut below = (0..matrix.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    below.find(|&(i, j)| (matrix[i][j] - matrix[j][i]).abs() > rounding)
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

impl Target for FullGaussian {
    fn dimension(&self) -> usize {
        self.mean.len()
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Tensor<1> {
        let Turned { centred, variance, .. } = self.turned(x, condition);
        let each = centred.square() / variance.clone() + (variance * (2.0 * std::f64::consts::PI)).log();
        (each.sum_dim(1) * -0.5).squeeze_dim::<1>(1)
    }

    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let Turned { centred, variance, vectors } = self.turned(x, condition);
        (centred / variance).matmul(vectors).neg()
    }

    fn score_derivatives(
        &self,
        x: Tensor<2>,
        directions: Vec<Tensor<2>>,
        condition: &Condition,
    ) -> Option<Vec<Tensor<2>>> {
        let Turned { variance, vectors, .. } = self.turned(x, condition);
        let along =
            |v: Tensor<2>| (v.matmul(vectors.clone().transpose()) / variance.clone()).matmul(vectors.clone()).neg();
        Some(directions.into_iter().map(along).collect())
    }

    fn sample(&self, n: usize, noise: &mut Noise) -> Vec<f32> {
        let d = self.mean.len();
        let Eigen { values, vectors } = &self.covariance;
        let mut out = Vec::with_capacity(n * d);
        for _ in 0..n {
            let mut x = self.mean.clone();
            for ((z, value), vector) in noise.normals(d).into_iter().zip(values).zip(vectors.chunks_exact(d)) {
                let step = f64::from(z) * value.sqrt();
                x.iter_mut().zip(vector).for_each(|(x, v)| *x += step * v);
            }
            out.extend(x.into_iter().map(|x| x as f32));
        }
        out
    }
}
