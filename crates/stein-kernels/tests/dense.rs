//! Dense layers and Adam against burn's own operations.

mod compare;

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Distribution, Tensor};
use stein_kernels::{AdamState, AdamStep, Gradient};

use compare::{compare, normal, worst};

fn dense<const D: usize>(layer: &Linear, x: &Tensor<D>, biased: usize) -> Tensor<D> {
    stein_kernels::linear(layer, x, biased).expect("there is a kernel")
}

/// The same in burn's own operations.
fn dense_plainly(layer: &Linear, x: Tensor<3>, biased: usize) -> Tensor<3> {
    let weight = layer.weight.val();
    let y = x.matmul(weight.clone().unsqueeze());
    let Some(bias) = &layer.bias else { return y };
    let [rows, each, outputs] = y.dims();
    let value = y.clone().narrow(0, 0, biased) + bias.val().reshape([1, 1, outputs]);
    if biased == rows {
        value
    } else {
        Tensor::cat(vec![value, y.narrow(0, biased, rows - biased)], 0).reshape([rows, each, outputs])
    }
}

#[test]
fn dense_layers() {
    let device = Device::flex().autodiff();
    device.seed(9);
    for (rows, biased, each, inputs, outputs, bias) in [
        (1, 1, 1, 1, 1, true),
        (70, 10, 1, 3, 129, true),
        (400, 200, 1, 130, 257, true),
        (9, 3, 4, 17, 5, true),
        (6, 6, 1, 33, 2, false),
        (200, 66, 2, 200, 200, true),
        // Few rows for the weight: the gradient is turned, not the weight.
        (7, 3, 1, 150, 141, true),
        (1, 1, 3, 131, 130, false),
    ] {
        let mut layer = LinearConfig::new(inputs, outputs).with_bias(bias).init(&device);
        layer.bias = layer.bias.map(|_| Param::from_tensor(normal([outputs], &device).detach()));
        let x = normal([rows, each, inputs], &device);
        let (value, gradient) = compare(&x, |x| dense(&layer, &x, biased), |x| dense_plainly(&layer, x, biased));
        assert!(value < 2e-6 && gradient < 2e-6, "{rows} {biased} {inputs} {outputs}: {value} {gradient}");
        // What has no gradient itself still passes the weight's and the bias's.
        for x in [x.clone(), x.clone().detach()] {
            let weight = layer.weight.val().detach().require_grad();
            let at = |v| Linear { weight: Param::initialized(layer.weight.id, v), bias: layer.bias.clone() };
            let (_, of_weight) =
                compare(&weight, |v| dense(&at(v), &x, biased), |v| dense_plainly(&at(v), x.clone(), biased));
            assert!(of_weight < 2e-6, "weight, {rows} {biased} {inputs} {outputs}: {of_weight}");
            let Some(bias) = &layer.bias else { continue };
            let leaf = bias.val().detach().require_grad();
            let at = |v| Linear { weight: layer.weight.clone(), bias: Some(Param::initialized(bias.id, v)) };
            let (_, of_bias) =
                compare(&leaf, |v| dense(&at(v), &x, biased), |v| dense_plainly(&at(v), x.clone(), biased));
            assert!(of_bias < 2e-6, "bias, {rows} {biased} {inputs} {outputs}: {of_bias}");
            // A bias on one row more is another bias.
            if biased < rows {
                let (value, gradient) =
                    compare(&leaf, |v| dense(&at(v), &x, biased + 1), |v| dense_plainly(&at(v), x.clone(), biased));
                assert!(value > 1e-3 && gradient > 1e-3, "{value} {gradient}");
            }
        }
    }
}

#[test]
fn dense_layers_of_views() {
    let device = Device::flex().autodiff();
    device.seed(10);
    let layer = LinearConfig::new(4, 6).init(&device);
    let x = normal([5, 3, 9], &device);
    let view = |x: Tensor<3>| x.swap_dims(0, 2).narrow(2, 1, 4);
    let (value, gradient) = compare(&x, |x| dense(&layer, &view(x), 2), |x| dense_plainly(&layer, view(x), 2));
    assert!(value < 2e-6 && gradient < 2e-6, "{value} {gradient}");
    let turned = normal([6, 4], &device);
    let at = |v: Tensor<2>| Linear { weight: Param::initialized(layer.weight.id, v.transpose()), bias: None };
    let x = x.narrow(2, 0, 4).detach();
    let (value, gradient) = compare(&turned, |v| dense(&at(v), &x, 2), |v| dense_plainly(&at(v), x.clone(), 2));
    assert!(value < 2e-6 && gradient < 2e-6, "{value} {gradient}");
}

