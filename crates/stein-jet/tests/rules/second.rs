//! Second derivatives against closed forms.

use burn::module::Module;
use burn::nn::{LayerNormConfig, LinearConfig};
use burn::tensor::{DType, Tensor, TensorData, activation};
use stein_jet::{Activation, Jet, exp, layer_norm, linear, softmax, square};

use crate::checker::{Normal, Randomise, device, relative};

/// A point and two directions.
fn random<const N: usize>(dims: [usize; 2]) -> [Tensor<2>; N] {
    let mut normal = Normal(11);
    [(); N].map(|()| normal.tensor(dims))
}

#[track_caller]
fn close(got: Tensor<2>, expected: Tensor<2>) {
    let error = relative(got, expected);
    assert!(error < 1e-12, "{error:e}");
}

/// vᵀ∇²f v of f = Σ aⱼ φ(wⱼᵀx + bⱼ) is Σ aⱼ φ″(wⱼᵀx + bⱼ) (wⱼᵀv)².
#[test]
fn a_network_of_one_hidden_layer() {
    for batch in [1, 2, 5] {
        let mut normal = Normal(12);
        let layers = vec![LinearConfig::new(3, 7).init(&device()), LinearConfig::new(7, 1).init(&device())];
        let layers = layers.map(&mut Randomise(&mut normal));
        let [x, v, u] = random([batch, 3]);
        for activation in Activation::ALL {
            let line = Jet::seed(x.clone(), vec![v.clone(), u.clone()]).second_order();
            let energy = linear(&layers[1], activation.apply(linear(&layers[0], line)));
            let inner = layers[0].forward(x.clone());
            let curvature =
                activation.apply(Jet::seed(inner.clone(), vec![inner.ones_like()]).second_order()).second(0);
            for (i, direction) in [&v, &u].into_iter().enumerate() {
                let slope = direction.clone().matmul(layers[0].weight.val());
                let expected = (slope.square() * curvature.clone()).matmul(layers[1].weight.val());
                close(energy.second(i), expected);
            }
        }
    }
}

/// (e^{x²})″ = (2 + 4 x²) e^{x²}.
#[test]
fn exponential_of_a_square() {
    let [x, v] = random([4, 3]);
    let y = exp(square(Jet::seed(x.clone(), vec![v.clone()]).second_order()));
    let expected = (x.clone().square() * 4.0 + 2.0) * x.square().exp() * v.square();
    close(y.seconds(), expected);
}

/// y = softmax(x²): with a = 2 x v, y″ = y (c² + 2 v² − Σ y (c² + 2 v²)) and c = a − Σ y a.
#[test]
fn softmax_of_a_quadratic() {
    let [x, v] = random([4, 3]);
    let got = softmax(square(Jet::seed(x.clone(), vec![v.clone()]).second_order()), 1);
    let y = activation::softmax(x.clone().square(), 1);
    let a = x * v.clone() * 2.0;
    let c = a.clone() - (y.clone() * a).sum_dim(1);
    let bend = c.square() + v.square() * 2.0;
    close(got.seconds(), y.clone() * (bend.clone() - (y * bend).sum_dim(1)));
}

/// A layer norm of two numbers with half difference h is ± h / √(h² + ε), and its second derivative in h is
/// ∓ 3 ε h / (h² + ε)^{5/2}.
#[test]
fn a_layer_norm_of_two_numbers() {
    let epsilon = 0.3;
    let mut layer = LayerNormConfig::new(2).with_epsilon(epsilon).init(&device());
    layer.gamma = layer.gamma.map(|gamma| gamma.cast(DType::F64));
    layer.beta = layer.beta.map(|beta| beta.map(|beta| beta.cast(DType::F64)));
    let [x, v] = random([4, 2]);
    let got = layer_norm(&layer, Jet::seed(x.clone(), vec![v.clone()]).second_order());
    let [h, dh] = [x, v].map(|t| (t.clone().narrow(1, 0, 1) - t.narrow(1, 1, 1)) * 0.5);
    let second = h.clone() * dh.square() * (h.square() + epsilon).powf_scalar(-2.5) * (-3.0 * epsilon);
    close(got.seconds(), Tensor::cat(vec![second.clone(), -second], 1));
}

/// With p = softmax(x) the Laplacian of ln Σ eˣ is 1 − Σ p².
#[test]
fn the_laplacian_of_log_sum_exp() {
    let [x] = random([5, 4]);
    let sum = exp(Jet::basis(x.clone()).second_order()).sum_dim(1);
    let with_derivative = |x: Tensor<2>| (x.clone().log(), x.recip());
    let y = sum.map2(Tensor::log, with_derivative, |x| {
        let (value, derivative) = with_derivative(x);
        [value, derivative.clone(), -derivative.square()]
    });
    let laplacian = y.seconds().reshape([4, 5]).sum_dim(0).swap_dims(0, 1);
    close(laplacian, -activation::softmax(x, 1).square().sum_dim(1) + 1.0);
}

/// ‖x + t v‖² bends by 2 ‖v‖² everywhere, and so does it as a product or with shared directions.
#[test]
fn the_squared_norm() {
    for batch in [1, 2, 5] {
        let [x] = random([batch, 3]);
        let [v] = random([2, 3]);
        let norm = v.clone().square().sum_dim(1) * 2.0;
        let expected = norm.reshape([2, 1, 1]).repeat_dim(1, batch).reshape([2 * batch, 1]);
        let line = Jet::seed_shared(x, v).second_order();
        close(square(line.clone()).sum_dim(1).seconds(), expected.clone());
        close((line.clone() * line).sum_dim(1).seconds(), expected);
    }
}

/// Σ over unit directions of second derivatives along them, in small numbers by hand: f = x₀² x₁ at (1, 2) and (3, 4).
#[test]
fn a_polynomial() {
    let x: Tensor<2> = Tensor::from_data(TensorData::from([[1.0, 2.0], [3.0, 4.0]]), (&device(), DType::F64));
    let line = Jet::basis(x).second_order();
    let (a, b) = (line.clone().narrow(1, 0, 1), line.narrow(1, 1, 1));
    let y = square(a) * b;
    let expected = TensorData::from([[4.0], [8.0], [0.0], [0.0]]);
    y.seconds().into_data().assert_eq(&expected, true);
    y.tangents().into_data().assert_eq(&TensorData::from([[4.0], [24.0], [1.0], [9.0]]), true);
}
