//! `downsampling`: images of fewer pixels are known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, InversePart};
use stein_record::Array;

use super::{image_of, unless_small};

/// The means of square blocks of pixels are known: super-resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Downsampling {
    /// Width and height of a block.
    #[schemars(range(min = 2))]
    pub factor: usize,
}

impl Default for Downsampling {
    fn default() -> Self {
        Self { factor: 2 }
    }
}

impl Component<InversePart> for Downsampling {
    const KIND: &'static str = "downsampling";

    fn check(&self) -> Result<(), Invalid> {
        if self.factor >= 2 {
            return Ok(());
        }
        Err(Invalid::key("factor", format!("`factor` is {}; it must be at least 2", self.factor)))
    }

    fn build(&self, dataset: &Dataset) -> Result<Array, Invalid> {
        let (image, f) = (image_of(dataset, Self::KIND)?, self.factor);
        if !(image.height.is_multiple_of(f) && image.width.is_multiple_of(f)) {
            let (h, w) = (image.height, image.width);
            return Err(Invalid::key("factor", format!("images of {h} × {w} pixels have no blocks of {f} × {f}")));
        }
        let (d, across) = (image.dimension(), image.width / f);
        let blocks = d / (f * f);
        unless_small(blocks, d)?;
        let mut rows = vec![0.0; blocks * d];
        for i in 0..d {
            let (line, x) = (i / image.width, i % image.width);
            // Lines of all channels in a row; a channel is a whole number of blocks high.
            let block = line / f * across + x / f;
            rows[block * d + i] = 1.0 / (f * f) as f32;
        }
        Ok(Array::new([blocks, d], rows))
    }
}
