//! Residual blocks, self-attention, and what changes the resolution. Fields have the names of the authors' PyTorch modules, so weights
//! have too.
#![allow(non_snake_case, reason = "names of the authors' modules")]

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::Tensor;
use stein_jet::upsample_nearest2d;
use stein_jet::{Fir, Jet, attention, avg_pool2d, conv2d, dense, group_norm, group_norm_silu, linear, upfirdn2d};

use super::workshop::{Look, NOTHING, Workshop};
use super::{BlockKind, Combination, Resampler};

/// Of `resampling = "fir"`.
const TAPS: [f64; 4] = [1.0, 3.0, 3.0, 1.0];
/// Initial variance of a layer on channels, of which its fans are told.
const SMALL: f64 = 0.1;

/// To another resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

impl Resampler {
    /// `[B, C, H, W]` to half or twice the height and width, without a convolution.
    pub(super) fn apply(self, way: Way, x: Jet<4>) -> Jet<4> {
        match (self, way) {
            (Self::Naive, Way::Down) => avg_pool2d(x, 2),
            (Self::Naive, Way::Up) => upsample_nearest2d(x, 2),
            (Self::Fir, Way::Down) => upfirdn2d(x, Fir::half(&TAPS)),
            (Self::Fir, Way::Up) => upfirdn2d(x, Fir::twice(&TAPS)),
        }
    }
}

/// The sum of two branches, over √2 where skips are scaled.
pub(super) fn joined(x: Jet<4>, h: Jet<4>, scale: bool) -> Jet<4> {
    if scale { (x + h).scale_by(std::f64::consts::FRAC_1_SQRT_2) } else { x + h }
}

/// A linear layer on each pixel's channels ("network in network"): W `[in, out]`, b `[out]`.
#[derive(Module, Debug)]
pub(super) struct Nin {
    W: Param<Tensor<2>>,
    b: Param<Tensor<1>>,
}

impl Nin {
    fn new(inputs: usize, outputs: usize, scale: f64, make: &mut Workshop<'_>) -> Self {
        let (W, b) = make.dense(inputs, outputs, scale);
        Self { W, b }
    }

    /// `[B, pixels, in]` to `[B, pixels, out]`.
    fn forward(&self, x: Jet<3>) -> Jet<3> {
        // Cloning a parameter copies no numbers.
        linear(&Linear { weight: self.W.clone(), bias: Some(self.b.clone()) }, x)
    }

    /// `[B, in, H, W]` to `[B, out, H, W]`.
    fn on_image(&self, x: Jet<4>) -> Jet<4> {
        let [batch, channels, height, width] = x.dims();
        let [_, outputs] = self.W.dims();
        let pixels = x.reshape([batch, channels, height * width]).swap_dims(1, 2);
        self.forward(pixels).swap_dims(1, 2).reshape([batch, outputs, height, width])
    }
}

/// What residual blocks of a network have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    pub(super) kind: BlockKind,
    pub(super) resampler: Resampler,
    pub(super) scale_skips: bool,
    /// Numbers that a block is told of σ and the class.
    pub(super) embedding: usize,
}

/// A residual block: x + conv(silu(norm(conv(silu(norm(x))) + dense(σ)))). BigGAN's changes the resolution of both branches, where asked
/// to, before its first convolution.
#[derive(Module, Debug)]
pub(super) struct ResnetBlock {
    GroupNorm_0: GroupNorm,
    Conv_0: Conv2d,
    Dense_0: Linear,
    GroupNorm_1: GroupNorm,
    Conv_1: Conv2d,
    /// BigGAN's shortcut.
    Conv_2: Option<Conv2d>,
    /// DDPM's.
    NIN_0: Option<Nin>,
    #[module(skip)]
    way: Option<Way>,
    #[module(skip)]
    common: Common,
}

impl ResnetBlock {
    pub(super) fn new(
        [inputs, outputs]: [usize; 2],
        way: Option<Way>,
        common: Common,
        make: &mut Workshop<'_>,
    ) -> Self {
        let (differ, biggan) = (inputs != outputs, common.kind == BlockKind::Biggan);
        Self {
            GroupNorm_0: make.norm(inputs),
            Conv_0: make.conv3x3(inputs, outputs, 1.0),
            Dense_0: make.linear(common.embedding, outputs),
            GroupNorm_1: make.norm(outputs),
            Conv_1: make.conv3x3(outputs, outputs, NOTHING),
            Conv_2: (biggan && (differ || way.is_some())).then(|| make.conv([inputs, outputs], 1, Look::Same, 1.0)),
            NIN_0: (!biggan && differ).then(|| Nin::new(inputs, outputs, SMALL, make)),
            way,
            common,
        }
    }

    /// `x` `[B, C, H, W]`, `embedding` `[B, E]`.
    pub(super) fn forward(&self, x: Jet<4>, embedding: &Tensor<2>) -> Jet<4> {
        let Common { resampler, scale_skips, .. } = self.common;
        let resampled = |x| match self.way {
            Some(way) => resampler.apply(way, x),
            None => x,
        };
        let h = resampled(group_norm_silu(&self.GroupNorm_0, None, x.clone()));
        let told = dense(&self.Dense_0, embedding.clone()).unsqueeze_dims::<4>(&[2, 3]);
        let h = conv2d(&self.Conv_0, h).add_constant(told);
        let h = conv2d(&self.Conv_1, group_norm_silu(&self.GroupNorm_1, None, h));
        let x = resampled(x);
        let x = match (&self.Conv_2, &self.NIN_0) {
            (Some(conv), _) => conv2d(conv, x),
            (None, Some(nin)) => nin.on_image(x),
            (None, None) => x,
        };
        joined(x, h, scale_skips)
    }
}

