//! The checker.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use stein_jet::Jet;

/// Step of the central differences; their own error is then about 1e-10.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;
/// Values with and without directions may differ in the order of sums only.
const VALUE_TOLERANCE: f64 = 1e-13;
/// What a twin multiplies one of its terms by.
const SLIP: f64 = 1.01;

/// The module of a rule that has no parameters.
pub(crate) type NoParameters = Vec<Param<Tensor<1>>>;

/// What a loss depends on: a rule's parameters, the point and the directions.
type Leaves<M, const D: usize> = (M, Vec<Param<Tensor<D>>>);

/// Makes a jet of a point and its directions.
type Seed<const D: usize> = fn(Tensor<D>, Vec<Tensor<D>>) -> Jet<D>;

/// Largest relative errors.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    value: f64,
    tangent: f64,
    gradient: f64,
}

/// Checks `rule` on points of shape `dims`. The parameters of `module` are replaced by random f64 numbers.
pub(crate) fn check<M: Module, const D: usize, const E: usize>(
    rule: impl Fn(&M, Jet<D>) -> Jet<E>,
    module: M,
    dims: [usize; D],
) -> Result<Errors, String> {
    let mut normal = Normal(1);
    let module = module.map(&mut Randomise(&mut normal));
    let mut worst = Errors::default();
    let mut one = dims;
    one[0] = 1;
    let seeds: [(Seed<D>, _); 2] = [(Jet::seed, dims), (|x, v| Jet::seed_shared(x, Tensor::cat(v, 0)), one)];
    for (seed, direction_dims) in seeds {
        for k in 1..=2 {
            let mut points = vec![Param::from_tensor(normal.tensor(dims))];
            points.extend((0..k).map(|_| Param::from_tensor(normal.tensor(direction_dims))));
            let leaves = (module.clone(), points);
            let jet = |leaves: &Leaves<M, D>| jet(&rule, seed, leaves);
            worst.value = worst.value.max(value_error(&rule, jet, &leaves));
            worst.tangent = worst.tangent.max(tangent_error(&rule, jet, &leaves));
            worst.gradient = worst.gradient.max(gradient_error(jet, &leaves, &mut normal));
        }
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
    seed: Seed<D>,
    (module, points): &Leaves<M, D>,
) -> Jet<E> {
    let directions = points[1..].iter().map(Param::val).collect();
    rule(module, seed(points[0].val(), directions))
}

fn value_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    jet: impl Fn(&Leaves<M, D>) -> Jet<E>,
    leaves: &Leaves<M, D>,
) -> f64 {
    let plain = rule(&leaves.0, Jet::plain(leaves.1[0].val()));
    assert_eq!(plain.directions(), 0);
    relative(jet(leaves).value(), plain.value())
}

fn tangent_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    jet: impl Fn(&Leaves<M, D>) -> Jet<E>,
    leaves: &Leaves<M, D>,
) -> f64 {
    let (module, points) = leaves;
    let x = points[0].val();
    let value = |x| rule(module, Jet::plain(x)).into_value();
    let y = jet(leaves);
    assert_eq!(y.directions(), points.len() - 1);
    let differences: Vec<_> = points[1..]
        .iter()
        .map(|direction| {
            let step = direction.val() * STEP;
            (value(x.clone() + step.clone()) - value(x.clone() - step)) / (2.0 * STEP)
        })
        .collect();
    let each = differences.iter().enumerate().map(|(i, d)| relative(y.tangent(i), d.clone())).fold(0.0, f64::max);
    each.max(relative(y.tangents(), Tensor::cat(differences, 0)))
}

/// `backward()` of a scalar made from values and tangents, against the difference along the gradient itself. The point and
/// the directions count as leaves too: in a network they stand for the parameters of the layers before.
fn gradient_error<M: Module, const D: usize, const E: usize>(
    jet: impl Fn(&Leaves<M, D>) -> Jet<E>,
    leaves: &Leaves<M, D>,
    normal: &mut Normal,
) -> f64 {
    let y = jet(leaves);
    let weights = (normal.tensor(y.dims()), normal.tensor(y.tangents().dims()));
    let loss = |leaves: &Leaves<M, D>| {
        let y = jet(leaves);
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

pub(crate) struct Randomise<'a>(pub(crate) &'a mut Normal);

impl ModuleMapper for Randomise<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| (self.0.tensor(tensor.dims()) * 0.5).require_grad())
    }
}

/// Standard normal numbers of our own: burn's generator is global, and tests run side by side.
pub(crate) struct Normal(pub(crate) u64);

impl Normal {
    pub(crate) fn tensor<const D: usize>(&mut self, dims: [usize; D]) -> Tensor<D> {
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

pub(crate) fn device() -> Device {
    Device::flex().autodiff()
}

/// Largest difference, relative to the largest number.
pub(crate) fn relative<const D: usize>(got: Tensor<D>, expected: Tensor<D>) -> f64 {
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
pub(crate) fn right(name: &str, result: Result<Errors, String>) {
    match result {
        Ok(e) => println!("{name:32} value {:.1e}  tangent {:.1e}  gradient {:.1e}", e.value, e.tangent, e.gradient),
        Err(message) => panic!("{name}: {message}"),
    }
}

/// Checks a rule, and that its twin `rule(SLIP)` with a wrong term is noticed; `rule(1.0)` is written like the twin and right,
/// so it is the slip that is noticed.
#[track_caller]
pub(crate) fn twin<M: Module, const D: usize, const E: usize, R: Fn(&M, Jet<D>) -> Jet<E>>(
    name: &str,
    rule: impl Fn(f64) -> R,
    module: M,
    dims: [usize; D],
) {
    right(&format!("{name}, twin without slip"), check(rule(1.0), module.clone(), dims));
    wrong("tangent", check(rule(SLIP), module, dims));
}

/// A rule written out by hand: `value` of x `[B, ...]`, and `tangents` `[K B, ...]` of K repeated copies of x `[K B, ...]` and
/// the tangents in.
pub(crate) fn by_hand<const D: usize, const E: usize>(
    x: Jet<D>,
    value: impl FnOnce(Tensor<D>) -> Tensor<E>,
    tangents: impl FnOnce(Tensor<D>, Tensor<D>) -> Tensor<E>,
) -> Jet<E> {
    let k = x.directions();
    let (x, v) = x.into_parts();
    let tangents = v.map(|v| tangents(x.clone().repeat_dim(0, k), v));
    Jet::from_parts(value(x), tangents)
}

#[track_caller]
pub(crate) fn wrong(what: &str, result: Result<Errors, String>) {
    let message = result.expect_err("the checker must notice");
    assert!(message.starts_with(what), "noticed the wrong thing: {message}");
}

pub(crate) fn parameter<const D: usize>(dims: [usize; D]) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::zeros(dims, &device()))
}
