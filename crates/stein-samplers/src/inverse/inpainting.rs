//! `inpainting`: some coordinates are known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, ImageShape, Invalid, InversePart, Streams};
use stein_record::Array;

use super::{image_of, unless_small};

/// Some pixels, or coordinates, are known; the others are to be filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Inpainting {
    /// Which are known.
    pub known: Known,
}

/// Which pixels are known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// The left half of an image, without the middle column of an odd width.
    #[default]
    LeftHalf,
    /// The right half.
    RightHalf,
    /// The upper half.
    UpperHalf,
    /// The lower half.
    LowerHalf,
    /// All but a square in the middle, half as wide and high as the image.
    Border,
    /// A random share of the pixels, or of the coordinates of rows that are no images; at least one.
    Random {
        /// The share.
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
        fraction: f64,
        /// The choice is the same for all rows, and in runs of every seed.
        #[serde(default)]
        seed: u64,
    },
    /// These coordinates of a row, counted from 0.
    Coordinates(Vec<usize>),
}

impl Known {
    /// The coordinates, ascending.
    fn coordinates(&self, dataset: &Dataset) -> Result<Vec<usize>, Invalid> {
        let of_pixels = |known: &dyn Fn(usize, usize, ImageShape) -> bool| {
            let image = image_of(dataset, "inpainting").map_err(|e| Invalid::key("known", e.message))?;
            let inside = |i: &usize| known(i / image.width % image.height, i % image.width, image);
            Ok((0..image.dimension()).filter(inside).collect())
        };
        match self {
            Self::LeftHalf => of_pixels(&|_, x, image| x < image.width / 2),
            Self::RightHalf => of_pixels(&|_, x, image| x >= image.width.div_ceil(2)),
            Self::UpperHalf => of_pixels(&|y, _, image| y < image.height / 2),
            Self::LowerHalf => of_pixels(&|y, _, image| y >= image.height.div_ceil(2)),
            Self::Border => of_pixels(&|y, x, image| {
                let inner = |at: usize, extent: usize| (extent / 4..extent - extent / 4).contains(&at);
                !(inner(y, image.height) && inner(x, image.width))
            }),
            Self::Random { fraction, seed } => {
                // A pixel is known in all its channels.
                let channels = dataset.image.map_or(1, |image| image.channels);
                let pixels = dataset.dimension() / channels;
                let mut order: Vec<usize> = (0..pixels).collect();
                Streams::new(*seed).at("inpainting", 0).shuffle(&mut order);
                order.truncate(((fraction * pixels as f64).round() as usize).clamp(1, pixels));
                order.sort_unstable();
                Ok((0..channels).flat_map(|c| order.iter().map(move |i| c * pixels + i)).collect())
            }
            Self::Coordinates(list) => {
                let mut list = list.clone();
                list.sort_unstable();
                Ok(list)
            }
        }
    }
}

impl Component<InversePart> for Inpainting {
    const KIND: &'static str = "inpainting";
    const PAPER: &'static str = "Song & Ermon 2019, arXiv 1907.05600, appendix B";

    fn check(&self) -> Result<(), Invalid> {
        match &self.known {
            Known::Random { fraction, .. } if !(*fraction > 0.0 && *fraction < 1.0) => Err(Invalid::key(
                "known.random.fraction",
                format!("`fraction` is {fraction}; it must be above 0 and below 1"),
            )),
            Known::Coordinates(list) if list.is_empty() => {
                Err(Invalid::key("known.coordinates", "`coordinates` is empty: nothing is known"))
            }
            _ => Ok(()),
        }
    }

    fn build(&self, dataset: &Dataset) -> Result<Array, Invalid> {
        let d = dataset.dimension();
        let known = self.known.coordinates(dataset)?;
        if let Some(pair) = known.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("coordinate {} is there twice", pair[0]);
            return Err(Invalid::key("known.coordinates", message));
        }
        if let Some(beyond) = known.iter().find(|i| **i >= d) {
            let message = format!("there is no coordinate {beyond}; a row has {d}, counted from 0");
            return Err(Invalid::key("known.coordinates", message));
        }
        if known.is_empty() {
            return Err(Invalid::key("known", "the images are too small: nothing would be known"));
        }
        unless_small(known.len(), d)?;
        let mut rows = vec![0.0; known.len() * d];
        known.iter().enumerate().for_each(|(j, i)| rows[j * d + i] = 1.0);
        Ok(Array::new([known.len(), d], rows))
    }
}
