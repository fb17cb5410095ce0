//! Tangents that the examples share: what they mean and how many rows they cost.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2dConfig, ConvTranspose2dConfig};
use burn::nn::{GroupNormConfig, LayerNormConfig, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use stein_jet::{
    Activation, Jet, conv_transpose2d, conv2d, group_norm, layer_norm, linear, pixel_unshuffle, silu, softmax, square,
};

use crate::checker::{NoParameters, Normal, Randomise, by_hand, check, device, parameter, relative, right, wrong};
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
    }
    for batch in [1, 3] {
        agree(Mlp::forward, mlp(), [batch, 4]);
        agree(ConvNet::forward, conv_net(), [batch, 16]);
        agree(Transformer::forward, transformer(), [batch, 12]);
    }
}

/// With one example the two layouts are the same rows; with as many examples as directions they are easily mixed up.
#[test]
fn batches_of_one_and_of_two() {
    for batch in [1, 2] {
        for activation in Activation::ALL {
            let rule = |_: &NoParameters, x: Jet<2>| activation.apply(x);
            right(&format!("{activation:?}, batch of {batch}"), check(rule, vec![], [batch, 6]));
        }
        right("mlp", check(Mlp::forward, mlp(), [batch, 4]));
        right("conv net", check(ConvNet::forward, conv_net(), [batch, 16]));
        right("transformer", check(Transformer::forward, transformer(), [batch, 12]));
        let rule = |c: &Param<Tensor<2>>, x: Jet<2>| {
            let y = x.clone().add_constant(c.val()).scale(c.val()).cat_constant(c.val(), 1);
            Jet::cat(vec![y.narrow(1, 0, 6) * x.clone(), x.clone() - silu(x)], 1)
        };
        right("mixed", check(rule, parameter([batch, 6]), [batch, 6]));
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
        )
    };
    wrong("tangent", check(rule, vec![], [3, 6]));
    let rule = |c: &Param<Tensor<2>>, x: Jet<2>| by_hand(x, |x| x * c.val(), |_, v| v * c.val().narrow(0, 0, 1));
    wrong("tangent", check(rule, parameter([3, 1]), [3, 6]));
}
