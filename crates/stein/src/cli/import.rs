//! `stein import`.

use serde_json::json;
use stein_core::Registry;
use stein_device::{DeviceRequest, choose};
use stein_record::{RecordError, RunDir};
use stein_train::{Foreign, Which, WhichWeights};

use super::arguments::{Import, Voice};
use super::{Failure, Outcome, cells, load, print, print_json, run, runs};

pub(crate) fn import(arguments: &Import, registry: &Registry, voice: Voice) -> Outcome {
    let source = load::source(&arguments.experiment.file, &arguments.experiment.set)?;
    let sweep = load::sweep(&source)?;
    if sweep.is_swept() && arguments.cell.is_none() {
        let file = source.origin();
        return Err(Failure::usage(format!(
            "{file} is several experiments; name one with --cell (`stein plan` lists them)"
        )));
    }
    let mut foreign = open(arguments)?;
    let refused = |problem| Failure::Message(format!("{}: {problem}", arguments.checkpoint.display()), 3);
    let chosen = foreign.choose(&which(arguments)).map_err(refused)?;
    let plan = cells::plan(&source, &sweep, arguments.cell.as_deref(), registry)?;
    if plan.parameters() == 0 {
        let (file, kind) = (source.origin(), plan.experiment.network.kind());
        return Err(Failure::usage(format!("{file}: its network, `{kind}`, has no weights")));
    }
    let directory = match &arguments.out {
        Some(out) => runs::at(out),
        None => cells::directory(&arguments.runs, &plan.experiment)?.1,
    };
    let cpu = choose(&DeviceRequest::Cpu).map_err(|e| Failure::usage(e.to_string()))?;
    let options = run::options(voice, Default::default());
    let record = stein_train::import(&plan, &directory, (&mut foreign, &chosen), &cpu, &options)?;
    tell(arguments, &directory, &foreign, &chosen, &record);
    Ok(())
}

/// What is said of an import.
fn tell(
    arguments: &Import,
    directory: &RunDir,
    foreign: &Foreign,
    chosen: &stein_train::Chosen,
    record: &stein_record::RunRecord,
) {
    let weights = record.imported.as_ref().and_then(|import| import.weights.as_deref());
    let (tensors, parameters) = (foreign.count(chosen), record.network.parameters);
    if arguments.json {
        print_json(&json!({
            "run": directory.path(), "file": foreign.path(), "sha256": foreign.sha256(), "table": chosen.path, "weights": weights,
            "step": chosen.step, "tensors": tensors, "parameters": parameters,
        }));
        return;
    }
    let steps = chosen.step.map(|step| format!(", after {step} steps")).unwrap_or_default();
    let which = weights.map(|weights| format!(", {weights}")).unwrap_or_default();
    let (path, kind) = (directory.path().display(), &record.network.kind);
    print(&format!("weights  table {} of {}: {tensors} tensors{which}{steps}", chosen.path, foreign.path().display()));
    print(&format!("run      {path}"));
    // By `run` it is found where the experiment's runs are, and nowhere else.
    let measures = if arguments.out.is_none() { ", stein run draws and measures" } else { "" };
    print(&format!("         {kind}, {parameters} numbers; stein sample {path} draws{measures}"));
}

fn open(arguments: &Import) -> Result<Foreign, Failure> {
    let shown = arguments.checkpoint.display();
    match Foreign::open(&arguments.checkpoint) {
        Ok(Some(foreign)) => Ok(foreign),
        Ok(None) => Err(Failure::usage(format!("there is no file {shown}"))),
        Err(RecordError::Damaged { problem, .. }) => Err(Failure::Message(format!("{shown}: {problem}"), 3)),
        Err(error) => Err(error.into()),
    }
}

fn which(arguments: &Import) -> Which {
    match (&arguments.key, arguments.ema, arguments.raw) {
        (Some(path), ..) => Which::At(path.clone()),
        (None, true, _) => Which::Of(WhichWeights::Averaged),
        (None, _, true) => Which::Of(WhichWeights::Last),
        (None, false, false) => Which::Best,
    }
}
