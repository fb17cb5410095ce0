//! How good completions are, beside what a fitted Gaussian makes of the same measurements.

use stein_core::Invalid;
use stein_experiment::{Inverse, Plan};
use stein_metrics::stats::{Gaussian, RIDGE, Rows};
use stein_metrics::{Baseline, Completions, completion_metrics};
use stein_record::{Array, InverseRecord, MetricRecord, RunDir};
use stein_samplers::inverse::Measurement;

use crate::RunError;
use crate::sampling::Completed;

/// Beyond this many numbers a row, a full covariance is not worth its D³.
const MOST_GAUSSIAN: usize = 1024;

/// Writes the completions and what they belong to; gives their metrics.
pub(crate) fn evaluate_completions(
    plan: &Plan,
    inverse: &Inverse,
    completed: &Completed,
    train: &Array,
    run: &RunDir,
) -> Result<(InverseRecord, Vec<MetricRecord>), RunError> {
    let Completed { measurement, truth, measured, samples, .. } = completed;
    truth.write_npy(&run.sample("measured-truth.npy"))?;
    shown(measurement, measured).write_npy(&run.sample("measured.npy"))?;
    samples.write_npy(&run.sample("completions.npy"))?;

    let open = |x: &[f64]| if all_is_seen(measurement) { x.to_vec() } else { measurement.unseen(x) };
    let residual = |i: usize, x: &[f32]| {
        let squares = measurement.of(x).into_iter().zip(measured.row(i)).map(|(y, m)| (y - f64::from(*m)).powi(2));
        (squares.sum::<f64>() / measurement.rank() as f64).sqrt()
    };
    let d = measurement.dimension();
    let dimension = if all_is_seen(measurement) { d } else { d - measurement.rank() };
    let of = |drawn| Completions { truth, drawn, open: &open, dimension, residual: &residual };

    let conditioning = inverse.conditioning;
    let gaussian = (d <= MOST_GAUSSIAN).then(|| Conditional::new(plan, completed, train, conditioning.sigma_y));
    let gaussian = gaussian.transpose()?;
    let drawn = gaussian.as_ref().map(|g| g.draws(plan, completed, conditioning.repeats, conditioning.sigma_y));
    let means = gaussian.as_ref().map(|g| g.means(completed));
    let baseline = means.as_ref().zip(drawn.as_ref()).map(|(means, drawn)| Baseline { means, drawn: of(drawn) });
    let record = InverseRecord {
        kind: inverse.problem.kind().into(),
        method: serde_json::json!(conditioning.method).as_str().unwrap_or_default().into(),
        sigma_y: conditioning.sigma_y,
        observed: conditioning.observed,
        repeats: conditioning.repeats,
        measurements: measurement.rank(),
        nfe: completed.evaluations,
        seconds: completed.seconds,
    };
    Ok((record, completion_metrics(&of(samples), baseline.as_ref())))
}

/// Whether the measurement, but for its noise, says all there is.
fn all_is_seen(measurement: &Measurement) -> bool {
    measurement.rank() == measurement.dimension()
}

/// The shortest rows that agree with what was measured; not a number where nobody looked.
fn shown(measurement: &Measurement, measured: &Array) -> Array {
    let mut rows = measurement.least(measured);
    let d = measurement.dimension();
    for i in (0..d).filter(|i| !measurement.sees(*i)) {
        rows.data.iter_mut().skip(i).step_by(d).for_each(|x| *x = f32::NAN);
    }
    rows
}

/// A Gaussian fitted to the training rows, given a measurement.
struct Conditional {
    law: Gaussian,
    /// K, `[D, k]`.
    gain: Vec<f64>,
}

impl Conditional {
    fn new(plan: &Plan, completed: &Completed, train: &Array, sigma_y: f64) -> Result<Self, RunError> {
        let failed = |e: stein_metrics::stats::StatsError| Invalid::new(e.to_string());
        let rows = Rows::new(&train.data, plan.dataset.dimension()).map_err(failed)?;
        let law = Gaussian::fit(rows, RIDGE).map_err(failed)?;
        let gain = law.gain(&completed.measurement.rows(), sigma_y).map_err(failed)?;
        Ok(Self { law, gain })
    }

    /// x + K (y − y').
    fn moved(&self, x: &[f64], y: &[f32], other: &[f64]) -> Vec<f32> {
        let difference: Vec<f64> = y.iter().zip(other).map(|(y, o)| f64::from(*y) - o).collect();
        let rows = x.iter().zip(self.gain.chunks_exact(difference.len()));
        rows.map(|(x, gain)| (x + gain.iter().zip(&difference).map(|(k, d)| k * d).sum::<f64>()) as f32).collect()
    }

    /// The mean given each row of y.
    fn means(&self, completed: &Completed) -> Array {
        let mean: Vec<f32> = self.law.mean().iter().map(|&m| m as f32).collect();
        let seen = completed.measurement.of(&mean);
        let measured = &completed.measured;
        let rows = (0..measured.rows()).flat_map(|i| self.moved(self.law.mean(), measured.row(i), &seen));
        Array::new([measured.rows(), mean.len()], rows.collect())
    }

    /// Draws given each row of y: draws of the law, moved by what they would have been measured as.
    fn draws(&self, plan: &Plan, completed: &Completed, repeats: usize, sigma_y: f64) -> Array {
        let (measurement, measured) = (&completed.measurement, &completed.measured);
        let (n, d) = (measured.rows() * repeats, measurement.dimension());
        let free = Array::new([n, d], self.law.sample(n, plan.streams.at("inverse baseline", 0).seed()));
        let seen = measurement.measure(&free, sigma_y, &mut plan.streams.at("inverse baseline", 1));
        let row = |i: usize| {
            let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
            self.moved(&wide(free.row(i)), measured.row(i / repeats), &wide(seen.row(i)))
        };
        Array::new([n, d], (0..n).flat_map(row).collect())
    }
}
