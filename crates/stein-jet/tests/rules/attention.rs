//! Matrix products, softmax and attention.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax as burns_softmax;
use stein_jet::{Jet, attention, silu, softmax};

use crate::checker::{NoParameters, by_hand, check, right, twin};

#[test]
fn products_of_matrices() {
    let rule = |_: &NoParameters, x: Jet<3>| {
        let (a, b) = (x.clone().narrow(1, 0, 2), x.narrow(1, 2, 3));
        a.matmul(b.swap_dims(1, 2))
    };
    right("matmul", check(rule, vec![], [3, 5, 4]));
    let rule = |_: &NoParameters, x: Jet<4>| silu(x.clone()).swap_dims(2, 3).matmul(x);
    right("matmul, rank 4, left by example", check(rule, vec![], [3, 2, 4, 5]));
    let rule = |_: &NoParameters, x: Jet<5>| x.clone().matmul(silu(x).swap_dims(3, 4));
    right("matmul, rank 5, right by example", check(rule, vec![], [2, 3, 2, 1, 4]));

    let rule = |slip: f64| {
        move |_: &NoParameters, x: Jet<3>| {
            let product = |a: Tensor<3>, b: Tensor<3>| a.matmul(b.swap_dims(1, 2));
            let square = |x: Tensor<3>| product(x.clone(), x);
            by_hand(x, square, |x, v| product(v.clone(), x.clone()) + product(x, v) * slip)
        }
    };
    twin("matmul", rule, vec![], [3, 2, 4]);
}

#[test]
fn softmaxes() {
    for dim in 1..=3 {
        let rule = |_: &NoParameters, x: Jet<4>| softmax(x, dim);
        right(&format!("softmax along {dim}"), check(rule, vec![], [3, 2, 4, 5]));
    }
    right("softmax, rank 2", check(|_: &NoParameters, x: Jet<2>| softmax(x, 1), vec![], [3, 6]));

    let rule = |slip: f64| {
        move |_: &NoParameters, x: Jet<3>| {
            by_hand(
                x,
                |x| burns_softmax(x, 1),
                |x, v| {
                    let y = burns_softmax(x, 1);
                    let yv = y.clone() * v;
                    yv.clone() - y * yv.sum_dim(1) * slip
                },
            )
        }
    };
    twin("softmax", rule, vec![], [3, 4, 2]);
}

/// Queries, keys and values out of one jet: 4 tokens ask 3, in 2 dimensions, for values in 5.
const QUERIES: [usize; 2] = [4, 2];
const KEYS: [usize; 2] = [3, 2];
const VALUES: [usize; 2] = [3, 5];
const NUMBERS: usize = 8 + 6 + 15;

fn split(x: Jet<3>) -> [Jet<4>; 3] {
    let [batch, heads, _] = x.dims();
    let part = |from, [n, d]: [usize; 2]| x.clone().narrow(2, from, n * d).reshape([batch, heads, n, d]);
    [part(0, QUERIES), part(8, KEYS), part(14, VALUES)]
}

#[test]
fn attentions() {
    let rule = |_: &NoParameters, x: Jet<3>| {
        let [q, k, v] = split(x);
        attention(q, k, v)
    };
    right("attention", check(rule, vec![], [3, 2, NUMBERS]));
    right("attention, one example", check(rule, vec![], [1, 2, NUMBERS]));
    let rule = |_: &NoParameters, x: Jet<3>| {
        let [q, k, v] = split(x);
        attention(silu(q), k, v)
    };
    right("attention, queries by example", check(rule, vec![], [3, 2, NUMBERS]));
    let rule = |_: &NoParameters, x: Jet<3>| {
        let [q, k, v] = split(x);
        attention(q, silu(k), silu(v))
    };
    right("attention, the rest by example", check(rule, vec![], [3, 2, NUMBERS]));
}

/// Attention and its tangent as the chain rule has it, each of four terms with its own factor.
#[test]
fn twins_of_attention() {
    fn parts(x: Tensor<3>) -> [Tensor<4>; 3] {
        split(Jet::plain(x)).map(Jet::into_value)
    }
    fn weights(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
        burns_softmax(scores(q, k), 3)
    }
    fn scores(q: Tensor<4>, k: Tensor<4>) -> Tensor<4> {
        q.matmul(k.swap_dims(2, 3)) * 0.5f64.sqrt()
    }
    for term in 0..4 {
        let rule = |slip: f64| {
            let mut factors = [1.0; 4];
            factors[term] = slip;
            move |_: &NoParameters, x: Jet<3>| {
                let value = |x| {
                    let [q, k, v] = parts(x);
                    weights(q, k).matmul(v)
                };
                let tangent = |x, tangent| {
                    let ([q, k, v], [dq, dk, dv]) = (parts(x), parts(tangent));
                    let p = weights(q.clone(), k.clone());
                    let along = p.clone() * (scores(dq, k) * factors[0] + scores(q, dk) * factors[1]);
                    let dp = along.clone() - p.clone() * along.sum_dim(3) * factors[2];
                    dp.matmul(v) + p.matmul(dv) * factors[3]
                };
                by_hand(x, value, tangent)
            }
        };
        twin(&format!("attention {term}"), rule, vec![], [3, 2, NUMBERS]);
    }
}
