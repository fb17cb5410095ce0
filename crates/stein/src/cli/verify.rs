//! `stein verify`.

use std::path::Path;

use serde_json::{Value, json};
use stein_core::Registry;
use stein_record::RecordError;
use stein_record::arrays::ArrayFile;
use stein_train::{VectorError, Verified};

use super::arguments::Verify;
use super::{Failure, Outcome, print, print_json};

pub(crate) fn verify(arguments: &Verify, registry: &Registry) -> Outcome {
    let (mut rows, mut failed, mut wrong) = (Vec::new(), 0usize, 0usize);
    for path in &arguments.files {
        let name = path.display().to_string();
        match one(path, &name, registry) {
            Ok(found) => {
                // A loss that is no number passes nothing.
                let within = |error: f64| error <= arguments.tolerance;
                let pass = within(found.double.loss_error) && within(found.double.gradient_error);
                failed += usize::from(!pass);
                if !arguments.json {
                    print(&line(&name, &found, pass));
                }
                for tensor in &found.unused {
                    eprintln!("note: {name}: nothing reads the tensor `{tensor}`");
                }
                rows.push(row(&name, &found, pass));
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
        let (files, tolerance) = (arguments.files.len(), arguments.tolerance);
        let not = if wrong > 0 { format!(", {wrong} are no vectors") } else { String::new() };
        print(&format!("{} of {files} within {tolerance:e}{not}", files - failed - wrong));
    }
    match (failed, wrong) {
        (0, 0) => Ok(()),
        (_, 0) => Err(Failure::Silent(1)),
        _ => Err(Failure::Silent(3)),
    }
}

fn one(path: &Path, name: &str, registry: &Registry) -> Result<Verified, Failure> {
    let not_a_vector = |problem: String| Failure::Message(format!("{name}: {problem}"), 3);
    let file = match ArrayFile::read(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(not_a_vector("there is no such file".into())),
        Err(RecordError::Damaged { problem, .. }) => {
            return Err(not_a_vector(format!("not a safetensors file of f32: {problem}")));
        }
        Err(RecordError::Io { action, error, .. }) => return Err(not_a_vector(format!("cannot {action}: {error}"))),
    };
    stein_train::verify(name, &file, registry).map_err(|e| match e {
        VectorError::File(problem) => not_a_vector(problem),
        VectorError::Experiment(source, diagnostics) => Failure::Experiment(source, diagnostics),
    })
}

fn line(name: &str, found: &Verified, pass: bool) -> String {
    let word = if pass { "ok    " } else { "FAILED" };
    let (double, single) = (found.double, found.single);
    format!(
        "{word} {name}  loss {:.6e}  error: loss {:.1e}, gradient {:.1e} (in single precision {:.1e}, {:.1e})",
        double.loss, double.loss_error, double.gradient_error, single.loss_error, single.gradient_error
    )
}

fn row(name: &str, found: &Verified, pass: bool) -> Value {
    // JSON has no NaN.
    let number = |x: f64| if x.is_finite() { json!(x) } else { json!(x.to_string()) };
    json!({
        "file": name,
        "loss": number(found.double.loss),
        "loss_error": number(found.double.loss_error),
        "gradient_error": number(found.double.gradient_error),
        "pass": pass,
    })
}
