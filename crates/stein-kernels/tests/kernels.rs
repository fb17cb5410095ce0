//! Each kernel against burn's own operations: values, gradients, odd sizes, views.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{DType, Device, Distribution, Tensor, activation};
use stein_kernels::{AdamState, AdamStep, Function, Rows};

fn worst<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    let size = b.clone().abs().max().into_scalar::<f32>().max(1e-6);
    (a - b).abs().max().into_scalar::<f32>() / size
}

fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device).require_grad()
}

/// Largest relative differences of value and of the gradients in `inputs`, two ways to compute the same.
fn compare<const D: usize, const E: usize>(
    x: &Tensor<E>,
    ours: impl Fn(Tensor<E>) -> Tensor<D>,
    burns: impl Fn(Tensor<E>) -> Tensor<D>,
) -> (f32, f32) {
    let (a, b) = (ours(x.clone()), burns(x.clone()));
    // A direction that weighs every output differently.
    let w: Tensor<D> = Tensor::random(b.dims(), Distribution::Normal(0.0, 1.0), &b.device());
    let ga = x.grad(&(a.clone() * w.clone()).sum().backward()).expect("x is a leaf");
    let gb = x.grad(&(b.clone() * w).sum().backward()).expect("x is a leaf");
    (worst(a, b), worst(ga, gb))
}

fn conv(inputs: usize, outputs: usize, k: usize, bias: bool, device: &Device) -> Conv2d {
    let pad = k / 2;
    Conv2dConfig::new([inputs, outputs], [k, k])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(bias)
        .init(device)
}

#[test]
fn convolution() {
    let device = Device::flex().autodiff();
    device.seed(1);
    for (b, c, o, h, w, k) in [
        (1, 1, 1, 1, 1, 3),
        (3, 2, 5, 4, 4, 3),
        (130, 3, 4, 8, 8, 3),
        (2, 4, 3, 7, 5, 5),
        (5, 3, 2, 28, 28, 3),
        (4, 6, 2, 9, 3, 1),
    ] {
        let layer = conv(c, o, k, b % 2 == 1, &device);
        let x = normal([b, c, h, w], &device);
        let (value, gradient) = compare(&x, |x| stein_kernels::conv2d(&layer, x), |x| layer.forward(x));
        assert!(value < 2e-6 && gradient < 2e-6, "{b} {c} {o} {h}×{w} {k}: {value} {gradient}");
        let weight = layer.weight.val();
        let leaf = weight.clone().detach().require_grad();
        let (_, gradient) = compare(
            &leaf,
            |v| with_weight(&layer, v, |l| stein_kernels::conv2d(l, x.clone())),
            |v| with_weight(&layer, v, |l| l.forward(x.clone())),
        );
        assert!(gradient < 5e-6, "weight gradient, {b} {c} {o} {h}×{w} {k}: {gradient}");
    }
}

/// Calls `f` with the layer at another weight that keeps its place in the graph.
fn with_weight<T>(layer: &Conv2d, weight: Tensor<4>, f: impl Fn(&Conv2d) -> T) -> T {
    let mut other = layer.clone();
    other.weight = Param::initialized(layer.weight.id, weight);
    f(&other)
}

#[test]
fn convolution_of_views() {
    let device = Device::flex().autodiff();
    device.seed(2);
    let layer = conv(3, 4, 3, true, &device);
    let x = normal([6, 5, 8, 8], &device);
    let view = |x: Tensor<4>| x.narrow(1, 1, 3).swap_dims(2, 3);
    let (value, gradient) = compare(&x, |x| stein_kernels::conv2d(&layer, view(x)), |x| layer.forward(view(x)));
    assert!(value < 2e-6 && gradient < 2e-6, "{value} {gradient}");
}

#[test]
fn group_normalisation() {
    let device = Device::flex().autodiff();
    device.seed(3);
    for (b, c, groups, h, w) in [(1, 2, 1, 2, 2), (3, 6, 3, 4, 4), (64, 32, 8, 8, 8), (2, 12, 4, 5, 7)] {
        let mut layer = GroupNormConfig::new(groups, c).init(&device);
        layer.gamma = Some(Param::from_tensor(normal([c], &device).detach()));
        layer.beta = Some(Param::from_tensor(normal([c], &device).detach()));
        let x = (normal([b, c, h, w], &device) * 2.0 + 3.0).detach().require_grad();
        let (value, gradient) = compare(&x, |x| stein_kernels::group_norm(&layer, x), |x| layer.forward(x));
        assert!(value < 5e-6 && gradient < 2e-5, "{b} {c} {groups}: {value} {gradient}");
        let gamma = layer.gamma.as_ref().expect("affine").val().detach().require_grad();
        let at = |v: Tensor<1>| {
            let mut other = layer.clone();
            other.gamma = layer.gamma.as_ref().map(|p| Param::initialized(p.id, v));
            other
        };
        let (_, of_gamma) =
            compare(&gamma, |v| stein_kernels::group_norm(&at(v), x.clone()), |v| at(v).forward(x.clone()));
        let beta = layer.beta.as_ref().expect("affine").val().detach().require_grad();
        let at = |v: Tensor<1>| {
            let mut other = layer.clone();
            other.beta = layer.beta.as_ref().map(|p| Param::initialized(p.id, v));
            other
        };
        let (_, of_beta) =
            compare(&beta, |v| stein_kernels::group_norm(&at(v), x.clone()), |v| at(v).forward(x.clone()));
        assert!(of_gamma < 2e-5 && of_beta < 2e-5, "{of_gamma} {of_beta}");
    }
}

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

