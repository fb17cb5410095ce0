//! Layers with parameters.

use burn::nn::conv::{Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{
    GroupNormConfig, InstanceNorm, InstanceNormConfig, LayerNorm, LayerNormConfig, LinearConfig, PaddingConfig2d,
};
use burn::tensor::{DType, Device, Int, Tensor};
use stein_jet::{Jet, conv_transpose2d, conv2d, group_norm, group_norm_silu, instance_norm, layer_norm, linear, silu};

use crate::checker::{by_hand, check, device, linear_by_hand, right, twins, wrong};

#[test]
fn linear_layers() {
    let config = LinearConfig::new(5, 7);
    right("linear", check(linear, config.init(&device()), [3, 5]));
    right("linear, no bias", check(linear, config.with_bias(false).init(&device()), [3, 5]));
}

#[test]
fn convolutions() {
    let config = |kernel| Conv2dConfig::new([2, 4], kernel);
    let cases = [
        ("conv2d valid", config([3, 3])),
        ("conv2d same", config([3, 3]).with_padding(PaddingConfig2d::Same)),
        ("conv2d same, even kernel", config([2, 4]).with_padding(PaddingConfig2d::Same)),
        ("conv2d same, stride 2", config([3, 3]).with_padding(PaddingConfig2d::Same).with_stride([2, 2])),
        ("conv2d explicit, asymmetric", config([3, 3]).with_padding(PaddingConfig2d::Explicit(0, 1, 2, 3))),
        ("conv2d groups, dilation", config([3, 3]).with_groups(2).with_dilation([2, 1])),
        ("conv2d no bias", config([3, 3]).with_bias(false)),
        ("conv2d 1 × 1", config([1, 1])),
    ];
    for (name, config) in cases {
        right(name, check(conv2d, config.init(&device()), [3, 2, 5, 6]));
    }
}

#[test]
fn group_norms() {
    let config = |groups| GroupNormConfig::new(groups, 4);
    right("group norm", check(group_norm, config(2).init(&device()), [3, 4, 3, 3]));
    right("group norm, one group", check(group_norm, config(1).init(&device()), [3, 4, 3, 3]));
    let large_epsilon = config(4).with_epsilon(0.3);
    right("group norm, large ε", check(group_norm, large_epsilon.init(&device()), [3, 4, 3, 3]));
    let not_affine = config(2).with_affine(false);
    right("group norm, not affine", check(group_norm, not_affine.init(&device()), [3, 4, 3, 3]));
}

#[test]
fn silus_of_group_norms() {
    let config = GroupNormConfig::new(2, 4);
    let plain = |layer: &_, x: Jet<4>| group_norm_silu(layer, None, x);
    right("group norm, silu", check(plain, config.init(&device()), [3, 4, 3, 3]));
    let part = |from: i64| {
        let numbers = Tensor::<1, Int>::arange(from..from + 4, &device()).float().cast(DType::F64);
        (numbers * 0.3 - 1.0).reshape([1, 4, 1, 1])
    };
    let modulated = |layer: &_, x: Jet<4>| group_norm_silu(layer, Some([part(3), part(5)]), x);
    right("group norm, modulation, silu", check(modulated, config.init(&device()), [3, 4, 3, 3]));
}

/// With a kernel, one pass gives what three operations do: values and gradients in x, γ and both modulations.
#[test]
fn a_silu_of_a_group_norm_in_one_pass() {
    let device = Device::flex().autodiff();
    let layer = GroupNormConfig::new(2, 4).init(&device);
    let waves = |shape: [usize; 4], step: f32| -> Tensor<4> {
        let numbers = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * step).sin());
        Tensor::<1>::from_floats(numbers.collect::<Vec<_>>().as_slice(), &device).reshape(shape).require_grad()
    };
    let (x, scale, shift) = (waves([3, 4, 3, 5], 0.7), waves([3, 4, 1, 1], 1.3), waves([3, 4, 1, 1], 2.9));
    let separately = || {
        let h = group_norm(&layer, Jet::plain(x.clone()));
        silu(h.scale(scale.clone()).add_constant(shift.clone()))
    };
    let at_once = || group_norm_silu(&layer, Some([scale.clone(), shift.clone()]), Jet::plain(x.clone()));
    let numbers = |y: Jet<4>| {
        let y = y.into_value();
        let gradients = (y.clone() * waves([3, 4, 3, 5], 0.3).detach()).sum().backward();
        let gamma = layer.gamma.as_ref().expect("affine").val().grad(&gradients).expect("a leaf").reshape([1, 4, 1, 1]);
        let leaves = [&x, &scale, &shift].map(|leaf| leaf.grad(&gradients).expect("a leaf"));
        leaves.into_iter().chain([y.inner(), gamma]).flat_map(|t| t.into_data().try_into_vec::<f32>().expect("f32"))
    };
    let apart = numbers(separately()).zip(numbers(at_once())).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn transposed_convolutions() {
    let config = |kernel| ConvTranspose2dConfig::new([4, 2], kernel);
    let cases = [
        ("conv transpose", config([3, 3])),
        ("conv transpose, stride 2", config([2, 2]).with_stride([2, 2])),
        ("conv transpose, paddings", config([3, 3]).with_stride([2, 3]).with_padding([1, 0]).with_padding_out([1, 2])),
        ("conv transpose, groups, dilation", config([3, 2]).with_groups(2).with_dilation([2, 1])),
        ("conv transpose, no bias", config([3, 3]).with_bias(false)),
    ];
    for (name, config) in cases {
        right(name, check(conv_transpose2d, config.init(&device()), [3, 4, 3, 2]));
    }
    let with_the_bias = |layer: &ConvTranspose2d, x: Jet<4>| x.linear_map(|rows| layer.forward(rows));
    wrong("tangent", check(with_the_bias, config([3, 3]).init(&device()), [3, 4, 3, 2]));
}

