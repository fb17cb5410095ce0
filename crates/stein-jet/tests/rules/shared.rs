//! Tangents that the examples share, and second derivatives that are zero: what they mean and how many rows they cost.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2dConfig, ConvTranspose2dConfig};
use burn::nn::{GroupNormConfig, LayerNormConfig, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use stein_jet::{
    Jet, conv_transpose2d, conv2d, group_norm, layer_norm, linear, pixel_unshuffle, silu, softmax, square,
};

use crate::checker::{
    NoParameters, Normal, Randomise, by_hand, check, check_one_batch, device, linear_by_hand, parameter, relative,
    wrong,
};
use crate::networks::{ConvNet, Mlp, Transformer, conv_net, mlp, transformer};

const B: usize = 5;
const K: usize = 3;

/// The rows that the next linear map would see.
fn rows<const D: usize>(x: Jet<D>) -> usize {
    let mut seen = 0;
    let _ = x.linear_map(|rows| {
        seen = rows.dims()[0];
        rows
    });
    seen
}

fn images() -> Jet<4> {
    let mut normal = Normal(2);
    Jet::seed_shared(normal.tensor([B, 2, 4, 4]), normal.tensor([K, 2, 4, 4]))
}

fn vectors() -> Jet<2> {
    let mut normal = Normal(2);
    Jet::seed_shared(normal.tensor([B, 6]), normal.tensor([K, 6]))
}

#[test]
fn linear_maps_see_a_row_for_each_direction() {
    let mut normal = Normal(3);
    let layer = LinearConfig::new(6, 4).init(&device()).map(&mut Randomise(&mut normal));
    let basis = Jet::basis(normal.tensor([B, 6]));
    assert_eq!(rows(basis.clone()), B + 6);
    assert_eq!(rows(linear(&layer, basis)), B + 6);

    let conv = Conv2dConfig::new([2, 4], [3, 3]).init(&device()).map(&mut Randomise(&mut normal));
    let transpose = ConvTranspose2dConfig::new([2, 4], [3, 3]).init(&device()).map(&mut Randomise(&mut normal));
    let each = normal.tensor([B, 2]);
    let all = normal.tensor([1, 6]);
    let x = vectors();
    let shared = [
        rows(linear(&layer, x.clone())),
        rows(conv2d(&conv, images())),
        rows(conv_transpose2d(&transpose, images())),
        rows(pixel_unshuffle(images(), 2)),
        rows(images().permute([0, 2, 3, 1]).swap_dims(1, 3).sum_dim(2).mean_dim(3)),
        rows(x.clone().add_constant(normal.tensor([B, 6])).add_constant(all.clone())),
        rows(x.clone().cat_constant(each, 1)),
        rows(x.clone().reshape([B, 2, 3]).narrow(2, 1, 2)),
        rows(Jet::cat(vec![x.clone(), x.clone()], 1)),
        rows(x.clone().scale_by(2.0).scale(all)),
        rows(-(x.clone() + x.clone()) - x.clone()),
    ];
    assert_eq!(shared, [B + K; 11]);

    let norm = GroupNormConfig::new(2, 4).init(&device()).map(&mut Randomise(&mut normal));
    let of_rows = LayerNormConfig::new(6).init(&device()).map(&mut Randomise(&mut normal));
    let own = [
        rows(silu(x.clone())),
        rows(x.clone().scale(normal.tensor([B, 1]))),
        rows(x.clone() * x.clone()),
        rows(softmax(x.clone(), 1)),
        rows(x.clone() + silu(x.clone())),
        rows(silu(x.clone()) - x.clone()),
        rows(Jet::cat(vec![x.clone(), silu(x.clone())], 1)),
        rows(group_norm(&norm, conv2d(&conv, images()))),
        rows(layer_norm(&of_rows, x)),
    ];
    assert_eq!(own, [(1 + K) * B; 9]);
}

/// Second derivatives cost no rows before there are any.
#[test]
fn second_derivatives_are_stored_from_the_first_bend_on() {
    let mut normal = Normal(3);
    let layer = LinearConfig::new(6, 4).init(&device()).map(&mut Randomise(&mut normal));
    let (all, each) = (normal.tensor([1, 6]), normal.tensor([B, 1]));
    let x = vectors().second_order();
    assert_eq!(x.order(), 2);
    let affine = x.clone().add_constant(all.clone()).scale(all);
    let shared = [rows(linear(&layer, affine.clone())), rows(affine.clone() - x.clone())];
    assert_eq!(shared, [B + K; 2]);
    let scaled = x.clone().scale(each);
    let own = [rows(scaled.clone()), rows(Jet::cat(vec![scaled, x.clone()], 1))];
    assert_eq!(own, [(1 + K) * B; 2]);
    let bent = silu(x.clone());
    let all = [
        rows(bent.clone()),
        rows(x.clone() * affine),
        rows(bent.clone() + x.clone()),
        rows(x.clone() - bent.clone()),
        rows(Jet::cat(vec![x.clone(), bent.clone()], 1)),
        rows(softmax(x, 1)),
    ];
    assert_eq!(all, [(1 + 2 * K) * B; 6]);
    // The beginning of a new line keeps the tangents and lets the bend go.
    assert_eq!(rows(bent.second_order()), (1 + K) * B);
}

#[test]
fn shared_tangents_mean_the_same_as_seeded_ones() {
    fn agree<const D: usize>(x: Tensor<D>, v: Tensor<D>) {
        let mut dims = v.dims();
        dims[0] = x.dims()[0];
        let each = (0..v.dims()[0]).map(|i| v.clone().narrow(0, i, 1).expand(dims).mul_scalar(1.0)).collect();
        let (shared, seeded) = (Jet::seed_shared(x.clone(), v), Jet::seed(x, each));
        assert_eq!(
            (shared.batch(), shared.directions(), shared.dims()),
            (seeded.batch(), seeded.directions(), seeded.dims())
        );
        let lines = [&shared, &seeded].map(|jet| jet.clone().second_order());
        let [bent, expected] = lines.map(|line| (line.clone() * line.clone() + line).seconds());
        equal(bent, expected);
        for (shared, seeded) in [(shared.clone(), seeded.clone()), (shared.scale_by(2.0), seeded.scale_by(2.0))] {
            equal(shared.value(), seeded.value());
            equal(shared.tangents(), seeded.tangents());
            for i in 0..seeded.directions() {
                equal(shared.tangent(i), seeded.tangent(i));
            }
            let ((value, tangents), (_, expected)) = (shared.into_parts(), seeded.into_parts());
            equal(tangents.clone().unwrap(), expected.unwrap());
            assert_eq!(Jet::from_parts(value, tangents).dims(), dims);
        }
    }
    fn equal<const D: usize>(got: Tensor<D>, expected: Tensor<D>) {
        got.into_data().assert_eq(&expected.into_data(), true);
    }
    let mut normal = Normal(4);
    for (b, k) in [(3, 2), (1, 1), (1, 3), (3, 1), (2, 2)] {
        agree(normal.tensor([b, 4]), normal.tensor([k, 4]));
        agree(normal.tensor([b, 2, 1, 3]), normal.tensor([k, 2, 1, 3]));
    }
}

#[test]
fn no_shared_directions_are_a_plain_tensor() {
    let x: Tensor<2> = Normal(5).tensor([3, 2]);
    let jet = Jet::seed_shared(x, Tensor::zeros([0, 2], &device()));
    assert_eq!((jet.batch(), jet.directions()), (3, 0));
    assert!(jet.into_parts().1.is_none());
}

#[test]
fn a_basis_gives_the_columns_of_the_jacobian() {
    let x: Tensor<2> = Tensor::from_data([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &device());
    let tangents = square(Jet::basis(x)).tangents().into_data();
    let expected = TensorData::from([
        [2.0f32, 0.0, 0.0],
        [8.0, 0.0, 0.0],
        [0.0, 4.0, 0.0],
        [0.0, 10.0, 0.0],
        [0.0, 0.0, 6.0],
        [0.0, 0.0, 12.0],
    ]);
    tangents.assert_eq(&expected, true);
}

#[test]
fn a_basis_agrees_with_seeded_unit_vectors() {
    fn agree<M: Module>(forward: impl Fn(&M, Jet<2>) -> Jet<2>, net: M, dims: [usize; 2]) {
        let mut normal = Normal(6);
        let net = net.map(&mut Randomise(&mut normal));
        let x: Tensor<2> = normal.tensor(dims);
        let unit = |i| {
            let mut numbers = vec![0.0; dims[1]];
            numbers[i] = 1.0;
            x.zeros_like() + Tensor::from_data(TensorData::new(numbers, [1, dims[1]]), (&x.device(), x.dtype()))
        };
        let seeded = forward(&net, Jet::seed(x.clone(), (0..dims[1]).map(unit).collect()));
        let shared = forward(&net, Jet::basis(x.clone()));
        assert!(relative(shared.value(), seeded.value()) < 1e-13);
        assert!(relative(shared.tangents(), seeded.tangents()) < 1e-12);
        let lines = [Jet::seed(x.clone(), (0..dims[1]).map(unit).collect()), Jet::basis(x.clone())];
        let [seeded, shared] = lines.map(|line| forward(&net, line.second_order()).seconds());
        assert!(relative(shared, seeded) < 1e-12);
    }
    for batch in [1, 3] {
        agree(Mlp::forward, mlp(), [batch, 4]);
        agree(ConvNet::forward, conv_net(), [batch, 16]);
        agree(Transformer::forward, transformer(), [batch, 12]);
    }
}

#[test]
fn the_first_examples_derivative_is_not_everyones() {
    let rule = |_: &NoParameters, x: Jet<2>| {
        by_hand(
            x,
            |x| x.square(),
            |x, v| {
                let first = x.clone().narrow(0, 0, 1);
                v * (x.zeros_like() + first) * 2.0
            },
            |x, v, w| (v.square() + x * w) * 2.0,
        )
    };
    wrong("tangent", check(rule, vec![], [3, 6]));
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| linear_by_hand(x, |x| x * c.val(), |v| v * c.val().narrow(0, 0, 1));
    wrong("tangent", check_one_batch(rule, parameter([3, 1]), [3, 6]));
    let rule = |_: &NoParameters, x: Jet<2>| {
        by_hand(
            x,
            |x| x.square(),
            |x, v| x * v * 2.0,
            |x, v, w| ((x.zeros_like() + v.narrow(0, 0, 1)).square() + x * w) * 2.0,
        )
    };
    wrong("second", check(rule, vec![], [3, 6]));
}
