//! The RefineNet with dilated convolutions of NCSN and NCSNv2 (Song & Ermon 2019, arXiv 1907.05600, appendix A; 2020, arXiv
//! 2006.09011, appendix B). Fields have the names of the authors' PyTorch modules, so weights have too.

mod norm;
mod rcu;
mod refine;
mod residual;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::{Device, Int, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Condition, Dataset, ImageShape, Invalid, Levels, Network, NetworkContext, Noise, init, vector};
use stein_jet::{Activation, Jet, Window, conv2d, dense, max_pool2d, mean_pool2d};

use crate::embedding::nearest;
use crate::{LogSigma, OneHot};
use norm::Norm;
use refine::RefineBlock;
use residual::{ResidualBlock, Step};

/// How many stages there are, and how many of them halve the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Four stages, one halving.
    Standard,
    /// Five stages, two halvings, four times the channels in the coarsest (`NCSNv2Deeper`).
    Deeper,
    /// Six stages, three halvings (`NCSNv2Deepest`).
    Deepest,
}

/// How chained residual pooling pools, over 5×5 windows around each pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The maximum: its derivative jumps, which only losses on values (denoising) may pass over.
    Max,
    /// The mean, zeros beyond the border.
    Average,
}

/// The images' shape.
pub(crate) fn images(kind: &str, dataset: &Dataset) -> Result<ImageShape, Invalid> {
    let message = || Invalid::new(format!("`{kind}` is for images, and these data are not; `mlp` takes any rows"));
    dataset.image.ok_or_else(message)
}

/// What a RefineNet is made from, beside its context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) channels: usize,
    pub(crate) activation: Activation,
    pub(crate) depth: Depth,
    pub(crate) pooling: Pooling,
    pub(crate) rescale: bool,
    pub(crate) classes: bool,
    /// Whether it is told the number of the noise level, by norms with a row for each.
    pub(crate) conditional: bool,
}

impl Depth {
    fn halvings(self) -> usize {
        match self {
            Self::Standard => 1,
            Self::Deeper => 2,
            Self::Deepest => 3,
        }
    }

    /// Refuses images that can't be halved so often.
    pub(crate) fn check(self, image: ImageShape) -> Result<(), String> {
        let (halvings, ImageShape { height, width, .. }) = (self.halvings(), image);
        let unit = 1usize << halvings;
        if height.is_multiple_of(unit) && width.is_multiple_of(unit) {
            return Ok(());
        }
        Err(format!("{halvings} halvings need a height and width divisible by {unit}; the images are {height}×{width}"))
    }
}

impl Plan {
    /// At least the parameters of the 3×3 convolutions and of the norms.
    pub(crate) fn about_parameters(&self, levels: usize) -> Option<usize> {
        let [convolutions, norms] = if self.depth == Depth::Standard { [150, 60] } else { [450, 120] };
        let width = self.channels.checked_mul(self.channels)?.checked_mul(9 * convolutions)?;
        let table = if self.conditional { levels.checked_mul(self.channels)?.checked_mul(3 * norms)? } else { 0 };
        width.checked_add(table)
    }

    /// Builds it, for images that the [depth](Depth::check) is for.
    pub(crate) fn build(self, image: ImageShape, context: NetworkContext<'_>) -> Result<RefineNet, Invalid> {
        let NetworkContext { dataset, schedule, device, noise, .. } = context;
        let classes = OneHot::of(self.classes, dataset)?;
        let ladder: Vec<f32> = schedule.levels().iter().map(|level| level.log_ratio() as f32).collect();
        let mut workshop = Workshop { levels: self.conditional.then_some(ladder.len()), noise, device };
        let make = &mut workshop;
        let n = self.channels;
        let (deeper, deepest) = (self.depth != Depth::Standard, self.depth == Depth::Deepest);
        // Channels of the coarsest stages, and of the finest but one.
        let [wide, fine] = if deeper { [4 * n, 2 * n] } else { [2 * n, n] };
        let [third, fourth] = if deeper { [Step::Halve, Step::Dilate(2)] } else { [Step::Dilate(2), Step::Dilate(4)] };
        Ok(RefineNet {
            begin_conv: make.conv(image.channels, n, 3, 1),
            normalizer: make.norm(n),
            end_conv: make.conv(n, image.channels, 3, 1),
            embed_class: classes.map(|classes| init::zero_linear(classes.width(), n, device)),
            res1: ResidualBlock::stage(n, n, Step::Keep, make),
            res2: ResidualBlock::stage(n, 2 * n, Step::Halve, make),
            res3: ResidualBlock::stage(2 * n, 2 * n, third, make),
            res31: ResidualBlock::stage_if(deepest, 2 * n, 2 * n, Step::Halve, make),
            res4: ResidualBlock::stage(2 * n, wide, fourth, make),
            res5: ResidualBlock::stage_if(deeper, wide, wide, Step::Dilate(4), make),
            refine1: RefineBlock::new(&[wide], wide, false, make),
            refine2: RefineBlock::new(&[wide; 2], 2 * n, false, make),
            refine31: deepest.then(|| RefineBlock::new(&[2 * n; 2], 2 * n, false, make)),
            refine3: RefineBlock::new(&[2 * n; 2], fine, false, make),
            refine4: RefineBlock::new(&[fine; 2], n, !deeper, make),
            refine5: deeper.then(|| RefineBlock::new(&[n; 2], n, true, make)),
            ladder: self.conditional.then(|| vector(ladder, device)),
            plan: self,
            image: [image.channels, image.height, image.width],
            classes,
        })
    }
}

/// What the parts of one network are made with.
struct Workshop<'a> {
    /// L, if the norms have a row for each noise level.
    levels: Option<usize>,
    noise: &'a mut Noise,
    device: &'a Device,
}