/// Self-attention between the positions of an image, one head: x + NIN₃(softmax(q kᵀ/√C) v) (Ho et al. 2020, arXiv 2006.11239).
#[derive(Module, Debug)]
pub(super) struct AttnBlock {
    GroupNorm_0: GroupNorm,
    NIN_0: Nin,
    NIN_1: Nin,
    NIN_2: Nin,
    NIN_3: Nin,
    #[module(skip)]
    scale_skips: bool,
}

impl AttnBlock {
    pub(super) fn new(channels: usize, scale_skips: bool, make: &mut Workshop<'_>) -> Self {
        let GroupNorm_0 = make.norm(channels);
        let [NIN_0, NIN_1, NIN_2, NIN_3] =
            [SMALL, SMALL, SMALL, NOTHING].map(|scale| Nin::new(channels, channels, scale, make));
        Self { GroupNorm_0, NIN_0, NIN_1, NIN_2, NIN_3, scale_skips }
    }

    pub(super) fn forward(&self, x: Jet<4>) -> Jet<4> {
        let [batch, channels, height, width] = x.dims();
        let positions = height * width;
        let h = group_norm(&self.GroupNorm_0, x.clone()).reshape([batch, channels, positions]).swap_dims(1, 2);
        let [q, k, v] = [&self.NIN_0, &self.NIN_1, &self.NIN_2]
            .map(|nin| nin.forward(h.clone()).reshape([batch, 1, positions, channels]));
        let h = self.NIN_3.forward(attention(q, k, v).reshape([batch, positions, channels]));
        joined(x, h.swap_dims(1, 2).reshape([batch, channels, height, width]), self.scale_skips)
    }
}

/// Half or twice the resolution between blocks, by a convolution or without.
#[derive(Module, Debug)]
pub(super) struct Resample {
    Conv_0: Option<Conv2d>,
    /// With a FIR filter before it.
    Conv2d_0: Option<Conv2d>,
    #[module(skip)]
    way: Way,
    #[module(skip)]
    resampler: Resampler,
}

impl Resample {
    /// `convolution` has its channels in and out.
    pub(super) fn new(
        way: Way,
        resampler: Resampler,
        convolution: Option<[usize; 2]>,
        make: &mut Workshop<'_>,
    ) -> Self {
        let look = match (resampler, way) {
            (Resampler::Naive, Way::Up) => Look::Same,
            (Resampler::Naive, Way::Down) => Look::Halve,
            (Resampler::Fir, Way::Up) => Look::Inside,
            (Resampler::Fir, Way::Down) => Look::HalveInside,
        };
        let conv = convolution.map(|channels| make.conv(channels, 3, look, 1.0));
        let (Conv_0, Conv2d_0) = if resampler == Resampler::Fir { (None, conv) } else { (conv, None) };
        Self { Conv_0, Conv2d_0, way, resampler }
    }

    pub(super) fn forward(&self, x: Jet<4>) -> Jet<4> {
        match (&self.Conv_0, &self.Conv2d_0, self.way) {
            (Some(conv), _, Way::Down) => conv2d(conv, x),
            (Some(conv), _, Way::Up) => conv2d(conv, self.resampler.apply(Way::Up, x)),
            (_, Some(conv), Way::Down) => conv2d(conv, upfirdn2d(x, Fir::before_halving(&TAPS, 3))),
            (_, Some(conv), Way::Up) => convolved_up(conv, x),
            (None, None, way) => self.resampler.apply(way, x),
        }
    }
}

/// A 3×3 convolution of the image with zeros between its pixels, and the filter after it; the bias last, as the filter would dim it
/// at the border.
fn convolved_up(conv: &Conv2d, x: Jet<4>) -> Jet<4> {
    let between = Fir { taps: &[1.0], up: 2, padding: [2, 1], down: 1 };
    let filter = Fir { taps: &TAPS, up: 1, padding: [1, 1], down: 1 };
    let h = conv2d(&Conv2d { bias: None, ..conv.clone() }, upfirdn2d(x, between));
    let h = upfirdn2d(h, filter);
    match &conv.bias {
        Some(bias) => h.add_constant(bias.val().unsqueeze_dims::<4>(&[0, 2, 3])),
        None => h,
    }
}

/// The smaller image, by a 1×1 convolution, and what the network has made of it.
#[derive(Module, Debug)]
pub(super) struct Combine {
    Conv_0: Conv2d,
    #[module(skip)]
    by: Combination,
}

impl Combine {
    pub(super) fn new(channels: [usize; 2], by: Combination, make: &mut Workshop<'_>) -> Self {
        Self { Conv_0: make.conv(channels, 1, Look::Same, 1.0), by }
    }

    pub(super) fn forward(&self, image: Jet<4>, h: Jet<4>) -> Jet<4> {
        let image = conv2d(&self.Conv_0, image);
        match self.by {
            Combination::Sum => image + h,
            Combination::Cat => Jet::cat(vec![image, h], 1),
        }
    }
}
