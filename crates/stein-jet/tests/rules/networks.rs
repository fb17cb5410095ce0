//! Rules composed to networks.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2dConfig};
use burn::nn::{
    GroupNorm, GroupNormConfig, InstanceNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::{DType, Tensor, TensorData, module};
use stein_jet::{
    Activation, Jet, attention, avg_pool2d, conv_transpose2d, conv2d, group_norm, instance_norm, layer_norm, linear,
    silu, upsample_nearest2d,
};

use crate::checker::{Normal, Randomise, check, device, right};

/// A σ for each example, `[batch, 1]`.
fn ladder(batch: usize) -> Tensor<2> {
    let sigmas = TensorData::new((0..batch).map(|i| 0.5 * 2f64.powi(i as i32)).collect(), [batch, 1]);
    Tensor::from_data(sigmas, (&device(), DType::F64))
}

#[derive(Module, Debug)]
pub(crate) struct Mlp {
    layers: Vec<Linear>,
    embedding: Linear,
    output: Linear,
}

impl Mlp {
    /// Every activation once, an embedding of σ, and an output divided by σ.
    pub(crate) fn forward(&self, mut x: Jet<2>) -> Jet<2> {
        let sigma = ladder(x.batch());
        let embedding = self.embedding.forward(sigma.clone().log());
        for (layer, activation) in self.layers.iter().zip(Activation::ALL) {
            x = activation.apply(linear(layer, x).add_constant(embedding.clone()));
        }
        linear(&self.output, x).scale(sigma.recip())
    }
}

pub(crate) fn mlp() -> Mlp {
    let layer = |input, output| LinearConfig::new(input, output).init(&device());
    Mlp {
        layers: vec![layer(4, 8), layer(8, 8), layer(8, 8), layer(8, 8), layer(8, 8)],
        embedding: layer(1, 8),
        output: layer(8, 4),
    }
}

#[test]
fn multi_layer_perceptron() {
    right("mlp", check(Mlp::forward, mlp(), [3, 4]));
}

#[derive(Module, Debug)]
pub(crate) struct ConvNet {
    input: Conv2d,
    norm: GroupNorm,
    embedding: Linear,
    middle: Conv2d,
    output: Conv2d,
}

impl ConvNet {
    /// A block at half resolution, scaled and shifted by an embedding of σ, with a skip connection around it: a U-Net in small.
    pub(crate) fn forward(&self, x: Jet<2>) -> Jet<2> {
        let batch = x.batch();
        let h = conv2d(&self.input, x.reshape([batch, 1, 4, 4]));
        let embedding: Tensor<4> = self.embedding.forward(ladder(batch).log()).reshape([batch, 8, 1, 1]);
        let [scale, shift] = [0, 4].map(|start| embedding.clone().narrow(1, start, 4));
        let low = group_norm(&self.norm, avg_pool2d(h.clone(), 2)).scale(scale + 1.0).add_constant(shift);
        let low = conv2d(&self.middle, silu(low));
        let h = Jet::cat(vec![h, upsample_nearest2d(low, 2)], 1);
        conv2d(&self.output, h).reshape([batch, 16])
    }
}

pub(crate) fn conv_net() -> ConvNet {
    let conv = |input, output| {
        let config = Conv2dConfig::new([input, output], [3, 3]).with_padding(PaddingConfig2d::Same);
        config.init(&device())
    };
    ConvNet {
        input: conv(1, 4),
        norm: GroupNormConfig::new(2, 4).init(&device()),
        embedding: LinearConfig::new(1, 8).init(&device()),
        middle: conv(4, 4),
        output: conv(8, 1),
    }
}

#[test]
fn conv_group_norm_silu_net() {
    right("conv net", check(ConvNet::forward, conv_net(), [3, 16]));
}

#[derive(Module, Debug)]
pub(crate) struct Transformer {
    norm: LayerNorm,
    input: Linear,
    output: Linear,
}

impl Transformer {
    /// A block of two-headed self-attention over three tokens of four numbers.
    pub(crate) fn forward(&self, x: Jet<2>) -> Jet<2> {
        let batch = x.batch();
        let tokens = x.reshape([batch, 3, 4]);
        let mixed = linear(&self.input, layer_norm(&self.norm, tokens.clone()));
        let heads = |part: usize| mixed.clone().narrow(2, 4 * part, 4).reshape([batch, 3, 2, 2]).swap_dims(1, 2);
        let answers = attention(heads(0), heads(1), heads(2)).swap_dims(1, 2).reshape([batch, 3, 4]);
        (tokens + linear(&self.output, answers)).reshape([batch, 12])
    }
}

pub(crate) fn transformer() -> Transformer {
    Transformer {
        norm: LayerNormConfig::new(4).init(&device()),
        input: LinearConfig::new(4, 12).init(&device()),
        output: LinearConfig::new(4, 4).init(&device()),
    }
}

#[test]
fn attention_block() {
    right("transformer", check(Transformer::forward, transformer(), [3, 12]));
}

/// The energy −½ xᵀ F(x) of a network F: a sum of products of what is affine and what is bent.
#[test]
fn energies_of_networks() {
    fn energy(x: Jet<2>, output: Jet<2>) -> Jet<2> {
        (x * output).sum_dim(1).scale_by(-0.5)
    }
    let rule = |net: &Mlp, x: Jet<2>| energy(x.clone(), net.forward(x));
    right("energy of an mlp", check(rule, mlp(), [3, 4]));
    let rule = |net: &ConvNet, x: Jet<2>| energy(x.clone(), net.forward(x));
    right("energy of a conv net", check(rule, conv_net(), [3, 16]));
    let rule = |net: &Transformer, x: Jet<2>| energy(x.clone(), net.forward(x));
    right("energy of a transformer", check(rule, transformer(), [3, 12]));
}

/// The plain path of the layers is burn's own forward, to the bit.
#[test]
fn without_directions_a_layer_is_burns_own() {
    let net = conv_net().map(&mut Randomise(&mut Normal(3)));
    let x: Tensor<4> = Normal(4).tensor([3, 1, 4, 4]);
    let h = net.input.forward(x.clone());
    let expected = burn::tensor::activation::silu(net.norm.forward(h)).into_data();
    let got = silu(group_norm(&net.norm, conv2d(&net.input, Jet::plain(x))));
    got.into_value().into_data().assert_eq(&expected, true);
}

#[test]
fn without_directions_more_layers_are_burns_own() {
    fn equal<const D: usize>(got: Jet<D>, expected: Tensor<D>) {
        got.into_value().into_data().assert_eq(&expected.into_data(), true);
    }
    let mut normal = Normal(5);
    let x: Tensor<4> = normal.tensor([3, 4, 2, 6]);
    let plain = || Jet::plain(x.clone());
    let transpose = ConvTranspose2dConfig::new([4, 2], [3, 3]).init(&device()).map(&mut Randomise(&mut normal));
    equal(conv_transpose2d(&transpose, plain()), transpose.forward(x.clone()));
    let norm = InstanceNormConfig::new(4).init(&device()).map(&mut Randomise(&mut normal));
    equal(instance_norm(&norm, plain()), norm.forward(x.clone()));
    let norm = LayerNormConfig::new(6).init(&device()).map(&mut Randomise(&mut normal));
    equal(layer_norm(&norm, plain()), norm.forward(x.clone()));
    let [q, k, v] = [(); 3].map(|()| normal.tensor([3, 2, 4, 5]));
    let expected = module::attention(q.clone(), k.clone(), v.clone(), None, None, Default::default());
    equal(attention(Jet::plain(q), Jet::plain(k), Jet::plain(v)), expected);
}
