//! A metric of one's own: how far the samples' mean is from the data's.
//!
//! ```console
//! $ cargo run --release --example own_metric -- run my.toml      # or [evaluation] metrics = ["mean-error", "precision-recall"]
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein::core::{Component, Invalid, Metric, MetricContext, MetricPart};
use stein::record::{Array, Better, Estimate, MetricRecord};

/// ‖mean of samples − mean of held-out rows‖.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MeanError {}

impl Component<MetricPart> for MeanError {
    const KIND: &'static str = "mean-error";

    fn build(&self, (): ()) -> Result<Box<dyn Metric>, Invalid> {
        Ok(Box::new(self.clone()))
    }
}

impl Metric for MeanError {
    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let of = |rows: &Array| distance(&moments(rows), &moments(context.held_out));
        Ok(vec![MetricRecord {
            name: "mean-error".into(),
            label: "error of the mean".into(),
            about: "Distance between the means of samples and held-out rows; says nothing of anything else.".into(),
            better: Better::Lower,
            estimate: of(context.samples),
            // As many real rows as there are samples: a floor of another size would be another floor.
            floor: Some(of(&context.train.slice(0..context.samples.rows().min(context.train.rows())))),
            baseline: Some(of(context.gaussian)),
            by_level: Vec::new(),
            parts: Vec::new(),
        }])
    }
}

/// Mean and variance of the mean, of each column.
fn moments(rows: &Array) -> Vec<(f64, f64)> {
    let (n, d) = (rows.rows() as f64, rows.row_length());
    let column = |j: usize| rows.data.iter().skip(j).step_by(d).map(|&x| f64::from(x));
    (0..d)
        .map(|j| {
            let mean = column(j).sum::<f64>() / n;
            (mean, column(j).map(|x| (x - mean).powi(2)).sum::<f64>() / (n * (n - 1.0)))
        })
        .collect()
}

/// The distance, its standard error by the delta method.
fn distance(a: &[(f64, f64)], b: &[(f64, f64)]) -> Estimate {
    let pairs = || a.iter().zip(b).map(|((ma, va), (mb, vb))| (ma - mb, va + vb));
    let size = pairs().map(|(d, _)| d * d).sum::<f64>().sqrt();
    let variance = pairs().map(|(d, v)| d * d * v).sum::<f64>() / (size * size).max(f64::MIN_POSITIVE);
    Estimate::new(size, variance.sqrt())
}

fn main() -> std::process::ExitCode {
    stein::cli::main(|registry| {
        registry.metrics.add::<MeanError>();
    })
}
