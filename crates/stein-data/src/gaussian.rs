//! `gaussian`: rows of N(0, s² I) in any dimension.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Streams};

use crate::IsotropicMixture;
use crate::gaussian_mixture::{check_rows, dataset};

/// An isotropic Gaussian N(0, s² I): for how things scale with the dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Gaussian {
    /// D.
    #[schemars(range(min = 1, max = 100_000))]
    pub dimension: usize,
    /// s, the standard deviation.
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

impl Default for Gaussian {
    fn default() -> Self {
        Self { dimension: 2, std: 1.0, train: 2000, held_out: 2000, seed: 0 }
    }
}

impl Component<DataPart> for Gaussian {
    const KIND: &'static str = "gaussian";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_some("dimension", self.dimension)?;
        Invalid::unless_at_most("dimension", self.dimension, 100_000)?;
        Invalid::unless_positive("std", self.std)?;
        check_rows(self.train, self.held_out, self.dimension)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let target = IsotropicMixture::new(vec![vec![0.0; self.dimension]], vec![self.std], vec![1.0]);
        Ok(dataset(Arc::new(target), self.train, self.held_out, self.seed))
    }
}
