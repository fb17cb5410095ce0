//! Metrics that hold samples against held-out rows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Better, MetricRecord};

use crate::compare::{Reading, Sets};
use crate::stats::{
    DIRECTIONS, NEIGHBOURS, StatsError, bandwidths, energy_distance, mmd_squared, one_nearest_neighbour_accuracy,
    precision_recall, sliced_wasserstein,
};

macro_rules! metric {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $paper:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name {}

        impl Component<MetricPart> for $name {
            const KIND: &'static str = $kind;
            const PAPER: &'static str = $paper;

            fn build(&self, (): ()) -> Result<Box<dyn Metric>, Invalid> {
                Ok(Box::new(self.clone()))
            }
        }
    };
}
pub(crate) use metric;

/// Whether rows are all different but for chance: of a few point masses, neighbours lie at distance 0 and tell nothing.
fn has_neighbours(dataset: &Dataset) -> bool {
    dataset.target.as_ref().is_none_or(|target| target.points().is_none() || target.is_empirical())
}

metric! {
    /// k-NN precision and recall, k = 3: the share of samples within the data's manifold, and the reverse.
    PrecisionRecall, "precision-recall", "Kynkäänniemi et al. 2019, arXiv 1904.06991"
}

impl Metric for PrecisionRecall {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        has_neighbours(dataset)
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let readings = [
            Reading {
                name: "precision",
                label: "precision (k = 3)",
                about: "Share of samples within the held-out rows' k-NN manifold. Above the floor with falling recall is \
                        sharpening, not quality.",
                better: Better::Higher,
            },
            Reading {
                name: "recall",
                label: "recall (k = 3)",
                about: "Share of held-out rows within the samples' k-NN manifold. Samples far off widen that manifold and \
                        can raise it.",
                better: Better::Higher,
            },
        ];
        Sets::of(context)?.compare(&readings, |x, reference| {
            precision_recall(x, reference, NEIGHBOURS).map(|pr| vec![pr.precision, pr.recall])
        })
    }
}

metric! {
    /// Leave-one-out accuracy of a 1-NN classifier between samples and held-out rows; ½ if it can't tell them apart.
    OneNearestNeighbour, "one-nearest-neighbour", "Lopez-Paz & Oquab 2017, arXiv 1610.06545"
}

impl Metric for OneNearestNeighbour {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        has_neighbours(dataset)
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let readings = [Reading {
            name: "1-nn-accuracy",
            label: "1-NN two-sample accuracy",
            about: "How often the nearest neighbour tells samples from held-out rows; ½ is chance. Below ½: samples lie too \
                    close to data rows.",
            better: Better::Near(0.5),
        }];
        let seed = context.streams.at("1-nn", 0).seed();
        Sets::of(context)?
            .compare(&readings, |x, reference| one_nearest_neighbour_accuracy(x, reference, seed).map(|e| vec![e]))
    }
}

metric! {
    /// Squared maximum mean discrepancy, unbiased, with Gaussian kernels at a third, once and three times the median distance
    /// between held-out rows. Left out where half of these are 0.
    Mmd, "mmd", "Gretton et al. 2012, JMLR 13"
}

impl Metric for Mmd {
    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let reading = |name, label, about| Reading { name, label, about, better: Better::Lower };
        let readings = [
            reading(
                "mmd2-third-median",
                "MMD² (median/3)",
                "Kernel distance at a third of the median distance: sees local structure. 0 for equal laws, and unbiased, so it \
                 may fall below.",
            ),
            reading(
                "mmd2-median",
                "MMD² (median)",
                "The usual bandwidth. On images it cannot tell a fitted Gaussian from data: compare the baseline.",
            ),
            reading("mmd2-triple-median", "MMD² (3 median)", "Sees little but means and covariances."),
        ];
        let sets = Sets::of(context)?;
        let seed = context.streams.at("mmd", 0).seed();
        let widths = match bandwidths(sets.held_out, seed) {
            // A few point masses have no bandwidth.
            Err(StatsError::Degenerate { .. }) => return Ok(Vec::new()),
            widths => widths.map_err(crate::compare::invalid)?,
        };
        sets.compare(&readings, |x, reference| mmd_squared(x, reference, &widths))
    }
}

metric! {
    /// 2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖, unbiased.
    EnergyDistance, "energy-distance", "Székely & Rizzo 2013"
}

impl Metric for EnergyDistance {
    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let readings = [Reading {
            name: "energy-distance",
            label: "energy distance",
            about: "0 for equal laws, and unbiased, so it may fall below. Dominated by means and spread in high dimension.",
            better: Better::Lower,
        }];
        Sets::of(context)?.compare(&readings, |x, reference| energy_distance(x, reference).map(|e| vec![e]))
    }
}

metric! {
    /// Sliced 2-Wasserstein distance over 256 random directions.
    SlicedWasserstein, "sliced-wasserstein", "Bonneel et al. 2015"
}

impl Metric for SlicedWasserstein {
    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let readings = [Reading {
            name: "sliced-wasserstein",
            label: "sliced Wasserstein-2",
            about: "In the data's unit. Finite sets of the same law are a distance apart too: compare the floor.",
            better: Better::Lower,
        }];
        let seed = context.streams.at("sliced wasserstein", 0).seed();
        Sets::of(context)?.compare(&readings, |x, reference| {
            sliced_wasserstein(x, reference, DIRECTIONS, seed).map(|s| vec![s.distance])
        })
    }
}
