//! Every rule in f64, with one and with two directions, against central differences: tangents in x, and through
//! `backward()` the gradient of a scalar made from them.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use stein_jet::{
    Activation, Jet, avg_pool2d, conv2d, elu, group_norm, linear, silu, softplus, tanh, upsample_nearest2d,
};

// ---- the checker ----

/// Step of the central differences; their own error is then about 1e-10.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;
/// Values with and without directions may differ in the order of sums only.
const VALUE_TOLERANCE: f64 = 1e-13;

/// The module of a rule that has no parameters.
type NoParameters = Vec<Param<Tensor<1>>>;

/// What a loss depends on: a rule's parameters, the point and the directions.
type Leaves<M, const D: usize> = (M, Vec<Param<Tensor<D>>>);

/// Largest relative errors.
#[derive(Debug, Default)]
struct Errors {
    value: f64,
    tangent: f64,
    gradient: f64,
}

/// Checks `rule` on points of shape `dims`. The parameters of `module` are replaced by random f64 numbers.
fn check<M: Module, const D: usize, const E: usize>(
    rule: impl Fn(&M, Jet<D>) -> Jet<E>,
    module: M,
    dims: [usize; D],
) -> Result<Errors, String> {
    let mut normal = Normal(1);
    let module = module.map(&mut Randomise(&mut normal));
    let mut worst = Errors::default();
    for directions in 1..=2 {
        let points = (0..=directions).map(|_| Param::from_tensor(normal.tensor(dims))).collect();
        let leaves = (module.clone(), points);
        worst.value = worst.value.max(value_error(&rule, &leaves));
        worst.tangent = worst.tangent.max(tangent_error(&rule, &leaves));
        worst.gradient = worst.gradient.max(gradient_error(&rule, &leaves, &mut normal));
    }
    for (name, error, tolerance) in [
        ("value", worst.value, VALUE_TOLERANCE),
        ("tangent", worst.tangent, TOLERANCE),
        ("gradient", worst.gradient, TOLERANCE),
    ] {
        if error > tolerance {
            return Err(format!("{name} is off by {error:.1e}: {worst:?}"));
        }
    }
    Ok(worst)
}

fn jet<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    (module, points): &Leaves<M, D>,
) -> Jet<E> {
    let directions = points[1..].iter().map(Param::val).collect();
    rule(module, Jet::seed(points[0].val(), directions))
}

fn value_error<M, const D: usize, const E: usize>(rule: &impl Fn(&M, Jet<D>) -> Jet<E>, leaves: &Leaves<M, D>) -> f64 {
    let plain = rule(&leaves.0, Jet::plain(leaves.1[0].val()));
    assert_eq!(plain.directions(), 0);
    relative(jet(rule, leaves).value(), plain.value())
}

fn tangent_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    leaves: &Leaves<M, D>,
) -> f64 {
    let (module, points) = leaves;
    let x = points[0].val();
    let value = |x| rule(module, Jet::plain(x)).into_value();
    let y = jet(rule, leaves);
    (1..points.len())
        .map(|i| {
            let step = points[i].val() * STEP;
            let difference = (value(x.clone() + step.clone()) - value(x.clone() - step)) / (2.0 * STEP);
            relative(y.tangent(i - 1), difference)
        })
        .fold(0.0, f64::max)
}

/// `backward()` of a scalar made from values and tangents, against the difference along the gradient itself. The point and
/// the directions count as leaves too: in a network they stand for the parameters of the layers before.
fn gradient_error<M: Module, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    leaves: &Leaves<M, D>,
    normal: &mut Normal,
) -> f64 {
    let y = jet(rule, leaves);
    let weights = (normal.tensor(y.dims()), normal.tensor(y.tangents().dims()));
    let loss = |leaves: &Leaves<M, D>| {
        let y = jet(rule, leaves);
        let tangents = y.tangents();
        let linear = (y.value() * weights.0.clone()).sum() + (tangents.clone() * weights.1.clone()).sum();
        linear + tangents.square().sum() * 0.5
    };
    let gradients = GradientsParams::from_grads(loss(leaves).backward(), leaves);

    let mut length = Shift::new(&gradients, 0.0);
    let _ = leaves.clone().map(&mut length);
    let norm = length.square.sqrt();
    let shifted = |step: f64| loss(&leaves.clone().map(&mut Shift::new(&gradients, step / norm)));
    let difference = (shifted(STEP) - shifted(-STEP)).into_scalar::<f64>() / (2.0 * STEP);
    nan_is_wrong((norm - difference).abs() / norm)
}

