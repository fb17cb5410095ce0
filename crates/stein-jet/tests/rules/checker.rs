//! The checker.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use stein_jet::Jet;

/// Step of the central differences; their own error is then about 1e-10.
const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;
/// Values with and without directions may differ in the order of sums only, and so may tangents of either order.
const VALUE_TOLERANCE: f64 = 1e-13;
/// What a twin multiplies one of its terms by.
const SLIP: f64 = 1.01;

/// The module of a rule that has no parameters.
pub(crate) type NoParameters = Vec<Param<Tensor<1>>>;

/// What a loss depends on: a rule's parameters, and the point, its directions and, on a curve, their second derivatives.
type Leaves<M, const D: usize> = (M, Vec<Param<Tensor<D>>>);

/// What is pushed through a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Course {
    /// x + ε v, order 1.
    Tangent,
    /// x + t v, order 2.
    Line,
    /// x + t v + ½ t² w, order 2.
    Curve,
}

/// A way to seed a rule with K directions, which the examples share or not.
#[derive(Clone, Copy, Debug)]
struct Case {
    shared: bool,
    course: Course,
    k: usize,
}

impl Case {
    fn seed<const D: usize>(&self, x: Tensor<D>, directions: Vec<Tensor<D>>) -> Jet<D> {
        if self.shared { Jet::seed_shared(x, Tensor::cat(directions, 0)) } else { Jet::seed(x, directions) }
    }

    /// Shapes of the point, its directions and what else is a leaf.
    fn shapes<const D: usize>(&self, dims: [usize; D]) -> Vec<[usize; D]> {
        let mut of_directions = dims;
        if self.shared {
            of_directions[0] = 1;
        }
        let seconds = if self.course == Course::Curve { self.k } else { 0 };
        [vec![dims], vec![of_directions; self.k], vec![dims; seconds]].concat()
    }

    /// The rule at `leaves`.
    fn jet<M, const D: usize, const E: usize>(
        &self,
        rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
        (module, points): &Leaves<M, D>,
    ) -> Jet<E> {
        let point = |i: usize| points[i].val();
        let x = self.seed(point(0), (1..=self.k).map(point).collect());
        let x = match self.course {
            Course::Tangent => x,
            Course::Line => x.second_order(),
            Course::Curve => x.with_seconds(Tensor::cat((1 + self.k..points.len()).map(point).collect(), 0)),
        };
        rule(module, x)
    }

    /// The rule's value and tangent a time `t` down the course of direction `i`.
    fn down_the_course<M, const D: usize, const E: usize>(
        &self,
        rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
        (module, points): &Leaves<M, D>,
        i: usize,
        t: f64,
    ) -> Jet<E> {
        let (x, v) = (points[0].val(), points[1 + i].val());
        let (x, v) = match points.get(1 + self.k + i) {
            Some(w) => (x + v.clone() * t + w.val() * (0.5 * t * t), v + w.val() * t),
            None => (x + v.clone() * t, v),
        };
        rule(module, self.seed(x, vec![v]))
    }
}

/// Largest relative errors.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    value: f64,
    tangent: f64,
    second: f64,
    orders: f64,
    gradient: f64,
}

/// Checks `rule` on points of shape `dims` and on batches of one and two. The parameters of `module` are replaced by random
/// f64 numbers.
pub(crate) fn check<M: Module, const D: usize, const E: usize>(
    rule: impl Fn(&M, Jet<D>) -> Jet<E>,
    module: M,
    dims: [usize; D],
) -> Result<Errors, String> {
    // Rows are told apart by their number, so few examples are the delicate ones.
    check_batches(rule, module, dims, &[dims[0], 1, 2])
}

/// Checks `rule` on points of shape `dims` only, say because its parameters have a row for each example.
pub(crate) fn check_one_batch<M: Module, const D: usize, const E: usize>(
    rule: impl Fn(&M, Jet<D>) -> Jet<E>,
    module: M,
    dims: [usize; D],
) -> Result<Errors, String> {
    check_batches(rule, module, dims, &dims[..1])
}

