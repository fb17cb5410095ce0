//! Noise-conditional U-Nets: from a small one for digits to one of the size of DDPM++.

mod block;
mod network;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Component, ImageShape, Invalid, NetworkContext, NetworkPart};

use crate::OneHot;

pub use network::Unet;

/// A convolutional U-Net for images: residual blocks of group norm, SiLU and 3×3 convolutions at two or more resolutions,
/// σ by scale and shift in every block.
///
/// As it is by default it is small. One of the size of DDPM++ (Song et al. 2021, arXiv 2011.13456, appendix H) is `channels = 128`,
/// `multipliers = [1, 2, 2, 2]`, `blocks = 4`, `groups = 32`, `attention = [16]`, `skips = "block"`, `resampling = "convolution"`,
/// `scale-skips = true`. The authors' own DDPM++ and NCSN++, whose weights can be imported, are `ncsnpp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The side of the square of pixels that make one position: they go into channels at the entrance and come out again at the
    /// end (pixel unshuffle: Shi et al. 2016, arXiv 1609.05158). 2 makes all else four times cheaper.
    #[schemars(range(min = 1, max = 64))]
    pub patch: usize,
    /// Heights, in positions, at which every block is followed by self-attention.
    #[schemars(length(max = 8))]
    pub attention: Vec<usize>,
    /// Heads of self-attention; must divide the channels where there is any.
    #[schemars(range(min = 1, max = 4096))]
    pub heads: usize,
    /// What the way up is given of the way down.
    pub skips: Skips,
    /// How one resolution becomes the next.
    pub resampling: Resampling,
    /// Whether sums of two branches are divided by √2.
    pub scale_skips: bool,
    /// What it is told of σ.
    pub embedding: SigmaEmbedding,
}

/// What the way up is given of the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Skips {
    /// The last output of each resolution.
    #[default]
    Resolution,
    /// The output of each block, as DDPM does it; then the coarsest resolution has its way up too, and between the ways lie two more
    /// blocks, with attention after the first.
    Block,
}

/// How one resolution becomes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resampling {
    /// Means of 2×2 on the way down, each pixel four times on the way up.
    #[default]
    Mean,
    /// The same, and a 3×3 convolution after it.
    Convolution,
}

/// What the U-Net is told of σ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SigmaEmbedding {
    /// 16 sine and cosine pairs of ln(σ/α), frequencies in geometric progression.
    #[default]
    SineCosine,
    /// As many pairs as `channels`, frequencies 2π·16·z with quantiles of |N(0, 1)| as z (random Fourier features: Tancik et
    /// al. 2020, arXiv 2006.10739; the scale is that of Song et al. 2021).
    Fourier,
}

impl Default for UnetConfig {
    fn default() -> Self {
        Self {
            channels: 32,
            multipliers: vec![1, 2],
            blocks: 2,
            groups: 8,
            classes: false,
            patch: 1,
            attention: Vec::new(),
            heads: 1,
            skips: Skips::Resolution,
            resampling: Resampling::Mean,
            scale_skips: false,
            embedding: SigmaEmbedding::SineCosine,
        }
    }
}

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
        between("patch", self.patch, 64)?;
        between("heads", self.heads, 4096)
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let NetworkContext { dataset, schedule, device, noise, .. } = context;
        if schedule.first().is_clean() {
            return Err(Invalid::new("`unet` is told of σ, and there is no noise; `mlp` can do without"));
        }
        let Some(image) = dataset.image else {
            return Err(Invalid::new("`unet` is for images, and these data are not; `mlp` takes any rows"));
        };
        Invalid::unless_buildable("channels", self.about_parameters(image))?;
        self.fits(image)?;
        let classes = OneHot::of(self.classes, dataset)?;
        Ok(AnyNetwork::new(Unet::new(self, image, classes, noise, device)))
    }
}

impl UnetConfig {
    /// Channels at each resolution.
    fn widths(&self) -> Vec<usize> {
        self.multipliers.iter().map(|m| m * self.channels).collect()
    }

    /// Heights of each resolution, in positions.
    fn heights(&self, image: ImageShape) -> Vec<usize> {
        (0..self.multipliers.len()).map(|i| (image.height / self.patch) >> i).collect()
    }

    /// Refuses images that cannot be halved so often, and attention that cannot be had of them.
    fn fits(&self, image: ImageShape) -> Result<(), Invalid> {
        let ImageShape { height, width, .. } = image;
        let divisible = |unit: usize| height.is_multiple_of(unit) && width.is_multiple_of(unit);
        if !divisible(self.patch) {
            let patch = self.patch;
            return Err(Invalid::key(
                "patch",
                format!("`patch` is {patch}; it must divide the images' {height}×{width}"),
            ));
        }
        let halvings = self.multipliers.len() - 1;
        let unit = self.patch << halvings;
        if !divisible(unit) {
            return Err(Invalid::key(
                "multipliers",
                format!(
                    "{halvings} halvings need a height and width divisible by {unit}; the images are {height}×{width}"
                ),
            ));
        }
        let (heights, widths) = (self.heights(image), self.widths());
        if let Some(other) = self.attention.iter().find(|at| !heights.contains(at)) {
            let heights: Vec<String> = heights.iter().map(usize::to_string).collect();
            let message = format!("no resolution has a height of {other}; they have {}", heights.join(", "));
            return Err(Invalid::key("attention", message));
        }
        // The middle of DDPM attends whatever the list says.
        let middle = (self.skips == Skips::Block).then_some(heights.len() - 1);
        let attends = |i: &usize| self.attention.contains(&heights[*i]) || Some(*i) == middle;
        match (0..heights.len()).filter(attends).find(|&i| !widths[i].is_multiple_of(self.heads)) {
            Some(i) => {
                let (heads, width) = (self.heads, widths[i]);
                Err(Invalid::key(
                    "heads",
                    format!("`heads` is {heads}; it must divide the {width} channels that attention has"),
                ))
            }
            None => Ok(()),
        }
    }

    /// At least the parameters of the 3×3 convolutions.
    fn about_parameters(&self, image: ImageShape) -> Option<usize> {
        let ends = self.patch.checked_mul(self.patch)?.checked_mul(image.channels)?.checked_mul(self.channels)?;
        self.multipliers.iter().try_fold(ends.checked_mul(18)?, |sum, m| {
            let width = m.checked_mul(self.channels)?;
            let block = width.checked_mul(width)?.checked_mul(18)?;
            sum.checked_add(block.checked_mul(2 * self.blocks)?)
        })
    }
}
