//! `point-masses`: a law without a density, and a mixture of Gaussians as soon as there is noise.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Streams};

use crate::IsotropicMixture;
use crate::gaussian_mixture::{check_each, check_places, check_rows, dataset};

/// Point masses: rows are draws of the points. Score and density are known exactly wherever σ > 0; without noise there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PointMasses {
    /// The points, each a list of D numbers.
    #[schemars(length(min = 1), extend("examples" = [[[-1.0, 0.0], [1.0, 0.0]]]))]
    pub points: Vec<Vec<f64>>,
    /// The points' weights; normalised to a sum of 1. Equal if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
    /// Rows to train on.
    #[serde(default = "rows")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train: usize,
    /// Rows held out.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 10_000_000))]
    pub held_out: usize,
    /// The seed of the rows. Not the run's: runs of several seeds are compared on the same data.
    #[serde(default)]
    pub seed: u64,
}

fn rows() -> usize {
    2000
}

impl PointMasses {
    fn weights(&self) -> Vec<f64> {
        self.weights.clone().unwrap_or_else(|| vec![1.0; self.points.len()])
    }
}

impl Component<DataPart> for PointMasses {
    const KIND: &'static str = "point-masses";

    fn check(&self) -> Result<(), Invalid> {
        let dimension = check_places("points", &self.points)?;
        check_each("weights", &self.weights(), "points", self.points.len())?;
        check_rows(self.train, self.held_out, dimension)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let target = IsotropicMixture::new(self.points.clone(), vec![0.0; self.points.len()], self.weights());
        Ok(dataset(Arc::new(target), self.train, self.held_out, self.seed))
    }
}
