//! Memorisation: how near samples lie to training rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Better, MetricRecord};

use crate::compare::{Reading, Sets, estimate, invalid, rows};
use crate::stats::{nearest_rows, nearest_summary};
use crate::two_sample::metric;

metric! {
    /// Median distance from a sample to its nearest training row, over the same for held-out rows. Well below 1: copies.
    NearestTraining, "nearest-training", ""
}

impl Metric for NearestTraining {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        // Where the density is known, fresh rows cost nothing and nobody asks for copies.
        dataset.target.as_ref().is_none_or(|target| target.is_empirical())
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let reading = Reading {
            name: "nearest-training",
            label: "distance to training, over held-out's",
            about: "Median distance to the nearest training row, samples over held-out rows. Well below 1 means copies of \
                    training rows; well above 1, samples off the data.",
            better: Better::Near(1.0),
        };
        let (sets, train) = (Sets::of(context)?, rows(context.train)?);
        let nearest = |set| nearest_rows(set, train).map_err(invalid);
        let held_out = nearest(sets.held_out)?;
        let ratio = |set| nearest_summary(&nearest(set)?, &held_out).map(|s| estimate(s.ratio)).map_err(invalid);
        // Real rows in place of samples are the held-out rows themselves: the floor is 1 by definition.
        Ok(vec![reading.record(ratio(sets.samples)?, None, Some(ratio(sets.gaussian)?))])
    }
}
