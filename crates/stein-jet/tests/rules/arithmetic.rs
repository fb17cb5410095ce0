//! Sums, products and constants.

use burn::module::Param;
use burn::tensor::Tensor;
use stein_jet::{Jet, silu, softplus, tanh};

use crate::checker::{NoParameters, check, parameter, right};

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
fn constants_before_anything_else() {
    for dims in [[1, 1], [1, 6], [3, 1], [3, 6]] {
        let rule = |c: &Param<Tensor<2>>, x: Jet<2>| x.add_constant(c.val()).scale(c.val());
        right(&format!("add and scale {dims:?}"), check(rule, parameter(dims), [3, 6]));
    }
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| x.cat_constant(c.val(), 1);
    right("cat constant", check(rule, parameter([3, 2]), [3, 6]));
}
