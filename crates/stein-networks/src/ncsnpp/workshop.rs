//! Layers with the authors' initial weights.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use stein_core::{Noise, init};

/// Of weights that begin as good as zero: the last of each residual branch, and of the network.
pub(super) const NOTHING: f64 = 1e-10;

const EPSILON: f64 = 1e-6;
/// Groups of a norm at most, and the channels that each has at least.
const GROUPS: (usize, usize) = (32, 4);

/// What layers are made with.
pub(super) struct Workshop<'a> {
    pub(super) noise: &'a mut Noise,
    pub(super) device: &'a Device,
}

/// Where a convolution looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At all pixels, zeros around them.
    Same,
    /// At every other pixel, with a row of zeros below and a column to the right.
    Halve,
    /// At all pixels whose neighbours are there.
    Inside,
    /// At every other one of these.
    HalveInside,
}

/// Groups of a norm of so many channels.
pub(super) fn groups(channels: usize) -> usize {
    (channels / GROUPS.1).min(GROUPS.0)
}

impl Workshop<'_> {
    /// Uniform with variance `scale` over the mean of fan-in and fan-out, as in DDPM.
    fn weight<const D: usize>(&mut self, shape: [usize; D], fans: [usize; 2], scale: f64) -> Param<Tensor<D>> {
        let mean = (fans[0] + fans[1]) as f64 / 2.0;
        init::uniform(shape, (3.0 * scale / mean).sqrt(), self.noise, self.device)
    }

    /// A k×k convolution, its bias 0.
    pub(super) fn conv(&mut self, [inputs, outputs]: [usize; 2], k: usize, look: Look, scale: f64) -> Conv2d {
        let pad = k / 2;
        let (stride, padding) = match look {
            Look::Same => (1, PaddingConfig2d::Explicit(pad, pad, pad, pad)),
            Look::Halve => (2, PaddingConfig2d::Explicit(0, 0, pad, pad)),
            Look::Inside => (1, PaddingConfig2d::Valid),
            Look::HalveInside => (2, PaddingConfig2d::Valid),
        };
        let config = Conv2dConfig::new([inputs, outputs], [k, k]).with_stride([stride; 2]).with_padding(padding);
        let mut layer = config.init(self.device);
        layer.weight = self.weight([outputs, inputs, k, k], [inputs * k * k, outputs * k * k], scale);
        layer.bias = Some(init::zeros([outputs], self.device));
        layer
    }

    /// A 3×3 convolution that keeps the size.
    pub(super) fn conv3x3(&mut self, inputs: usize, outputs: usize, scale: f64) -> Conv2d {
        self.conv([inputs, outputs], 3, Look::Same, scale)
    }

    pub(super) fn linear(&mut self, inputs: usize, outputs: usize) -> Linear {
        let mut layer = LinearConfig::new(inputs, outputs).init(self.device);
        layer.weight = self.weight([inputs, outputs], [inputs, outputs], 1.0);
        layer.bias = Some(init::zeros([outputs], self.device));
        layer
    }

    /// Weight `[in, out]` and bias of a layer on channels.
    pub(super) fn dense(&mut self, inputs: usize, outputs: usize, scale: f64) -> (Param<Tensor<2>>, Param<Tensor<1>>) {
        (self.weight([inputs, outputs], [inputs, outputs], scale), init::zeros([outputs], self.device))
    }

    pub(super) fn norm(&mut self, channels: usize) -> GroupNorm {
        GroupNormConfig::new(groups(channels), channels).with_epsilon(EPSILON).init(self.device)
    }
}
