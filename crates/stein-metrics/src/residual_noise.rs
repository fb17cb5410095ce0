//! How much noise is left about points.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Better, Estimate, MetricRecord};

use crate::compare::{Reading, invalid};
use crate::stats::{Rows, nearest_rows};
use crate::two_sample::metric;

metric! {
    /// The variance that samples have about the nearest of the law's points, over σ_L²: 1 where the last level was sampled
    /// exactly, 0 after denoising. For point masses.
    ResidualNoise, "residual-noise", "Song & Ermon 2020, arXiv 2006.09011, technique 4"
}

impl Metric for ResidualNoise {
    fn applies(&self, dataset: &Dataset, schedule: &dyn NoiseSchedule) -> bool {
        !schedule.last().is_clean() && dataset.target.as_ref().is_some_and(|t| t.points().is_some())
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let Some(points) = context.dataset.target.as_ref().and_then(|t| t.points()) else { return Ok(Vec::new()) };
        let (level, d) = (context.schedule.last(), context.dataset.dimension());
        let points: Vec<f32> = points.iter().flatten().map(|m| (level.alpha * m) as f32).collect();
        let rows = |data| Rows::new(data, d).map_err(invalid);
        let nearest = nearest_rows(rows(&context.samples.data)?, rows(&points)?).map_err(invalid)?;
        let unit = level.sigma * level.sigma * d as f64;
        let left: Vec<f64> = nearest.iter().map(|n| n.distance * n.distance / unit).collect();
        let reading = Reading {
            name: "residual-noise",
            label: "variance about the nearest point, over σ_L²",
            about: "What technique 4 calls r: 1 where the last noise level was sampled exactly. Samples that are denoised have \
                    next to none.",
            better: Better::Near(1.0),
        };
        Ok(vec![reading.record(Estimate::mean_of(&left), None, None)])
    }
}
