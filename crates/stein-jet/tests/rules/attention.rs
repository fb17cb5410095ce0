//! Matrix products, softmax and attention.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax as burns_softmax;
use stein_jet::{Jet, attention, silu, softmax};

use crate::checker::{NoParameters, by_hand, check, right, twins};

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

    let rule = |[left, right, bent_left, mixed, bent_right]: [f64; 5]| {
        move |_: &NoParameters, x: Jet<3>| {
            let product = |a: &Tensor<3>, b: &Tensor<3>| a.clone().matmul(b.clone().swap_dims(1, 2));
            by_hand(
                x,
                |x| product(&x, &x),
                |x, v| product(&v, &x) * left + product(&x, &v) * right,
                |x, v, w| product(&w, &x) * bent_left + product(&v, &v) * 2.0 * mixed + product(&x, &w) * bent_right,
            )
        }
    };
    twins("matmul", ["tangent", "tangent", "second", "second", "second"], rule, vec![], [3, 2, 4]);
}

#[test]
fn softmaxes() {
    for dim in 1..=3 {
        let rule = |_: &NoParameters, x: Jet<4>| softmax(x, dim);
        right(&format!("softmax along {dim}"), check(rule, vec![], [3, 2, 4, 5]));
    }
    right("softmax, rank 2", check(|_: &NoParameters, x: Jet<2>| softmax(x, 1), vec![], [3, 6]));

    // y (a − Σ y a), the sum with a factor of its own
    let centred = |y: &Tensor<3>, a: Tensor<3>, factor: f64| {
        let ya = y.clone() * a;
        ya.clone() - y.clone() * ya.sum_dim(1) * factor
    };
    let rule = |[sum, spread, bend, bent_sum]: [f64; 4]| {
        move |_: &NoParameters, x: Jet<3>| {
            let tangent = |x, v| centred(&burns_softmax(x, 1), v, sum);
            let second = |x, v: Tensor<3>, w: Tensor<3>| {
                let y = burns_softmax(x, 1);
                let c = v.clone() - (y.clone() * v).sum_dim(1);
                centred(&y, c.square() * spread + w * bend, bent_sum)
            };
            by_hand(x, |x| burns_softmax(x, 1), tangent, second)
        }
    };
    twins("softmax", ["tangent", "second", "second", "second"], rule, vec![], [3, 4, 2]);
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

/// Attention, its tangent and its second derivative as the chain rule has them, each term with its own factor.
#[test]
fn twins_of_attention() {
    fn parts(x: Tensor<3>) -> [Tensor<4>; 3] {
        split(Jet::plain(x)).map(Jet::into_value)
    }
    fn scores(q: &Tensor<4>, k: &Tensor<4>) -> Tensor<4> {
        q.clone().matmul(k.clone().swap_dims(2, 3)) * 0.5f64.sqrt()
    }
    fn weights(q: &Tensor<4>, k: &Tensor<4>) -> Tensor<4> {
        burns_softmax(scores(q, k), 3)
    }
    // p (a − Σ p a), the sum with a factor of its own
    fn centred(p: &Tensor<4>, a: Tensor<4>, factor: f64) -> Tensor<4> {
        let along = p.clone() * a;
        along.clone() - p.clone() * along.sum_dim(3) * factor
    }
    let rule = |factors: [f64; 12]| {
        let (first, second) =
            (<[f64; 4]>::try_from(&factors[..4]).unwrap(), <[f64; 8]>::try_from(&factors[4..]).unwrap());
        move |_: &NoParameters, x: Jet<3>| {
            let value = |x| {
                let [q, k, v] = parts(x);
                weights(&q, &k).matmul(v)
            };
            let tangent = |x, tangent| {
                let ([q, k, v], [dq, dk, dv]) = (parts(x), parts(tangent));
                let p = weights(&q, &k);
                let dp = centred(&p, scores(&dq, &k) * first[0] + scores(&q, &dk) * first[1], first[2]);
                dp.matmul(v) + p.matmul(dv) * first[3]
            };
            let second = |x, tangent, second_in| {
                let ([q, k, v], [dq, dk, dv], [ddq, ddk, ddv]) = (parts(x), parts(tangent), parts(second_in));
                let p = weights(&q, &k);
                let ds = scores(&dq, &k) + scores(&q, &dk);
                let dp = centred(&p, ds.clone(), 1.0);
                let dds =
                    scores(&ddq, &k) * second[0] + scores(&dq, &dk) * 2.0 * second[1] + scores(&q, &ddk) * second[2];
                let spread = (ds.clone() - (p.clone() * ds).sum_dim(3)).square() * second[3];
                let ddp = centred(&p, spread + dds, second[4]);
                ddp.matmul(v) * second[5] + dp.matmul(dv) * 2.0 * second[6] + p.matmul(ddv) * second[7]
            };
            by_hand(x, value, tangent, second)
        }
    };
    let seen = [["tangent"; 4], ["second"; 4], ["second"; 4]].concat().try_into().unwrap();
    twins("attention", seen, rule, vec![], [3, 2, NUMBERS]);
}