#[test]
fn dense_layers_are_the_same_bits_for_any_number_of_threads() {
    let device = Device::flex().autodiff();
    device.seed(11);
    for (rows, inputs, outputs) in [(300, 257, 300), (128, 512, 512), (2000, 65, 130), (64, 1024, 784)] {
        let layer = LinearConfig::new(inputs, outputs).init(&device);
        let x = normal([rows, inputs], &device);
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let y = dense(&layer, &x, rows / 2);
                let gradients = (y.clone() * y.clone()).sum_dim(1).sum().backward();
                let numbers = |tensor: Tensor<1>| tensor.into_data().try_into_vec::<f32>().expect("f32");
                let of = |tensor: Tensor<2>| numbers(tensor.reshape([-1]));
                let bias = layer.bias.as_ref().expect("a bias").grad(&gradients).expect("learned");
                let weight = layer.weight.grad(&gradients).expect("learned");
                let parts = [of(y.inner()), of(x.grad(&gradients).expect("leaf")), of(weight), numbers(bias)];
                parts.concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        let one = bits(1);
        assert!(one == bits(2) && one == bits(5), "{rows} {inputs} {outputs}");
    }
}

const STEP: AdamStep = AdamStep {
    beta_1: 0.9,
    rest_1: 0.1,
    beta_2: 0.99,
    rest_2: 0.01,
    epsilon: 1e-6,
    rate: 0.02,
    root: 1.5,
    keep: 0.999,
    average: Some([0.75, 0.25]),
};

#[test]
fn adam_is_what_plain_operations_make_of_it() {
    let device = Device::flex();
    device.seed(12);
    let n = 70_001;
    let normal = || Tensor::<1>::random([n], Distribution::Normal(0.0, 1.0), &device);
    let s = STEP;
    let (parameters, mean, square, average) = (normal(), normal(), normal().square(), normal());
    let state = AdamState { spare: parameters.clone(), parameters, mean, square, average };
    let (gradient, factor) = (normal(), Tensor::from_floats([0.5], &device));
    let before = state.clone();
    let ours = stein_kernels::adam(s, gradient.clone().into(), factor, state);
    let g = gradient.clone() * 0.5;
    let mean = before.mean.clone() * 0.9 + g.clone() * 0.1;
    let square = before.square.clone() * 0.99 + g.square() * 0.01;
    let parameters = before.parameters.clone() * 0.999 - mean.clone() / (square.clone().sqrt() * 1.5 + 1e-6) * 0.02;
    let average = before.average.clone() * 0.75 + parameters.clone() * 0.25;
    let pairs = [
        (ours.parameters.clone(), parameters),
        (ours.mean, mean),
        (ours.square, square),
        (ours.average, average),
        (Gradient::from(gradient.clone()).square_sum(), gradient.clone().square().sum()),
    ];
    for (i, (ours, plain)) in pairs.into_iter().enumerate() {
        assert!(worst(ours, plain) < 1e-6, "{i}");
    }
    // Memory that nobody holds is taken, whatever is in it; the state before is shared, and stays as it is.
    let again = AdamState { spare: normal(), ..before.clone() };
    let again = stein_kernels::adam(s, gradient.clone().into(), Tensor::from_floats([0.5], &device), again);
    assert_eq!(again.parameters.into_data(), ours.parameters.clone().into_data());
    assert_eq!(ours.spare.into_data(), before.parameters.clone().into_data());
}

#[test]
fn gradients_are_the_sums_of_their_parts() {
    let device = Device::flex();
    device.seed(13);
    let normal = |n| Tensor::<1>::random([n], Distribution::Normal(0.0, 1.0), &device);
    let (a, b, c) = (normal(5), normal(5), normal(3));
    let stretches = vec![(5, vec![a.clone(), b.clone()]), (2, vec![]), (3, vec![c.clone()])];
    let gradient = Gradient::of(stretches, (DType::F32, device.clone()));
    let whole = Tensor::cat(vec![a + b, Tensor::zeros([2], &device), c], 0);
    assert!(worst(gradient.square_sum(), whole.clone().square().sum()) < 1e-6);
    assert_eq!(gradient.into_tensor().into_data(), whole.into_data());
    let none = Gradient::of(Vec::new(), (DType::F32, device.clone()));
    assert_eq!((none.square_sum().into_scalar::<f32>(), none.into_tensor().dims()), (0.0, [0]));
    // Another number type has no kernels, and is summed all the same.
    let wide = Tensor::<1>::from_data([1.0f64, 2.0], (&device, DType::F64));
    for (parts, expected) in [(vec![wide.clone(), wide.clone()], [2.0, 4.0, 0.0]), (vec![], [0.0; 3])] {
        let gradient = Gradient::of(vec![(2, parts), (1, vec![])], (DType::F64, device.clone()));
        assert_eq!(gradient.clone().into_tensor().into_data().try_into_vec::<f64>().expect("f64"), expected);
        // And Adam moves what is of that type by it.
        let ones = Tensor::<1>::ones([3], (&device, DType::F64));
        let [parameters, mean, square, average, spare] = std::array::from_fn(|_| ones.clone());
        let state = AdamState { parameters, mean, square, average, spare };
        let moved = stein_kernels::adam(STEP, gradient, Tensor::ones([1], (&device, DType::F64)), state);
        assert_eq!(moved.parameters.dtype(), DType::F64);
    }
}
