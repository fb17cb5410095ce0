//! `gaussian`: rows of N(0, s² I) in any dimension, or of N(m, C).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stein_core::{Component, DataPart, Dataset, Invalid, Streams, Target};

use crate::gaussian_mixture::{check_rows, dataset};
use crate::{FullGaussian, IsotropicMixture};

/// A Gaussian: N(0, s² I), for how things scale with the dimension, or N(m, C) with any mean and covariance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default, remote = "Self")]
pub struct Gaussian {
    /// D; that of `mean` or `covariance` where there is one.
    #[schemars(range(min = 1, max = 100_000))]
    pub dimension: usize,
    /// s, the standard deviation; not beside `covariance`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub std: f64,
    /// m, D numbers; 0 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub mean: Option<Vec<f64>>,
    /// C, D rows of D numbers, symmetric and positive definite; s² I if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("examples" = [[[1.0, 0.5], [0.5, 1.0]]]))]
    pub covariance: Option<Vec<Vec<f64>>>,
    /// Rows to train on.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train: usize,
    /// Rows held out.
    #[schemars(range(min = 8, max = 10_000_000))]
    pub held_out: usize,
    /// The seed of the rows. Not the run's: runs of several seeds are compared on the same data.
    pub seed: u64,
}

/// What `dimension` and `std` are where nobody says.
const DIMENSION: usize = 2;
const STD: f64 = 1.0;

/// The eigenvectors of more dimensions take too long.
const MOST_FULL: usize = 512;

impl Default for Gaussian {
    fn default() -> Self {
        Self { dimension: DIMENSION, std: STD, mean: None, covariance: None, train: 2000, held_out: 2000, seed: 0 }
    }
}

impl<'de> Deserialize<'de> for Gaussian {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut read = Self::deserialize(deserializer)?;
        let told = read.covariance.as_ref().map(Vec::len).or(read.mean.as_ref().map(Vec::len));
        if read.dimension == DIMENSION {
            read.dimension = told.unwrap_or(DIMENSION);
        }
        Ok(read)
    }
}

impl Serialize for Gaussian {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl Gaussian {
    fn mean(&self) -> Vec<f64> {
        self.mean.clone().unwrap_or_else(|| vec![0.0; self.dimension])
    }

    /// What the tables have given, as a density.
    fn target(&self) -> Result<Arc<dyn Target>, Invalid> {
        let Some(covariance) = &self.covariance else {
            return Ok(Arc::new(IsotropicMixture::new(vec![self.mean()], vec![self.std], vec![1.0])));
        };
        let target = FullGaussian::new(self.mean(), covariance);
        let target =
            target.map_err(|why| Invalid::key("covariance", format!("`covariance` is no covariance: {why}")))?;
        Ok(Arc::new(target))
    }
}

impl Component<DataPart> for Gaussian {
    const KIND: &'static str = "gaussian";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_some("dimension", self.dimension)?;
        Invalid::unless_at_most("dimension", self.dimension, 100_000)?;
        Invalid::unless_positive("std", self.std)?;
        let sizes =
            [("mean", self.mean.as_ref().map(Vec::len)), ("covariance", self.covariance.as_ref().map(Vec::len))];
        for (key, n) in sizes {
            if let Some(n) = n.filter(|&n| n != self.dimension) {
                let d = self.dimension;
                return Err(Invalid::key(key, format!("`{key}` has {n} entries for {d} dimensions")));
            }
        }
        if self.mean.iter().flatten().any(|x| !x.is_finite()) {
            return Err(Invalid::key("mean", "`mean` must be finite numbers"));
        }
        if self.covariance.is_some() {
            if self.std != STD {
                return Err(Invalid::key("std", "`std` and `covariance` say the same thing; leave one of them out"));
            }
            Invalid::unless_at_most("dimension", self.dimension, MOST_FULL)
                .map_err(|e| Invalid::key("covariance", format!("with `covariance`, {}", e.message)))?;
            self.target()?;
        }
        check_rows(self.train, self.held_out, self.dimension)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        Ok(dataset(self.target()?, self.train, self.held_out, self.seed))
    }
}

#[cfg(test)]
mod tests {
    use stein_core::without_defaults;

    use super::*;

    fn read(text: &str) -> Result<Gaussian, String> {
        let read: Gaussian = toml::from_str(text).map_err(|e| e.to_string())?;
        read.check().map_err(|e| e.message)?;
        Ok(read)
    }

    #[test]
    fn mean_and_covariance_say_the_dimension() {
        let three = read("covariance = [[2, 1, 0], [1, 2, 0], [0, 0, 1]]").unwrap();
        assert_eq!((three.dimension, three.mean()), (3, vec![0.0; 3]));
        assert_eq!(read("mean = [1]").unwrap().dimension, 1);
        assert_eq!(read("").unwrap(), Gaussian::default());
        let data = three.build(Streams::new(0)).unwrap();
        assert_eq!((data.dimension(), data.train.rows()), (3, 2000));
    }

    #[test]
    fn only_what_is_meant_counts() {
        let kept = |text: &str| {
            let resolved = toml::Table::try_from(read(text).unwrap()).unwrap();
            without_defaults::<Gaussian>(resolved).keys().cloned().collect::<Vec<_>>()
        };
        assert!(kept("dimension = 2\nstd = 1.0\ntrain = 2000").is_empty());
        assert_eq!(kept("dimension = 3\nstd = 1.0"), ["dimension"]);
        assert_eq!(kept("covariance = [[2, 1, 0], [1, 2, 0], [0, 0, 1]]"), ["covariance"]);
        assert_eq!(kept("dimension = 1\nmean = [1]"), ["mean"]);
    }

    #[test]
    fn what_is_no_covariance_is_refused_with_the_reason() {
        for (text, why) in [
            ("covariance = [[1, 2], [2, 1]]", "positive definite: its least eigenvalue is -1.000e0"),
            ("covariance = [[1, 1], [1, 1]]", "positive definite"),
            ("covariance = [[1, 0.5], [0.4, 1]]", "not symmetric: row 2 has 0.4 in column 1, row 1 has 0.5"),
            ("covariance = [[1, 0], [0]]", "row 2 has 1 numbers, not 2"),
            ("covariance = [[1, nan], [nan, 1]]", "finite"),
            ("covariance = []", "`dimension` is 0"),
            ("mean = [0, 0, 0]\ncovariance = [[1, 0], [0, 1]]", "`mean` has 3 entries for"),
            ("dimension = 5\ncovariance = [[1, 0], [0, 1]]", "`covariance` has 2 entries for 5"),
            ("std = 2.0\ncovariance = [[1, 0], [0, 1]]", "leave one of them out"),
            ("mean = [inf, 0]", "`mean` must be finite"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }
}
