//! A small noise-conditional U-Net.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig, Linear};
use burn::tensor::{Device, Tensor, activation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    AnyNetwork, Component, Condition, ImageShape, Invalid, Network, NetworkContext, NetworkPart, Noise, init,
};
use stein_jet::{Jet, avg_pool2d, conv2d, group_norm_silu, upsample_nearest2d};

use crate::{OneHot, SineCosine};

/// A convolutional U-Net for images: residual blocks of group norm, SiLU and 3×3 convolutions at two or more resolutions,
/// σ by scale and shift in every block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct UnetConfig {
    /// Channels at full resolution.
    #[schemars(range(min = 1, max = 4096))]
    pub channels: usize,
    /// Channels at each resolution as a multiple of `channels`, finest first; each resolution halves the one before.
    #[schemars(length(min = 1, max = 8), inner(range(min = 1, max = 64)))]
    pub multipliers: Vec<usize>,
    /// Residual blocks at each resolution, on the way down and again on the way up.
    #[schemars(range(min = 1, max = 64))]
    pub blocks: usize,
    /// Groups of the group norms; must divide the channels.
    #[schemars(range(min = 1))]
    pub groups: usize,
    /// Whether it is told the class of an example, or that none is meant (the null token of classifier-free guidance: Ho &
    /// Salimans 2022, arXiv 2207.12598): one network for the law of each class and for that of all.
    pub classes: bool,
}

impl Default for UnetConfig {
    fn default() -> Self {
        Self { channels: 32, multipliers: vec![1, 2], blocks: 2, groups: 8, classes: false }
    }
}

const PAIRS: usize = 16;

impl Component<NetworkPart> for UnetConfig {
    const KIND: &'static str = "unet";
    const PAPER: &'static str = "Ronneberger et al. 2015, arXiv 1505.04597; Ho et al. 2020, arXiv 2006.11239";

    fn check(&self) -> Result<(), Invalid> {
        let between = |key: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(Invalid::key(key, format!("`{key}` is {value}; it must be from 1 to {most}")))
        };
        between("channels", self.channels, 4096)?;
        between("blocks", self.blocks, 64)?;
        between("multipliers", self.multipliers.len(), 8)
            .map_err(|_| Invalid::key("multipliers", "`multipliers` must have 1 to 8 entries"))?;
        for &multiplier in &self.multipliers {
            between("multipliers", multiplier, 64)?;
        }
        if self.groups == 0 || !self.channels.is_multiple_of(self.groups) {
            let (groups, channels) = (self.groups, self.channels);
            return Err(Invalid::key("groups", format!("`groups` is {groups}; it must divide `channels`, {channels}")));
        }
        Ok(())
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let NetworkContext { dataset, schedule, device, noise, .. } = context;
        if schedule.first().is_clean() {
            return Err(Invalid::new("`unet` is told of σ, and there is no noise; `mlp` can do without"));
        }
        let Some(image) = dataset.image else {
            return Err(Invalid::new("`unet` is for images, and these data are not; `mlp` takes any rows"));
        };
        Invalid::unless_buildable("channels", self.about_parameters())?;
        let halvings = self.multipliers.len() - 1;
        let unit = 1usize << halvings;
        if !image.height.is_multiple_of(unit) || !image.width.is_multiple_of(unit) {
            let ImageShape { height, width, .. } = image;
            return Err(Invalid::key(
                "multipliers",
                format!(
                    "{halvings} halvings need a height and width divisible by {unit}; the images are {height}×{width}"
                ),
            ));
        }
        let classes = OneHot::of(self.classes, dataset)?;
        Ok(AnyNetwork::new(Unet::new(self, image, classes, noise, device)))
    }
}

impl UnetConfig {
    /// At least the parameters of the 3×3 convolutions.
    fn about_parameters(&self) -> Option<usize> {
        self.multipliers.iter().try_fold(0usize, |sum, m| {
            let width = m.checked_mul(self.channels)?;
            let block = width.checked_mul(width)?.checked_mul(18)?;
            sum.checked_add(block.checked_mul(2 * self.blocks)?)
        })
    }
}

/// A residual block: x + conv(silu(norm(conv(silu(norm(x)))·(1 + scale(σ)) + shift(σ)))).
#[derive(Module, Debug)]
struct Block {
    norm_in: GroupNorm,
    conv_in: Conv2d,
    modulation: Linear,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    skip: Option<Conv2d>,
}

impl Block {
    fn new(inputs: usize, outputs: usize, embedding: usize, groups: usize, noise: &mut Noise, device: &Device) -> Self {
        // Concatenated inputs may not be divisible by the groups; take as many as do divide them.
        let norm = |channels: usize| {
            let groups = (1..=groups).rev().find(|g| channels.is_multiple_of(*g)).unwrap_or(1);
            GroupNormConfig::new(groups, channels).init(device)
        };
        Self {
            norm_in: norm(inputs),
            conv_in: init::conv3x3(inputs, outputs, noise, device),
            modulation: init::linear(embedding, 2 * outputs, noise, device),
            norm_out: norm(outputs),
            conv_out: init::zero_conv3x3(outputs, outputs, device),
            skip: (inputs != outputs).then(|| init::conv(inputs, outputs, 1, noise, device)),
        }
    }

