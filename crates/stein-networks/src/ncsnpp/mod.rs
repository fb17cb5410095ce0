//! The networks of the score SDE (Song et al. 2021, arXiv 2011.13456, appendix H): DDPM, DDPM++ and NCSN++, as the authors' PyTorch has
//! them, modules and names of weights alike.

mod block;
mod check;
mod list;
mod network;
mod sde;
mod workshop;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Component, Invalid, NetworkContext, NetworkPart, init};

use crate::OneHot;
use crate::ncsn::unless_ladder;
use crate::refinenet::images;
use list::List;
use sde::View;

pub use network::Ncsnpp;
pub use sde::Sde;

/// The U-Nets of the score SDE, as the authors' `models/ncsnpp.py` and, from 128 channels on, `models/ddpm.py` build them: their
/// checkpoints can be imported. (With fewer channels `models/ddpm.py` still takes 32 groups in its norms.)
///
/// As it is by default it is NCSN++ (continuous) for CIFAR-10. DDPM++ is `resampling = "naive"`, `progressive-input = "none"`,
/// `embedding = "positional"`, `sde = "vp"` and `parameterization = "noise"`; DDPM is DDPM++ with `block = "ddpm"`, `blocks = 2`,
/// `scale-skips = false`, and for weights of 1000 discrete levels `continuous = false`. NCSN++ of 256 pixels has `progressive =
/// "output-skip"` and `progressive-input = "input-skip"`. There is no dropout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NcsnppConfig {
    /// Channels at full resolution (`nf`), a multiple of 4. Norms have a group for every 4 channels, and 32 at most.
    #[schemars(range(min = 4, max = 4096))]
    pub channels: usize,
    /// Channels at each resolution as a multiple of `channels`, finest first (`ch_mult`); each resolution halves the one before.
    #[schemars(length(min = 1, max = 8), inner(range(min = 1, max = 64)))]
    pub multipliers: Vec<usize>,
    /// Residual blocks at each resolution on the way down, and one more on the way up (`num_res_blocks`).
    #[schemars(range(min = 1, max = 64))]
    pub blocks: usize,
    /// Heights, in pixels, at which there is self-attention: after each block on the way down, after all on the way up
    /// (`attn_resolutions`).
    #[schemars(length(max = 8))]
    pub attention: Vec<usize>,
    /// The residual blocks (`resblock_type`).
    pub block: BlockKind,
    /// How the resolution changes (`fir`).
    pub resampling: Resampler,
    /// Whether `ddpm` blocks have a convolution between resolutions (`resamp_with_conv`); `biggan` blocks change it themselves.
    pub resample_convolution: bool,
    /// How the output comes about (`progressive`).
    pub progressive: ProgressiveOutput,
    /// What coarser resolutions see of the input (`progressive_input`).
    pub progressive_input: ProgressiveInput,
    /// How `input-skip` puts the input to the rest (`progressive_combine`).
    pub combine: Combination,
    /// Features of what it is told of the noise (`embedding_type`).
    pub embedding: NoiseEmbedding,
    /// Standard deviation of the frequencies of `fourier`, when they are drawn.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub fourier_scale: f64,
    /// Whether sums of two branches are divided by √2 (`skip_rescale`).
    pub scale_skips: bool,
    /// The SDE that the weights are of, whatever schedule they are sampled with.
    pub sde: Sde,
    /// Whether it is told σ or the time itself, or the number of the nearest level: with `ve` that of the schedule, from the largest;
    /// with `vp` that of DDPM's 1000, from the smallest.
    pub continuous: bool,
    /// Whether the network sees 2 x − 1: for data in [0, 1]. With `ve` σ stays in the data's unit; with `vp` and `sub-vp` it is
    /// doubled, for the authors train these on data in [−1, 1].
    pub rescale: bool,
    /// Whether it is told the class of an example, or that none is meant (the null token of classifier-free guidance: Ho &
    /// Salimans 2022, arXiv 2207.12598): one network for the law of each class and for that of all.
    pub classes: bool,
}