#[test]
fn instance_norms() {
    let config = InstanceNormConfig::new(4);
    right("instance norm", check(instance_norm, config.init(&device()), [3, 4, 3, 3]));
    let large_epsilon = config.clone().with_epsilon(0.3);
    right("instance norm, large ε", check(instance_norm, large_epsilon.init(&device()), [3, 4, 3, 3]));
    let not_affine = config.with_affine(false);
    right("instance norm, not affine", check(instance_norm, not_affine.init(&device()), [3, 4, 3, 3]));
}

#[test]
fn layer_norms() {
    let config = LayerNormConfig::new(5);
    right("layer norm", check(layer_norm, config.init(&device()), [3, 2, 5]));
    right("layer norm, rank 2", check(layer_norm, config.init(&device()), [3, 5]));
    let large_epsilon = config.clone().with_epsilon(0.3);
    right("layer norm, large ε", check(layer_norm, large_epsilon.init(&device()), [3, 2, 2, 5]));
    let no_epsilon = config.clone().with_epsilon(0.0);
    right("layer norm, no ε", check(layer_norm, no_epsilon.init(&device()), [3, 5]));
    right("layer norm, no bias", check(layer_norm, config.with_bias(false).init(&device()), [3, 5]));
}

/// burn keeps a layer norm's ε to itself. It is found again in f32 too, and a constant row shows nothing but ε.
#[test]
fn the_epsilon_of_a_layer_norm_is_found() {
    for epsilon in [1e-12, 1e-5, 0.3] {
        let layer = LayerNormConfig::new(2).with_epsilon(epsilon).init(&device());
        let x = Tensor::<2>::ones([1, 2], &device());
        let v = Tensor::<2>::from_data([[1.0, -1.0]], &device());
        let tangent = layer_norm(&layer, Jet::seed(x, vec![v])).tangent(0);
        let got = tangent.narrow(1, 0, 1).into_scalar::<f32>();
        let expected = epsilon.sqrt().recip() as f32;
        assert!((got / expected - 1.0).abs() < 1e-5, "{got} {expected}");
    }
}

