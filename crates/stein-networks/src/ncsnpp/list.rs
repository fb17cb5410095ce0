//! How the list of modules comes about: the authors' order, and the steps through it.

use burn::tensor::Device;
use stein_core::{ImageShape, Noise};

use super::block::{AttnBlock, Combine, Common, Resample, ResnetBlock, Way};
use super::network::{GaussianFourierProjection, Piece, Step};
use super::workshop::{NOTHING, Workshop};
use super::{BlockKind, Combination, NcsnppConfig, NoiseEmbedding, ProgressiveInput, ProgressiveOutput};

/// Modules and steps, and how many channels h has where they end.
pub(super) struct List<'a> {
    config: &'a NcsnppConfig,
    image: ImageShape,
    make: Workshop<'a>,
    pub(super) modules: Vec<Piece>,
    pub(super) steps: Vec<Step>,
    /// Channels of h.
    channels: usize,
    /// Channels of what was kept for the way up.
    kept: Vec<usize>,
}

impl<'a> List<'a> {
    /// The whole list.
    pub(super) fn of(config: &'a NcsnppConfig, image: ImageShape, noise: &'a mut Noise, device: &'a Device) -> Self {
        let make = Workshop { noise, device };
        let (modules, steps, kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut list = Self { config, image, make, modules, steps, channels: 0, kept };
        list.embedding();
        list.down();
        list.middle();
        list.up();
        list
    }

    /// Numbers that a block is told of σ and the class.
    pub(super) fn told(config: &NcsnppConfig) -> usize {
        4 * config.channels
    }

    fn embedding(&mut self) {
        let (n, told) = (self.config.channels, Self::told(self.config));
        let features = match self.config.embedding {
            NoiseEmbedding::Positional => n,
            NoiseEmbedding::Fourier => {
                let Workshop { noise, device } = &mut self.make;
                let fourier = GaussianFourierProjection::new(n, self.config.fourier_scale, noise, device);
                self.modules.push(Piece::Fourier(fourier));
                2 * n
            }
        };
        self.modules.extend([features, told].map(|inputs| Piece::Dense(self.make.linear(inputs, told))));
    }

    fn down(&mut self) {
        let (config, n) = (self.config, self.config.channels);
        let begin = self.make.conv3x3(self.image.channels, n, 1.0);
        self.through(Piece::Convolution(begin), n);
        self.keep();
        let mut input = self.image.channels;
        for i in 0..config.multipliers.len() {
            for _ in 0..config.blocks {
                self.block(self.channels, n * config.multipliers[i]);
                self.attention_at(i);
                self.keep();
            }
            if i + 1 < config.multipliers.len() {
                self.resample(Way::Down);
                match config.progressive_input {
                    ProgressiveInput::None => {}
                    ProgressiveInput::InputSkip => {
                        let combine = Combine::new([input, self.channels], config.combine, &mut self.make);
                        self.push(Piece::Combine(combine), Step::InputSkip);
                        if config.combine == Combination::Cat {
                            self.channels *= 2;
                        }
                    }
                    ProgressiveInput::Residual => {
                        let convolution = Some([input, self.channels]);
                        let halve = Resample::new(Way::Down, config.resampling, convolution, &mut self.make);
                        self.push(Piece::Resample(halve), Step::InputResidual);
                        input = self.channels;
                    }
                }
                self.keep();
            }
        }
    }

    fn middle(&mut self) {
        self.block(self.channels, self.channels);
        self.attention();
        self.block(self.channels, self.channels);
    }

    fn up(&mut self) {
        let config = self.config;
        let coarsest = config.multipliers.len() - 1;
        let mut pyramid = 0;
        for i in (0..=coarsest).rev() {
            for _ in 0..=config.blocks {
                let beside = self.kept.pop().expect("as many are kept as there are blocks on the way up");
                self.steps.push(Step::Beside);
                self.block(self.channels + beside, config.channels * config.multipliers[i]);
            }
            self.attention_at(i);
            match (config.progressive, i == coarsest) {
                (ProgressiveOutput::None, _) => {}
                (ProgressiveOutput::OutputSkip, _) => self.ended(self.image.channels, NOTHING, Step::OutputSkip),
                (ProgressiveOutput::Residual, true) => self.ended(self.channels, 1.0, Step::PyramidBegins),
                (ProgressiveOutput::Residual, false) => {
                    let convolution = Some([pyramid, self.channels]);
                    let double = Resample::new(Way::Up, config.resampling, convolution, &mut self.make);
                    self.push(Piece::Resample(double), Step::OutputResidual);
                }
            }
            pyramid = self.channels;
            if i > 0 {
                self.resample(Way::Up);
            }
        }
        match config.progressive {
            ProgressiveOutput::OutputSkip => self.steps.push(Step::Pyramid),
            _ => self.ended(self.image.channels, NOTHING, Step::Output),
        }
    }

    /// A module, and the step that uses it.
    fn push(&mut self, piece: Piece, step: Step) {
        self.modules.push(piece);
        self.steps.push(step);
    }

    /// A module that h goes through, with so many channels then.
    fn through(&mut self, piece: Piece, channels: usize) {
        self.push(piece, Step::Through);
        self.channels = channels;
    }

    fn keep(&mut self) {
        self.kept.push(self.channels);
        self.steps.push(Step::Keep);
    }

    fn common(&self) -> Common {
        let &NcsnppConfig { block, resampling, scale_skips, .. } = self.config;
        Common { kind: block, resampler: resampling, scale_skips, embedding: Self::told(self.config) }
    }

    fn block(&mut self, inputs: usize, outputs: usize) {
        let block = ResnetBlock::new([inputs, outputs], None, self.common(), &mut self.make);
        self.through(Piece::Block(block), outputs);
    }

    fn attention(&mut self) {
        let attention = AttnBlock::new(self.channels, self.config.scale_skips, &mut self.make);
        self.through(Piece::Attention(attention), self.channels);
    }

    /// Attention where the `i`-th resolution has it.
    fn attention_at(&mut self, i: usize) {
        if self.config.attention.contains(&(self.image.height >> i)) {
            self.attention();
        }
    }

    /// Half or twice the resolution of h.
    fn resample(&mut self, way: Way) {
        let (config, channels) = (self.config, [self.channels; 2]);
        let piece = match config.block {
            BlockKind::Biggan => Piece::Block(ResnetBlock::new(channels, Some(way), self.common(), &mut self.make)),
            BlockKind::Ddpm => {
                let convolution = config.resample_convolution.then_some(channels);
                Piece::Resample(Resample::new(way, config.resampling, convolution, &mut self.make))
            }
        };
        self.through(piece, self.channels);
    }

    /// A norm and a convolution of h.
    fn ended(&mut self, outputs: usize, scale: f64, step: Step) {
        self.modules.push(Piece::Norm(self.make.norm(self.channels)));
        let conv = self.make.conv3x3(self.channels, outputs, scale);
        self.push(Piece::Convolution(conv), step);
    }
}