impl Workshop<'_> {
    /// A k×k convolution that keeps the size.
    fn conv(&mut self, inputs: usize, outputs: usize, k: usize, dilation: usize) -> Conv2d {
        init::conv_of(&conv_config(inputs, outputs, k, dilation), self.noise, self.device)
    }

    /// A 3×3 convolution without a bias.
    fn bare_conv(&mut self, channels: usize) -> Conv2d {
        init::conv_of(&conv_config(channels, channels, 3, 1).with_bias(false), self.noise, self.device)
    }

    fn norm(&mut self, channels: usize) -> Norm {
        Norm::new(channels, self.levels, self.noise, self.device)
    }

    /// A norm where only a network has one that is told the level.
    fn levels_norm(&mut self, channels: usize) -> Option<Norm> {
        self.levels.is_some().then(|| self.norm(channels))
    }
}

fn conv_config(inputs: usize, outputs: usize, k: usize, dilation: usize) -> Conv2dConfig {
    let pad = dilation * (k / 2);
    Conv2dConfig::new([inputs, outputs], [k, k])
        .with_dilation([dilation; 2])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
}

/// What every part of a network is told in a forward pass.
struct Pass {
    activation: Activation,
    pooling: Pooling,
    /// The number of each example's level, `[B]`.
    level: Option<Tensor<1, Int>>,
}

impl Pass {
    fn activate(&self, x: Jet<4>) -> Jet<4> {
        self.activation.apply(x)
    }

    fn pool(&self, x: Jet<4>) -> Jet<4> {
        match self.pooling {
            Pooling::Max => max_pool2d(x, Window::same(5)),
            Pooling::Average => mean_pool2d(x, Window::same(5)),
        }
    }

    /// Through the norm, if there is one.
    fn norm(&self, norm: Option<&Norm>, x: Jet<4>) -> Jet<4> {
        match norm {
            Some(norm) => norm.forward(x, self),
            None => x,
        }
    }
}

/// The network of [`NcsnConfig`](crate::NcsnConfig) and [`Ncsnv2Config`](crate::Ncsnv2Config).
#[derive(Module, Debug)]
pub struct RefineNet {
    begin_conv: Conv2d,
    normalizer: Norm,
    end_conv: Conv2d,
    embed_class: Option<Linear>,
    res1: Vec<ResidualBlock>,
    res2: Vec<ResidualBlock>,
    res3: Vec<ResidualBlock>,
    res31: Vec<ResidualBlock>,
    res4: Vec<ResidualBlock>,
    res5: Vec<ResidualBlock>,
    refine1: RefineBlock,
    refine2: RefineBlock,
    refine31: Option<RefineBlock>,
    refine3: RefineBlock,
    refine4: RefineBlock,
    refine5: Option<RefineBlock>,
    /// ln(σ/α) of each level, `[L]`, where their numbers matter.
    ladder: Option<Tensor<1>>,
    #[module(skip)]
    plan: Plan,
    #[module(skip)]
    image: [usize; 3],
    #[module(skip)]
    classes: Option<OneHot>,
}

impl Network for RefineNet {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let (batch, [c, height, width]) = (x.batch(), self.image);
        let pass = Pass {
            activation: self.plan.activation,
            pooling: self.plan.pooling,
            level: self.ladder.as_ref().map(|ladder| number(ladder, condition)),
        };
        let class = self.class(&x, condition);
        let x = if self.plan.rescale { to_both_sides(x) } else { x };
        let h = conv2d(&self.begin_conv, x.reshape([batch, c, height, width]));
        let mut h = match class {
            Some(shift) => h.add_constant(shift),
            None => h,
        };
        let mut layers = Vec::new();
        for stage in [&self.res1, &self.res2, &self.res3, &self.res31, &self.res4, &self.res5] {
            if !stage.is_empty() {
                h = stage.iter().fold(h, |h, block| block.forward(h, &pass));
                layers.push(h.clone());
            }
        }
        let blocks = [Some(&self.refine1), Some(&self.refine2), self.refine31.as_ref(), Some(&self.refine3)];
        let blocks = blocks.into_iter().chain([Some(&self.refine4), self.refine5.as_ref()]).flatten();
        let refined = layers.into_iter().rev().zip(blocks).fold(None, |coarser, (layer, block)| {
            Some(block.forward([Some(layer), coarser].into_iter().flatten().collect(), &pass))
        });
        let h = pass.activate(self.normalizer.forward(refined.unwrap_or(h), &pass));
        conv2d(&self.end_conv, h).reshape([batch, c * height * width])
    }

    fn classes(&self) -> Option<usize> {
        self.classes.map(|of| of.classes)
    }
}

impl RefineNet {
    /// What the class adds to each channel, `[B, C, 1, 1]`.
    fn class(&self, x: &Jet<2>, condition: &Condition) -> Option<Tensor<4>> {
        let (classes, embed) = self.classes.zip(self.embed_class.as_ref())?;
        Some(dense(embed, classes.features(condition, x)).unsqueeze_dims::<4>(&[2, 3]))
    }
}

/// From [0, 1] to [−1, 1].
fn to_both_sides(x: Jet<2>) -> Jet<2> {
    let one = Tensor::<2>::ones([1, 1], &x.device()).cast(x.value().dtype());
    x.scale_by(2.0).add_constant(-one)
}

/// The number of the level nearest to each example's in ln(σ/α), `[B]`.
fn number(ladder: &Tensor<1>, condition: &Condition) -> Tensor<1, Int> {
    let levels: &Levels = condition.levels.as_ref().expect("`ncsn` needs σ; experiments are checked for it");
    nearest(ladder, LogSigma::features(levels))
}
