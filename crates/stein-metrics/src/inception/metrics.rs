//! The metrics.

use std::ops::ControlFlow;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Array, Better, MetricRecord};

use super::features::{Asked, MOST_PICTURES, features_of};
use super::weights::whose;
use super::{InceptionWeights, pictures};
use crate::compare::{Reading, Sets, manifolds};
use crate::stats::{FRECHET_ROWS, frechet_distance, kernel_distance};
use crate::two_sample::metric;

metric! {
    /// FID and KID, and precision, recall, density and coverage in the features of the Inception network that published numbers are by.
    ///
    /// Measured of images where `[evaluation] inception` names its weights: pytorch-fid's release `fid_weights`,
    /// `pt_inception-2015-12-05-6726825d.pth`. Pictures go through 8 bits and pytorch-fid's preprocessing; features of data rows are
    /// computed once for an experiment's runs.
    InceptionMetrics, "inception",
    "Heusel et al. 2017, arXiv 1706.08500; Bińkowski et al. 2018, arXiv 1801.01401; Kynkäänniemi et al. 2019, arXiv 1904.06991; Naeem et \
     al. 2020, arXiv 2002.09797"
}

impl Metric for InceptionMetrics {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        pictures::takes(dataset)
    }

    fn needs_inception(&self) -> bool {
        true
    }

    fn accepts_inception(&self, weights: &Path) -> Result<(), Invalid> {
        InceptionWeights::open(weights).and_then(|weights| weights.read()).map(drop).map_err(Invalid::new)
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let path = context.inception.ok_or_else(|| Invalid::new("Inception's weights are not there"))?;
        let weights = InceptionWeights::open(path).map_err(Invalid::new)?;
        let sha256 = weights.sha256().map_err(Invalid::new)?;
        let features = features(context, &weights, &sha256)?;
        let sets = Sets::of_features(&features, context.samples.rows())?;
        let n = sets.samples.len();
        let unless_stopped = || match (context.watch)("inception", 4 * n, 4 * n) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Invalid::new("the distances of the pictures were stopped")),
        };
        unless_stopped()?;
        // A covariance of fewer rows would be none.
        let mut out = if n >= FRECHET_ROWS { fid(&sets, &sha256)? } else { Vec::new() };
        unless_stopped()?;
        let sets = sets.first_rows()?;
        let mut kid = kid(&sets)?;
        if out.is_empty() {
            let why = format!(" There is no FID: it needs {FRECHET_ROWS} rows of each set, and there are {n}.");
            kid.iter_mut().for_each(|record| record.about += &why);
        }
        out.extend(kid);
        unless_stopped()?;
        out.extend(manifolds(&sets, &MANIFOLDS)?);
        Ok(out)
    }
}

/// Of samples, training rows, the Gaussian's, held-out rows, as many of each.
fn features(context: &MetricContext<'_>, weights: &InceptionWeights, sha256: &str) -> Result<[Array; 4], Invalid> {
    let data = context.dataset;
    let rows = [context.samples, context.train, context.gaussian, context.held_out].map(Array::rows);
    let n = rows.into_iter().min().unwrap_or(0).min(MOST_PICTURES);
    let sets = [
        Asked::drawn(&context.samples.slice(0..n), data)?,
        Asked::training(data, n)?,
        Asked::drawn(&context.gaussian.slice(0..n), data)?,
        Asked::data(&data.held_out.slice(0..n), data)?,
    ];
    features_of(context, weights, sha256, sets)
}

fn fid(sets: &Sets<'_>, sha256: &str) -> Result<Vec<MetricRecord>, Invalid> {
    let reading = Reading {
        name: "fid",
        label: "FID",
        about: "Fréchet distance of Inception features, of pictures of 8 bits that are treated as by pytorch-fid: samples rounded to them, data \
                as it is before dequantisation.",
        better: Better::Lower,
    };
    let mut records = sets.compare(&[reading], |x, reference| Ok(vec![frechet_distance(x, reference)?]))?;
    let n = sets.samples.len();
    let whose = whose(sha256);
    let bias = format!(
        " Between {n} samples and {n} held-out rows; biased upwards by few rows, as its floor is. Published numbers are of 50,000 samples, \
         mostly against training rows: `fid-training`."
    );
    records.iter_mut().for_each(|record| record.about += &format!("{bias} {whose}"));
    Ok(records)
}

fn kid(sets: &Sets<'_>) -> Result<Vec<MetricRecord>, Invalid> {
    let reading = Reading {
        name: "kid",
        label: "KID",
        about: "Unbiased squared MMD of Inception features with a cubic kernel, of the same pictures; some papers give a thousand times it. \
                0 for equal laws, so it may fall below.",
        better: Better::Lower,
    };
    sets.compare(&[reading], |x, reference| Ok(vec![kernel_distance(x, reference)?]))
}

const fn reading(name: &'static str, label: &'static str, about: &'static str) -> Reading {
    Reading { name, label, about, better: Better::Higher }
}

const MANIFOLDS: [Reading; 4] = [
    reading(
        "precision-inception",
        "precision (Inception, k = 3)",
        "Share of samples within the k-NN manifold of held-out rows in Inception's features.",
    ),
    reading(
        "recall-inception",
        "recall (Inception, k = 3)",
        "Share of held-out rows within the samples' k-NN manifold in Inception's features.",
    ),
    reading(
        "density-inception",
        "density (Inception, k = 5)",
        "How many balls of held-out rows a sample lies in, over k, in Inception's features: 1 for equal laws, above it where samples crowd.",
    ),
    reading(
        "coverage-inception",
        "coverage (Inception, k = 5)",
        "Share of held-out rows with a sample nearer than their fifth neighbour, in Inception's features. Samples far off cannot raise it.",
    ),
];
