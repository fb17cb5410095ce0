//! Elementwise functions.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::jet::Jet;

/// Past this, softplus(x) and x are the same number even in f64; burn's own threshold of 20 leaves a step of 2e-9.
const SOFTPLUS_THRESHOLD: f64 = 36.0;

/// A nonlinearity chosen by name: `"silu"`, `"softplus"`, `"tanh"`, `"elu"` or `"gelu"`.
///
/// All of them have a continuous first derivative, which a score network needs: the loss differentiates J v. ReLU is
/// missing for that reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x · sigmoid(x), see [`silu`].
    Silu,
    /// ln(1 + eˣ), see [`softplus`].
    Softplus,
    /// See [`tanh`].
    Tanh,
    /// x for x > 0, eˣ − 1 else, see [`elu`].
    Elu,
    /// x · Φ(x), see [`gelu`].
    Gelu,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 5] = [Self::Silu, Self::Softplus, Self::Tanh, Self::Elu, Self::Gelu];

    /// Applies it elementwise: `[B, ...]` to `[B, ...]`.
    pub fn apply<const D: usize>(self, x: Jet<D>) -> Jet<D> {
        match self {
            Self::Silu => silu(x),
            Self::Softplus => softplus(x),
            Self::Tanh => tanh(x),
            Self::Elu => elu(x),
            Self::Gelu => gelu(x),
        }
    }
}

/// SiLU, also called swish: x · s with s = sigmoid(x). Elementwise on `[B, ...]`.
pub fn silu<const D: usize>(x: Jet<D>) -> Jet<D> {
    x.map(stein_kernels::silu, |x| {
        let s = activation::sigmoid(x.clone());
        let y = x * s.clone();
        // s + x s (1 − s), with y = x s
        let derivative = s.clone() + y.clone() - y.clone() * s;
        (y, derivative)
    })
}

/// Softplus, ln(1 + eˣ); its derivative is the sigmoid. Elementwise on `[B, ...]`.
pub fn softplus<const D: usize>(x: Jet<D>) -> Jet<D> {
    let function = |x| activation::softplus_with_threshold(x, 1.0, SOFTPLUS_THRESHOLD);
    x.map(function, |x| (function(x.clone()), activation::sigmoid(x)))
}

/// Hyperbolic tangent. Elementwise on `[B, ...]`.
pub fn tanh<const D: usize>(x: Jet<D>) -> Jet<D> {
    x.map(Tensor::tanh, |x| {
        let y = x.tanh();
        let derivative = -y.clone().square() + 1.0;
        (y, derivative)
    })
}

/// ELU with α = 1: x for x > 0 and eˣ − 1 else. Elementwise on `[B, ...]`.
///
/// The exponential never sees a positive number, so large inputs keep finite gradients (in `burn::tensor::activation::elu`
/// 0 · ∞ makes them NaN).
pub fn elu<const D: usize>(x: Jet<D>) -> Jet<D> {
    fn parts<const D: usize>(x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let derivative = x.clone().clamp_max(0.0).exp();
        (activation::relu(x) + (derivative.clone() - 1.0), derivative)
    }
    x.map(|x| parts(x).0, parts)
}

/// GELU in its exact form, x · Φ(x) with Φ the normal distribution function. Elementwise on `[B, ...]`.
pub fn gelu<const D: usize>(x: Jet<D>) -> Jet<D> {
    x.map(activation::gelu, |x| {
        let cdf = ((x.clone() * FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
        let density = (x.clone().square() * -0.5).exp() * (2.0 * PI).sqrt().recip();
        let derivative = cdf.clone() + x.clone() * density;
        (x * cdf, derivative)
    })
}

/// 1 / (1 + e⁻ˣ). Elementwise on `[B, ...]`.
pub fn sigmoid<const D: usize>(x: Jet<D>) -> Jet<D> {
    x.map(activation::sigmoid, |x| {
        let y = activation::sigmoid(x);
        let derivative = y.clone() - y.clone().square();
        (y, derivative)
    })
}

/// eˣ. Elementwise on `[B, ...]`.
pub fn exp<const D: usize>(x: Jet<D>) -> Jet<D> {
    x.map(Tensor::exp, |x| {
        let y = x.exp();
        (y.clone(), y)
    })
}

/// x². Elementwise on `[B, ...]`.
pub fn square<const D: usize>(x: Jet<D>) -> Jet<D> {
    x.map(|x| x.square(), |x| (x.clone().square(), x * 2.0))
}
