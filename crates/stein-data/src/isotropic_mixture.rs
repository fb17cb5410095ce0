//! p(x) = Σ_k w_k N(x; m_k, s_k² I), and at a noise level Σ_k w_k N(x; α m_k, (α² s_k² + σ²) I).

use burn::tensor::{DType, Device, Tensor, activation};
use stein_core::{Condition, Level, ModesView, Noise, Target, matrix, to_host, vector};
use stein_kernels::{is_host, slices};
use stein_record::Array;

/// A mixture of isotropic Gaussians. Its density and score are known at every noise level; with point masses among the
/// components, wherever there is noise.
#[derive(Debug, Clone)]
pub struct IsotropicMixture {
    means: Vec<Vec<f64>>,
    std: Vec<f64>,
    weights: Vec<f64>,
    dimension: usize,
    empirical: bool,
}

/// Beyond this many numbers a row, a matrix product is faster than the kernel on slices.
const MOST_ON_SLICES: usize = 128;

impl IsotropicMixture {
    /// A mixture with means `[K][D]`, standard deviations `[K]` (0 for point masses) and weights `[K]`, which are normalised.
    ///
    /// # Panics
    /// If the lengths differ or there is no component.
    pub fn new(means: Vec<Vec<f64>>, std: Vec<f64>, weights: Vec<f64>) -> Self {
        let dimension = means.first().expect("a mixture has components").len();
        assert!(means.iter().all(|m| m.len() == dimension) && means.len() == std.len() && std.len() == weights.len());
        let total: f64 = weights.iter().sum();
        Self { means, std, weights: weights.into_iter().map(|w| w / total).collect(), dimension, empirical: false }
    }

    /// The empirical distribution of some rows: point masses of equal weight. Smoothed at σ, its score is the empirical
    /// optimum of denoising score matching.
    pub fn empirical(rows: &Array) -> Self {
        let means: Vec<Vec<f64>> =
            (0..rows.rows()).map(|i| rows.row(i).iter().map(|&x| f64::from(x)).collect()).collect();
        let k = means.len();
        Self { empirical: true, ..Self::new(means, vec![0.0; k], vec![1.0; k]) }
    }

    /// What `of` gives for all rows, by the mixture on slices, where x lies on the host and is not too wide. Rows go by runs
    /// that are at one level: at what levels a row's neighbours are does not change its bits.
    fn on_slices(
        &self,
        x: &Tensor<2>,
        condition: &Condition,
        of: fn(&slices::mixture::Mixture, &[f32]) -> Vec<f32>,
    ) -> Option<Vec<f32>> {
        if !is_host(&x.device()) || x.dtype() != DType::F32 || self.dimension > MOST_ON_SLICES {
            return None;
        }
        let levels: Vec<(f32, f32)> = match &condition.levels {
            None => vec![(1.0, 0.0); x.dims()[0]],
            Some(levels) => to_host(levels.alpha.clone()).into_iter().zip(to_host(levels.sigma.clone())).collect(),
        };
        let rows = to_host(x.clone());
        let (mut out, mut first) = (Vec::new(), 0);
        for run in levels.chunk_by(|a, b| a == b) {
            let last = first + run.len();
            out.extend(of(&self.at(run[0]), &rows[first * self.dimension..last * self.dimension]));
            first = last;
        }
        Some(out)
    }

    /// The mixture at a level (α, σ).
    fn at(&self, (alpha, sigma): (f32, f32)) -> slices::mixture::Mixture {
        let (alpha, sigma) = (f64::from(alpha), f64::from(sigma));
        let means: Vec<f64> = self.means.iter().flatten().map(|m| alpha * m).collect();
        let variances: Vec<f64> = self.std.iter().map(|s| alpha * alpha * s * s + sigma * sigma).collect();
        slices::mixture::Mixture::new(&means, &variances, &self.weights)
    }

    /// How many components there are.
    pub fn components(&self) -> usize {
        self.means.len()
    }

    /// `n` independent draws, row major `[n, D]`, and the component that each came from.
    pub fn sample_with_components(&self, n: usize, noise: &mut Noise) -> (Vec<f32>, Vec<u32>) {
        let (mut out, mut components) = (Vec::with_capacity(n * self.dimension), Vec::with_capacity(n));
        for _ in 0..n {
            let mut u = noise.uniform();
            let k = self.weights.iter().position(|w| {
                u -= w;
                u < 0.0
            });
            let k = k.unwrap_or(self.weights.len() - 1);
            let z = noise.normals(self.dimension);
            out.extend(self.means[k].iter().zip(z).map(|(m, z)| (m + self.std[k] * f64::from(z)) as f32));
            components.push(k as u32);
        }
        (out, components)
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
        // About the means' own mean: far from the origin squares would swallow the digits that tell distances apart.
        let centre = means.clone().mean_dim(0);
        let (x, means) = (x.clone() - centre.clone() * alpha.clone(), means - centre);
        let squares = means.clone().square().sum_dim(1).transpose();
        let products = x.clone().matmul(means.transpose());
        let own = x.square().sum_dim(1);
        (own + squares * alpha.clone().square() - products * alpha * 2.0).clamp_min(0.0)
    }
}

/// α and σ as columns `[B, 1]`; 1 and 0 without noise.
pub(crate) fn columns(condition: &Condition, batch: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    match &condition.levels {
        Some(levels) => (levels.alpha.clone().unsqueeze_dim(1), levels.sigma.clone().unsqueeze_dim(1)),
        None => (Tensor::ones([batch, 1], device), Tensor::zeros([batch, 1], device)),
    }
}

impl Target for IsotropicMixture {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn knows(&self, level: Level) -> bool {
        !level.is_clean() || self.std.iter().all(|&s| s > 0.0)
    }

    fn is_empirical(&self) -> bool {
        self.empirical
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Tensor<1> {
        if let Some(values) = self.on_slices(&x, condition, slices::mixture::Mixture::log_density) {
            return vector(values, &x.device());
        }
        let (log_joint, _) = self.log_joint(&x, condition);
        let most = log_joint.clone().max_dim(1);
        let sum = (log_joint - most.clone()).exp().sum_dim(1);
        (sum.log() + most).squeeze_dim::<1>(1)
    }

    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let device = x.device();
        if let Some(values) = self.on_slices(&x, condition, slices::mixture::Mixture::score) {
            return matrix(values, self.dimension, &device);
        }
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
        self.sample_with_components(n, noise).0
    }

    fn points(&self) -> Option<&[Vec<f64>]> {
        self.std.iter().all(|&s| s == 0.0).then_some(&self.means)
    }

    fn modes(&self) -> Option<ModesView<'_>> {
        // A point has no width by which samples could be told to be its own.
        if self.std.contains(&0.0) {
            return None;
        }
        Some(ModesView { means: &self.means, std: &self.std, weights: &self.weights })
    }
}
