//! The residual block of the U-Net and its self-attention.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig, Linear};
use burn::tensor::{Device, Tensor};
use stein_core::{Noise, init};
use stein_jet::{Jet, attention, conv2d, dense, group_norm, group_norm_silu};

/// What all blocks of a network have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    /// Numbers that a block is told of σ and the class.
    pub(super) embedding: usize,
    /// Groups of the norms at most.
    pub(super) groups: usize,
    /// Heads of attention.
    pub(super) heads: usize,
    /// Whether sums of two branches are divided by √2.
    pub(super) scale_skips: bool,
}

impl Common {
    /// Concatenated inputs may not be divisible by the groups; takes as many as do divide them.
    pub(super) fn norm(self, channels: usize, device: &Device) -> GroupNorm {
        let groups = (1..=self.groups).rev().find(|g| channels.is_multiple_of(*g)).unwrap_or(1);
        GroupNormConfig::new(groups, channels).init(device)
    }
}

/// The sum of two branches of about the same variance, at that variance again if they are independent (Song et al. 2021, arXiv
/// 2011.13456, appendix H.1).
fn join(x: Jet<4>, h: Jet<4>, scale: bool) -> Jet<4> {
    if scale { (x + h).scale_by(std::f64::consts::FRAC_1_SQRT_2) } else { x + h }
}

/// A residual block: x + conv(silu(norm(conv(silu(norm(x)))·(1 + scale(σ)) + shift(σ)))), and self-attention where asked for.
#[derive(Module, Debug)]
pub(super) struct Block {
    norm_in: GroupNorm,
    conv_in: Conv2d,
    modulation: Linear,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    skip: Option<Conv2d>,
    attention: Option<Attention>,
    #[module(skip)]
    scale_skips: bool,
}

impl Block {
    pub(super) fn new(
        [inputs, outputs]: [usize; 2],
        attends: bool,
        common: Common,
        noise: &mut Noise,
        device: &Device,
    ) -> Self {
        Self {
            norm_in: common.norm(inputs, device),
            conv_in: init::conv3x3(inputs, outputs, noise, device),
            modulation: init::linear(common.embedding, 2 * outputs, noise, device),
            norm_out: common.norm(outputs, device),
            conv_out: init::zero_conv3x3(outputs, outputs, device),
            skip: (inputs != outputs).then(|| init::conv(inputs, outputs, 1, noise, device)),
            attention: attends.then(|| Attention::new(outputs, common, noise, device)),
            scale_skips: common.scale_skips,
        }
    }

    /// `x` `[B, C, H, W]`, `embedding` `[B, E]`.
    pub(super) fn forward(&self, x: Jet<4>, embedding: &Tensor<2>) -> Jet<4> {
        let h = conv2d(&self.conv_in, group_norm_silu(&self.norm_in, None, x.clone()));
        let [scale, shift] = self.scale_and_shift(embedding);
        let h = conv2d(&self.conv_out, group_norm_silu(&self.norm_out, Some([scale + 1.0, shift]), h));
        let x = match &self.skip {
            None => x,
            Some(skip) => conv2d(skip, x),
        };
        let h = join(x, h, self.scale_skips);
        match &self.attention {
            None => h,
            Some(attention) => attention.forward(h),
        }
    }

    fn scale_and_shift(&self, embedding: &Tensor<2>) -> [Tensor<4>; 2] {
        let both = dense(&self.modulation, embedding.clone());
        let [batch, twice] = both.dims();
        let c = twice / 2;
        [0, c].map(|from| both.clone().narrow(1, from, c).reshape([batch, c, 1, 1]))
    }
}

/// Self-attention between the positions of an image: x + proj(softmax(q kᵀ/√d) v), queries, keys and values by a 1×1 convolution of
/// norm(x) (Ho et al. 2020, arXiv 2006.11239, appendix B).
#[derive(Module, Debug)]
struct Attention {
    norm: GroupNorm,
    qkv: Conv2d,
    proj: Conv2d,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    scale_skips: bool,
}

impl Attention {
    fn new(channels: usize, common: Common, noise: &mut Noise, device: &Device) -> Self {
        Self {
            norm: common.norm(channels, device),
            qkv: init::conv(channels, 3 * channels, 1, noise, device),
            proj: init::zero_conv(channels, channels, 1, device),
            heads: common.heads,
            scale_skips: common.scale_skips,
        }
    }

    fn forward(&self, x: Jet<4>) -> Jet<4> {
        let [batch, channels, height, width] = x.dims();
        let (heads, positions) = (self.heads, height * width);
        let all = conv2d(&self.qkv, group_norm(&self.norm, x.clone()));
        let [q, k, v] = [0, 1, 2].map(|i| {
            let own = all.clone().narrow(1, i * channels, channels);
            own.reshape([batch, heads, channels / heads, positions]).swap_dims(2, 3)
        });
        let h = attention(q, k, v).swap_dims(2, 3).reshape([batch, channels, height, width]);
        join(x, conv2d(&self.proj, h), self.scale_skips)
    }
}
