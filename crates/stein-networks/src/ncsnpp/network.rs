//! The network itself: a flat list of modules, as the authors have it, and the steps that use one after the other.
#![allow(non_snake_case, reason = "names of the authors' modules")]

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::{Device, Tensor, activation};
use stein_core::{Condition, Levels, Network, Noise, init};
use stein_jet::{Jet, conv2d, dense, group_norm_silu};

use super::NcsnppConfig;
use super::block::{AttnBlock, Combine, Resample, ResnetBlock, Way, joined};
use super::sde::{View, positional, sines};
use crate::OneHot;

/// The network of [`NcsnppConfig`].
#[derive(Module, Debug)]
pub struct Ncsnpp {
    pub(super) all_modules: Vec<Piece>,
    pub(super) embed_class: Option<Linear>,
    pub(super) view: View,
    #[module(skip)]
    pub(super) steps: Vec<Step>,
    #[module(skip)]
    pub(super) config: NcsnppConfig,
    #[module(skip)]
    pub(super) image: [usize; 3],
    #[module(skip)]
    pub(super) classes: Option<OneHot>,
}

/// An entry of the list.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are some dozens of them, most of them blocks; burn has no boxed modules"
)]
pub(super) enum Piece {
    Fourier(GaussianFourierProjection),
    Dense(Linear),
    Convolution(Conv2d),
    Norm(GroupNorm),
    Block(ResnetBlock),
    Attention(AttnBlock),
    Resample(Resample),
    Combine(Combine),
}

/// What is done with the modules of the list after those of σ, each of which is used once and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// h goes through a module.
    Through,
    /// h is kept for the way up.
    Keep,
    /// What was kept last goes beside h.
    Beside,
    /// The input, halved again, is combined with h.
    InputSkip,
    /// The input, halved again by a module, is joined to h; that is h and the input from then on.
    InputResidual,
    /// An image is made of h, and added to the pyramid, doubled.
    OutputSkip,
    /// The pyramid begins as a convolution of h.
    PyramidBegins,
    /// The pyramid, doubled by a module, is joined to h; that is h and the pyramid from then on.
    OutputResidual,
    /// h is an image made of h.
    Output,
    /// h is the pyramid.
    Pyramid,
}

/// Random Fourier features of ln σ (Tancik et al. 2020, arXiv 2006.10739): frequencies W `[channels]`, drawn once and never trained.
#[derive(Module, Debug)]
pub(super) struct GaussianFourierProjection {
    W: Param<Tensor<1>>,
}

impl GaussianFourierProjection {
    pub(super) fn new(channels: usize, scale: f64, noise: &mut Noise, device: &Device) -> Self {
        Self { W: init::normal([channels], [0.0, scale], noise, device).set_require_grad(false) }
    }

    /// `[B]` to `[B, 2·channels]`.
    fn features(&self, label: Tensor<1>) -> Tensor<2> {
        let turns = label.log().unsqueeze_dim::<2>(1) * self.W.val().unsqueeze::<2>();
        sines(turns * std::f64::consts::TAU)
    }
}

impl Piece {
    /// `[B, C, H, W]` to an image of other channels, or another size.
    fn forward(&self, h: Jet<4>, embedding: &Tensor<2>) -> Jet<4> {
        match self {
            Self::Convolution(conv) => conv2d(conv, h),
            Self::Block(block) => block.forward(h, embedding),
            Self::Attention(attention) => attention.forward(h),
            Self::Resample(resample) => resample.forward(h),
            Self::Fourier(_) | Self::Dense(_) | Self::Norm(_) | Self::Combine(_) => {
                unreachable!("a step goes through what takes one image")
            }
        }
    }
}

impl Ncsnpp {
    /// What blocks are told of σ and the class, `[B, E]`, and the modules of the steps.
    fn embedding(&self, x: &Jet<2>, condition: &Condition) -> (Tensor<2>, &[Piece]) {
        let label = || self.view.label(levels(condition));
        let (features, first, last, rest) = match &self.all_modules[..] {
            [Piece::Fourier(fourier), Piece::Dense(first), Piece::Dense(last), rest @ ..] => {
                (fourier.features(label()), first, last, rest)
            }
            [Piece::Dense(first), Piece::Dense(last), rest @ ..] => {
                (positional(label(), self.config.channels), first, last, rest)
            }
            _ => unreachable!("the list begins with what is told of σ"),
        };
        let h = dense(last, activation::silu(dense(first, features)));
        let h = match self.classes.zip(self.embed_class.as_ref()) {
            Some((classes, embed)) => h + dense(embed, classes.features(condition, x)),
            None => h,
        };
        (activation::silu(h), rest)
    }

    /// All steps, of the input `[B, C, H, W]` that the network sees.
    fn walk(&self, image: Jet<4>, embedding: &Tensor<2>, modules: &[Piece]) -> Jet<4> {
        let mut modules = modules.iter();
        let mut next = || modules.next().expect("as many modules as the steps use");
        let resampled = |way, x| self.config.resampling.apply(way, x);
        let join = |x: Jet<4>, h| joined(x, h, self.config.scale_skips);
        // A norm, SiLU and a convolution.
        let ended = |norm: &Piece, conv: &Piece, h: Jet<4>| match (norm, conv) {
            (Piece::Norm(norm), Piece::Convolution(conv)) => conv2d(conv, group_norm_silu(norm, None, h)),
            _ => unreachable!("an image is made by a norm and a convolution"),
        };
        let coarser = |pyramid: &mut Option<Jet<4>>| pyramid.take().expect("it begins at the coarsest resolution");
        let (mut h, mut input, mut pyramid, mut kept) = (image.clone(), image, None, Vec::new());
        for step in &self.steps {
            match step {
                Step::Through => h = next().forward(h, embedding),
                Step::Keep => kept.push(h.clone()),
                Step::Beside => {
                    let beside = kept.pop().expect("the way down keeps what the way up takes");
                    h = Jet::cat(vec![h, beside], 1);
                }
                Step::InputSkip => {
                    input = resampled(Way::Down, input);
                    let Piece::Combine(combine) = next() else { unreachable!("the input is combined with h") };
                    h = combine.forward(input.clone(), h);
                }
                Step::InputResidual => {
                    input = join(next().forward(input, embedding), h);
                    h = input.clone();
                }
                Step::OutputSkip => {
                    let own = ended(next(), next(), h.clone());
                    pyramid = Some(match pyramid.take() {
                        Some(coarser) => resampled(Way::Up, coarser) + own,
                        None => own,
                    });
                }
                Step::PyramidBegins => pyramid = Some(ended(next(), next(), h.clone())),
                Step::OutputResidual => {
                    h = join(next().forward(coarser(&mut pyramid), embedding), h);
                    pyramid = Some(h.clone());
                }
                Step::Output => h = ended(next(), next(), h),
                Step::Pyramid => h = coarser(&mut pyramid),
            }
        }
        h
    }
}

fn levels(condition: &Condition) -> &Levels {
    condition.levels.as_ref().expect("`ncsnpp` needs σ; experiments are checked for it")
}

impl Network for Ncsnpp {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let (batch, [c, height, width]) = (x.batch(), self.image);
        let (embedding, modules) = self.embedding(&x, condition);
        let image = self.view.of(x, levels(condition)).reshape([batch, c, height, width]);
        self.walk(image, &embedding, modules).reshape([batch, c * height * width])
    }

    fn classes(&self) -> Option<usize> {
        self.classes.map(|of| of.classes)
    }
}
