//! p(x) = Σ_k w_k N(x; m_k, s_k² I), and at a noise level Σ_k w_k N(x; α m_k, (α² s_k² + σ²) I).

use burn::tensor::{Device, Tensor, activation};
use stein_core::{Condition, ModesView, Noise, Target, matrix, vector};
use stein_record::Array;

/// A mixture of isotropic Gaussians. Its density and score are known at every noise level.
#[derive(Debug, Clone)]
pub struct IsotropicMixture {
    means: Vec<Vec<f64>>,
    std: Vec<f64>,
    weights: Vec<f64>,
    dimension: usize,
}

impl IsotropicMixture {
    /// A mixture with means `[K][D]`, standard deviations `[K]` (0 for point masses) and weights `[K]`, which are normalised.
    ///
    /// # Panics
    /// If the lengths differ or there is no component.
    pub fn new(means: Vec<Vec<f64>>, std: Vec<f64>, weights: Vec<f64>) -> Self {
        let dimension = means.first().expect("a mixture has components").len();
        assert!(means.iter().all(|m| m.len() == dimension) && means.len() == std.len() && std.len() == weights.len());
        let total: f64 = weights.iter().sum();
        Self { means, std, weights: weights.into_iter().map(|w| w / total).collect(), dimension }
    }

    /// The empirical distribution of some rows: point masses of equal weight. Smoothed at σ, its score is the empirical
    /// optimum of denoising score matching.
    pub fn empirical(rows: &Array) -> Self {
        let means: Vec<Vec<f64>> =
            (0..rows.rows()).map(|i| rows.row(i).iter().map(|&x| f64::from(x)).collect()).collect();
        let k = means.len();
        Self::new(means, vec![0.0; k], vec![1.0; k])
    }

    fn means(&self, device: &Device) -> Tensor<2> {
        matrix(self.means.iter().flatten().map(|&x| x as f32).collect(), self.dimension, device)
    }

    /// For each row and component: log(w_k N(x; α m_k, v_k I)) `[B, K]` and v_k `[B, K]`.
    fn log_joint(&self, x: &Tensor<2>, condition: &Condition) -> (Tensor<2>, Tensor<2>) {
        let device = x.device();
        let (b, k) = (x.dims()[0], self.means.len());
        let row = |values: &[f64], f: fn(f64) -> f64| {
            vector(values.iter().map(|&v| f(v) as f32).collect(), &device).unsqueeze::<2>()
        };
        let (alpha, sigma) = columns(condition, b, &device);
        let variance = row(&self.std, |s| s * s) * alpha.clone().square() + sigma.square();
        let distance = self.squared_distances(x, alpha);
        let log_weight = row(&self.weights, f64::ln);
        let d = self.dimension as f64;
        let log_normaliser = (variance.clone() * (2.0 * std::f64::consts::PI)).log() * (d / 2.0);
        (log_weight.expand([b, k]) - log_normaliser - distance / (variance.clone() * 2.0), variance)
    }

    /// ‖x − α m_k‖², `[B, K]`. Few components in differences, which lose no digits; many by one matrix product.
    fn squared_distances(&self, x: &Tensor<2>, alpha: Tensor<2>) -> Tensor<2> {
        const FEW: usize = 64;
        let means = self.means(&x.device());
        if self.means.len() <= FEW {
            let centre = alpha.unsqueeze_dim::<3>(2) * means.unsqueeze_dim::<3>(0);
            return (x.clone().unsqueeze_dim::<3>(1) - centre).square().sum_dim(2).squeeze_dim::<2>(2);
        }
        let squares = means.clone().square().sum_dim(1).transpose();
        let products = x.clone().matmul(means.transpose());
        let own = x.clone().square().sum_dim(1);
        (own + squares * alpha.clone().square() - products * alpha * 2.0).clamp_min(0.0)
    }
}

/// α and σ as columns `[B, 1]`; 1 and 0 without noise.
fn columns(condition: &Condition, batch: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    match &condition.levels {
        Some(levels) => (levels.alpha.clone().unsqueeze_dim(1), levels.sigma.clone().unsqueeze_dim(1)),
        None => (Tensor::ones([batch, 1], device), Tensor::zeros([batch, 1], device)),
    }
}

impl Target for IsotropicMixture {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Tensor<1> {
        let (log_joint, _) = self.log_joint(&x, condition);
        let most = log_joint.clone().max_dim(1);
        let sum = (log_joint - most.clone()).exp().sum_dim(1);
        (sum.log() + most).squeeze_dim::<1>(1)
    }

    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let device = x.device();
        let (log_joint, variance) = self.log_joint(&x, condition);
        // Σ_k r_k (α m_k − x)/v_k with responsibilities r.
        let over_variance = activation::softmax(log_joint, 1) / variance;
        let (alpha, _) = columns(condition, x.dims()[0], &device);
        over_variance.clone().matmul(self.means(&device)) * alpha - x * over_variance.sum_dim(1)
    }

    /// Σ_k r_k [(a_k·v − s·v) a_k − v/v_k] with a_k = (α m_k − x)/v_k and s = Σ_k r_k a_k.
    fn score_derivatives(
        &self,
        x: Tensor<2>,
        directions: Vec<Tensor<2>>,
        condition: &Condition,
    ) -> Option<Vec<Tensor<2>>> {
        let device = x.device();
        let (log_joint, variance) = self.log_joint(&x, condition);
        let responsibility = activation::softmax(log_joint, 1);
        let means = self.means(&device);
        let transposed = means.clone().transpose();
        let (alpha, _) = columns(condition, x.dims()[0], &device);
        let curvature = (responsibility.clone() / variance.clone()).sum_dim(1);
        let along_one = |v: Tensor<2>| {
            let along_x = (x.clone() * v.clone()).sum_dim(1);
            // a_k·v, [B, K], and s·v, [B, 1].
            let along = (v.clone().matmul(transposed.clone()) * alpha.clone() - along_x) / variance.clone();
            let score_along = (responsibility.clone() * along.clone()).sum_dim(1);
            let weight = responsibility.clone() * (along - score_along) / variance.clone();
            weight.clone().matmul(means.clone()) * alpha.clone() - x.clone() * weight.sum_dim(1) - v * curvature.clone()
        };
        Some(directions.into_iter().map(along_one).collect())
    }

    fn sample(&self, n: usize, noise: &mut Noise) -> Vec<f32> {
        let mut out = Vec::with_capacity(n * self.dimension);
        for _ in 0..n {
            let mut u = noise.uniform();
            let k = self.weights.iter().position(|w| {
                u -= w;
                u < 0.0
            });
            let k = k.unwrap_or(self.weights.len() - 1);
            let z = noise.normals(self.dimension);
            out.extend(self.means[k].iter().zip(z).map(|(m, z)| (m + self.std[k] * f64::from(z)) as f32));
        }
        out
    }

    fn modes(&self) -> Option<ModesView<'_>> {
        Some(ModesView { means: &self.means, std: &self.std, weights: &self.weights })
    }
}
