//! Each kernel against burn's own operations: values, gradients, odd sizes, views.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNormConfig, PaddingConfig2d};
use burn::tensor::{Device, Distribution, Tensor, activation};

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

#[test]
fn silu() {
    let device = Device::flex().autodiff();
    device.seed(4);
    for n in [1, 7, 16_385, 50_001] {
        let x = (normal([n], &device) * 5.0).detach().require_grad();
        let (value, gradient) = compare(&x, stein_kernels::silu, activation::silu);
        assert!(value < 1e-6 && gradient < 1e-6, "{n}: {value} {gradient}");
    }
    // The comparison has teeth: a derivative that is 1 % off is seen.
    let x = normal([100], &device);
    let (_, gradient) =
        compare(&x, |x| activation::silu(x.clone()) + x.clone() * 0.01 - x.detach() * 0.01, activation::silu);
    assert!(gradient > 1e-3);
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let device = Device::flex().autodiff();
    device.seed(5);
    let layer = conv(8, 8, 3, true, &device);
    let norm = GroupNormConfig::new(2, 8).init(&device);
    let x = normal([40, 8, 8, 8], &device);
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let y = stein_kernels::silu(stein_kernels::group_norm(&norm, stein_kernels::conv2d(&layer, x.clone())));
            let gradients = (y.clone() * y).sum_dim(3).sum_dim(2).sum_dim(1).sum().backward();
            let gx: Vec<f32> = x.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            let gw: Vec<f32> = layer.weight.grad(&gradients).expect("leaf").into_data().try_into_vec().expect("f32");
            gx.into_iter().chain(gw).map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    let one = gradients(1);
    assert!(one == gradients(2) && one == gradients(5));
}
