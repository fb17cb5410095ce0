//! Samples that were drawn given a measurement, against the rows that were measured.

use stein_record::{Array, Better, Estimate, MetricRecord};

use crate::compare::Reading;

/// Completions of some rows, beside the rows themselves.
pub struct Completions<'a> {
    /// The rows that were measured, `[N, D]`.
    pub truth: &'a Array,
    /// The completions, as many for each row, row after row: `[N R, D]`.
    pub drawn: &'a Array,
    /// The part of a difference that the measurement leaves open.
    pub open: &'a dyn Fn(&[f64]) -> Vec<f64>,
    /// The dimension of that part.
    pub dimension: usize,
    /// The distance of a row from what was measured of row i, a root mean square over the measurements.
    pub residual: &'a dyn Fn(usize, &[f32]) -> f64,
}

/// Of one row, all over the open dimensions.
struct OfRow {
    /// ‖mean − truth‖².
    mean: f64,
    /// The least ‖x − truth‖².
    best: f64,
    /// The completions' variance about their mean.
    variance: f64,
    /// The mean square residual.
    residual: f64,
}

impl Completions<'_> {
    fn repeats(&self) -> usize {
        self.drawn.rows() / self.truth.rows()
    }

    fn of_row(&self, i: usize) -> OfRow {
        let repeats = self.repeats();
        let truth = self.truth.row(i);
        let own = || (i * repeats..(i + 1) * repeats).map(|k| self.drawn.row(k));
        let error = |x: &[f32]| {
            let difference: Vec<f64> = x.iter().zip(truth).map(|(x, t)| f64::from(*x) - f64::from(*t)).collect();
            (self.open)(&difference)
        };
        let errors: Vec<Vec<f64>> = own().map(error).collect();
        let mut mean = vec![0.0; truth.len()];
        for e in &errors {
            mean.iter_mut().zip(e).for_each(|(mean, e)| *mean += e / repeats as f64);
        }
        let squares = errors.iter().map(|e| square(e));
        let about = errors.iter().flat_map(|e| e.iter().zip(&mean)).map(|(e, m)| (e - m).powi(2)).sum::<f64>();
        let open = self.dimension as f64;
        OfRow {
            mean: square(&mean) / open,
            best: squares.fold(f64::INFINITY, f64::min) / open,
            variance: about / (repeats as f64 - 1.0) / open,
            residual: own().map(|x| (self.residual)(i, x).powi(2)).sum::<f64>() / repeats as f64,
        }
    }
}

fn square(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum()
}

/// The root of a mean of squares; its error by the delta method.
fn root(squares: &[f64]) -> Estimate {
    let mean = Estimate::mean_of(squares);
    let value = mean.value.sqrt();
    let error = if value > 0.0 { mean.standard_error / (2.0 * value) } else { 0.0 };
    Estimate::new(value, error)
}

/// √(E‖mean − truth‖²/((1 + 1/R) E variance)): 1 if the truth could be one more completion.
fn calibration(rows: &[OfRow], repeats: usize) -> Estimate {
    let factor = 1.0 + 1.0 / repeats as f64;
    let n = rows.len() as f64;
    let mean = |f: fn(&OfRow) -> f64| rows.iter().map(f).sum::<f64>() / n;
    let (error, variance) = (mean(|r| r.mean), factor * mean(|r| r.variance));
    let ratio = error / variance;
    let residuals: Vec<f64> = rows.iter().map(|r| (r.mean - ratio * factor * r.variance) / variance).collect();
    let value = ratio.sqrt();
    Estimate::new(value, Estimate::mean_of(&residuals).standard_error / (2.0 * value))
}

/// What a fitted Gaussian says in place of completions.
pub struct Baseline<'a> {
    /// Its means given what was measured, `[N, D]`.
    pub means: &'a Array,
    /// Its draws given that.
    pub drawn: Completions<'a>,
}

