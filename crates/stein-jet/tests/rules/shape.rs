//! Shape: what moves numbers or adds them up.

use burn::module::Param;
use burn::tensor::Tensor;
use stein_jet::{Jet, elu, tanh};

use crate::checker::{NoParameters, Normal, check, check_one_batch, linear_by_hand, parameter, right, wrong};

#[test]
fn structure() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        let b = x.batch();
        tanh(x.reshape([b, 2, 3])).linear_map(|rows| rows.swap_dims(1, 2)).reshape([b, 6])
    };
    right("reshape and transpose", check(rule, vec![], [3, 6]));
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| elu(x).affine(|rows| rows.sum_dim(1), c.val());
    right("affine", check_one_batch(rule, parameter([3, 1]), [3, 6]));
    let rule = |_: &NoParameters, x| linear_by_hand(x, |x| x, |v| v);
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
    assert_eq!(y.order(), 1);
    let line = y.clone().second_order();
    assert_eq!((line.order(), line.seconds().dims()), (2, [6, 2]));
    assert_eq!(line.seconds().abs().max().into_scalar::<f64>(), 0.0);
    let [a, b] = [(); 2].map(|()| normal.tensor([3, 2]));
    let curve = y.with_seconds(Tensor::cat(vec![a.clone(), b.clone()], 0));
    for (got, expected) in
        [(curve.value(), line.value()), (curve.tangents(), line.tangents()), (curve.second(0), a), (curve.second(1), b)]
    {
        got.into_data().assert_eq(&expected.into_data(), true);
    }
    let plain = Jet::seed(x, vec![]);
    assert_eq!((plain.order(), plain.clone().second_order().order()), (0, 0));
    assert_eq!((plain.batch(), plain.directions(), plain.dims()), (3, 0, [3, 2]));
    assert!(plain.into_parts().1.is_none());
}

#[test]
fn permutations() {
    let rule = |_: &NoParameters, x: Jet<4>| tanh(x.permute([0, 3, 1, 2])).permute([0, 2, 3, 1]);
    right("permute", check(rule, vec![], [3, 2, 4, 5]));
    right("swap dims", check(|_: &NoParameters, x: Jet<4>| tanh(x.swap_dims(1, 3)), vec![], [3, 2, 4, 5]));

    let rule = |_: &NoParameters, x: Jet<3>| linear_by_hand(x, |x| x.permute([0, 2, 1]), |v| v);
    wrong("tangent", check(rule, vec![], [3, 2, 2]));
}

#[test]
fn sums_and_means() {
    for dim in 1..=3 {
        let rule = |_: &NoParameters, x: Jet<4>| tanh(x).sum_dim(dim);
        right(&format!("sum along {dim}"), check(rule, vec![], [3, 2, 4, 5]));
        let rule = |_: &NoParameters, x: Jet<4>| x.mean_dim(dim);
        right(&format!("mean along {dim}"), check(rule, vec![], [3, 2, 4, 5]));
    }
    let rule = |_: &NoParameters, x: Jet<3>| linear_by_hand(x, |x| x.sum_dim(1), |v| v.mean_dim(1));
    wrong("tangent", check(rule, vec![], [3, 2, 2]));
    let rule = |_: &NoParameters, x: Jet<3>| linear_by_hand(x, |x| x.mean_dim(1), |v| v.mean_dim(2).swap_dims(1, 2));
    wrong("tangent", check(rule, vec![], [3, 2, 2]));
}
