//! What a configuration must not be.

use stein_core::{ImageShape, Invalid};

use super::workshop::groups;
use super::{Combination, NcsnppConfig, NoiseEmbedding, ProgressiveInput, Sde};

impl NcsnppConfig {
    /// Refuses keys out of range.
    pub(super) fn in_range(&self) -> Result<(), Invalid> {
        let between = |key: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Invalid::key(key, format!("`{key}` is {value}; it must be from {least} to {most}")))
        };
        between("channels", self.channels, 4, 4096)?;
        if !self.channels.is_multiple_of(4) {
            let channels = self.channels;
            let message = format!("`channels` is {channels}; norms have groups of 4, so it must be a multiple of 4");
            return Err(Invalid::key("channels", message));
        }
        between("blocks", self.blocks, 1, 64)?;
        between("multipliers", self.multipliers.len(), 1, 8)
            .map_err(|_| Invalid::key("multipliers", "`multipliers` must have 1 to 8 entries"))?;
        for &multiplier in &self.multipliers {
            between("multipliers", multiplier, 1, 64)?;
        }
        Invalid::unless_positive("fourier-scale", self.fourier_scale)
    }

    /// Refuses what each key allows and all of them do not.
    pub(super) fn goes_together(&self) -> Result<(), Invalid> {
        let fourier = self.embedding == NoiseEmbedding::Fourier;
        if fourier && !self.continuous {
            let message = "`fourier` is of σ or the time itself, so `continuous` must be true; numbers of levels go with \"positional\"";
            return Err(Invalid::key("embedding", message));
        }
        if !fourier && self.continuous && self.sde == Sde::Ve {
            let message = "`positional` is of the time or of a level's number, and `ve` tells σ itself; take \"fourier\", or \
                           `continuous = false`";
            return Err(Invalid::key("embedding", message));
        }
        if self.sde == Sde::SubVp && !self.continuous {
            return Err(Invalid::key(
                "continuous",
                "`sub-vp` has no levels that could be counted: leave `continuous` true",
            ));
        }
        Ok(())
    }

    /// Refuses images that cannot be halved so often, attention that cannot be had of them, and channels that norms cannot group.
    pub(super) fn fits(&self, image: ImageShape) -> Result<(), Invalid> {
        let (halvings, ImageShape { height, width, .. }) = (self.multipliers.len() - 1, image);
        let unit = 1usize << halvings;
        if !(height.is_multiple_of(unit) && width.is_multiple_of(unit)) {
            let message = format!(
                "{halvings} halvings need a height and width divisible by {unit}; the images are {height}×{width}"
            );
            return Err(Invalid::key("multipliers", message));
        }
        let heights: Vec<usize> = (0..=halvings).map(|i| height >> i).collect();
        if let Some(other) = self.attention.iter().find(|at| !heights.contains(at)) {
            let heights: Vec<String> = heights.iter().map(usize::to_string).collect();
            let message = format!("no resolution has a height of {other}; they have {}", heights.join(", "));
            return Err(Invalid::key("attention", message));
        }
        match self.widths().into_iter().find(|&width| !width.is_multiple_of(groups(width))) {
            Some(width) => {
                let message = format!(
                    "`channels` is {}, which makes norms of {width} channels; those of 128 and more must be a multiple of 32",
                    self.channels
                );
                Err(Invalid::key("channels", message))
            }
            None => Ok(()),
        }
    }

    /// The channels of all norms.
    fn widths(&self) -> Vec<usize> {
        let cat = self.progressive_input == ProgressiveInput::InputSkip && self.combine == Combination::Cat;
        let (mut kept, mut widths, mut channels) = (vec![self.channels], Vec::new(), self.channels);
        for (i, m) in self.multipliers.iter().enumerate() {
            for _ in 0..self.blocks {
                widths.push(channels);
                channels = m * self.channels;
                widths.push(channels);
                kept.push(channels);
            }
            if i + 1 < self.multipliers.len() {
                channels *= if cat { 2 } else { 1 };
                kept.push(channels);
            }
        }
        widths.push(channels);
        for m in self.multipliers.iter().rev() {
            for _ in 0..=self.blocks {
                widths.push(channels + kept.pop().unwrap_or(0));
                channels = m * self.channels;
                widths.push(channels);
            }
        }
        widths
    }

    /// At least the parameters of the 3×3 convolutions.
    pub(super) fn about_parameters(&self) -> Option<usize> {
        self.multipliers.iter().try_fold(0usize, |sum, m| {
            let width = m.checked_mul(self.channels)?;
            let block = width.checked_mul(width)?.checked_mul(18)?;
            sum.checked_add(block.checked_mul(2 * self.blocks)?)
        })
    }
}
