//! FID as it is published.

use std::ops::ControlFlow;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Array, Better, Estimate, MetricRecord};

use super::features::{Asked, MOST_PICTURES, features_of};
use super::weights::whose;
use super::{InceptionMetrics, InceptionWeights, pictures};
use crate::compare::{Reading, estimate, invalid, rows};
use crate::stats::{FRECHET_ROWS, frechet_distance};
use crate::two_sample::metric;

/// Of so many rows the bias is little beside what a Gaussian is at.
const ENOUGH_FOR_A_BASELINE: usize = 10_000;

metric! {
    /// FID as it is published: of all samples against all training rows.
    ///
    /// Measured of images where `[evaluation] metrics` names it and `inception` the network's weights. Published numbers take 50,000
    /// samples; more samples and training rows than these are left out. The training rows' features are computed once for an
    /// experiment's runs. The floor is of held-out rows, where there are as many as samples. A network that learned its training rows by
    /// heart would do well here: see `fid`, of held-out rows.
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
        let n = context.samples.rows().min(MOST_PICTURES);
        let some = |array: &Array, most: usize| array.slice(0..array.rows().min(most));
        let asked = [
            Asked::drawn(&some(context.samples, n), data)?,
            Asked::training(data, data.train.rows().min(MOST_PICTURES))?,
            Asked::data(&some(&data.held_out, n), data)?,
            Asked::drawn(&some(context.gaussian, n.min(ENOUGH_FOR_A_BASELINE)), data)?,
        ];
        let [samples, training, held_out, gaussian] = features_of(context, &weights, &sha256, asked)?;
        let distance = |x: &Array| match (context.watch)("inception", n, n) {
            ControlFlow::Continue(()) => frechet_distance(rows(x)?, rows(&training)?).map(estimate).map_err(invalid),
            ControlFlow::Break(()) => Err(Invalid::new("the distances of the pictures were stopped")),
        };
        let of_real = (held_out.rows() >= FRECHET_ROWS).then(|| distance(&held_out)).transpose()?;
        // Fewer rows make the distance larger, and a floor is held against the value.
        let floor = of_real.filter(|_| held_out.rows() == n);
        let mut record = READING.record(distance(&samples)?, floor, Some(distance(&gaussian)?));
        record.about += &format!(
            " Of {n} samples and {} training rows, as published numbers are of 50,000 samples; biased upwards by few samples.{} The \
             baseline is of {} of the Gaussian's rows. {}",
            training.rows(),
            real_rows(of_real.filter(|_| floor.is_none()), held_out.rows()),
            gaussian.rows(),
            whose(&sha256)
        );
        Ok(vec![record])
    }
}

/// Where held-out rows are fewer than samples, what they are at.
fn real_rows(of_real: Option<Estimate>, rows: usize) -> String {
    of_real.map_or_else(String::new, |of| {
        format!(
            " There is no floor of as many rows: {rows} held-out rows are at {:.3} ± {:.3}.",
            of.value, of.standard_error
        )
    })
}

const READING: Reading = Reading {
    name: "fid-training",
    label: "FID, training rows",
    about: "Fréchet distance of Inception features of samples and training rows, of pictures of 8 bits that are treated as by pytorch-fid: \
            samples rounded to them, data as it is before dequantisation.",
    better: Better::Lower,
};
