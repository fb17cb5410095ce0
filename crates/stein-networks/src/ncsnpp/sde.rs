//! What the network is told of the noise, and in which coordinates it sees x: those of the SDE that its weights are of.

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Int, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Levels, NoiseSchedule, vector};
use stein_jet::Jet;

use crate::embedding::nearest;

/// The SDE that a network's weights are of (Song et al. 2021, arXiv 2011.13456, section 3.4): how it sees x, and what it is told.
///
/// For data x₀, x̃ = α x₀ + σ z, and r = σ/α, or 2σ/α where `vp` and `sub-vp` see 2 x₀ − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sde {
    /// Variance exploding (equations 9 and 30): it sees x̃/α, is told σ/α, and its output over σ is the score
    /// (`parameterization = "scaled"`).
    #[default]
    Ve,
    /// Variance preserving (equations 11 and 32) with β from 0.1 to 20: it sees x̃/(α√(1 + r²)), is told 999 t, where
    /// e^∫β − 1 = r², and its output is the noise (`parameterization = "noise"`).
    Vp,
    /// Sub-variance-preserving (equations 12 and 33): the same with e^½∫β − e^−½∫β = r.
    SubVp,
}

/// β(t) = β₀ + t (β₁ − β₀).
const BETA: [f64; 2] = [0.1, 20.0];
/// What is told at t = 1, and the number of DDPM's last level.
const LAST: usize = 999;

impl Sde {
    /// B = ∫₀ᵗβ where the ratio of noise to signal is `ratio`.
    fn integral(self, ratio: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Ve | Self::Vp => ratio.square().log1p(),
            Self::SubVp => {
                // 2 arsinh(r/2), to the last digit for small r too.
                let y = ratio * 0.5;
                let root = (y.clone().square() + 1.0).sqrt();
                (y.clone() + y.square() / (root + 1.0)).log1p() * 2.0
            }
        }
    }

    /// What the noisy data are multiplied by: 1, or e^−½B.
    fn signal(self, ratio: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Ve => ratio.ones_like(),
            Self::Vp | Self::SubVp => (self.integral(ratio) * -0.5).exp(),
        }
    }
}

/// t of B = β₀ t + ½ (β₁ − β₀) t², without a difference of nearly equal numbers.
fn time(integral: Tensor<1>) -> Tensor<1> {
    let [first, last] = BETA;
    let root = (integral.clone() * (2.0 * (last - first)) + first * first).sqrt();
    integral * 2.0 / (root + first)
}

/// ln r of DDPM's levels, the first of them with the least noise: ᾱ_i = Π (1 − β_j), β_j even from β₀/1000 to β₁/1000 (Ho et al. 2020,
/// arXiv 2006.11239, equation 4).
fn ddpm() -> Vec<f64> {
    let [first, last] = BETA.map(|beta| beta / (LAST + 1) as f64);
    let steps = (0..=LAST).map(|j| first + (last - first) * j as f64 / LAST as f64);
    let log_alpha = steps.scan(0.0f64, |sum, beta: f64| {
        *sum += (-beta).ln_1p();
        Some(*sum)
    });
    log_alpha.map(|log: f64| 0.5 * (-log).exp_m1().ln()).collect()
}

/// Where the network looks, and what it is told there.
#[derive(Module, Debug)]
pub(super) struct View {
    /// ln r of each level, where their numbers are told.
    ladder: Option<Tensor<1>>,
    #[module(skip)]
    sde: Sde,
    /// Whether data in [0, 1] are shown from −1 to 1.
    #[module(skip)]
    rescale: bool,
}

impl View {
    pub(super) fn new(
        sde: Sde,
        rescale: bool,
        continuous: bool,
        schedule: &dyn NoiseSchedule,
        device: &Device,
    ) -> Self {
        let ladder = (!continuous).then(|| match sde {
            Sde::Ve => schedule.levels().iter().map(|level| level.log_ratio()).collect(),
            Sde::Vp | Sde::SubVp => ddpm(),
        });
        let ladder = ladder.map(|levels: Vec<f64>| vector(levels.into_iter().map(|l| l as f32).collect(), device));
        Self { ladder, sde, rescale }
    }

