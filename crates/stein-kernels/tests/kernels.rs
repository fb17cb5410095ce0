//! Each kernel against burn's own operations: values, gradients, odd sizes, views.

mod compare;

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNormConfig, PaddingConfig2d};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, activation};
use stein_kernels::{Function, Rows};

use compare::{compare, normal};

fn conv(inputs: usize, outputs: usize, k: usize, bias: bool, device: &Device) -> Conv2d {
    dilated(inputs, outputs, [k, 1], bias, device)
}

fn dilated(inputs: usize, outputs: usize, [k, dilation]: [usize; 2], bias: bool, device: &Device) -> Conv2d {
    let pad = k / 2 * dilation;
    Conv2dConfig::new([inputs, outputs], [k, k])
        .with_dilation([dilation; 2])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(bias)
        .init(device)
}

#[test]
fn convolution() {
    let device = Device::flex().autodiff();
    device.seed(1);
    for (b, c, o, h, w, k, dilation) in [
        (1, 1, 1, 1, 1, 3, 1),
        (3, 2, 5, 4, 4, 3, 1),
        (130, 3, 4, 8, 8, 3, 1),
        (2, 4, 3, 7, 5, 5, 1),
        (5, 3, 2, 28, 28, 3, 1),
        (4, 6, 2, 9, 3, 1, 1),
        // In registers: every width of a tile, tiles that overlap, blocks of outputs that are full or not.
        (3, 2, 32, 8, 8, 3, 1),
        (9, 3, 33, 7, 14, 3, 1),
        (2, 5, 64, 5, 5, 3, 1),
        (17, 4, 20, 4, 4, 3, 1),
        (2, 3, 48, 3, 11, 3, 1),
        (1, 40, 40, 40, 28, 3, 1),
        (2, 3, 32, 6, 2, 3, 1),
        (3, 32, 32, 1, 9, 1, 1),
        (20, 7, 35, 8, 8, 1, 1),
        (2, 3, 32, 5, 6, 5, 1),
        // Dilated, also by more than the image is wide.
        (3, 4, 32, 16, 16, 3, 2),
        (2, 33, 32, 8, 16, 3, 4),
        (3, 2, 48, 7, 5, 3, 2),
        (2, 3, 32, 3, 4, 3, 8),
        (5, 3, 2, 9, 8, 3, 2),
        (2, 2, 3, 6, 7, 5, 3),
        (3, 32, 32, 4, 9, 1, 2),
    ] {
        let layer = dilated(c, o, [k, dilation], b % 2 == 1, &device);
        let x = normal([b, c, h, w], &device);
        let (value, gradient) = compare(&x, |x| stein_kernels::conv2d(&layer, x), |x| layer.forward(x));
        assert!(value < 2e-6 && gradient < 2e-6, "{b} {c} {o} {h}×{w} {k} {dilation}: {value} {gradient}");
        let weight = layer.weight.val();
        let leaf = weight.clone().detach().require_grad();
        let (_, gradient) = compare(
            &leaf,
            |v| with_weight(&layer, v, |l| stein_kernels::conv2d(l, x.clone())),
            |v| with_weight(&layer, v, |l| l.forward(x.clone())),
        );
        assert!(gradient < 5e-6, "weight gradient, {b} {c} {o} {h}×{w} {k} {dilation}: {gradient}");
        let leaf = layer.bias.as_ref().map_or(Tensor::zeros([o], &device), |bias| bias.val()).detach().require_grad();
        let (_, gradient) = compare(
            &leaf,
            |v| with_bias(&layer, v, |l| stein_kernels::conv2d(l, x.clone())),
            |v| with_bias(&layer, v, |l| l.forward(x.clone())),
        );
        assert!(gradient < 5e-6, "bias gradient, {b} {c} {o} {h}×{w} {k} {dilation}: {gradient}");
    }
}