#[test]
fn adam_is_what_plain_operations_make_of_it() {
    let device = Device::flex();
    device.seed(12);
    let n = 70_001;
    let normal = || Tensor::<1>::random([n], Distribution::Normal(0.0, 1.0), &device);
    let s = AdamStep {
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
    let (parameters, mean, square, average) = (normal(), normal(), normal().square(), normal());
    let state = AdamState { spare: parameters.clone(), parameters, mean, square, average };
    let (gradient, factor) = (normal(), Tensor::from_floats([0.5], &device));
    let before = state.clone();
    let ours = stein_kernels::adam(s, gradient.clone(), factor, state);
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
        (stein_kernels::square_sum(&gradient), gradient.clone().square().sum()),
    ];
    for (i, (ours, plain)) in pairs.into_iter().enumerate() {
        assert!(worst(ours, plain) < 1e-6, "{i}");
    }
    // Memory that nobody holds is taken, whatever is in it; the state before is shared, and stays as it is.
    let again = AdamState { spare: normal(), ..before.clone() };
    let again = stein_kernels::adam(s, gradient.clone(), Tensor::from_floats([0.5], &device), again);
    assert_eq!(again.parameters.into_data(), ours.parameters.clone().into_data());
    assert_eq!(ours.spare.into_data(), before.parameters.clone().into_data());
}

const FUNCTIONS: [Function; 3] = [Function::Silu, Function::Softplus, Function::Tanh];

/// f, f′ and f″ in plain operations.
fn plainly(function: Function, x: Tensor<2>) -> [Tensor<2>; 3] {
    let s = activation::sigmoid(x.clone());
    let s1 = s.clone() * activation::sigmoid(-x.clone());
    let s2 = s1.clone() * (s.clone() * -2.0 + 1.0);
    match function {
        Function::Silu => [x.clone() * s.clone(), s + x.clone() * s1.clone(), s1 * 2.0 + x * s2],
        Function::Softplus => [activation::softplus_with_threshold(x, 1.0, 40.0), s, s1],
        Function::Tanh => {
            let (y, slope) = (x.clone().tanh(), x.cosh().square().recip());
            [y.clone(), slope.clone(), y * slope * -2.0]
        }
    }
}

/// A function of a jet in plain operations in f64, block by block.
fn jet_plainly(function: Function, jet: Tensor<2>, rows: Rows) -> Tensor<2> {
    let jet = jet.cast(DType::F64);
    let (k, b) = (rows.directions, rows.batch);
    let [y, slope, bend] = plainly(function, jet.clone().narrow(0, 0, b));
    let direction = |i: usize| match rows.shared {
        true => jet.clone().narrow(0, b + i, 1),
        false => jet.clone().narrow(0, (1 + i) * b, b),
    };
    let mut blocks = vec![y];
    blocks.extend((0..k).map(|i| slope.clone() * direction(i)));
    if rows.second_order {
        blocks.extend((0..k).map(|i| {
            let bent = bend.clone() * direction(i).square();
            if rows.bent { bent + slope.clone() * jet.clone().narrow(0, (1 + k + i) * b, b) } else { bent }
        }));
    }
    Tensor::cat(blocks, 0).cast(DType::F32)
}

/// Every way to store a jet of `batch` values with `directions`.
fn layouts(batch: usize, directions: usize) -> Vec<Rows> {
    let plain = Rows { batch, directions, shared: false, second_order: false, bent: false };
    let shared = Rows { shared: batch > 1, ..plain };
    let second = Rows { second_order: true, ..plain };
    match directions {
        0 => vec![plain],
        _ => vec![plain, shared, second, Rows { second_order: true, ..shared }, Rows { bent: true, ..second }],
    }
}

fn fused(function: Function, rows: Rows) -> impl Fn(Tensor<2>) -> Tensor<2> {
    move |x| stein_kernels::jet(function, &x, rows).expect("there is a kernel")
}

#[test]
fn functions_of_jets() {
    let device = Device::flex().autodiff();
    device.seed(4);
    // Enough numbers that the largest, by which errors are measured, is never small by chance.
    for (batch, size) in [(70, 1), (1, 67), (2, 33), (5, 129), (33, 515), (3, 20_001)] {
        for rows in [0, 1, 2, 5].into_iter().flat_map(|k| layouts(batch, k)) {
            for function in FUNCTIONS {
                let x = (normal([rows.argument(), size], &device) * 2.0).detach().require_grad();
                let (value, gradient) = compare(&x, fused(function, rows), |x| jet_plainly(function, x, rows));
                assert!(value < 2e-6 && gradient < 5e-6, "{function:?} {size} {rows:?}: {value} {gradient}");
            }
        }
    }
}

