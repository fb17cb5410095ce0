//! `linear`: any A.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, InversePart};
use stein_record::Array;

/// Any linear measurement, by its rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Linear {
    /// The rows of A, each as long as a row of the data.
    pub matrix: Vec<Vec<f64>>,
}

impl Component<InversePart> for Linear {
    const KIND: &'static str = "linear";

    fn build(&self, dataset: &Dataset) -> Result<Array, Invalid> {
        let d = dataset.dimension();
        if let Some((i, row)) = self.matrix.iter().enumerate().find(|(_, row)| row.len() != d) {
            let message = format!("row {i} of `matrix` has {} numbers; the data have {d}", row.len());
            return Err(Invalid::key("matrix", message));
        }
        let data = self.matrix.iter().flatten().map(|&v| v as f32).collect();
        Ok(Array::new([self.matrix.len(), d], data))
    }
}