#[test]
fn maxima_over_windows() {
    let device = Device::flex().autodiff();
    device.seed(13);
    for (b, c, h, w, kernel) in
        [(1, 1, 1, 1, 3), (2, 3, 7, 5, 3), (3, 40, 32, 32, 5), (2, 2, 4, 33, 7), (2, 2, 3, 3, 1)]
    {
        let mut options = MaxPoolOptions::new([kernel; 2]);
        options.stride = [1; 2];
        options.padding = [(kernel / 2, kernel / 2); 2];
        let ours = |x: Tensor<4>| stein_kernels::max_pool(kernel, &x).expect("there is a kernel");
        let x = normal([b, c, h, w], &device);
        // Of equal numbers too: those of few digits.
        for x in [x.clone(), (x * 2.0).round().detach().require_grad()] {
            let (value, gradient) = compare(&x, ours, |x| max_pool2d(x, options.clone()));
            assert!(value == 0.0 && gradient < 2e-6, "{b} {c} {h}×{w} {kernel}: {value} {gradient}");
            let view = |x: Tensor<4>| x.swap_dims(2, 3);
            let (value, gradient) = compare(&x, |x| ours(view(x)), |x| max_pool2d(view(x), options.clone()));
            assert!(value == 0.0 && gradient < 2e-6, "{b} {c} {h}×{w} {kernel}, a view: {value} {gradient}");
        }
    }
    assert!(stein_kernels::max_pool(2, &normal([1, 1, 4, 4], &device)).is_none());
}

#[test]
fn means_over_windows() {
    let device = Device::flex().autodiff();
    device.seed(12);
    for (b, c, h, w, kernel) in
        [(1, 1, 1, 1, 3), (2, 3, 7, 5, 3), (3, 40, 32, 32, 5), (2, 2, 4, 33, 7), (2, 2, 3, 3, 1)]
    {
        let mut options = AvgPoolOptions::new([kernel; 2]);
        options.stride = [1; 2];
        options.padding = [(kernel / 2, kernel / 2); 2];
        let x = normal([b, c, h, w], &device);
        let ours = |x: Tensor<4>| stein_kernels::mean_pool(kernel, &x).expect("there is a kernel");
        let (value, gradient) = compare(&x, ours, |x| avg_pool2d(x, options.clone()));
        assert!(value < 2e-6 && gradient < 2e-6, "{b} {c} {h}×{w} {kernel}: {value} {gradient}");
        let view = |x: Tensor<4>| x.swap_dims(2, 3);
        let (value, gradient) = compare(&x, |x| ours(view(x)), |x| avg_pool2d(view(x), options.clone()));
        assert!(value < 2e-6 && gradient < 2e-6, "{b} {c} {h}×{w} {kernel}, a view: {value} {gradient}");
        if kernel > 1 {
            // The edge is told: means of what lies inside are others.
            options.count_include_pad = false;
            let (value, gradient) = compare(&x, ours, |x| avg_pool2d(x, options.clone()));
            assert!(value > 1e-2 && gradient > 1e-2, "{b} {c} {h}×{w} {kernel}: {value} {gradient}");
        }
    }
    assert!(stein_kernels::mean_pool(2, &normal([1, 1, 4, 4], &device)).is_none());
}

/// Burn's padding `Same` knows of no dilation, and a kernel may be dilated along one side alone: images change their size.
#[test]
fn dilated_layers_that_keep_no_size_are_burns() {
    let device = Device::flex().autodiff();
    device.seed(14);
    let around = PaddingConfig2d::Explicit(2, 2, 2, 2);
    for (dilation, padding) in [([2, 2], PaddingConfig2d::Same), ([2, 1], around.clone()), ([1, 2], around)] {
        let layer = Conv2dConfig::new([3, 32], [3, 3]).with_dilation(dilation).with_padding(padding).init(&device);
        let x = normal([2, 3, 8, 9], &device);
        assert_ne!(layer.forward(x.clone()).dims(), [2, 32, 8, 9]);
        let (value, gradient) = compare(&x, |x| stein_kernels::conv2d(&layer, x), |x| layer.forward(x));
        assert!(value == 0.0 && gradient == 0.0, "{dilation:?}: {value} {gradient}");
    }
}