/// Moves every parameter along its gradient, and adds up the gradient's squared length.
struct Shift<'a> {
    gradients: &'a GradientsParams,
    step: f64,
    square: f64,
}

impl<'a> Shift<'a> {
    fn new(gradients: &'a GradientsParams, step: f64) -> Self {
        Self { gradients, step, square: 0.0 }
    }
}

impl ModuleMapper for Shift<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = self.gradients.get::<D>(param.id).expect("every leaf has a gradient");
        self.square += gradient.clone().square().sum().into_scalar::<f64>();
        let step = self.step;
        param.map(|tensor| Tensor::from_inner(tensor.inner() + gradient * step))
    }
}

struct Randomise<'a>(&'a mut Normal);

impl ModuleMapper for Randomise<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| (self.0.tensor(tensor.dims()) * 0.5).require_grad())
    }
}

/// Standard normal numbers of our own: burn's generator is global, and tests run side by side.
struct Normal(u64);

impl Normal {
    fn tensor<const D: usize>(&mut self, dims: [usize; D]) -> Tensor<D> {
        let numbers: Vec<f64> = (0..dims.iter().product()).map(|_| self.next()).collect();
        Tensor::from_data(TensorData::new(numbers, dims), (&device(), DType::F64))
    }

    fn next(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// SplitMix64, in (0, 1).
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

/// Largest difference, relative to the largest number.
fn relative<const D: usize>(got: Tensor<D>, expected: Tensor<D>) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let numbers = |tensor: Tensor<D>| tensor.into_data().try_into_vec::<f64>().unwrap();
    let (got, expected) = (numbers(got), numbers(expected));
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |scale, e| scale.max(e.abs()));
    got.iter().zip(&expected).map(|(g, e)| nan_is_wrong((g - e).abs() / scale)).fold(0.0, f64::max)
}

/// A maximum would pass over NaN.
fn nan_is_wrong(error: f64) -> f64 {
    if error.is_nan() { f64::INFINITY } else { error }
}

#[track_caller]
fn right(name: &str, result: Result<Errors, String>) {
    match result {
        Ok(e) => println!("{name:32} value {:.1e}  tangent {:.1e}  gradient {:.1e}", e.value, e.tangent, e.gradient),
        Err(message) => panic!("{name}: {message}"),
    }
}

#[track_caller]
fn wrong(what: &str, result: Result<Errors, String>) {
    let message = result.expect_err("the checker must notice");
    assert!(message.starts_with(what), "noticed the wrong thing: {message}");
}

fn parameter<const D: usize>(dims: [usize; D]) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::zeros(dims, &device()))
}

// ---- the checker has teeth ----