    /// r, `[B]`.
    fn ratio(&self, levels: &Levels) -> Tensor<1> {
        let ratio = levels.sigma.clone() / levels.alpha.clone();
        // Weights of `ve` are the authors' for data in [0, 1], and their σ are in that unit; the others' for data in [−1, 1].
        if self.rescale && self.sde != Sde::Ve { ratio * 2.0 } else { ratio }
    }

    /// x as the network sees it, `[B, D]`.
    pub(super) fn of(&self, x: Jet<2>, levels: &Levels) -> Jet<2> {
        let column = |of: Tensor<1>| of.unsqueeze_dim::<2>(1);
        let signal = self.sde.signal(self.ratio(levels));
        let gain = column(signal.clone() / levels.alpha.clone());
        if self.rescale { x.scale(gain * 2.0).add_constant(column(signal).neg()) } else { x.scale(gain) }
    }

    /// What it is told, `[B]`: σ/α, 999 t, or the number of the nearest level.
    pub(super) fn label(&self, levels: &Levels) -> Tensor<1> {
        let ratio = self.ratio(levels);
        match (&self.ladder, self.sde) {
            (Some(ladder), _) => {
                let number = nearest(ladder, ratio.clone().log().unsqueeze_dim::<2>(1));
                number.float().cast(FloatDType::from(ratio.dtype()))
            }
            (None, Sde::Ve) => ratio,
            (None, sde) => time(sde.integral(ratio)) * LAST as f64,
        }
    }
}

/// Sines and cosines of labels `[B]` at `width`/2 frequencies from 1 down to 1/10000: `[B, width]`, `width` even and at least 4 (Vaswani
/// et al. 2017, arXiv 1706.03762, section 3.5, as Ho et al. have it).
pub(super) fn positional(label: Tensor<1>, width: usize) -> Tensor<2> {
    let half = width / 2;
    let (device, dtype) = (label.device(), FloatDType::from(label.dtype()));
    let numbers = Tensor::<1, Int>::arange(0..half as i64, &device).float().cast(dtype);
    let frequencies = (numbers * (-(1e4f64.ln()) / (half - 1) as f64)).exp();
    sines(label.unsqueeze_dim::<2>(1) * frequencies.unsqueeze::<2>())
}

