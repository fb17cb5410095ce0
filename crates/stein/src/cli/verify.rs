//! `stein verify`.

use std::path::Path;

use serde_json::{Value, json};
use stein_core::Registry;
use stein_record::arrays::ArrayFile;
use stein_record::{RecordError, file};
use stein_train::{
    OutputError, VectorError, Verified, VerifiedOutputs, VerifiedSamples, holds_outputs, holds_samples, verify_outputs,
    verify_samples,
};

use super::arguments::Verify;
use super::{Failure, Outcome, print, print_json, say};

pub(crate) fn verify(arguments: &Verify, registry: &Registry) -> Outcome {
    let (mut rows, mut failed, mut wrong) = (Vec::new(), 0usize, 0usize);
    let mut tolerances: Vec<f64> = Vec::new();
    for path in &arguments.files {
        let name = path.display().to_string();
        match Found::of(path, &name, registry) {
            Ok(found) => {
                let tolerance = arguments.tolerance.unwrap_or_else(|| found.tolerance());
                if !tolerances.contains(&tolerance) {
                    tolerances.push(tolerance);
                }
                let pass = found.within(tolerance);
                failed += usize::from(!pass);
                if !arguments.json {
                    print(&found.line(&name, pass));
                }
                for tensor in found.unused() {
                    say(format_args!("note: {name}: nothing reads the tensor `{tensor}`"));
                }
                rows.push(found.row(&name, pass));
            }
            Err(failure) => {
                wrong += 1;
                rows.push(
                    json!({ "file": name, "loss": null, "loss_error": null, "gradient_error": null, "pass": false }),
                );
                failure.show();
            }
        }
    }
    if arguments.json {
        print_json(&Value::from(rows));
    } else {
        let files = arguments.files.len();
        let within: Vec<String> = tolerances.iter().map(|t| format!("{t:e}")).collect();
        let within = if within.is_empty() { String::new() } else { format!(" within {}", within.join(" or ")) };
        let not = if wrong > 0 { format!(", {wrong} are no vectors") } else { String::new() };
        print(&format!("{} of {files}{within}{not}", files - failed - wrong));
    }
    match (failed, wrong) {
        (0, 0) => Ok(()),
        (_, 0) => Err(Failure::Silent(1)),
        _ => Err(Failure::Silent(3)),
    }
}

/// The largest relative error of a loss and of a gradient, where nobody says.
const LOSS_TOLERANCE: f64 = 1e-4;
/// That of samples, which are drawn in single precision.
const SAMPLE_TOLERANCE: f64 = 1e-3;
/// That of a network's outputs.
const OUTPUT_TOLERANCE: f64 = 1e-4;

/// What a vector tells.
enum Found {
    Loss(Verified),
    Samples(VerifiedSamples),
    Outputs(VerifiedOutputs),
}

impl Found {
    fn of(path: &Path, name: &str, registry: &Registry) -> Result<Self, Failure> {
        let not_a_vector = |problem: String| Failure::Message(format!("{name}: {problem}"), 3);
        let file = match ArrayFile::read(&file::named(path)) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(not_a_vector("there is no such file".into())),
            Err(RecordError::Damaged { problem, .. }) => {
                return Err(not_a_vector(format!("not a safetensors file of floats: {problem}")));
            }
            Err(RecordError::Io { action, error, .. }) => {
                return Err(not_a_vector(format!("cannot {action}: {error}")));
            }
        };
        let found = if holds_samples(&file) {
            verify_samples(name, &file, registry).map(Self::Samples)
        } else if holds_outputs(&file) {
            verify_outputs(name, &file, registry).map(Self::Outputs)
        } else {
            stein_train::verify(name, &file, registry).map(Self::Loss)
        };
        found.map_err(|e| match e {
            VectorError::File(problem) => not_a_vector(problem),
            VectorError::Experiment(source, diagnostics) => Failure::Experiment(source, diagnostics),
        })
    }

    /// What may be wrong by rounding, where nobody says how much.
    fn tolerance(&self) -> f64 {
        match self {
            Self::Loss(_) => LOSS_TOLERANCE,
            Self::Samples(_) => SAMPLE_TOLERANCE,
            Self::Outputs(_) => OUTPUT_TOLERANCE,
        }
    }

    /// An error that is no number is within nothing.
    fn within(&self, tolerance: f64) -> bool {
        match self {
            Self::Loss(Verified { double, .. }) => double.loss_error <= tolerance && double.gradient_error <= tolerance,
            Self::Samples(samples) => samples.sample_error <= tolerance,
            Self::Outputs(outputs) => outputs.worst() <= tolerance,
        }
    }

    fn unused(&self) -> &[String] {
        match self {
            Self::Loss(loss) => &loss.unused,
            Self::Samples(samples) => &samples.unused,
            Self::Outputs(outputs) => &outputs.unused,
        }
    }

    fn line(&self, name: &str, pass: bool) -> String {
        let word = if pass { "ok    " } else { "FAILED" };
        match self {
            Self::Loss(Verified { double, single, .. }) => format!(
                "{word} {name}  loss {:.6e}  error: loss {:.1e}, gradient {:.1e} (in single precision {:.1e}, {:.1e})",
                double.loss, double.loss_error, double.gradient_error, single.loss_error, single.gradient_error
            ),
            Self::Samples(samples) => format!("{word} {name}  error: samples {:.1e}", samples.sample_error),
            Self::Outputs(outputs) => {
                let error = |e: &OutputError| {
                    let scale = if e.scale == 1.0 { String::new() } else { format!(", weights × {}", e.scale) };
                    format!(
                        "\n         σ = {}{scale}: {:.1e} (in single precision {:.1e})",
                        e.sigma, e.double, e.single
                    )
                };
                let errors: String = outputs.errors.iter().map(error).collect();
                format!("{word} {name}  error: output {:.1e}{errors}", outputs.worst())
            }
        }
    }

    fn row(&self, name: &str, pass: bool) -> Value {
        // JSON has no NaN.
        let number = |x: f64| if x.is_finite() { json!(x) } else { json!(x.to_string()) };
        match self {
            Self::Loss(Verified { double, .. }) => json!({
                "file": name,
                "loss": number(double.loss),
                "loss_error": number(double.loss_error),
                "gradient_error": number(double.gradient_error),
                "pass": pass,
            }),
            Self::Samples(samples) => {
                json!({ "file": name, "sample_error": number(samples.sample_error), "pass": pass })
            }
            Self::Outputs(outputs) => {
                let errors = outputs.errors.iter();
                let errors = errors.map(|e| {
                    json!({ "sigma": e.sigma, "scale": e.scale, "error": number(e.double), "single": number(e.single) })
                });
                json!({
                    "file": name,
                    "output_error": number(outputs.worst()),
                    "errors": errors.collect::<Vec<_>>(),
                    "pass": pass,
                })
            }
        }
    }
}