fn check_batches<M: Module, const D: usize, const E: usize>(
    rule: impl Fn(&M, Jet<D>) -> Jet<E>,
    module: M,
    dims: [usize; D],
    batches: &[usize],
) -> Result<Errors, String> {
    let mut normal = Normal(1);
    let module = module.map(&mut Randomise(&mut normal));
    let mut worst = Errors::default();
    let courses = [
        (false, Course::Tangent),
        (true, Course::Tangent),
        (false, Course::Line),
        (true, Course::Line),
        (false, Course::Curve),
    ];
    for &batch in batches {
        for (shared, course) in courses {
            for k in 1..=2 {
                let case = Case { shared, course, k };
                let mut dims = dims;
                dims[0] = batch;
                let points = case.shapes(dims).into_iter().map(|dims| Param::from_tensor(normal.tensor(dims)));
                let leaves = (module.clone(), points.collect());
                worst.value = worst.value.max(value_error(&rule, &case, &leaves));
                worst.tangent = worst.tangent.max(tangent_error(&rule, &case, &leaves));
                worst.second = worst.second.max(second_error(&rule, &case, &leaves));
                worst.orders = worst.orders.max(orders_error(&rule, &case, &leaves));
                worst.gradient = worst.gradient.max(gradient_error(&rule, &case, &leaves, &mut normal));
            }
        }
    }
    for (name, error, tolerance) in [
        ("value", worst.value, VALUE_TOLERANCE),
        ("tangent", worst.tangent, TOLERANCE),
        ("second", worst.second, TOLERANCE),
        ("orders", worst.orders, VALUE_TOLERANCE),
        ("gradient", worst.gradient, TOLERANCE),
    ] {
        if error > tolerance {
            return Err(format!("{name} is off by {error:.1e}: {worst:?}"));
        }
    }
    Ok(worst)
}

fn value_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    case: &Case,
    leaves: &Leaves<M, D>,
) -> f64 {
    let plain = rule(&leaves.0, Jet::plain(leaves.1[0].val()));
    assert_eq!(plain.order(), 0);
    relative(case.jet(rule, leaves).value(), plain.value())
}

/// Tangents against those of order 1.
fn orders_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    case: &Case,
    leaves: &Leaves<M, D>,
) -> f64 {
    let first = Case { course: Course::Tangent, ..*case }.jet(rule, leaves);
    relative(case.jet(rule, leaves).tangents(), first.tangents())
}

fn tangent_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    case: &Case,
    leaves: &Leaves<M, D>,
) -> f64 {
    let y = case.jet(rule, leaves);
    assert_eq!(y.directions(), case.k);
    let value = |i, t| case.down_the_course(rule, leaves, i, t).into_value();
    let differences: Vec<_> = (0..case.k).map(|i| (value(i, STEP) - value(i, -STEP)) / (2.0 * STEP)).collect();
    let each = differences.iter().enumerate().map(|(i, d)| relative(y.tangent(i), d.clone())).fold(0.0, f64::max);
    each.max(relative(y.tangents(), Tensor::cat(differences, 0)))
}

/// Second derivatives against the differences of tangents, relative to the larger of the two: those of an affine function are
/// all zero.
fn second_error<M, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    case: &Case,
    leaves: &Leaves<M, D>,
) -> f64 {
    let y = case.jet(rule, leaves);
    if case.course == Course::Tangent {
        assert_eq!(y.order(), 1);
        return 0.0;
    }
    assert_eq!(y.order(), 2);
    let tangent = |i, t| case.down_the_course(rule, leaves, i, t).tangents();
    let differences: Vec<_> = (0..case.k).map(|i| (tangent(i, STEP) - tangent(i, -STEP)) / (2.0 * STEP)).collect();
    let beside_tangents = |seconds: Tensor<E>| Tensor::cat(vec![seconds, y.tangents()], 0);
    let all = relative(beside_tangents(y.seconds()), beside_tangents(Tensor::cat(differences.clone(), 0)));
    let one_by_one = Tensor::cat((0..case.k).map(|i| y.second(i)).collect(), 0);
    all.max(relative(beside_tangents(one_by_one), beside_tangents(Tensor::cat(differences, 0))))
}