/// Sines and cosines of phases, `[B, n]` to `[B, 2 n]`.
pub(super) fn sines(phase: Tensor<2>) -> Tensor<2> {
    Tensor::cat(vec![phase.clone().sin(), phase.cos()], 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData};
    use stein_core::matrix;

    use super::*;

    fn numbers(values: &[f64]) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::from_data(data, (&Device::flex(), DType::F64))
    }

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data().convert::<f64>().try_into_vec().expect("numbers")
    }

    const TIMES: [f64; 6] = [1e-5, 1e-3, 0.05, 0.3, 0.77, 1.0];

    /// B at t.
    fn integral(t: f64) -> f64 {
        0.1 * t + 0.5 * 19.9 * t * t
    }

    /// σ/α at t: e^−½B is α, and σ is √(1 − α²) or 1 − α².
    fn ratio(sde: Sde, t: f64) -> f64 {
        let alpha = (-0.5 * integral(t)).exp();
        let noise = -(-integral(t)).exp_m1();
        if sde == Sde::Vp { noise.sqrt() / alpha } else { noise / alpha }
    }

    #[test]
    fn times_are_found_again_by_their_ratio_of_noise_to_signal() {
        for sde in [Sde::Vp, Sde::SubVp] {
            let view = View { ladder: None, sde, rescale: false };
            let label = |ratio: Tensor<1>| {
                let alpha = ratio.ones_like() * 0.5;
                host(view.label(&Levels { sigma: ratio * 0.5, alpha }))
            };
            let ratios = TIMES.map(|t| ratio(sde, t));
            for (label, t) in label(numbers(&ratios)).into_iter().zip(TIMES) {
                assert!((label / (999.0 * t) - 1.0).abs() < 1e-9, "{sde:?} at {t}: {label}");
            }
            let single = label(numbers(&ratios).cast(FloatDType::F32));
            for (label, t) in single.into_iter().zip(TIMES) {
                assert!((label / (999.0 * t) - 1.0).abs() < 1e-5, "{sde:?} at {t} in single precision: {label}");
            }
            // Its signal is that of the time, and the other's time is told apart.
            for (signal, t) in host(sde.signal(numbers(&ratios))).into_iter().zip(TIMES) {
                assert!((signal / (-0.5 * integral(t)).exp() - 1.0).abs() < 1e-9, "{sde:?} at {t}: {signal}");
            }
            let other = if sde == Sde::Vp { Sde::SubVp } else { Sde::Vp };
            assert!((label(numbers(&[ratio(other, 0.3)]))[0] / (999.0 * 0.3) - 1.0).abs() > 0.1);
        }
    }

    #[test]
    fn the_network_looks_where_its_sde_is() {
        let (t, device) = (0.3f64, Device::flex());
        let x = || Jet::plain(matrix(vec![0.25, -1.5], 2, &device));
        for sde in [Sde::Vp, Sde::SubVp] {
            let alpha = (-0.5 * integral(t)).exp();
            let sigma = ratio(sde, t) * alpha;
            let at = |alpha: f64, sigma: f64| Levels {
                alpha: vector(vec![alpha as f32], &device),
                sigma: vector(vec![sigma as f32], &device),
            };
            let view = |rescale| View { ladder: None, sde, rescale };
            let near = |got: Tensor<2>, expected: [f64; 2]| {
                let got = host(got);
                assert!(
                    got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                    "{sde:?}: {got:?}, not {expected:?}"
                );
            };
            // At its own levels it sees what there is; elsewhere the same, by the ratio of noise to signal alone.
            near(view(false).of(x(), &at(alpha, sigma)).into_value(), [0.25, -1.5]);
            let elsewhere = view(false).of(x(), &at(1.0, sigma / alpha)).into_value();
            near(elsewhere, [0.25 * alpha, -1.5 * alpha]);
            // x̃ = α x + σ z of x in [0, 1] is 2 x̃ − α of 2 x − 1, with noise of twice the size.
            near(view(true).of(x(), &at(alpha, 0.5 * sigma)).into_value(), [0.5 - alpha, -3.0 - alpha]);
            let label = host(view(true).label(&at(alpha, 0.5 * sigma)))[0];
            assert!((label / (999.0 * t) - 1.0).abs() < 1e-5, "{sde:?}: {label}");
        }
        let view = View { ladder: None, sde: Sde::Ve, rescale: true };
        let levels = Levels { alpha: vector(vec![0.5], &device), sigma: vector(vec![2.0], &device) };
        assert_eq!(host(view.of(x(), &levels).into_value()), [0.0, -7.0]);
        assert_eq!(host(view.label(&levels)), [4.0], "σ stays in the data's unit");
    }

    /// Numbers of the authors' code.
    #[test]
    fn ddpms_levels_and_embedding_are_the_authors() {
        let ladder = ddpm();
        assert_eq!(ladder.len(), 1000);
        const RATIOS: [(usize, f64); 4] = [
            (0, 0.010_000_500_037_502_575),
            (1, 0.014_830_923_708_982_587),
            (500, 3.442_967_112_525_822_8),
            (999, 157.407_280_810_407_57),
        ];
        for (i, ratio) in RATIOS {
            assert!((ladder[i].exp() / ratio - 1.0).abs() < 1e-9, "level {i}: {}", ladder[i].exp());
        }
        let view = View {
            ladder: Some(vector(ladder.iter().map(|&l| l as f32).collect(), &Device::flex())),
            sde: Sde::Vp,
            rescale: true,
        };
        // Half of it, for noise is doubled with the data; and a little beside.
        let [first, second, middle, _] = RATIOS.map(|(_, ratio)| ratio);
        let sigma = numbers(&[middle * 0.5, second * 0.5001, first * 0.5, 1e6]);
        let label = host(view.label(&Levels { alpha: sigma.ones_like(), sigma }));
        assert_eq!(label, [500.0, 1.0, 0.0, 999.0]);
        let near = |got: Vec<f64>, expected: &[f64]| {
            assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, not {expected:?}");
        };
        let at_2_5 = [0.598_472_1, 0.115_779_5, 0.005_386_1, 0.000_25, -0.801_143_6, 0.993_274_9, 0.999_985_5, 1.0];
        near(host(positional(numbers(&[2.5]), 8)), &at_2_5);
        let at_40 = [0.745_113_1, 0.959_425_3, 0.086_070_8, 0.004, -0.666_938_1, -0.281_962_9, 0.996_289, 0.999_992];
        near(host(positional(numbers(&[40.0]), 8)), &at_40);
    }
}
