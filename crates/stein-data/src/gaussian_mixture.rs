//! `gaussian-mixture`: rows of a mixture whose density is known.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Streams, Target};
use stein_record::Array;

use crate::IsotropicMixture;

/// A mixture of isotropic Gaussians, whose score and density are known exactly at every σ; rows are drawn from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GaussianMixture {
    /// The components' means, each a list of D numbers.
    #[schemars(length(min = 1), extend("examples" = [[[-2.0, 0.0], [2.0, 0.0]]]))]
    pub means: Vec<Vec<f64>>,
    /// The components' weights; normalised to a sum of 1. Equal if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<f64>>,
    /// The components' standard deviation: one number for all, or a list of one each.
    #[serde(default)]
    pub std: Std,
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

/// One standard deviation for all components, or one each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Std {
    /// For all.
    All(f64),
    /// One each.
    Each(Vec<f64>),
}

impl Default for Std {
    fn default() -> Self {
        Self::All(1.0)
    }
}

fn rows() -> usize {
    2000
}

impl GaussianMixture {
    fn std(&self) -> Vec<f64> {
        match &self.std {
            Std::All(s) => vec![*s; self.means.len()],
            Std::Each(list) => list.clone(),
        }
    }

    fn weights(&self) -> Vec<f64> {
        self.weights.clone().unwrap_or_else(|| vec![1.0; self.means.len()])
    }
}

impl Component<DataPart> for GaussianMixture {
    const KIND: &'static str = "gaussian-mixture";

    fn check(&self) -> Result<(), Invalid> {
        let dimension = check_places("means", &self.means)?;
        for (key, list) in [("std", self.std()), ("weights", self.weights())] {
            check_each(key, &list, "means", self.means.len())?;
        }
        check_rows(self.train, self.held_out, dimension)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let target = IsotropicMixture::new(self.means.clone(), self.std(), self.weights());
        Ok(dataset(Arc::new(target), self.train, self.held_out, self.seed))
    }
}

/// Refuses a list that is not one of places in one space; gives its dimension.
pub(crate) fn check_places(key: &str, places: &[Vec<f64>]) -> Result<usize, Invalid> {
    let Some(first) = places.first() else {
        return Err(Invalid::key(key, format!("`{key}` is empty; a mixture has at least one component")));
    };
    if first.is_empty() {
        let what = format!("an entry of `{key}` is empty; each has one number for each dimension");
        return Err(Invalid::key(&format!("{key}.0"), what));
    }
    if let Some(i) = places.iter().position(|m| m.len() != first.len()) {
        let (n, d) = (places[i].len(), first.len());
        let what = format!("this entry of `{key}` has length {n}, the first has {d}; all must be of the same length");
        return Err(Invalid::key(&format!("{key}.{i}"), what));
    }
    if places.iter().flatten().any(|x| !x.is_finite()) {
        return Err(Invalid::key(key, format!("`{key}` must be finite numbers")));
    }
    Ok(first.len())
}

/// Refuses a list that has not one number above 0 for each of the `count` entries of `of`.
pub(crate) fn check_each(key: &str, list: &[f64], of: &str, count: usize) -> Result<(), Invalid> {
    if list.len() != count {
        return Err(Invalid::key(key, format!("`{key}` has {} entries, `{of}` has {count}", list.len())));
    }
    for (i, &value) in list.iter().enumerate() {
        Invalid::unless_positive(key, value).map_err(|e| Invalid { key: Some(format!("{key}.{i}")), ..e })?;
    }
    Ok(())
}

/// Refuses too few or too many rows.
pub(crate) fn check_rows(train: usize, held_out: usize, dimension: usize) -> Result<(), Invalid> {
    for (key, rows, least) in [("train", train, 1), ("held-out", held_out, 8)] {
        if !(least..=10_000_000).contains(&rows) {
            return Err(Invalid::key(key, format!("`{key}` is {rows}; it must be from {least} to 10000000")));
        }
    }
    let values = (train + held_out).saturating_mul(dimension);
    if values > 1 << 30 {
        return Err(Invalid::key("train", format!("{values} numbers are more than fit; at most 2^30")));
    }
    Ok(())
}

/// Draws of a density as data.
pub(crate) fn dataset(target: Arc<dyn Target>, train: usize, held_out: usize, seed: u64) -> Dataset {
    let (d, streams) = (target.dimension(), Streams::new(seed));
    let rows = |name: &str, n: usize| Array::new([n, d], target.sample(n, &mut streams.at(name, 0)));
    Dataset {
        train: rows("data train", train),
        held_out: rows("data held-out", held_out),
        image: None,
        range: None,
        dequantize: None,
        target: Some(target),
    }
}