#[test]
fn functions_of_jets_that_are_views() {
    let device = Device::flex().autodiff();
    device.seed(6);
    for rows in layouts(4, 2) {
        let x = normal([27, rows.argument() + 2], &device);
        let view = |x: Tensor<2>| x.swap_dims(0, 1).narrow(0, 1, rows.argument());
        let ours = |x| fused(Function::Softplus, rows)(view(x));
        let (value, gradient) = compare(&x, ours, |x| jet_plainly(Function::Softplus, view(x), rows));
        assert!(value < 2e-6 && gradient < 5e-6, "{rows:?}: {value} {gradient}");
    }
}

/// The comparison has teeth: one term of a gradient that is 1 % off is seen.
#[test]
fn a_jet_slightly_off_is_noticed() {
    let device = Device::flex().autodiff();
    device.seed(7);
    let rows = Rows { batch: 3, directions: 1, shared: false, second_order: true, bent: true };
    let x = normal([9, 50], &device);
    let off = |x: Tensor<2>| {
        let slip = (x.clone() - x.clone().detach()).narrow(0, 6, 3) * 0.01;
        fused(Function::Softplus, rows)(x.clone()) + Tensor::cat(vec![x.zeros_like().narrow(0, 0, 6), slip], 0)
    };
    let (value, gradient) = compare(&x, off, |x| jet_plainly(Function::Softplus, x, rows));
    assert!(value < 2e-6 && gradient > 1e-3, "{value} {gradient}");
}

#[test]
fn jets_of_what_is_no_number_are_none() {
    let device = Device::flex().autodiff();
    for rows in [1, 2, 5].into_iter().flat_map(|k| layouts(2, k)) {
        for function in FUNCTIONS {
            for (row, bad) in [(0, f32::NAN), (rows.argument() - 1, f32::NAN), (rows.argument() - 1, f32::INFINITY)] {
                let x = Tensor::<2>::ones([rows.argument(), 3], &device);
                let x = x.slice_fill([row..row + 1, 1..2], bad).detach().require_grad();
                let y = fused(function, rows)(x.clone());
                let gradient = x.grad(&y.clone().square().sum().backward()).expect("x is a leaf");
                for (name, tensor) in [("value", y.inner()), ("gradient", gradient)] {
                    let finite =
                        tensor.is_finite().float().sum_dim(0).into_data().try_into_vec::<f32>().expect("counts");
                    assert!(
                        finite[1] < finite[0] && finite[0] == finite[2],
                        "{name}, {function:?} {rows:?}: {finite:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn jets_without_examples() {
    let device = Device::flex().autodiff();
    for rows in layouts(0, 2) {
        let x = normal([rows.argument(), 3], &device);
        let y = fused(Function::Tanh, rows)(x.clone());
        assert_eq!(y.dims(), [0, 3]);
    }
}

#[test]
fn jets_of_other_numbers_have_no_kernel() {
    let rows = Rows { batch: 1, directions: 0, shared: false, second_order: false, bent: false };
    let x: Tensor<2> = Tensor::ones([1, 2], (&Device::flex(), DType::F64));
    assert!(stein_kernels::jet(Function::Silu, &x, rows).is_none());
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let device = Device::flex().autodiff();
    device.seed(5);
    let layer = conv(8, 8, 3, true, &device);
    let norm = GroupNormConfig::new(2, 8).init(&device);
    let x = normal([40, 8, 8, 8], &device);
    let values = Rows { batch: 40, directions: 0, shared: false, second_order: false, bent: false };
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let y = stein_kernels::group_norm(&norm, stein_kernels::conv2d(&layer, x.clone()));
            let y = stein_kernels::jet(Function::Silu, &y, values).expect("there is a kernel");
            let gradients = (y.clone() * y).sum_dim(3).sum_dim(2).sum_dim(1).sum().backward();
            let gx: Vec<f32> = x.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            let gw: Vec<f32> = layer.weight.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            gx.into_iter().chain(gw).map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = gradients(1);
    assert!(one == gradients(2) && one == gradients(5));
}

#[test]
fn jets_are_the_same_bits_for_any_number_of_threads() {
    let device = Device::flex().autodiff();
    device.seed(8);
    for rows in layouts(70, 3) {
        let x = normal([rows.argument(), 300], &device);
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let y = fused(Function::Softplus, rows)(x.clone());
                let gradients = (y.clone() * y.clone()).sum_dim(1).sum().backward();
                let numbers = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>().expect("f32");
                let gradient = numbers(x.grad(&gradients).expect("leaf"));
                numbers(y.inner()).into_iter().chain(gradient).map(f32::to_bits).collect::<Vec<_>>()
            })
        };
        let one = bits(1);
        assert!(one == bits(2) && one == bits(5), "{rows:?}");
    }
}