/// The metrics of completions.
pub fn completion_metrics(completions: &Completions<'_>, baseline: Option<&Baseline<'_>>) -> Vec<MetricRecord> {
    let of = |c: &Completions<'_>| -> Vec<OfRow> { (0..c.truth.rows()).map(|i| c.of_row(i)).collect() };
    let column = |rows: &[OfRow], f: fn(&OfRow) -> f64| -> Estimate { root(&rows.iter().map(f).collect::<Vec<_>>()) };
    let rows = of(completions);
    let others = baseline.map(|b| of(&b.drawn));
    let other = |f: fn(&OfRow) -> f64| others.as_deref().map(|rows| column(rows, f));
    let repeats = completions.repeats();
    // The exact mean, not that of some draws.
    let gaussian_mean = baseline.map(|b| {
        let means = Completions { drawn: b.means, ..b.drawn };
        column(&of(&means), |r| r.mean)
    });
    let measured: Vec<f64> =
        (0..completions.truth.rows()).map(|i| (completions.residual)(i, completions.truth.row(i)).powi(2)).collect();
    let reading = |name, label, about, better| Reading { name, label, about, better };
    vec![
        reading(
            "completion-error",
            "error of the mean completion",
            "Root mean square difference between the mean of a row's completions and the row, over what the measurement \
             leaves open. The Gaussian's is that of its exact conditional mean: no linear guess is better.",
            Better::Lower,
        )
        .record(column(&rows, |r| r.mean), None, gaussian_mean),
        reading(
            "completion-best",
            "error of the best completion",
            "The same for the completion that is nearest to the row: falls with their number, and with their variety.",
            Better::Lower,
        )
        .record(column(&rows, |r| r.best), None, other(|r| r.best)),
        reading(
            "completion-calibration",
            "completions' error over their spread",
            "1 if the row itself could be one more completion; above 1, completions are too sure of themselves; below, too \
             unsure.",
            Better::Near(1.0),
        )
        .record(calibration(&rows, repeats), None, others.as_deref().map(|rows| calibration(rows, repeats))),
        reading(
            "completion-residual",
            "distance from what was measured",
            "Root mean square difference between what was measured and what a completion would have given. For the rows \
             themselves it is the measurement's noise.",
            Better::Lower,
        )
        .record(column(&rows, |r| r.residual), Some(root(&measured)), other(|r| r.residual)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stein_core::Streams;

    /// Rows x = y + t z of which y is given, completed by y + s z': the error of the mean is √(t² + s²/R).
    fn metrics(truth_std: f32, std: f32) -> Vec<f64> {
        let (n, repeats, d) = (400, 4, 6);
        let z = |rows: usize, seed| Streams::new(seed).at("completions", 0).normals(rows * d);
        let truth = Array::new([n, d], z(n, 1).iter().map(|z| truth_std * z).collect());
        let drawn = Array::new([n * repeats, d], z(n * repeats, 2).iter().map(|z| std * z).collect());
        // Half of the coordinates are open.
        let open = |x: &[f64]| x.iter().enumerate().map(|(i, x)| if i < 3 { *x } else { 0.0 }).collect();
        let residual = |_: usize, x: &[f32]| f64::from(x[5].abs());
        let completions = Completions { truth: &truth, drawn: &drawn, open: &open, dimension: 3, residual: &residual };
        completion_metrics(&completions, None).into_iter().map(|m| m.estimate.value).collect()
    }

    #[test]
    fn errors_and_calibration_have_their_closed_forms() {
        let right = metrics(0.5, 0.5);
        assert!((right[0] - (0.25f64 + 0.25 / 4.0).sqrt()).abs() < 0.02, "{right:?}");
        assert!(
            right[1] < right[0] * 1.2 && (right[2] - 1.0).abs() < 0.05 && (right[3] - 0.5).abs() < 0.02,
            "{right:?}"
        );
        let sure = metrics(0.5, 0.1);
        let expected = ((0.25f64 + 0.01 / 4.0) / (1.25 * 0.01)).sqrt();
        assert!((sure[2] / expected - 1.0).abs() < 0.05, "{sure:?}");
        assert!(metrics(0.1, 0.5)[2] < 0.6);
    }
}
