//! FID as it is published.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Array, Better, MetricRecord};

use super::features::{Asked, MOST_PICTURES, features_of};
use super::weights::whose;
use super::{InceptionMetrics, InceptionWeights, pictures};
use crate::compare::{Reading, estimate, invalid, rows};
use crate::stats::{FRECHET_ROWS, frechet_distance};
use crate::two_sample::metric;

metric! {
    /// FID as it is published: of all samples against all training rows.
    ///
    /// Measured of images where `[evaluation] metrics` names it and `inception` the network's weights. Published numbers take 50,000
    /// samples; more samples and training rows than these are left out. The training rows' features are computed once for an
    /// experiment's runs. A network that learned its training rows by heart would do well here: see `fid`, of held-out rows.
    FidTraining, "fid-training", "Heusel et al. 2017, arXiv 1706.08500"
}

impl Metric for FidTraining {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        pictures::takes(dataset) && dataset.train.rows() >= FRECHET_ROWS
    }

    /// So many pictures are hours on a CPU.
    fn by_default(&self, _: &Dataset) -> bool {
        false
    }

    fn least_samples(&self) -> usize {
        FRECHET_ROWS
    }

    fn needs_inception(&self) -> bool {
        true
    }

    fn accepts_inception(&self, weights: &Path) -> Result<(), Invalid> {
        InceptionMetrics::default().accepts_inception(weights)
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let path = context.inception.ok_or_else(|| Invalid::new("Inception's weights are not there"))?;
        let weights = InceptionWeights::open(path).map_err(Invalid::new)?;
        let sha256 = weights.sha256().map_err(Invalid::new)?;
        let data = context.dataset;
        let some = |array: &Array, most: usize| array.slice(0..array.rows().min(most));
        // Floor and baseline are of equal size, and no larger than the samples.
        let most = context.samples.rows().min(MOST_PICTURES).min(data.held_out.rows());
        let asked = [
            Asked::drawn(&some(context.samples, MOST_PICTURES), data)?,
            Asked::training(data, data.train.rows().min(MOST_PICTURES))?,
            Asked::data(&some(&data.held_out, most), data)?,
            Asked::drawn(&some(context.gaussian, most), data)?,
        ];
        let [samples, training, held_out, gaussian] = features_of(context, &weights, &sha256, asked)?;
        let distance = |x: &Array| {
            let both = (rows(x)?, rows(&training)?);
            frechet_distance(both.0, both.1).map(estimate).map_err(invalid)
        };
        let enough = |x: &Array| (x.rows() >= FRECHET_ROWS).then(|| distance(x)).transpose();
        let mut record = READING.record(distance(&samples)?, enough(&held_out)?, enough(&gaussian)?);
        record.about += &format!(
            " Of {} samples and {} training rows; the floor is of {} held-out rows, and few rows make it larger. Published numbers are \
             of 50,000 samples. {}",
            samples.rows(),
            training.rows(),
            held_out.rows(),
            whose(&sha256)
        );
        Ok(vec![record])
    }
}

const READING: Reading = Reading {
    name: "fid-training",
    label: "FID, training rows",
    about: "Fréchet distance of Inception features of samples and training rows, of pictures of 8 bits that are treated as by pytorch-fid: \
            samples rounded to them, data as it is before dequantisation.",
    better: Better::Lower,
};
