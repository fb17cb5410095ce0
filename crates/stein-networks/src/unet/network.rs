//! The U-Net itself.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig, Linear};
use burn::tensor::{Device, Tensor, activation};
use stein_core::{Condition, ImageShape, Network, Noise, init};
use stein_jet::{Jet, avg_pool2d, conv2d, dense, group_norm_silu, pixel_shuffle, pixel_unshuffle, upsample_nearest2d};

use super::block::{Block, Common};
use super::{Resampling, SigmaEmbedding, Skips, UnetConfig};
use crate::{OneHot, SineCosine};

const PAIRS: usize = 16;
/// Of random Fourier features.
const FOURIER_SCALE: f64 = 16.0;

/// The network of [`UnetConfig`].
#[derive(Module, Debug)]
pub struct Unet {
    sines: SineCosine,
    embed_in: Linear,
    embed_out: Linear,
    embed_class: Option<Linear>,
    conv_in: Conv2d,
    /// Blocks of each resolution, finest first.
    down: Vec<Vec<Block>>,
    /// After each halving, if resampling has convolutions.
    shrink: Vec<Conv2d>,
    middle: Vec<Block>,
    /// Blocks of each resolution, coarsest first.
    up: Vec<Vec<Block>>,
    /// After each doubling.
    grow: Vec<Conv2d>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    image: [usize; 3],
    #[module(skip)]
    patch: usize,
    #[module(skip)]
    skips: Skips,
    #[module(skip)]
    classes: Option<OneHot>,
}

impl Unet {
    pub(super) fn new(
        config: &UnetConfig,
        image: ImageShape,
        classes: Option<OneHot>,
        noise: &mut Noise,
        device: &Device,
    ) -> Self {
        let embedding = 2 * config.channels;
        let (groups, heads, scale_skips) = (config.groups, config.heads, config.scale_skips);
        let common = Common { embedding, groups, heads, scale_skips };
        let (widths, heights) = (config.widths(), config.heights(image));
        let attends = |i: usize| config.attention.contains(&heights[i]);
        let mut block = |from: usize, to: usize, attends| Block::new([from, to], attends, common, noise, device);

        // What the way up takes, as channels: pushed on the way down, popped on the way up.
        let mut kept = vec![config.channels];
        let (mut down, mut channels) = (Vec::new(), config.channels);
        for (i, &width) in widths.iter().enumerate() {
            if i > 0 {
                kept.push(channels);
            }
            let mut stage = Vec::new();
            for _ in 0..config.blocks {
                stage.push(block(channels, width, attends(i)));
                channels = width;
                kept.push(channels);
            }
            down.push(stage);
        }
        let last = widths.len() - 1;
        let (mut middle, mut up) = (Vec::new(), Vec::new());
        match config.skips {
            Skips::Resolution => {
                for (i, &width) in widths.iter().enumerate().rev().skip(1) {
                    // The first block of a stage also takes what the way down left at this resolution.
                    let mut stage = vec![block(channels + width, width, attends(i))];
                    stage.extend((1..config.blocks).map(|_| block(width, width, attends(i))));
                    channels = width;
                    up.push(stage);
                }
            }
            Skips::Block => {
                middle = vec![block(channels, widths[last], true), block(widths[last], widths[last], false)];
                for (i, &width) in widths.iter().enumerate().rev() {
                    let mut stage = Vec::new();
                    for _ in 0..=config.blocks {
                        let beside = kept.pop().expect("as many outputs were kept as there are blocks on the way up");
                        stage.push(block(channels + beside, width, attends(i)));
                        channels = width;
                    }
                    up.push(stage);
                }
            }
        }
        let mut between = |widths: &mut dyn Iterator<Item = usize>| match config.resampling {
            Resampling::Mean => Vec::new(),
            Resampling::Convolution => widths.map(|width| init::conv3x3(width, width, noise, device)).collect(),
        };
        let shrink = between(&mut widths[..last].iter().copied());
        let grow = between(&mut widths[1..].iter().rev().copied());
        let pixels = image.channels * config.patch * config.patch;
        let (pairs, sines) = match config.embedding {
            SigmaEmbedding::SineCosine => (PAIRS, SineCosine::new(PAIRS, device)),
            SigmaEmbedding::Fourier => (config.channels, SineCosine::fourier(config.channels, FOURIER_SCALE, device)),
        };
        Self {
            sines,
            embed_in: init::linear(2 * pairs, embedding, noise, device),
            embed_out: init::linear(embedding, embedding, noise, device),
            embed_class: classes.map(|classes| init::zero_linear(classes.width(), embedding, device)),
            conv_in: init::conv3x3(pixels, config.channels, noise, device),
            down,
            shrink,
            middle,
            up,
            grow,
            norm_out: GroupNormConfig::new(config.groups, widths[0]).init(device),
            conv_out: init::zero_conv3x3(widths[0], pixels, device),
            image: [image.channels, image.height, image.width],
            patch: config.patch,
            skips: config.skips,
            classes,
        }
    }

