//! Objectives measured at one network: bias, variance of value and gradient, time and memory.
//!
//! A loss's own variance says little (most of a denoising loss is a constant), so the variance of the *gradient* is measured,
//! from gradients of independent batches. Every objective of a list sees the same examples and the same noise.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use stein_core::{Level, Objective, evenly_spread, to_host};
use stein_experiment::Plan;
use stein_networks::Parameterized;
use stein_record::{Estimate, EstimatorRecord};

use crate::{Batches, Layout, TrainingBatch};
use stein_kernels::memory::peak_of;

/// At most so many levels are measured, the ends among them.
const MOST_LEVELS: usize = 10;

/// Measures the plan's estimators at `network`, one of classes with the null token (on a tape), level by level. `done` hears of each level, with their number.
pub(crate) fn measure(
    plan: &Plan,
    network: &Parameterized,
    device: &Device,
    mut done: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Vec<EstimatorRecord> {
    let levels = evenly_spread(plan.schedule.levels(), MOST_LEVELS);
    // Only an objective that wants the exact score pays for it.
    let wanted = plan.estimators.iter().any(|(_, objective)| objective.needs_exact_score());
    let batches = if wanted { Batches::with_exact_score(plan, device) } else { Batches::new(plan, device) };
    let layout = Layout::of(network);
    let mut out = Vec::new();
    for (i, &level) in levels.iter().enumerate() {
        let at = AtLevel { plan, network, layout: &layout, batches: &batches, level, index: i as u64 };
        out.extend(at.measure());
        if done(i + 1, levels.len()).is_break() {
            break;
        }
    }
    out
}

struct AtLevel<'a> {
    plan: &'a Plan,
    network: &'a Parameterized,
    layout: &'a Layout,
    batches: &'a Batches,
    level: Level,
    index: u64,
}

/// What one objective gave, batch by batch.
#[derive(Default)]
struct Series {
    losses: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    seconds: Vec<f64>,
    memory: Option<u64>,
}

impl AtLevel<'_> {
    fn measure(&self) -> Vec<EstimatorRecord> {
        let estimators = &self.plan.estimators;
        let mut series: Vec<Series> = estimators.iter().map(|_| Series::default()).collect();
        // The first batch only warms up.
        for k in 0..=self.plan.experiment.evaluation.estimator_batches as u64 {
            // Objectives take turns, so that nothing that happens meanwhile falls on one of them.
            for ((_, objective), series) in estimators.iter().zip(&mut series) {
                let batch = self.batch(k);
                let started = Instant::now();
                let ((losses, gradient), memory) = peak_of(|| self.loss_and_gradient(&**objective, batch));
                let seconds = started.elapsed().as_secs_f64();
                if k > 0 {
                    series.losses.extend(losses);
                    series.gradients.push(gradient);
                    series.seconds.push(seconds);
                    series.memory = series.memory.max(memory);
                }
            }
        }
        let batch = self.plan.experiment.training.batch_size;
        let Some(first) = series.first() else { return Vec::new() };
        let each = estimators.iter().zip(&series);
        each.map(|((name, _), series)| series.record(name, self.level.sigma, first, batch)).collect()
    }

    /// The same rows and noise for every objective.
    fn batch(&self, k: u64) -> TrainingBatch {
        let plan = self.plan;
        let index = self.index * 1_000_000 + k;
        let size = plan.experiment.training.batch_size;
        let rows = self.batches.rows(size, &mut plan.streams.at("estimator rows", index));
        let levels = vec![self.level; size];
        self.batches.perturb(rows, &levels, "estimator noise", "estimator objective", index)
    }

    fn loss_and_gradient(&self, objective: &dyn Objective, mut batch: TrainingBatch) -> (Vec<f32>, Vec<f32>) {
        let losses = objective.loss(self.network, &batch.perturbed, &mut batch.noise);
        let weighted = (losses.clone() * batch.weights).mean();
        let gradients = GradientsParams::from_grads(weighted.backward(), self.network);
        (to_host(losses.inner()), to_host(self.layout.gradients(self.network, &gradients)))
    }
}

