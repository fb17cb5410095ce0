//! `blur`: images out of focus are known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, ImageShape, Invalid, InversePart};
use stein_record::Array;

use super::{image_of, unless_small};

/// Each pixel's mean with its neighbours is known, by Gaussian weights up to three standard deviations away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Blur {
    /// The standard deviation of the weights, in pixels.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub std: f64,
}

impl Default for Blur {
    fn default() -> Self {
        Self { std: 1.0 }
    }
}

impl Blur {
    /// The weights about a pixel, summing to 1 over those that are in the image.
    fn weights(&self, image: ImageShape, (y, x): (usize, usize)) -> Vec<f64> {
        let one = |a: usize, b: usize| {
            let distance = a.abs_diff(b) as f64 / self.std;
            if distance <= 3.0 { (-0.5 * distance * distance).exp() } else { 0.0 }
        };
        let pixels = (0..image.height).flat_map(|v| (0..image.width).map(move |u| (v, u)));
        let weights: Vec<f64> = pixels.map(|(v, u)| one(v, y) * one(u, x)).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / total).collect()
    }
}

impl Component<InversePart> for Blur {
    const KIND: &'static str = "blur";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_positive("std", self.std)
    }

    fn build(&self, dataset: &Dataset) -> Result<Array, Invalid> {
        let image = image_of(dataset, Self::KIND)?;
        let (d, pixels) = (image.dimension(), image.height * image.width);
        unless_small(d, d)?;
        let mut rows = vec![0.0; d * d];
        for (i, row) in rows.chunks_exact_mut(d).enumerate() {
            let (channel, pixel) = (i / pixels, i % pixels);
            let weights = self.weights(image, (pixel / image.width, pixel % image.width));
            let out = &mut row[channel * pixels..(channel + 1) * pixels];
            out.iter_mut().zip(weights).for_each(|(out, w)| *out = w as f32);
        }
        Ok(Array::new([d, d], rows))
    }
}
