//! `stein export`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stein_core::Registry;
use stein_device::{DeviceRequest, choose};
use stein_record::series::{self, Series};
use stein_record::{RunDir, atomic, tensorboard};
use stein_train::{WhichWeights, export_weights};

use super::arguments::Export;
use super::{Failure, Outcome, load, print, print_json, runs};

pub(crate) fn export(arguments: &Export, registry: &Registry) -> Outcome {
    match &arguments.tensorboard {
        Some(folder) => events(arguments, folder),
        None if arguments.csv => csv(arguments),
        None => weights(arguments, registry),
    }
}

fn weights(arguments: &Export, registry: &Registry) -> Outcome {
    let [path] = &arguments.runs[..] else {
        return Err(Failure::usage("weights are those of one run; of several there are --csv and --tensorboard"));
    };
    let run = runs::trained(path)?;
    let out = arguments.out.clone().unwrap_or_else(|| format!("{}.safetensors", name(&run).1).into());
    unless_there(&out, arguments.force)?;
    let plan = load::plan(&run.experiment(), &[], registry)?;
    if plan.parameters() == 0 {
        let (shown, kind) = (path.display(), plan.experiment.network.kind());
        return Err(Failure::usage(format!("{shown} has no weights: its network is `{kind}`")));
    }
    let cpu = choose(&DeviceRequest::Cpu).map_err(|e| Failure::usage(e.to_string()))?;
    let which = if arguments.raw { WhichWeights::Last } else { WhichWeights::Averaged };
    let file = export_weights(&plan, &run, which, &cpu.device)?;
    file.write(&out)?;
    if arguments.json {
        print_json(&json!({ "weights": out, "tensors": file.arrays.len(), "metadata": file.metadata }));
        return Ok(());
    }
    let (kind, tensors, parameters) = (plan.experiment.network.kind(), file.arrays.len(), plan.parameters());
    // As the file itself tells: imported weights are what they were, and may be of nobody knows which step.
    let about: Value =
        file.metadata.get("stein").and_then(|about| serde_json::from_str(about).ok()).unwrap_or_default();
    let averaged = if about["weights"] == "averaged" { ", averaged" } else { "" };
    let after = file.metadata.get("step").map_or_else(String::new, |step| format!(", after {step} steps"));
    print(&format!("weights  {}", out.display()));
    print(&format!("         {kind}, {parameters} numbers in {tensors} tensors{after}{averaged}"));
    Ok(())
}

fn csv(arguments: &Export) -> Outcome {
    let each = |run: &RunDir| {
        let (experiment, cell) = name(run);
        Ok::<_, Failure>((format!("{experiment}/{cell}"), Series::of(&run.read_metrics()?)))
    };
    let all = runs::all_checked(&arguments.runs)?.iter().map(each).collect::<Result<Vec<_>, _>>()?;
    let text = series::csv(&all);
    match &arguments.out {
        // For a pipe, lines end as they do there.
        None => print(&text.replace("\r\n", "\n")),
        Some(out) => {
            unless_there(out, arguments.force)?;
            atomic::write(out, text.as_bytes())?;
            tell("metrics", std::slice::from_ref(out), arguments.json);
        }
    }
    Ok(())
}

fn events(arguments: &Export, folder: &Path) -> Outcome {
    let mut files = Vec::new();
    for run in runs::all_checked(&arguments.runs)? {
        let Some(record) = run.read_record()? else { continue };
        let (experiment, cell) = name(&run);
        let file = folder.join(experiment).join(cell).join(tensorboard::file_name(&record));
        unless_there(&file, arguments.force)?;
        files.push((run, record, file));
    }
    for (run, record, file) in &files {
        let evaluation = run.read_evaluation()?;
        atomic::write(file, &tensorboard::event_file(record, &run.read_metrics()?, evaluation.as_ref()))?;
    }
    let files: Vec<PathBuf> = files.into_iter().map(|(.., file)| file).collect();
    tell("events", &files, arguments.json);
    Ok(())
}

/// The names of a run's experiment and of its cell: its folders, whatever the path to them.
fn name(run: &RunDir) -> (String, String) {
    let resolved = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
    let text = |path: Option<&Path>| {
        path.and_then(Path::file_name).map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned())
    };
    (text(resolved.parent()), text(Some(&resolved)))
}

fn unless_there(file: &Path, force: bool) -> Result<(), Failure> {
    if force || !file.exists() {
        return Ok(());
    }
    Err(Failure::usage(format!("{} is there already; --force writes over it", file.display())))
}

fn tell(what: &str, files: &[PathBuf], as_json: bool) {
    if as_json {
        print_json(&json!({ what: files }));
    } else {
        files.iter().for_each(|file| print(&format!("{what:8} {}", file.display())));
    }
}
