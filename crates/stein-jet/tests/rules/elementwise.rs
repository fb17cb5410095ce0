//! Elementwise functions.

use burn::tensor::{DType, Tensor, TensorData, activation};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use stein_jet::{Activation, Jet, exp, sigmoid, silu, square};

use crate::checker::{NoParameters, Normal, by_hand, check, device, relative, right, twins};

/// ELU too: no point is near its kink, where the second derivative jumps.
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
        let gradients = activation.apply(Jet::seed(x.clone(), vec![x.ones_like()])).tangent(0).sum().backward();
        let expected = x.grad(&gradients).unwrap();
        let second = activation.apply(Jet::seed(x.clone(), vec![x.ones_like()]).second_order()).second(0).inner();
        // What ELU's second derivative is at its kink is nobody's to say.
        let smooth = |tensor: Tensor<2>| match activation.is_smooth() {
            true => tensor,
            false => tensor * x.clone().inner().not_equal_elem(0.0).float().cast(DType::F64),
        };
        let error = relative(smooth(second), smooth(expected));
        assert!(error < 1e-14, "{activation:?}, second derivative {error:e}");
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
        let y = activation.apply(Jet::seed(x.clone(), vec![x.ones_like()]).second_order());
        let gradient = x.grad(&(y.tangents() + y.seconds()).sum().backward()).unwrap();
        assert!(gradient.clone().is_finite().all().into_scalar::<bool>(), "{activation:?}, order 2 {gradient}");
    }
}

/// In f32 some activations run through a kernel for whole jets: it must say the same, however the jet is stored.
#[test]
fn activations_agree_in_f32_and_f64() {
    type Seed = fn([Tensor<2>; 4]) -> Jet<2>;
    let mut normal = Normal(9);
    let (k, size) = (2, 7);
    for batch in [1, 2, 3] {
        let [x, v, w, u] = [batch, k, k * batch, k * batch].map(|rows| normal.tensor([rows, size]));
        let seeds: [(&str, Seed); 6] = [
            ("plain", |[x, ..]| Jet::plain(x)),
            ("own", |[x, _, w, _]| Jet::from_parts(x, Some(w))),
            ("shared", |[x, v, ..]| Jet::seed_shared(x, v)),
            ("own line", |[x, _, w, _]| Jet::from_parts(x, Some(w)).second_order()),
            ("shared line", |[x, v, ..]| Jet::seed_shared(x, v).second_order()),
            ("curve", |[x, _, w, u]| Jet::from_parts(x, Some(w)).with_seconds(u)),
        ];
        for activation in Activation::ALL {
            for (name, seed) in seeds {
                let leaves = [&x, &v, &w, &u].map(|tensor| tensor.clone().detach().require_grad());
                let numbers = |dtype: DType| {
                    let y = activation.apply(seed(leaves.each_ref().map(|leaf| leaf.clone().cast(dtype))));
                    let seconds = (y.order() == 2).then(|| y.seconds());
                    let (value, tangents) = y.into_parts();
                    let all = [value].into_iter().chain(tangents).chain(seconds).collect();
                    let all = Tensor::cat(all, 0).cast(DType::F64);
                    let weights = all.clone().detach().cos();
                    let gradients = (all.clone() * weights).sum().backward();
                    let of_leaves = leaves.iter().filter_map(|leaf| leaf.grad(&gradients));
                    Tensor::cat([all.inner()].into_iter().chain(of_leaves).collect(), 0)
                };
                let error = relative(numbers(DType::F32), numbers(DType::F64));
                assert!(error < 1e-6, "{activation:?}, {name}, batch of {batch}: {error:e}");
            }
        }
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
}

/// Each function's f, f′ and f″ in formulas of their own, and f′ v and f″ v² + f′ w with a factor for each term.
#[test]
fn twins_of_functions() {
    type Function = fn(Tensor<2>) -> Tensor<2>;
    fn s(x: &Tensor<2>) -> Tensor<2> {
        activation::sigmoid(x.clone())
    }
    fn density(x: &Tensor<2>) -> Tensor<2> {
        (x.clone().square() * -0.5).exp() * std::f64::consts::TAU.sqrt().recip()
    }
    fn cdf(x: &Tensor<2>) -> Tensor<2> {
        ((x.clone() * 0.5f64.sqrt()).erf() + 1.0) * 0.5
    }
    let functions: [(&str, [Function; 3]); 7] = [
        ("sigmoid", [|x| s(&x), |x| s(&x) * s(&-x), |x| s(&x) * s(&-x.clone()) * (s(&-x.clone()) - s(&x))]),
        ("exp", [|x| x.exp(), |x| x.exp(), |x| x.exp()]),
        ("square", [|x| x.square(), |x| x * 2.0, |x| x.zeros_like() + 2.0]),
        (
            "silu",
            [
                |x| s(&x) * x,
                |x| s(&x) * (x.clone() * s(&-x) + 1.0),
                |x| s(&x) * s(&-x.clone()) * ((s(&-x.clone()) - s(&x)) * x + 2.0),
            ],
        ),
        ("softplus", [|x| (x.exp() + 1.0).log(), |x| s(&x), |x| s(&x) * s(&-x)]),
        (
            "tanh",
            [
                |x| x.tanh(),
                |x| x.cosh().square().recip(),
                |x| x.clone().sinh() * x.cosh().powi_scalar(3).recip() * -2.0,
            ],
        ),
        ("gelu", [|x| cdf(&x) * x, |x| cdf(&x) + density(&x) * x, |x| density(&x) * (-x.square() + 2.0)]),
    ];
    for (name, [f, f1, f2]) in functions {
        let rule = |[slope, bend, along]: [f64; 3]| {
            move |_: &NoParameters, x: Jet<2>| {
                let second = |x: Tensor<2>, v: Tensor<2>, w| v.square() * f2(x.clone()) * bend + w * f1(x) * along;
                by_hand(x, f, |x, v| v * f1(x) * slope, second)
            }
        };
        twins(name, ["tangent", "second", "second"], rule, vec![], [4, 6]);
    }
}