/// `backward()` of a scalar made from values and derivatives, against the difference along the gradient itself. The point and
/// the directions count as leaves too: in a network they stand for the parameters of the layers before.
fn gradient_error<M: Module, const D: usize, const E: usize>(
    rule: &impl Fn(&M, Jet<D>) -> Jet<E>,
    case: &Case,
    leaves: &Leaves<M, D>,
    normal: &mut Normal,
) -> f64 {
    let y = case.jet(rule, leaves);
    let [of_value, of_tangents, of_seconds] =
        [y.dims(), y.tangents().dims(), y.tangents().dims()].map(|dims| normal.tensor(dims));
    let loss = |leaves: &Leaves<M, D>| {
        let y = case.jet(rule, leaves);
        let bent = |derivatives: Tensor<E>, weights: &Tensor<E>| {
            (derivatives.clone() * weights.clone()).sum() + derivatives.square().sum() * 0.5
        };
        let loss = (y.value() * of_value.clone()).sum() + bent(y.tangents(), &of_tangents);
        if y.order() == 2 { loss + bent(y.seconds(), &of_seconds) } else { loss }
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
        Ok(Errors { value, tangent, second, orders, gradient }) => println!(
            "{name:32} value {value:.1e}  tangent {tangent:.1e}  second {second:.1e}  orders {orders:.1e}  \
             gradient {gradient:.1e}"
        ),
        Err(message) => panic!("{name}: {message}"),
    }
}

/// Checks a rule written out by hand, `rule([1.0; N])`, and that its twins with one of N terms slightly off are noticed, each
/// where `seen` says.
#[track_caller]
pub(crate) fn twins<M: Module, const D: usize, const E: usize, const N: usize, R: Fn(&M, Jet<D>) -> Jet<E>>(
    name: &str,
    seen: [&str; N],
    rule: impl Fn([f64; N]) -> R,
    module: M,
    dims: [usize; D],
) {
    right(&format!("{name}, without slip"), check(rule([1.0; N]), module.clone(), dims));
    for (term, what) in seen.into_iter().enumerate() {
        let mut factors = [1.0; N];
        factors[term] = SLIP;
        wrong(what, check_one_batch(rule(factors), module.clone(), dims));
    }
}

/// A rule written out by hand: `value` of x `[B, ...]`; `tangents` `[K B, ...]` of K repeated copies of x `[K B, ...]` and
/// the tangents in; `seconds` `[K B, ...]` of these two and the second derivatives in.
pub(crate) fn by_hand<const D: usize, const E: usize>(
    x: Jet<D>,
    value: impl FnOnce(Tensor<D>) -> Tensor<E>,
    tangents: impl FnOnce(Tensor<D>, Tensor<D>) -> Tensor<E>,
    seconds: impl FnOnce(Tensor<D>, Tensor<D>, Tensor<D>) -> Tensor<E>,
) -> Jet<E> {
    let bent = (x.order() == 2).then(|| x.seconds());
    let k = x.directions();
    let (x, v) = x.into_parts();
    let Some(v) = v else { return Jet::plain(value(x)) };
    let repeated = x.clone().repeat_dim(0, k);
    let seconds = bent.map(|w| seconds(repeated.clone(), v.clone(), w));
    let y = Jet::from_parts(value(x), Some(tangents(repeated, v)));
    match seconds {
        Some(seconds) => y.with_seconds(seconds),
        None => y,
    }
}

/// A rule written out by hand of which the derivatives are those of a linear map.
pub(crate) fn linear_by_hand<const D: usize, const E: usize>(
    x: Jet<D>,
    value: impl FnOnce(Tensor<D>) -> Tensor<E>,
    map: impl Fn(Tensor<D>) -> Tensor<E>,
) -> Jet<E> {
    by_hand(x, value, |_, v| map(v), |_, _, w| map(w))
}

#[track_caller]
pub(crate) fn wrong(what: &str, result: Result<Errors, String>) {
    let message = result.expect_err("the checker must notice");
    assert!(message.starts_with(what), "noticed the wrong thing: {message}");
}

pub(crate) fn parameter<const D: usize>(dims: [usize; D]) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::zeros(dims, &device()))
}
