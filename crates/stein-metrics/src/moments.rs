//! Mean and variance: what samplers are first wrong in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Array, Better, MetricRecord};

use crate::compare::{Reading, estimate, invalid, rows};
use crate::stats;
use crate::two_sample::metric;

metric! {
    /// Mean and variance of the samples, averaged over the coordinates. Samples that are not denoised have σ_L² on top.
    Moments, "moments", ""
}

impl Metric for Moments {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        // Of images they say little, and nothing that other metrics don't.
        dataset.target.is_some()
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let of = |array: &Array| stats::moments(rows(array)?).map_err(invalid);
        let (samples, real) = (of(context.samples)?, of(context.held_out)?);
        let reading = |name, label, about, real: stats::Estimate| Reading {
            name,
            label,
            about,
            better: Better::Near(real.value),
        };
        let record = |reading: Reading, value, real| reading.record(estimate(value), Some(estimate(real)), None);
        Ok(vec![
            record(
                reading("mean", "mean of the samples", "Averaged over the coordinates.", real.mean),
                samples.mean,
                real.mean,
            ),
            record(
                reading(
                    "variance",
                    "variance of the samples",
                    "Averaged over the coordinates. Unadjusted Langevin steps make it too large, by 1/(1 − α/4) on N(0, 1); \
                     samples that are not denoised have σ_L² on top.",
                    real.variance,
                ),
                samples.variance,
                real.variance,
            ),
        ])
    }
}
