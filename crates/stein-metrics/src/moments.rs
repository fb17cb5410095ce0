//! Mean and variance: what samplers are first wrong in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, ModesView, NoiseSchedule};
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
        let modes = context.dataset.target.as_ref().and_then(|t| t.modes());
        let (mean, variance) = modes.map_or((real.mean.value, real.variance.value), of_mixture);
        let near = |name, label, about, truth| Reading { name, label, about, better: Better::Near(truth) };
        let error = |name, label, about| Reading { name, label, about, better: Better::Lower };
        let record = |reading: Reading, value: stats::Estimate, real: stats::Estimate| {
            reading.record(estimate(value), Some(estimate(real)), None)
        };
        let off = |of: stats::Estimate, truth: f64, unit: f64| stats::Estimate {
            value: (of.value - truth).abs() / unit,
            standard_error: of.standard_error / unit,
        };
        let std = variance.sqrt();
        Ok(vec![
            record(near("mean", "mean of the samples", MEAN, mean), samples.mean, real.mean),
            record(near("variance", "variance of the samples", VARIANCE, variance), samples.variance, real.variance),
            record(
                error("mean-error", "error of the mean", "In the law's standard deviations, without its sign."),
                off(samples.mean, mean, std),
                off(real.mean, mean, std),
            ),
            record(
                error("variance-error", "error of the variance", "Over the law's variance, without its sign."),
                off(samples.variance, variance, variance),
                off(real.variance, variance, variance),
            ),
        ])
    }
}

const MEAN: &str = "Averaged over the coordinates.";
const VARIANCE: &str = "Averaged over the coordinates. Unadjusted Langevin steps make it too large; samples that are not denoised \
                        have σ_L² on top.";

/// Mean and variance of a mixture, averaged over the coordinates.
fn of_mixture(modes: ModesView<'_>) -> (f64, f64) {
    let d = modes.means.first().map_or(0, Vec::len);
    let expect = |f: &dyn Fn(f64, f64) -> f64, i: usize| -> f64 {
        modes.weights.iter().zip(modes.means).zip(modes.std).map(|((w, m), s)| w * f(m[i], *s)).sum()
    };
    let each = |i: usize| {
        let mean = expect(&|m, _| m, i);
        (mean, expect(&|m, s| m * m + s * s, i) - mean * mean)
    };
    let sums = (0..d).map(each).fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    (sums.0 / d as f64, sums.1 / d as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_has_the_moments_of_its_parts() {
        let means = [vec![-1.0, 4.0], vec![3.0, 4.0]];
        let view = ModesView { means: &means, std: &[0.5, 2.0], weights: &[0.25, 0.75] };
        // Means 2 and 4; variances 3 + 3.0625 between and within, and 3.0625 alone.
        let (mean, variance) = of_mixture(view);
        assert!(
            (mean - 3.0).abs() < 1e-12 && (variance - (3.0 + 2.0 * 3.0625) / 2.0).abs() < 1e-12,
            "{mean}, {variance}"
        );
    }
}
