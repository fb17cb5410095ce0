//! From a file name to a plan.

use std::io::Read;
use std::path::Path;

use stein_core::Registry;
use stein_experiment::{Experiment, Plan, Sweep};
use stein_record::RunDir;
use stein_record::source::{Diagnostic, MAX_BYTES, Source};
use stein_train::RunError;

use super::Failure;

/// Reads an experiment file with assignments.
pub(crate) fn source(file: &Path, set: &[String]) -> Result<Source, Failure> {
    let shown = file.display();
    let unreadable = |e: std::io::Error| {
        let hint =
            if e.kind() == std::io::ErrorKind::NotFound { "; the ones that ship are in experiments/" } else { "" };
        Failure::usage(format!("cannot read {shown}: {e}{hint}"))
    };
    let mut bytes = Vec::new();
    // Limited while reading: a device or a pipe has no length to ask for.
    let limit = MAX_BYTES as u64 + 1;
    std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
    let wrong = |diagnostics: Vec<Diagnostic>| {
        let empty = Source::new(shown.to_string(), b"").unwrap_or_else(|_| unreachable!("an empty file is fine"));
        Failure::Experiment(Box::new(empty), diagnostics)
    };
    let mut source = Source::new(shown.to_string(), &bytes).map_err(wrong)?;
    for assignment in set {
        source.set(assignment).map_err(wrong)?;
    }
    Ok(source)
}

/// Reads, checks and builds an experiment.
pub(crate) fn plan(file: &Path, set: &[String], registry: &Registry) -> Result<Plan, Failure> {
    let source = source(file, set)?;
    Experiment::read(&source, registry)
        .and_then(|experiment| Plan::build(experiment, registry))
        .map_err(|diagnostics| Failure::Experiment(Box::new(source), diagnostics))
}

/// Refuses a run whose data have changed since: what the plan knows of them, units and moments, would be others than the network's.
pub(crate) fn same_data(plan: &Plan, run: &RunDir) -> Result<(), Failure> {
    let changed = run.read_record()?.is_some_and(|record| record.data.sha256 != plan.dataset.sha256());
    if changed { Err(RunError::OtherData { path: run.path().to_owned() }.into()) } else { Ok(()) }
}

/// What is wrong with a source.
pub(crate) fn wrong(source: &Source) -> impl Fn(Vec<Diagnostic>) -> Failure {
    |diagnostics| Failure::Experiment(Box::new(source.clone()), diagnostics)
}

/// Reads a file's `[sweep]`, which may be absent.
pub(crate) fn sweep(source: &Source) -> Result<Sweep<'_>, Failure> {
    Sweep::read(source).map_err(wrong(source))
}