    fn embedding(&self, x: &Jet<2>, condition: &Condition) -> Tensor<2> {
        let levels = condition.levels.as_ref().expect("`unet` needs σ; experiments are checked for it");
        let h = activation::silu(dense(&self.embed_in, self.sines.features(levels)));
        let h = dense(&self.embed_out, h);
        activation::silu(match self.classes.zip(self.embed_class.as_ref()) {
            Some((classes, embed)) => h + dense(embed, classes.features(condition, x)),
            None => h,
        })
    }

    /// The way down: its last output, and what the way up takes of it, last first to be taken.
    fn descend(&self, mut h: Jet<4>, embedding: &Tensor<2>) -> (Jet<4>, Vec<Jet<4>>) {
        let each = self.skips == Skips::Block;
        let mut skips = Vec::new();
        for (i, stage) in self.down.iter().enumerate() {
            if i > 0 {
                if !each {
                    skips.push(h.clone());
                }
                h = avg_pool2d(h, 2);
                if let Some(convolution) = self.shrink.get(i - 1) {
                    h = conv2d(convolution, h);
                }
            }
            if each {
                skips.push(h.clone());
            }
            for block in stage {
                h = block.forward(h, embedding);
                if each {
                    skips.push(h.clone());
                }
            }
        }
        (h, skips)
    }

    /// Twice the height and width, by the `i`-th doubling.
    fn enlarge(&self, i: usize, h: Jet<4>) -> Jet<4> {
        let h = upsample_nearest2d(h, 2);
        match self.grow.get(i) {
            None => h,
            Some(convolution) => conv2d(convolution, h),
        }
    }

    fn ascend(&self, mut h: Jet<4>, mut skips: Vec<Jet<4>>, embedding: &Tensor<2>) -> Jet<4> {
        let each = self.skips == Skips::Block;
        for (i, stage) in self.up.iter().enumerate() {
            if !each || i > 0 {
                h = self.enlarge(if each { i - 1 } else { i }, h);
            }
            for (j, block) in stage.iter().enumerate() {
                if each || j == 0 {
                    let skip = skips.pop().expect("the way down leaves what the way up takes");
                    h = Jet::cat(vec![h, skip], 1);
                }
                h = block.forward(h, embedding);
            }
        }
        h
    }
}

impl Network for Unet {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let (batch, [c, height, width]) = (x.batch(), self.image);
        let embedding = self.embedding(&x, condition);
        let x = x.reshape([batch, c, height, width]);
        let h = conv2d(&self.conv_in, if self.patch > 1 { pixel_unshuffle(x, self.patch) } else { x });
        let (mut h, skips) = self.descend(h, &embedding);
        for block in &self.middle {
            h = block.forward(h, &embedding);
        }
        let h = self.ascend(h, skips, &embedding);
        let h = conv2d(&self.conv_out, group_norm_silu(&self.norm_out, None, h));
        let h = if self.patch > 1 { pixel_shuffle(h, self.patch) } else { h };
        h.reshape([batch, c * height * width])
    }

    fn classes(&self) -> Option<usize> {
        self.classes.map(|of| of.classes)
    }
}
