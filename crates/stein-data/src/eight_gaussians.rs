//! `eight-gaussians`: modes on a circle.

use std::f64::consts::{PI, SQRT_2};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Streams};

use crate::IsotropicMixture;
use crate::gaussian_mixture::{check_rows, labelled};

/// Eight Gaussians of equal weight on a circle: a mixture, whose score and density are known exactly at every σ. A row's class
/// is the one that it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EightGaussians {
    /// The circle's radius.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub radius: f64,
    /// The modes' standard deviation.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub std: f64,
    /// Rows to train on.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train: usize,
    /// Rows held out.
    #[schemars(range(min = 8, max = 10_000_000))]
    pub held_out: usize,
    /// The seed of the rows. Not the run's: runs of several seeds are compared on the same data.
    pub seed: u64,
}

impl Default for EightGaussians {
    /// Radius 4 and standard deviation ½, both over √2.
    fn default() -> Self {
        Self { radius: 4.0 / SQRT_2, std: 0.5 / SQRT_2, train: 2000, held_out: 2000, seed: 0 }
    }
}

impl Component<DataPart> for EightGaussians {
    const KIND: &'static str = "eight-gaussians";
    const PAPER: &'static str = "Grathwohl et al. 2019, arXiv 1810.01367";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_positive("radius", self.radius)?;
        Invalid::unless_positive("std", self.std)?;
        check_rows(self.train, self.held_out, 2)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let angles = (0..8).map(|k| PI * f64::from(k) / 4.0);
        let means = angles.map(|a| vec![self.radius * a.cos(), self.radius * a.sin()]).collect();
        let target = IsotropicMixture::new(means, vec![self.std; 8], vec![1.0; 8]);
        Ok(labelled(target, self.train, self.held_out, self.seed))
    }
}