/// Calls `f` with the layer at another weight that keeps its place in the graph.
fn with_weight<T>(layer: &Conv2d, weight: Tensor<4>, f: impl Fn(&Conv2d) -> T) -> T {
    let mut other = layer.clone();
    other.weight = Param::initialized(layer.weight.id, weight);
    f(&other)
}

fn with_bias<T>(layer: &Conv2d, bias: Tensor<1>, f: impl Fn(&Conv2d) -> T) -> T {
    let mut other = layer.clone();
    other.bias = Some(Param::initialized(layer.weight.id, bias));
    f(&other)
}

#[test]
fn convolution_of_views() {
    let device = Device::flex().autodiff();
    device.seed(2);
    for outputs in [4, 32] {
        let layer = conv(3, outputs, 3, true, &device);
        let x = normal([6, 5, 8, 8], &device);
        let view = |x: Tensor<4>| x.narrow(1, 1, 3).swap_dims(2, 3);
        let (value, gradient) = compare(&x, |x| stein_kernels::conv2d(&layer, view(x)), |x| layer.forward(view(x)));
        assert!(value < 2e-6 && gradient < 2e-6, "{outputs}: {value} {gradient}");
    }
}

/// Where burn's own results are numbers, and only there, ours are.
#[test]
fn convolutions_of_what_is_no_number_are_none() {
    let device = Device::flex().autodiff();
    device.seed(9);
    for outputs in [3, 32] {
        let layer = conv(2, outputs, 3, true, &device);
        for bad in [f32::NAN, f32::INFINITY] {
            let x = normal([3, 2, 9, 9], &device).slice_fill([1..2, 1..2, 8..9, 4..5], bad).detach().require_grad();
            let finite = |y: Tensor<4>| {
                let gradients = y.clone().square().sum().backward();
                let of =
                    |tensor: Tensor<4>| tensor.is_finite().float().into_data().try_into_vec::<f32>().expect("counts");
                let leaves = [x.grad(&gradients), layer.weight.grad(&gradients)].map(|g| of(g.expect("a leaf")));
                [of(y.inner()), leaves[0].clone(), leaves[1].clone()]
            };
            let (ours, burns) = (finite(stein_kernels::conv2d(&layer, x.clone())), finite(layer.forward(x.clone())));
            assert!(ours == burns && ours[0].contains(&0.0) && ours[0].contains(&1.0), "{outputs} {bad}");
        }
    }
}