#[test]
fn checker_notices_a_wrong_factor() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        x.map(Tensor::tanh, |x| {
            let y = x.tanh();
            (y.clone(), (-y.square() + 1.0) * 1.01)
        })
    };
    wrong("tangent", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_a_wrong_factor_inside_a_network() {
    let rule = |layers: &Vec<Linear>, x: Jet<2>| {
        let x = linear(&layers[0], x).map(Tensor::tanh, |x| {
            let y = x.tanh();
            (y.clone(), (-y.square() + 1.0) * 1.01)
        });
        linear(&layers[1], x)
    };
    let layer = || LinearConfig::new(5, 5).init(&device());
    wrong("tangent", check(rule, vec![layer(), layer()], [3, 5]));
}

#[test]
fn checker_notices_a_derivative_cut_from_the_graph() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        x.map(Tensor::tanh, |x| {
            let y = x.tanh();
            (y.clone(), (-y.square() + 1.0).detach())
        })
    };
    wrong("gradient", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_two_functions_in_one_rule() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        x.map(Tensor::tanh, |x| {
            let y = x.tanh();
            (y.clone() + 1e-9, -y.square() + 1.0)
        })
    };
    wrong("value", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_nan() {
    let rule = |_: &NoParameters, x: Jet<2>| x.map(Tensor::tanh, |x| (x.clone().tanh(), (x * 0.0).log().log()));
    wrong("tangent", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_a_constant_in_a_linear_map() {
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| x.linear_map(|rows| rows + c.val());
    wrong("tangent", check(rule, parameter([1, 5]), [3, 5]));
}

// ---- rules ----

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
fn resampling() {
    for factor in [1, 2, 3] {
        let rule = |_: &NoParameters, x| upsample_nearest2d(x, factor);
        right(&format!("upsample × {factor}"), check(rule, vec![], [3, 2, 2, 3]));
    }
    for k in [1, 2, 3] {
        let rule = |_: &NoParameters, x| avg_pool2d(x, k);
        right(&format!("average pool {k} × {k}"), check(rule, vec![], [3, 2, 6, 6]));
    }
}

#[test]
fn resampling_repeats_and_averages_pixels() {
    let x: Tensor<4> = Tensor::from_data([[[[1.0f32, 2.0], [3.0, 4.0]]]], &device());
    let up = upsample_nearest2d(Jet::plain(x), 2);
    let expected = TensorData::from([[[
        [1.0f32, 1.0, 2.0, 2.0],
        [1.0, 1.0, 2.0, 2.0],
        [3.0, 3.0, 4.0, 4.0],
        [3.0, 3.0, 4.0, 4.0],
    ]]]);
    up.value().into_data().assert_eq(&expected, true);
    let down = avg_pool2d(up, 4).into_value().into_data();
    down.assert_eq(&TensorData::from([[[[2.5f32]]]]), true);
}

#[test]
fn arithmetic() {
    fn halves(x: Jet<2>) -> (Jet<2>, Jet<2>) {
        (x.clone().narrow(1, 0, 3), silu(x.narrow(1, 3, 3)))
    }
    let binary = |name: &str, operation: fn(Jet<2>, Jet<2>) -> Jet<2>| {
        let rule = |_: &NoParameters, x| {
            let (a, b) = halves(x);
            operation(a, b)
        };
        right(name, check(rule, vec![], [3, 6]));
    };
    binary("a + b", |a, b| a + b);
    binary("a - b", |a, b| a - b);
    binary("a * b", |a, b| a * b);
    binary("-a * a", |a, _| -a.clone() * a);
    binary("cat", |a, b| Jet::cat(vec![a.clone(), b, a], 1));
    right("scale by 3", check(|_: &NoParameters, x: Jet<2>| x.scale_by(3.0), vec![], [3, 6]));
    right("mul, rank 4", check(|_: &NoParameters, x: Jet<4>| x.clone() * tanh(x), vec![], [3, 2, 2, 2]));
}

#[test]
fn constants() {
    for dims in [[1, 1], [1, 6], [3, 1], [3, 6]] {
        let rule = |c: &Param<Tensor<2>>, x: Jet<2>| softplus(x).add_constant(c.val());
        right(&format!("add constant {dims:?}"), check(rule, parameter(dims), [3, 6]));
        let rule = |c: &Param<Tensor<2>>, x: Jet<2>| softplus(x).scale(c.val());
        right(&format!("scale {dims:?}"), check(rule, parameter(dims), [3, 6]));
    }
    for dims in [[1, 2, 1, 1], [3, 2, 1, 1], [3, 1, 4, 4]] {
        let rule = |c: &Param<Tensor<4>>, x: Jet<4>| x.scale(c.val()).add_constant(c.val());
        right(&format!("modulate {dims:?}"), check(rule, parameter(dims), [3, 2, 4, 4]));
    }
}

#[test]
fn structure() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        let b = x.batch();
        tanh(x.reshape([b, 2, 3])).linear_map(|rows| rows.swap_dims(1, 2)).reshape([b, 6])
    };
    right("reshape and transpose", check(rule, vec![], [3, 6]));
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| elu(x).affine(|rows| rows.sum_dim(1), c.val());
    right("affine", check(rule, parameter([3, 1]), [3, 6]));
    let rule = |_: &NoParameters, x: Jet<2>| {
        let (value, tangents) = x.into_parts();
        Jet::from_parts(value, tangents)
    };
    right("parts", check(rule, vec![], [3, 6]));
}

#[test]
fn layout() {
    let mut normal = Normal(7);
    let [x, v, w] = [(); 3].map(|()| normal.tensor([3, 2]));
    let y = Jet::seed(x.clone(), vec![v.clone(), w.clone()]);
    assert_eq!((y.batch(), y.directions(), y.dims()), (3, 2, [3, 2]));
    assert_eq!(y.tangents().dims(), [6, 2]);
    for (got, expected) in [(y.value(), x.clone()), (y.tangent(0), v), (y.tangent(1), w)] {
        got.into_data().assert_eq(&expected.into_data(), true);
    }
    let plain = Jet::seed(x, vec![]);
    assert_eq!((plain.batch(), plain.directions(), plain.dims()), (3, 0, [3, 2]));
    assert!(plain.into_parts().1.is_none());
}

// ---- networks ----

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
    embedding: Linear,
    output: Linear,
}

