//! `gaussian-mixture`: rows of a mixture whose density is known.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Labels, Streams, Target};
use stein_record::Array;

use crate::IsotropicMixture;

/// A mixture of isotropic Gaussians, whose score and density are known exactly at every σ; rows are drawn from it, and the
/// component that a row came from is its class.
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
        Ok(labelled(target, self.train, self.held_out, self.seed))
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
        target: Some(target),
        ..Dataset::default()
    }
}

/// The same draws of a mixture with the components that they came from.
pub(crate) fn labelled(target: IsotropicMixture, train: usize, held_out: usize, seed: u64) -> Dataset {
    let (d, streams, count) = (target.dimension(), Streams::new(seed), target.components());
    let rows = |name: &str, n: usize| {
        let (rows, components) = target.sample_with_components(n, &mut streams.at(name, 0));
        (Array::new([n, d], rows), components)
    };
    let ((train, of_train), (held_out, of_held_out)) = (rows("data train", train), rows("data held-out", held_out));
    Dataset {
        train,
        held_out,
        target: Some(Arc::new(target)),
        labels: Some(Labels { train: of_train, held_out: of_held_out, count }),
        ..Dataset::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_component_that_it_came_from() {
        let (means, std) = (vec![vec![-9.0, 0.0], vec![9.0, 0.0], vec![0.0, 9.0]], vec![0.5; 3]);
        let target = IsotropicMixture::new(means.clone(), std, vec![0.6, 0.3, 0.1]);
        let data = labelled(target.clone(), 500, 100, 3);
        // The same rows as without labels.
        assert_eq!(data.sha256(), dataset(Arc::new(target), 500, 100, 3).sha256());
        let labels = data.labels.clone().expect("labelled");
        assert_eq!((labels.train.len(), labels.held_out.len(), labels.count), (500, 100, 3));
        for (rows, labels) in [(&data.train, &labels.train), (&data.held_out, &labels.held_out)] {
            for (i, &k) in labels.iter().enumerate() {
                let far = |m: &[f64]| -> f64 {
                    rows.row(i).iter().zip(m).map(|(&x, m)| (f64::from(x) - m).powi(2)).sum::<f64>().sqrt()
                };
                assert!(far(&means[k as usize]) < 4.0, "row {i} is not of component {k}");
            }
        }
        let (batch, of_batch) = data.batch_with_labels(64, &mut Streams::new(1).at("batch", 0));
        assert_eq!(batch, data.batch(64, &mut Streams::new(1).at("batch", 0)));
        let right = |(row, &k): (&[f32], &u32)| (f64::from(row[0]) - means[k as usize][0]).abs() < 4.0;
        assert!(batch.chunks(2).zip(&of_batch.expect("labelled")).all(right));
    }
}
