//! What a network is told beside x: functions of ln(σ/α), the logarithm of the noise-to-signal ratio, and the class.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Int, Tensor};
use stein_core::{Condition, Dataset, Invalid, Levels, vector};
use stein_jet::Jet;

/// ln(σ/α) itself, `[B, 1]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSigma;

impl LogSigma {
    /// ln(σ/α), `[B, 1]`.
    pub fn features(levels: &Levels) -> Tensor<2> {
        (levels.sigma.clone() / levels.alpha.clone()).log().unsqueeze_dim::<2>(1)
    }
}

/// The number of the level nearest to each of `log_ratios` `[B, 1]` on a `ladder` of such, `[L]`: `[B]`.
pub(crate) fn nearest(ladder: &Tensor<1>, log_ratios: Tensor<2>) -> Tensor<1, Int> {
    let ladder = ladder.clone().cast(FloatDType::from(log_ratios.dtype())).unsqueeze::<2>();
    (log_ratios - ladder).abs().argmin(1).squeeze_dim::<1>(1)
}

/// Sines and cosines of ln(σ/α), at frequencies in geometric progression or at those of a normal law.
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

    /// `pairs` sine and cosine pairs at frequencies 2π·`scale`·z: random Fourier features (Tancik et al. 2020, arXiv 2006.10739) with the
    /// quantiles (i + ½)/`pairs` of |N(0, 1)| as z in place of draws, so that weights alone tell the network. A frequency and its negative
    /// are one feature.
    pub fn fourier(pairs: usize, scale: f64, device: &Device) -> Self {
        let z = (0..pairs).map(|i| normal_quantile(0.5 + (i as f64 + 0.5) / (2 * pairs) as f64));
        let frequencies = z.map(|z| (z * scale * std::f64::consts::TAU) as f32).collect();
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

/// The z below which a standard normal lies with probability `p`, 0 < p < 1, by halving an interval.
fn normal_quantile(p: f64) -> f64 {
    let below = |z: f64| 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if below(middle) < p { low = middle } else { high = middle }
    }
    high
}

/// The class as one of K + 1 numbers, the last of them for the null token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OneHot {
    /// K.
    pub classes: usize,
}

impl OneHot {
    /// For the classes of some data, where a network is to be told them.
    ///
    /// # Errors
    /// If the rows have none.
    pub fn of(wanted: bool, dataset: &Dataset) -> Result<Option<Self>, Invalid> {
        match &dataset.labels {
            _ if !wanted => Ok(None),
            Some(labels) => Ok(Some(Self { classes: labels.count })),
            None => Err(Invalid::key(
                "classes",
                "these data have no classes; `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `gaussian-mixture` and `eight-gaussians` have, \
                 and `images` in folders with `classes = true`",
            )),
        }
    }

    /// How many numbers, K + 1.
    pub fn width(self) -> usize {
        self.classes + 1
    }

    /// `[B, K + 1]`, of the type and on the device of `x`.
    pub fn features(self, condition: &Condition, x: &Jet<2>) -> Tensor<2> {
        let (batch, x) = (x.batch(), x.value());
        let device = x.device();
        let class = match &condition.class {
            Some(class) => class.clone(),
            None => Tensor::full([batch], self.classes as i64, &device),
        };
        let all = Tensor::<1, Int>::arange(0..self.width() as i64, &device).unsqueeze::<2>();
        class.unsqueeze_dim::<2>(1).equal(all).float().cast(FloatDType::from(x.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use stein_core::{class_tensor, to_host};

    use super::*;

    #[test]
    fn quantiles_of_the_normal() {
        // 0, ±1 and ±1.96 standard deviations.
        for (p, z) in [(0.5, 0.0), (0.841_344_746_068_542_9, 1.0), (0.025, -1.959_963_984_540_054)] {
            assert!((normal_quantile(p) - z).abs() < 1e-12, "{p}: {}", normal_quantile(p));
        }
        let two = to_host(SineCosine::fourier(2, 1.0, &Device::flex()).frequencies);
        // Φ⁻¹ of 5/8 and 7/8.
        let expected = [0.318_639_36, 1.150_349_4].map(|z: f32| z * std::f32::consts::TAU);
        assert!(two.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{two:?}");
    }

    #[test]
    fn the_last_number_is_the_null_token() {
        let (device, classes) = (Device::flex(), OneHot { classes: 2 });
        let x = Jet::plain(Tensor::zeros([3, 5], &device));
        let of = |class| to_host(classes.features(&Condition::clean().with_class(class), &x));
        let null = [0.0f32, 0.0, 1.0].repeat(3);
        assert_eq!(of(Some(class_tensor(&[1, 2, 0], &device))), [0.0f32, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(of(None), null);
        assert_eq!(of(Some(class_tensor(&[2; 3], &device))), null);
    }
}