impl Mlp {
    /// Every activation once, an embedding of σ, and an output divided by σ.
    fn forward(&self, mut x: Jet<2>) -> Jet<2> {
        let ladder = TensorData::new(vec![0.5, 1.0, 2.0], [3, 1]);
        let sigma: Tensor<2> = Tensor::from_data(ladder, (&device(), DType::F64));
        let embedding = self.embedding.forward(sigma.clone().log());
        for (layer, activation) in self.layers.iter().zip(Activation::ALL) {
            x = activation.apply(linear(layer, x).add_constant(embedding.clone()));
        }
        linear(&self.output, x).scale(sigma.recip())
    }
}

#[test]
fn mlp() {
    let layer = |input, output| LinearConfig::new(input, output).init(&device());
    let net = Mlp {
        layers: vec![layer(4, 8), layer(8, 8), layer(8, 8), layer(8, 8), layer(8, 8)],
        embedding: layer(1, 8),
        output: layer(8, 4),
    };
    right("mlp", check(Mlp::forward, net, [3, 4]));
}

#[derive(Module, Debug)]
struct ConvNet {
    input: Conv2d,
    norm: GroupNorm,
    middle: Conv2d,
    output: Conv2d,
}

impl ConvNet {
    /// A residual block at half resolution with a skip connection around it: a U-Net in small.
    fn forward(&self, x: Jet<2>) -> Jet<2> {
        let batch = x.batch();
        let h = conv2d(&self.input, x.reshape([batch, 1, 4, 4]));
        let low = conv2d(&self.middle, silu(group_norm(&self.norm, avg_pool2d(h.clone(), 2))));
        let h = Jet::cat(vec![h, upsample_nearest2d(low, 2)], 1);
        conv2d(&self.output, h).reshape([batch, 16])
    }
}

fn conv_net() -> ConvNet {
    let conv = |input, output| {
        let config = Conv2dConfig::new([input, output], [3, 3]).with_padding(PaddingConfig2d::Same);
        config.init(&device())
    };
    ConvNet {
        input: conv(1, 4),
        norm: GroupNormConfig::new(2, 4).init(&device()),
        middle: conv(4, 4),
        output: conv(8, 1),
    }
}

#[test]
fn conv_group_norm_silu_net() {
    right("conv net", check(ConvNet::forward, conv_net(), [3, 16]));
}

/// The plain path of the layers is burn's own forward, to the bit.
#[test]
fn without_directions_a_layer_is_burns_own() {
    let net = conv_net().map(&mut Randomise(&mut Normal(3)));
    let x: Tensor<4> = Normal(4).tensor([3, 1, 4, 4]);
    let h = net.input.forward(x.clone());
    let expected = burn::tensor::activation::silu(net.norm.forward(h)).into_data();
    let got = silu(group_norm(&net.norm, conv2d(&net.input, Jet::plain(x))));
    got.into_value().into_data().assert_eq(&expected, true);
}

// ---- mistakes ----

fn pair(k: usize) -> Jet<2> {
    let x: Tensor<2> = Tensor::ones([3, 2], &device());
    Jet::seed(x.clone(), vec![x; k])
}

#[test]
#[should_panic(expected = "jets must agree in batch and directions")]
fn a_plain_tensor_does_not_add_to_a_jet() {
    let _ = pair(1) + pair(0);
}

#[test]
#[should_panic(expected = "direction 1 must have the shape of the point")]
fn directions_have_the_shape_of_the_point() {
    let x: Tensor<2> = Tensor::ones([3, 2], &device());
    let _ = Jet::seed(x.clone(), vec![x.clone(), x.narrow(1, 0, 1)]);
}

#[test]
#[should_panic(expected = "broadcasts to the value's shape [3, 2], got [2, 2]")]
fn a_factor_broadcasts_to_the_value() {
    let _ = pair(1).scale(Tensor::ones([2, 2], &device()));
}

#[test]
#[should_panic(expected = "would mix the batch with the tangents")]
fn jets_do_not_narrow_along_the_batch() {
    let _ = pair(1).narrow(0, 0, 1);
}

#[test]
#[should_panic(expected = "windows of 2 × 2 don't tile an image of 4 × 5")]
fn pooling_windows_tile_the_image() {
    let _ = avg_pool2d(Jet::plain(Tensor::ones([1, 1, 4, 5], &device())), 2);
}
