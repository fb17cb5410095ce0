//! Elementwise functions.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};
use stein_kernels::Function;

use crate::jet::Jet;

/// Past this, softplus(x) and x are the same number even in f64; burn's own threshold of 20 leaves a step of 2e-9.
const SOFTPLUS_THRESHOLD: f64 = 36.0;

/// A nonlinearity chosen by name: `"silu"`, `"softplus"`, `"tanh"`, `"elu"` or `"gelu"`.
///
/// All of them have a continuous first derivative, which a score network needs: the loss differentiates J v. ReLU is
/// missing for that reason. An energy network needs one more ([`is_smooth`](Self::is_smooth)).
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

    /// Whether its second derivative is continuous too. A loss on second derivatives is differentiated in the parameters, and
    /// autodiff passes over what jumps there.
    pub fn is_smooth(self) -> bool {
        self != Self::Elu
    }

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

/// SiLU, also called swish: x · s with s = sigmoid(x); its second derivative is s (1 − s)(2 + x (1 − 2 s)). Elementwise on
/// `[B, ...]`.
pub fn silu<const D: usize>(x: Jet<D>) -> Jet<D> {
    fn parts<const D: usize>(x: Tensor<D>) -> [Tensor<D>; 3] {
        let s = activation::sigmoid(x.clone());
        let y = x * s.clone();
        // s + x s (1 − s), with y = x s
        let derivative = s.clone() + y.clone() - y.clone() * s.clone();
        [s, y, derivative]
    }
    let with_derivative = |x| {
        let [_, y, derivative] = parts(x);
        (y, derivative)
    };
    x.fused(Function::Silu).unwrap_or_else(|| {
        x.map2(activation::silu, with_derivative, |x| {
            let [s, y, derivative] = parts(x);
            // (1 − s)(2 s + x s (1 − 2 s)) = (1 − s)(s + f′ − y s)
            let second = (-s.clone() + 1.0) * (s.clone() + derivative.clone() - y.clone() * s);
            [y, derivative, second]
        })
    })
}

/// Softplus, ln(1 + eˣ); its derivative is the sigmoid. Elementwise on `[B, ...]`.
pub fn softplus<const D: usize>(x: Jet<D>) -> Jet<D> {
    let function = |x| activation::softplus_with_threshold(x, 1.0, SOFTPLUS_THRESHOLD);
    let with_derivative = |x: Tensor<D>| (function(x.clone()), activation::sigmoid(x));
    x.fused(Function::Softplus).unwrap_or_else(|| {
        x.map2(function, with_derivative, |x| {
            let (value, s) = with_derivative(x);
            let second = s.clone() - s.clone().square();
            [value, s, second]
        })
    })
}

/// Hyperbolic tangent. Elementwise on `[B, ...]`.
pub fn tanh<const D: usize>(x: Jet<D>) -> Jet<D> {
    let with_derivative = |x: Tensor<D>| {
        let y = x.tanh();
        let derivative = -y.clone().square() + 1.0;
        (y, derivative)
    };
    x.fused(Function::Tanh).unwrap_or_else(|| {
        x.map2(Tensor::tanh, with_derivative, |x| {
            let (y, derivative) = with_derivative(x);
            let second = y.clone() * derivative.clone() * -2.0;
            [y, derivative, second]
        })
    })
}

/// ELU with α = 1: x for x > 0 and eˣ − 1 else. Elementwise on `[B, ...]`.
///
/// The exponential never sees a positive number, so large inputs keep finite gradients (in `burn::tensor::activation::elu`
/// 0 · ∞ makes them NaN). The second derivative is eˣ below 0 and 0 above; what it does at 0 no derivative of it shows.
pub fn elu<const D: usize>(x: Jet<D>) -> Jet<D> {
    fn parts<const D: usize>(x: Tensor<D>) -> (Tensor<D>, Tensor<D>) {
        let derivative = x.clone().clamp_max(0.0).exp();
        (activation::relu(x) + (derivative.clone() - 1.0), derivative)
    }
    x.fused(Function::Elu).unwrap_or_else(|| {
        x.map2(
            |x| parts(x).0,
            parts,
            |x| {
                let positive = x.clone().greater_elem(0.0);
                let (value, derivative) = parts(x);
                let second = derivative.clone().mask_fill(positive, 0.0);
                [value, derivative, second]
            },
        )
    })
}

/// GELU in its exact form, x · Φ(x) with Φ the normal distribution function; its second derivative is (2 − x²) φ(x). Elementwise on
/// `[B, ...]`.
pub fn gelu<const D: usize>(x: Jet<D>) -> Jet<D> {
    fn parts<const D: usize>(x: Tensor<D>) -> [Tensor<D>; 3] {
        let cdf = ((x.clone() * FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
        let density = (x.clone().square() * -0.5).exp() * (2.0 * PI).sqrt().recip();
        let derivative = cdf.clone() + x.clone() * density.clone();
        [x * cdf, derivative, density]
    }
    let with_derivative = |x| {
        let [value, derivative, _] = parts(x);
        (value, derivative)
    };
    x.map2(activation::gelu, with_derivative, |x| {
        let [value, derivative, density] = parts(x.clone());
        [value, derivative, density * (-x.square() + 2.0)]
    })
}

/// 1 / (1 + e⁻ˣ). Elementwise on `[B, ...]`.
pub fn sigmoid<const D: usize>(x: Jet<D>) -> Jet<D> {
    let with_derivative = |x: Tensor<D>| {
        let y = activation::sigmoid(x);
        let derivative = y.clone() - y.clone().square();
        (y, derivative)
    };
    x.map2(activation::sigmoid, with_derivative, |x| {
        let (y, derivative) = with_derivative(x);
        let second = derivative.clone() * (y.clone() * -2.0 + 1.0);
        [y, derivative, second]
    })
}

/// eˣ. Elementwise on `[B, ...]`.
pub fn exp<const D: usize>(x: Jet<D>) -> Jet<D> {
    let with_derivative = |x: Tensor<D>| {
        let y = x.exp();
        (y.clone(), y)
    };
    x.map2(Tensor::exp, with_derivative, |x| {
        let y = x.exp();
        [y.clone(), y.clone(), y]
    })
}

/// x². Elementwise on `[B, ...]`.
pub fn square<const D: usize>(x: Jet<D>) -> Jet<D> {
    let with_derivative = |x: Tensor<D>| (x.clone().square(), x * 2.0);
    x.map2(
        |x| x.square(),
        with_derivative,
        |x| {
            let (value, derivative) = with_derivative(x);
            let second = value.zeros_like() + 2.0;
            [value, derivative, second]
        },
    )
}