#[test]
fn convolution_without_images() {
    let device = Device::flex().autodiff();
    let layer = conv(2, 32, 3, true, &device);
    assert_eq!(stein_kernels::conv2d(&layer, Tensor::zeros([0, 2, 4, 4], &device)).dims(), [0, 32, 4, 4]);
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

/// A function of a modulated group normalisation, against plain operations.
#[test]
fn functions_of_normalised_images() {
    let device = Device::flex().autodiff();
    device.seed(10);
    let cases =
        [(1, 2, 1, 2, 2, 1), (3, 6, 3, 4, 4, 3), (3, 6, 3, 4, 4, 1), (40, 32, 8, 8, 8, 40), (2, 12, 4, 5, 7, 2)];
    for (b, c, groups, h, w, rows) in cases {
        let plain = GroupNormConfig::new(groups, c).with_affine(false).init(&device);
        let x = (normal([b, c, h, w], &device) * 2.0 + 3.0).detach().require_grad();
        let (gain, shift) = (normal([rows, c], &device), normal([rows, c], &device));
        for function in
            [None, Some(Function::Silu), Some(Function::Softplus), Some(Function::Tanh), Some(Function::Elu)]
        {
            let ours = |x: Tensor<4>, gain, shift| {
                stein_kernels::normalised(&plain, [gain, shift], function, &x).expect("there is a kernel")
            };
            let burns = |x, gain: Tensor<2>, shift: Tensor<2>| {
                let [gain, shift] = [gain, shift].map(|a| a.reshape([rows, c, 1, 1]));
                let u: Tensor<4> = plain.forward(x) * gain + shift;
                match function {
                    None => u,
                    Some(Function::Silu) => activation::silu(u),
                    Some(Function::Softplus) => activation::softplus_with_threshold(u, 1.0, 40.0),
                    Some(Function::Tanh) => u.tanh(),
                    Some(Function::Elu) => activation::relu(u.clone()) + u.clamp_max(0.0).exp() - 1.0,
                }
            };
            let name = format!("{b} {c} {groups} {rows} {function:?}");
            let (g, s) = (|| gain.clone(), || shift.clone());
            let (value, of_x) = compare(&x, |x| ours(x, g(), s()), |x| burns(x, g(), s()));
            assert!(value < 5e-6 && of_x < 3e-5, "{name}: {value} {of_x}");
            let (_, of_gain) = compare(&gain, |g| ours(x.clone(), g, s()), |g| burns(x.clone(), g, s()));
            let (_, of_shift) = compare(&shift, |s| ours(x.clone(), g(), s), |s| burns(x.clone(), g(), s));
            assert!(of_gain < 2e-5 && of_shift < 2e-5, "{name}: {of_gain} {of_shift}");
        }
    }
}

#[test]
fn normalised_views_and_what_is_no_number() {
    let device = Device::flex().autodiff();
    device.seed(11);
    let layer = GroupNormConfig::new(2, 4).with_affine(false).init(&device);
    let affine = [normal([3, 4], &device), normal([3, 4], &device)];
    let ours = |x: Tensor<4>| {
        stein_kernels::normalised(&layer, affine.clone(), Some(Function::Silu), &x).expect("there is a kernel")
    };
    let x = normal([3, 6, 5, 5], &device);
    let view = |x: Tensor<4>| x.narrow(1, 1, 4).swap_dims(2, 3);
    let contiguous = |x: Tensor<4>| Tensor::cat(view(x).chunk(3, 0), 0);
    let (value, gradient) = compare(&x, |x| ours(view(x)), |x| ours(contiguous(x)));
    assert!(value == 0.0 && gradient == 0.0, "{value} {gradient}");
    // One bad number spoils its group, channels 0 and 1 of an image, and no other.
    for bad in [f32::NAN, f32::INFINITY] {
        let x = normal([3, 4, 5, 5], &device).slice_fill([1..2, 0..1, 2..3, 2..3], bad).detach().require_grad();
        let y = ours(x.clone());
        let gradient = x.grad(&y.clone().square().sum().backward()).expect("x is a leaf");
        for tensor in [y.inner(), gradient] {
            let finite: Vec<f32> = tensor.is_finite().float().into_data().try_into_vec().expect("counts");
            let expected = (0..300).map(|i| if (100..150).contains(&i) { 0.0 } else { 1.0 });
            assert!(finite.into_iter().eq(expected), "{bad}");
        }
    }
}

const FUNCTIONS: [Function; 4] = [Function::Silu, Function::Softplus, Function::Tanh, Function::Elu];

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
        Function::Elu => {
            let positive = x.clone().greater_elem(0.0);
            let e = x.clone().clamp_max(0.0).exp();
            let bend = e.clone().mask_fill(positive, 0.0);
            [activation::relu(x) + e.clone() - 1.0, e, bend]
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
    let (layer, wide) = (conv(8, 8, 3, true, &device), conv(8, 40, 3, true, &device));
    let norm = GroupNormConfig::new(2, 8).init(&device);
    let x = normal([40, 8, 8, 8], &device);
    let values = Rows { batch: 40, directions: 0, shared: false, second_order: false, bent: false };
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let y = stein_kernels::group_norm(&norm, stein_kernels::conv2d(&layer, x.clone()));
            let y = stein_kernels::jet(Function::Silu, &y, values).expect("there is a kernel");
            let y = stein_kernels::conv2d(&wide, y);
            let gradients = (y.clone() * y).sum_dim(3).sum_dim(2).sum_dim(1).sum().backward();
            let gx: Vec<f32> = x.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            let gw: Vec<f32> = layer.weight.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            let gv: Vec<f32> = wide.weight.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            gx.into_iter().chain(gw).chain(gv).map(f32::to_bits).collect::<Vec<_>>()
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
