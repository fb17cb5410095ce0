//! The checker has teeth.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2dConfig;
use burn::nn::{GroupNormConfig, Linear, LinearConfig};
use burn::tensor::Tensor;
use stein_jet::{Activation, Jet, avg_pool2d, conv2d, group_norm, linear, upsample_nearest2d};

use crate::checker::{NoParameters, check, device, parameter, wrong};

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

/// The rules that have no twin of their own.
#[test]
fn checker_notices_any_rule_off_by_a_percent() {
    #[track_caller]
    fn off<M: Module, const D: usize, const E: usize>(
        rule: impl Fn(&M, Jet<D>) -> Jet<E>,
        module: M,
        dims: [usize; D],
    ) {
        let off = |module: &M, x: Jet<D>| {
            let (value, tangents) = rule(module, x).into_parts();
            Jet::from_parts(value, tangents.map(|tangents| tangents * 1.01))
        };
        wrong("tangent", check(off, module, dims));
    }
    for activation in Activation::ALL {
        off(|_: &NoParameters, x: Jet<2>| activation.apply(x), vec![], [3, 5]);
    }
    off(linear, LinearConfig::new(5, 7).init(&device()), [3, 5]);
    off(conv2d, Conv2dConfig::new([2, 4], [3, 3]).init(&device()), [3, 2, 5, 6]);
    off(group_norm, GroupNormConfig::new(2, 4).init(&device()), [3, 4, 3, 3]);
    off(|_: &NoParameters, x| upsample_nearest2d(x, 2), vec![], [3, 2, 2, 3]);
    off(|_: &NoParameters, x| avg_pool2d(x, 2), vec![], [3, 2, 4, 4]);
    off(|_: &NoParameters, x: Jet<2>| x.clone() * x, vec![], [3, 5]);
    off(|_: &NoParameters, x: Jet<2>| x.clone() + x.scale_by(2.0), vec![], [3, 5]);
}
