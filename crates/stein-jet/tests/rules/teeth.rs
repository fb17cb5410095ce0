//! The checker has teeth.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::{GroupNormConfig, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::Tensor;
use stein_jet::{
    Activation, Jet, avg_pool2d, conv2d, group_norm, layer_norm, linear, softmax, tanh, upsample_nearest2d,
};

use crate::checker::{NoParameters, by_hand, check, check_one_batch, device, parameter, right, wrong};

/// tanh, its derivatives passed through `first` and `second`.
fn tanh_by_hand(x: Jet<2>, first: impl Fn(Tensor<2>) -> Tensor<2>, second: impl Fn(Tensor<2>) -> Tensor<2>) -> Jet<2> {
    let derivatives = |x: Tensor<2>| {
        let y = x.tanh();
        let derivative = -y.clone().square() + 1.0;
        [y.clone(), first(derivative.clone()), second(y * derivative * -2.0)]
    };
    let with_derivative = |x| {
        let [y, derivative, _] = derivatives(x);
        (y, derivative)
    };
    x.map2(Tensor::tanh, with_derivative, derivatives)
}

#[test]
fn checker_notices_a_wrong_factor() {
    let rule = |_: &NoParameters, x| tanh_by_hand(x, |d| d * 1.01, |dd| dd);
    wrong("tangent", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_a_wrong_factor_inside_a_network() {
    let rule = |layers: &Vec<Linear>, x: Jet<2>| {
        linear(&layers[1], tanh_by_hand(linear(&layers[0], x), |d| d * 1.01, |dd| dd))
    };
    let layer = || LinearConfig::new(5, 5).init(&device());
    wrong("tangent", check(rule, vec![layer(), layer()], [3, 5]));
}

#[test]
fn checker_notices_a_derivative_cut_from_the_graph() {
    let rule = |_: &NoParameters, x| tanh_by_hand(x, Tensor::detach, |dd| dd);
    wrong("gradient", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_two_functions_in_one_rule() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        let seeded = x.directions() > 0;
        by_hand(tanh(x), |y| if seeded { y + 1e-9 } else { y }, |_, v| v, |_, _, w| w)
    };
    wrong("value", check(rule, vec![], [3, 5]));
    let rule = |_: &NoParameters, x: Jet<2>| {
        let error = if x.order() == 2 { 1e-9 } else { 0.0 };
        by_hand(tanh(x), |y| y, |_, v| v + error, |_, _, w| w)
    };
    wrong("orders", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_nan() {
    let nan = |tensor: Tensor<2>| (tensor * 0.0).log().log();
    wrong("tangent", check(|_: &NoParameters, x| tanh_by_hand(x, nan, |dd| dd), vec![], [3, 5]));
    wrong("second", check(|_: &NoParameters, x| tanh_by_hand(x, |d| d, nan), vec![], [3, 5]));
}

#[test]
fn checker_notices_a_constant_in_a_linear_map() {
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| x.linear_map(|rows| rows + c.val());
    wrong("tangent", check(rule, parameter([1, 5]), [3, 5]));
}

#[test]
fn checker_notices_a_wrong_second_derivative_alone_and_inside_a_network() {
    let alone = |slip: f64| move |_: &NoParameters, x| tanh_by_hand(x, |d| d, |dd| dd * slip);
    right("tanh by hand", check(alone(1.0), vec![], [3, 5]));
    wrong("second", check(alone(1.01), vec![], [3, 5]));
    let inside = |slip: f64| {
        move |layers: &Vec<Linear>, x: Jet<2>| {
            linear(&layers[1], tanh(tanh_by_hand(linear(&layers[0], x), |d| d, |dd| dd * slip)))
        }
    };
    let layers = || vec![LinearConfig::new(5, 5).init(&device()), LinearConfig::new(5, 5).init(&device())];
    right("network by hand", check(inside(1.0), layers(), [3, 5]));
    wrong("second", check(inside(1.01), layers(), [3, 5]));
}

#[test]
fn checker_notices_a_second_derivative_cut_from_the_graph() {
    let rule = |_: &NoParameters, x| tanh_by_hand(x, |d| d, Tensor::detach);
    wrong("gradient", check(rule, vec![], [3, 5]));
}

#[test]
fn checker_notices_second_derivatives_that_are_forgotten() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        let (order, y) = (x.order(), tanh(x));
        if order == 2 { y.second_order() } else { y }
    };
    wrong("second", check(rule, vec![], [3, 5]));
}

/// Also the rules that have no twin of their own.
#[test]
fn checker_notices_any_rule_off_by_a_percent() {
    #[track_caller]
    fn off<M: Module, const D: usize, const E: usize>(
        rule: impl Fn(&M, Jet<D>) -> Jet<E>,
        module: M,
        dims: [usize; D],
    ) {
        for (what, factors) in [("tangent", [1.01, 1.0]), ("second", [1.0, 1.01])] {
            let off = |module: &M, x: Jet<D>| {
                by_hand(rule(module, x), |y| y, |_, v| v * factors[0], |_, _, w| w * factors[1])
            };
            wrong(what, check_one_batch(off, module.clone(), dims));
        }
    }
    for activation in Activation::ALL {
        off(|_: &NoParameters, x: Jet<2>| activation.apply(x), vec![], [3, 5]);
    }
    off(linear, LinearConfig::new(5, 7).init(&device()), [3, 5]);
    off(conv2d, Conv2dConfig::new([2, 4], [3, 3]).init(&device()), [3, 2, 5, 6]);
    off(group_norm, GroupNormConfig::new(2, 4).init(&device()), [3, 4, 3, 3]);
    off(|_: &NoParameters, x| upsample_nearest2d(x, 2), vec![], [3, 2, 2, 3]);
    off(|_: &NoParameters, x| avg_pool2d(x, 2), vec![], [3, 2, 4, 4]);
    off(layer_norm, LayerNormConfig::new(5).init(&device()), [3, 2, 5]);
    off(|_: &NoParameters, x: Jet<2>| softmax(x, 1), vec![], [3, 5]);
    off(|_: &NoParameters, x: Jet<2>| x.clone() * x, vec![], [3, 5]);
    off(|_: &NoParameters, x: Jet<2>| x.clone() + x.scale_by(2.0), vec![], [3, 5]);
}
