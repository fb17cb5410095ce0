//! Refine blocks: what comes from a coarser stage and what from this one, brought together (Lin et al. 2017, arXiv 1611.06612).

use burn::module::Module;
use burn::nn::conv::Conv2d;
use stein_jet::{Jet, conv2d, resize_aligned2d};

use super::norm::Norm;
use super::rcu::Rcu;
use super::{Pass, Workshop};

/// Residual convolution units on each input, their fusion, chained residual pooling, and residual convolution units again.
#[derive(Module, Debug)]
pub(super) struct RefineBlock {
    adapt_convs: Vec<Rcu>,
    output_convs: Rcu,
    msf: Option<Fusion>,
    crp: ChainedPooling,
}

impl RefineBlock {
    /// Inputs of so many channels each; three blocks of units at the end of the `last`, one of the others. A single input is not
    /// fused.
    pub(super) fn new(inputs: &[usize], features: usize, last: bool, workshop: &mut Workshop<'_>) -> Self {
        Self {
            adapt_convs: inputs.iter().map(|&channels| Rcu::new(channels, 2, workshop)).collect(),
            output_convs: Rcu::new(features, if last { 3 } else { 1 }, workshop),
            msf: (inputs.len() > 1).then(|| Fusion::new(inputs, features, workshop)),
            crp: ChainedPooling::new(features, workshop),
        }
    }

    /// The inputs `[B, C, h, w]`, the first of the size that comes out, `[B, F, H, W]`.
    pub(super) fn forward(&self, xs: Vec<Jet<4>>, pass: &Pass) -> Jet<4> {
        let [_, _, height, width] = xs[0].dims();
        let mut hs: Vec<_> = xs.into_iter().zip(&self.adapt_convs).map(|(x, rcu)| rcu.forward(x, pass)).collect();
        let h = match &self.msf {
            Some(fusion) => fusion.forward(hs, [height, width], pass),
            None => hs.swap_remove(0),
        };
        self.output_convs.forward(self.crp.forward(h, pass), pass)
    }
}

/// Multi-resolution fusion: the sum of convolutions, each resized.
#[derive(Module, Debug)]
struct Fusion {
    convs: Vec<Conv2d>,
    norms: Vec<Norm>,
}

impl Fusion {
    fn new(inputs: &[usize], features: usize, workshop: &mut Workshop<'_>) -> Self {
        Self {
            convs: inputs.iter().map(|&channels| workshop.conv(channels, features, 3, 1)).collect(),
            norms: inputs.iter().filter_map(|&channels| workshop.levels_norm(channels)).collect(),
        }
    }

    fn forward(&self, xs: Vec<Jet<4>>, size: [usize; 2], pass: &Pass) -> Jet<4> {
        let parts = xs.into_iter().zip(&self.convs).enumerate();
        let parts = parts.map(|(i, (x, conv))| resize_aligned2d(conv2d(conv, pass.norm(self.norms.get(i), x)), size));
        parts.reduce(|sum, part| sum + part).expect("a fusion has inputs")
    }
}

/// Chained residual pooling: pools and convolutions one after another, each of them added to the sum.
#[derive(Module, Debug)]
struct ChainedPooling {
    convs: Vec<Conv2d>,
    norms: Vec<Norm>,
}

impl ChainedPooling {
    fn new(features: usize, workshop: &mut Workshop<'_>) -> Self {
        const STAGES: usize = 2;
        Self {
            norms: (0..STAGES).filter_map(|_| workshop.levels_norm(features)).collect(),
            convs: (0..STAGES).map(|_| workshop.bare_conv(features)).collect(),
        }
    }

    fn forward(&self, x: Jet<4>, pass: &Pass) -> Jet<4> {
        let mut sum = pass.activate(x);
        let mut path = sum.clone();
        for (i, conv) in self.convs.iter().enumerate() {
            path = conv2d(conv, pass.pool(pass.norm(self.norms.get(i), path)));
            sum = sum + path.clone();
        }
        sum
    }
}
