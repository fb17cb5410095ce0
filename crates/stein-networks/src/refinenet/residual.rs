//! Residual blocks that keep an image's size, halve it, or widen what they see by dilation.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use stein_jet::{Jet, avg_pool2d, conv2d};

use super::norm::Norm;
use super::{Pass, Workshop};

/// What a block does to the size, and how far apart its convolutions' taps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// As many pixels and as many channels.
    Keep,
    /// Half as many pixels each way.
    Halve,
    /// As many pixels, 3×3 convolutions with so many pixels from tap to tap. A convolution stands in the shortcut too.
    Dilate(usize),
}

/// conv(act(norm(conv(act(norm(x)))))) beside a shortcut.
#[derive(Module, Debug)]
pub(super) struct ResidualBlock {
    conv1: Conv2d,
    normalize2: Norm,
    conv2: Convolution,
    shortcut: Option<Convolution>,
    normalize1: Norm,
}

impl ResidualBlock {
    fn new(inputs: usize, outputs: usize, step: Step, workshop: &mut Workshop<'_>) -> Self {
        let dilation = if let Step::Dilate(dilation) = step { dilation } else { 1 };
        let halve = step == Step::Halve;
        Self {
            conv1: workshop.conv(inputs, inputs, 3, dilation),
            normalize2: workshop.norm(inputs),
            conv2: Convolution::new(halve, workshop.conv(inputs, outputs, 3, dilation)),
            shortcut: (step != Step::Keep)
                .then(|| Convolution::new(halve, workshop.conv(inputs, outputs, if halve { 1 } else { 3 }, dilation))),
            normalize1: workshop.norm(inputs),
        }
    }

    /// The two blocks of a stage. The second one has the first one's dilation, and no shortcut.
    pub(super) fn stage(inputs: usize, outputs: usize, step: Step, workshop: &mut Workshop<'_>) -> Vec<Self> {
        let first = Self::new(inputs, outputs, step, workshop);
        let second = match step {
            Step::Dilate(_) => Self { shortcut: None, ..Self::new(outputs, outputs, step, workshop) },
            _ => Self::new(outputs, outputs, Step::Keep, workshop),
        };
        vec![first, second]
    }

    /// A stage that only some networks have; else no block.
    pub(super) fn stage_if(
        wanted: bool,
        inputs: usize,
        outputs: usize,
        step: Step,
        workshop: &mut Workshop<'_>,
    ) -> Vec<Self> {
        if wanted { Self::stage(inputs, outputs, step, workshop) } else { Vec::new() }
    }

    /// `[B, C, H, W]` to `[B, C', H, W]`, or half of H and W.
    pub(super) fn forward(&self, x: Jet<4>, pass: &Pass) -> Jet<4> {
        let h = conv2d(&self.conv1, pass.activate(self.normalize1.forward(x.clone(), pass)));
        let h = self.conv2.forward(pass.activate(self.normalize2.forward(h, pass)));
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x) + h,
            None => x + h,
        }
    }
}

/// A convolution, or one with means over 2×2 pixels after it.
#[derive(Module, Debug)]
enum Convolution {
    Plain(Conv2d),
    Halving(ConvMeanPool),
}

#[derive(Module, Debug)]
struct ConvMeanPool {
    conv: Conv2d,
}

impl Convolution {
    fn new(halve: bool, conv: Conv2d) -> Self {
        if halve { Self::Halving(ConvMeanPool { conv }) } else { Self::Plain(conv) }
    }

    fn forward(&self, x: Jet<4>) -> Jet<4> {
        match self {
            Self::Plain(conv) => conv2d(conv, x),
            Self::Halving(ConvMeanPool { conv }) => avg_pool2d(conv2d(conv, x), 2),
        }
    }
}