/// x̂′ = (u − x̂ s′) / s and x̂″ = (w − 2 x̂′ s′ − x̂ s″) / s, each of the terms that are easily got wrong off by its own factor.
#[derive(Clone, Copy)]
struct ByHand([f64; 7]);

impl ByHand {
    fn tangent(self, x: Tensor<3>, v: Tensor<3>) -> Tensor<3> {
        let Self([projection, epsilon, ..]) = self;
        let ([c, u], s) = Self::centred([x, v], epsilon);
        let y = c / s.clone();
        let along = (y.clone() * u.clone()).mean_dim(2) * projection;
        (u - y * along) / s
    }

    fn second(self, x: Tensor<3>, v: Tensor<3>, w: Tensor<3>) -> Tensor<3> {
        let Self([_, _, along, square, slope, mixed, bend]) = self;
        let ([c, u, w], s) = Self::centred([x, v, w], 1.0);
        let y = c / s.clone();
        let ds = (y.clone() * u.clone()).mean_dim(2);
        let dy = (u.clone() - y.clone() * ds.clone()) / s.clone();
        let dds = (y.clone() * w.clone()).mean_dim(2) * along
            + (u.square().mean_dim(2) * square - ds.clone().square() * slope) / s.clone();
        (w - dy * ds * 2.0 * mixed - y * dds * bend) / s
    }

    /// Each minus its mean, and s of the first.
    fn centred<const N: usize>(parts: [Tensor<3>; N], epsilon: f64) -> ([Tensor<3>; N], Tensor<3>) {
        let parts = parts.map(|x| x.clone() - x.mean_dim(2));
        let s = (parts[0].clone().square().mean_dim(2) + 0.3 * epsilon).sqrt();
        (parts, s)
    }
}

#[test]
fn twins_of_norms() {
    let seen = ["tangent", "tangent", "second", "second", "second", "second", "second"];
    let rule = |factors| {
        move |layer: &InstanceNorm, x: Jet<4>| {
            let [_, channels, height, width] = x.dims();
            let flat = |x: Tensor<4>| x.flatten::<3>(2, 3);
            let image = |x: Tensor<3>| {
                let gamma = layer.gamma.as_ref().unwrap().val();
                let rows = x.dims()[0];
                x.reshape([rows, channels, height, width]) * gamma.reshape([1, channels, 1, 1])
            };
            by_hand(
                x,
                |x| layer.forward(x),
                |x, v| image(ByHand(factors).tangent(flat(x), flat(v))),
                |x, v, w| image(ByHand(factors).second(flat(x), flat(v), flat(w))),
            )
        }
    };
    let layer = InstanceNormConfig::new(4).with_epsilon(0.3).init(&device());
    twins("instance norm", seen, rule, layer, [3, 4, 3, 3]);

    let rule = |factors| {
        move |layer: &LayerNorm, x: Jet<3>| {
            let gamma = || layer.gamma.val().reshape([1, 1, 5]);
            by_hand(
                x,
                |x| layer.forward(x),
                |x, v| ByHand(factors).tangent(x, v) * gamma(),
                |x, v, w| ByHand(factors).second(x, v, w) * gamma(),
            )
        }
    };
    let layer = LayerNormConfig::new(5).with_epsilon(0.3).init(&device());
    twins("layer norm", seen, rule, layer, [3, 2, 5]);
}

#[test]
fn twin_of_a_transposed_convolution() {
    let rule = |[slip]: [f64; 1]| {
        move |layer: &ConvTranspose2d, x: Jet<4>| {
            let without_bias = ConvTranspose2d { bias: None, ..layer.clone() };
            linear_by_hand(x, |x| layer.forward(x), |v| without_bias.forward(v) * slip)
        }
    };
    let layer = ConvTranspose2dConfig::new([4, 2], [3, 3]).init(&device());
    twins("conv transpose", ["tangent"], rule, layer, [3, 4, 3, 2]);
}