    /// `x` `[B, C, H, W]`, `embedding` `[B, E]`.
    fn forward(&self, x: Jet<4>, embedding: &Tensor<2>) -> Jet<4> {
        let h = conv2d(&self.conv_in, group_norm_silu(&self.norm_in, None, x.clone()));
        let [scale, shift] = self.scale_and_shift(embedding);
        let h = conv2d(&self.conv_out, group_norm_silu(&self.norm_out, Some([scale + 1.0, shift]), h));
        let x = match &self.skip {
            None => x,
            Some(skip) => conv2d(skip, x),
        };
        x + h
    }

    fn scale_and_shift(&self, embedding: &Tensor<2>) -> [Tensor<4>; 2] {
        let both = self.modulation.forward(embedding.clone());
        let [batch, twice] = both.dims();
        let c = twice / 2;
        [0, c].map(|from| both.clone().narrow(1, from, c).reshape([batch, c, 1, 1]))
    }
}

/// The network of [`UnetConfig`].
#[derive(Module, Debug)]
pub struct Unet {
    sines: SineCosine,
    embed_in: Linear,
    embed_out: Linear,
    embed_class: Option<Linear>,
    conv_in: Conv2d,
    down: Vec<Vec<Block>>,
    up: Vec<Vec<Block>>,
    norm_out: GroupNorm,
    conv_out: Conv2d,
    #[module(skip)]
    image: [usize; 3],
    #[module(skip)]
    classes: Option<OneHot>,
}

impl Unet {
    fn new(
        config: &UnetConfig,
        image: ImageShape,
        classes: Option<OneHot>,
        noise: &mut Noise,
        device: &Device,
    ) -> Self {
        let embedding = 2 * config.channels;
        let widths: Vec<usize> = config.multipliers.iter().map(|m| m * config.channels).collect();
        let mut block = |inputs, outputs| Block::new(inputs, outputs, embedding, config.groups, noise, device);
        let mut down = Vec::new();
        let mut channels = config.channels;
        for &width in &widths {
            let mut stage = Vec::new();
            for _ in 0..config.blocks {
                stage.push(block(channels, width));
                channels = width;
            }
            down.push(stage);
        }
        let mut up = Vec::new();
        for &width in widths.iter().rev().skip(1) {
            // The first block of a stage also takes what the way down left at this resolution.
            let mut stage = vec![block(channels + width, width)];
            stage.extend((1..config.blocks).map(|_| block(width, width)));
            channels = width;
            up.push(stage);
        }
        Self {
            sines: SineCosine::new(PAIRS, device),
            embed_in: init::linear(2 * PAIRS, embedding, noise, device),
            embed_out: init::linear(embedding, embedding, noise, device),
            embed_class: classes.map(|classes| init::zero_linear(classes.width(), embedding, device)),
            conv_in: init::conv3x3(image.channels, config.channels, noise, device),
            down,
            up,
            norm_out: GroupNormConfig::new(config.groups, config.channels * config.multipliers[0]).init(device),
            conv_out: init::zero_conv3x3(config.channels * config.multipliers[0], image.channels, device),
            image: [image.channels, image.height, image.width],
            classes,
        }
    }

    fn embedding(&self, x: &Jet<2>, condition: &Condition) -> Tensor<2> {
        let levels = condition.levels.as_ref().expect("`unet` needs σ; experiments are checked for it");
        let h = activation::silu(self.embed_in.forward(self.sines.features(levels)));
        let h = self.embed_out.forward(h);
        activation::silu(match self.classes.zip(self.embed_class.as_ref()) {
            Some((classes, embed)) => h + embed.forward(classes.features(condition, x)),
            None => h,
        })
    }
}

impl Network for Unet {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let (batch, [c, height, width]) = (x.batch(), self.image);
        let embedding = self.embedding(&x, condition);
        let mut h = conv2d(&self.conv_in, x.reshape([batch, c, height, width]));
        let mut skips = Vec::new();
        for (i, stage) in self.down.iter().enumerate() {
            if i > 0 {
                skips.push(h.clone());
                h = avg_pool2d(h, 2);
            }
            for block in stage {
                h = block.forward(h, &embedding);
            }
        }
        for (stage, skip) in self.up.iter().zip(skips.into_iter().rev()) {
            h = Jet::cat(vec![upsample_nearest2d(h, 2), skip], 1);
            for block in stage {
                h = block.forward(h, &embedding);
            }
        }
        let h = conv2d(&self.conv_out, group_norm_silu(&self.norm_out, None, h));
        h.reshape([batch, c * height * width])
    }

    fn classes(&self) -> Option<usize> {
        self.classes.map(|of| of.classes)
    }
}
