//! Elementwise functions.

use burn::tensor::{DType, Tensor, TensorData, activation};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use stein_jet::{Activation, Jet, exp, sigmoid, silu, square};

use crate::checker::{NoParameters, by_hand, check, device, relative, right, twin};

#[test]
fn activations() {
    for activation in Activation::ALL {
        let rule = |_: &NoParameters, x: Jet<2>| activation.apply(x);
        right(&format!("{activation:?}"), check(rule, vec![], [4, 6]));
    }
    right("silu, rank 4", check(|_: &NoParameters, x: Jet<4>| silu(x), vec![], [3, 2, 4, 4]));
}

/// Central differences cannot look at a kink or far out; a reverse pass through the value can.
#[test]
fn activations_agree_with_autodiff_at_zero_and_far_out() {
    let points = [-1e4, -700.0, -40.0, -20.0, -1e-9, 0.0, 1e-9, 20.0, 36.0, 40.0, 700.0, 1e4];
    for activation in Activation::ALL {
        let data = TensorData::new(points.to_vec(), [points.len(), 1]);
        let x: Tensor<2> = Tensor::from_data(data, (&device(), DType::F64)).require_grad();
        let y = activation.apply(Jet::seed(x.clone(), vec![x.ones_like()]));
        let gradients = y.value().sum().backward();
        let error = relative(y.tangent(0).inner(), x.grad(&gradients).unwrap());
        assert!(error < 1e-14, "{activation:?} {error:e}");
    }
}

#[test]
fn activations_keep_gradients_finite_in_f32() {
    for activation in Activation::ALL {
        let x: Tensor<2> = Tensor::from_data([[-1e4f32], [-90.0], [0.0], [90.0], [1e4]], &device());
        let x = x.require_grad();
        let y = activation.apply(Jet::seed(x.clone(), vec![x.ones_like()]));
        let gradients = (y.value().sum() + y.tangents().sum()).backward();
        let gradient = x.grad(&gradients).unwrap();
        assert!(gradient.clone().is_finite().all().into_scalar::<bool>(), "{activation:?} {gradient}");
    }
}

#[test]
fn activations_are_chosen_by_name() {
    let names = ["silu", "softplus", "tanh", "elu", "gelu"];
    for (name, activation) in names.into_iter().zip(Activation::ALL) {
        let parsed = Activation::deserialize(StrDeserializer::<Error>::new(name));
        assert_eq!(parsed, Ok(activation));
    }
}

#[test]
fn functions() {
    right("sigmoid", check(|_: &NoParameters, x: Jet<2>| sigmoid(x), vec![], [4, 6]));
    right("exp", check(|_: &NoParameters, x: Jet<2>| exp(x), vec![], [4, 6]));
    right("square", check(|_: &NoParameters, x: Jet<2>| square(x), vec![], [4, 6]));

    let rule = |slip: f64| {
        move |_: &NoParameters, x: Jet<2>| {
            by_hand(x, activation::sigmoid, |x, v| {
                let y = activation::sigmoid(x);
                v * (y.clone() - y.square() * slip)
            })
        }
    };
    twin("sigmoid", rule, vec![], [4, 6]);
    let rule = |slip: f64| move |_: &NoParameters, x: Jet<2>| by_hand(x, Tensor::exp, |x, v| v * x.exp() * slip);
    twin("exp", rule, vec![], [4, 6]);
    let rule = |slip: f64| move |_: &NoParameters, x: Jet<2>| by_hand(x, |x| x.square(), |x, v| v * x * 2.0 * slip);
    twin("square", rule, vec![], [4, 6]);
}