impl Series {
    /// `first` is what this is compared with; a gradient is of `batch` examples.
    fn record(&self, name: &str, sigma: f64, first: &Self, batch: usize) -> EstimatorRecord {
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let differences: Vec<f64> =
            wide(&self.losses).iter().zip(&first.losses).map(|(a, &b)| a - f64::from(b)).collect();
        let own = |k: usize, i: usize| f64::from(self.gradients[k][i]);
        let size = (self.gradients.len(), self.gradients.first().map_or(0, Vec::len));
        let (square, variance) = gradient_moments(size, own);
        let (apart, _) = gradient_moments(size, |k, i| own(k, i) - f64::from(first.gradients[k][i]));
        let scale = batch as f64;
        EstimatorRecord {
            name: name.to_owned(),
            sigma,
            loss: Estimate::mean_of(&wide(&self.losses)),
            difference: Estimate::mean_of(&differences),
            difference_variance: variance_of(&differences),
            gradient_square: square,
            gradient_difference: apart,
            gradient_variance: Estimate::new(variance.value * scale, variance.standard_error * scale),
            seconds: Estimate::mean_of(&self.seconds),
            memory: self.memory,
        }
    }
}

/// The variance of some numbers with its standard error.
fn variance_of(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Estimate::mean_of(&values.iter().map(|x| (x - mean).powi(2) * n / (n - 1.0)).collect::<Vec<_>>())
}

/// ‖E g‖² and tr Cov g, both unbiased, from `count` independent gradients of `length` numbers; `g(k, i)` is number i of gradient k.
fn gradient_moments((count, length): (usize, usize), g: impl Fn(usize, usize) -> f64) -> (Estimate, Estimate) {
    let k = count as f64;
    let mean: Vec<f64> = (0..length).map(|i| (0..count).map(|j| g(j, i)).sum::<f64>() / k).collect();
    let deviations = |j: usize| -> (f64, f64) {
        let parts = mean.iter().enumerate().map(|(i, m)| (g(j, i) - m, m));
        parts.fold((0.0, 0.0), |(square, along), (d, m)| (square + d * d, along + d * m))
    };
    let (squares, along): (Vec<f64>, Vec<f64>) =
        (0..count).map(deviations).map(|(square, along)| (square * k / (k - 1.0), 2.0 * along)).unzip();
    let variance = Estimate::mean_of(&squares);
    let norm = mean.iter().map(|m| m * m).sum::<f64>();
    // ‖ḡ‖² is too large by tr Cov ḡ; it scatters as its linear part.
    let square = Estimate::new(norm - variance.value / k, Estimate::mean_of(&along).standard_error);
    (square, variance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stein_core::Streams;

    #[test]
    fn moments_of_gradients_are_unbiased() {
        // g = (1, −2, 0) + z with covariance diag(1, 4, 9): ‖E g‖² = 5, tr Cov = 14.
        let mut noise = Streams::new(4).at("moments", 0);
        let (mut squares, mut variances, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..4000 {
            let gradients: Vec<Vec<f32>> = (0..8)
                .map(|_| {
                    let z = noise.normals(3);
                    vec![1.0 + z[0], -2.0 + 2.0 * z[1], 3.0 * z[2]]
                })
                .collect();
            let (square, variance) = gradient_moments((8, 3), |k, i| f64::from(gradients[k][i]));
            squares.push(square.value);
            variances.push(variance.value);
            errors.push(variance.standard_error.powi(2));
        }
        for (found, expected) in [(&squares, 5.0), (&variances, 14.0)] {
            let mean = Estimate::mean_of(found);
            assert!((mean.value - expected).abs() < 4.0 * mean.standard_error, "{mean:?}, not {expected}");
            // Without the correction for the mean's own noise, by 14/8 or a factor 7/8, the twin:
            assert!((mean.value - expected * 0.875).abs() > 10.0 * mean.standard_error);
        }
        let scatter = variance_of(&variances).value;
        let stated = errors.iter().sum::<f64>() / errors.len() as f64;
        assert!((stated / scatter - 1.0).abs() < 0.25, "stated {stated}, found {scatter}");
    }
}
