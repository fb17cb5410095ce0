//! Sums, products and constants.

use burn::module::Param;
use burn::tensor::Tensor;
use stein_jet::{Jet, silu, softplus, square, tanh};

use crate::checker::{NoParameters, by_hand, check, check_one_batch, parameter, right, twins};

/// The first half of x and a function of the second.
fn halves(x: Jet<2>) -> [Jet<2>; 2] {
    [x.clone().narrow(1, 0, 3), silu(x.narrow(1, 3, 3))]
}

#[test]
fn arithmetic() {
    let binary = |name: &str, operation: fn(Jet<2>, Jet<2>) -> Jet<2>| {
        let rule = |_: &NoParameters, x| {
            let [a, b] = halves(x);
            operation(a, b)
        };
        right(name, check(rule, vec![], [3, 6]));
    };
    binary("a + b", |a, b| a + b);
    binary("a - b", |a, b| a - b);
    binary("a * b", |a, b| a * b);
    binary("-a * a", |a, _| -a.clone() * a);
    binary("cat", |a, b| Jet::cat(vec![a.clone(), b, a], 1));
    // What is affine stores no second derivatives; here it comes last.
    binary("b + a", |a, b| b + a);
    binary("b - a", |a, b| b - a);
    binary("b * a", |a, b| b * a);
    binary("-b * b", |_, b| -b.clone() * b);
    binary("cat, bent first", |a, b| Jet::cat(vec![b.clone(), a, b], 1));
    right("scale by 3", check(|_: &NoParameters, x: Jet<2>| x.scale_by(3.0), vec![], [3, 6]));
    right("mul, rank 4", check(|_: &NoParameters, x: Jet<4>| x.clone() * tanh(x), vec![], [3, 2, 2, 2]));
}

/// What is affine in x meets what is not, with a factor for each example between them.
#[test]
fn mixtures() {
    for batch in 1..=3 {
        let rule = |c: &Param<Tensor<2>>, x: Jet<2>| {
            let y = x.clone().add_constant(c.val()).scale(c.val()).cat_constant(c.val(), 1);
            Jet::cat(vec![y.narrow(1, 0, 6) * x.clone(), x.clone() - silu(x)], 1)
        };
        right("mixed", check_one_batch(rule, parameter([batch, 6]), [batch, 6]));
    }
    let rule = |_: &NoParameters, x: Jet<2>| {
        let ([a, b], c) = (halves(x.clone()), square(x).narrow(1, 2, 3));
        (a.clone() + b.clone()) * a.clone() - b * (c + a)
    };
    right("sums of products", check(rule, vec![], [3, 6]));
}

/// f g out of two halves of x.
#[test]
fn twins_of_products() {
    fn parts(x: Tensor<2>) -> [Tensor<2>; 2] {
        [x.clone().narrow(1, 0, 3), x.narrow(1, 3, 3)]
    }
    let rule = |[left, right, bent_left, mixed, bent_right]: [f64; 5]| {
        move |_: &NoParameters, x: Jet<2>| {
            let value = |x| {
                let [f, g] = parts(x);
                f * g
            };
            let tangent = |x, v| {
                let ([f, g], [df, dg]) = (parts(x), parts(v));
                df * g * left + f * dg * right
            };
            let second = |x, v, w| {
                let ([f, g], [df, dg], [ddf, ddg]) = (parts(x), parts(v), parts(w));
                ddf * g * bent_left + df * dg * 2.0 * mixed + f * ddg * bent_right
            };
            by_hand(x, value, tangent, second)
        }
    };
    twins("f * g", ["tangent", "tangent", "second", "second", "second"], rule, vec![], [3, 6]);
}

#[test]
fn constants() {
    for batch in 1..=3 {
        for dims in [[1, 1], [1, 6], [batch, 1], [batch, 6]] {
            let rule = |c: &Param<Tensor<2>>, x: Jet<2>| softplus(x).add_constant(c.val());
            right(&format!("add constant {dims:?}"), check_one_batch(rule, parameter(dims), [batch, 6]));
            let rule = |c: &Param<Tensor<2>>, x: Jet<2>| softplus(x).scale(c.val());
            right(&format!("scale {dims:?}"), check_one_batch(rule, parameter(dims), [batch, 6]));
        }
    }
    for dims in [[1, 2, 1, 1], [3, 2, 1, 1], [3, 1, 4, 4]] {
        let rule = |c: &Param<Tensor<4>>, x: Jet<4>| x.scale(c.val()).add_constant(c.val());
        right(&format!("modulate {dims:?}"), check_one_batch(rule, parameter(dims), [3, 2, 4, 4]));
    }
}

#[test]
fn constants_before_anything_else() {
    for batch in 1..=3 {
        for dims in [[1, 1], [1, 6], [batch, 1], [batch, 6]] {
            let rule = |c: &Param<Tensor<2>>, x: Jet<2>| x.add_constant(c.val()).scale(c.val());
            right(&format!("add and scale {dims:?}"), check_one_batch(rule, parameter(dims), [batch, 6]));
        }
        let rule = |c: &Param<Tensor<2>>, x: Jet<2>| x.cat_constant(c.val(), 1);
        right("cat constant", check_one_batch(rule, parameter([batch, 2]), [batch, 6]));
    }
}