/// A residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// DDPM's; the resolution changes between blocks.
    Ddpm,
    /// BigGAN's (Brock et al. 2019, arXiv 1809.11096), which changes the resolution within.
    #[default]
    Biggan,
}

/// How one resolution becomes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resampler {
    /// Means of 2×2 on the way down, each pixel four times on the way up.
    Naive,
    /// By the filter [1, 3, 3, 1] in both directions (Zhang 2019, arXiv 1904.11486).
    #[default]
    Fir,
}

/// How the output comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressiveOutput {
    /// Of the finest resolution.
    #[default]
    None,
    /// As a sum of images, one of each resolution.
    OutputSkip,
    /// Of the finest resolution, to which each adds what coarser ones have made, enlarged by a convolution.
    Residual,
}

/// What coarser resolutions see of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgressiveInput {
    /// Nothing.
    None,
    /// The input itself, made smaller.
    InputSkip,
    /// The input, made smaller by convolutions, together with the rest.
    #[default]
    Residual,
}

/// How two images become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Combination {
    /// Their sum.
    #[default]
    Sum,
    /// Beside each other, as channels.
    Cat,
}

/// Features of what a network is told of the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoiseEmbedding {
    /// Random Fourier features of its logarithm, as many pairs as `channels` (Tancik et al. 2020, arXiv 2006.10739). Frequencies are
    /// among the weights, and not trained.
    #[default]
    Fourier,
    /// Sines and cosines of it, `channels` numbers, at frequencies from 1 down to 1/10000 (Vaswani et al. 2017, arXiv 1706.03762).
    Positional,
}

impl Default for NcsnppConfig {
    fn default() -> Self {
        Self {
            channels: 128,
            multipliers: vec![1, 2, 2, 2],
            blocks: 4,
            attention: vec![16],
            block: BlockKind::Biggan,
            resampling: Resampler::Fir,
            resample_convolution: true,
            progressive: ProgressiveOutput::None,
            progressive_input: ProgressiveInput::Residual,
            combine: Combination::Sum,
            embedding: NoiseEmbedding::Fourier,
            fourier_scale: 16.0,
            scale_skips: true,
            sde: Sde::Ve,
            continuous: true,
            rescale: true,
            classes: false,
        }
    }
}

impl Component<NetworkPart> for NcsnppConfig {
    const KIND: &'static str = "ncsnpp";
    const PAPER: &'static str = "Song et al. 2021, arXiv 2011.13456; Ho et al. 2020, arXiv 2006.11239";

    fn check(&self) -> Result<(), Invalid> {
        self.in_range()?;
        self.goes_together()
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let NetworkContext { dataset, schedule, device, noise, .. } = context;
        if schedule.first().is_clean() {
            return Err(Invalid::new("`ncsnpp` is told of σ, and there is no noise; `ncsnv2` can do without"));
        }
        let image = images(Self::KIND, dataset)?;
        Invalid::unless_buildable("channels", self.about_parameters())?;
        self.fits(image)?;
        if self.tells_levels() {
            unless_ladder(Self::KIND, schedule)?;
        }
        let classes = OneHot::of(self.classes, dataset)?;
        let List { modules, steps, .. } = List::of(self, image, noise, device);
        Ok(AnyNetwork::new(Ncsnpp {
            all_modules: modules,
            embed_class: classes.map(|classes| init::zero_linear(classes.width(), List::told(self), device)),
            view: View::new(self.sde, self.rescale, self.continuous, schedule, device),
            steps,
            config: self.clone(),
            image: [image.channels, image.height, image.width],
            classes,
        }))
    }
}

impl NcsnppConfig {
    /// Whether it is told the numbers of the schedule's levels.
    pub fn tells_levels(&self) -> bool {
        self.sde == Sde::Ve && !self.continuous
    }
}
