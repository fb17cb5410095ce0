//! `stein check`.

use serde_json::json;
use stein_core::Registry;
use stein_device::choose;
use stein_record::RunDir;

use super::arguments::Check;
use super::{Failure, Outcome, load, print, print_json};

pub(crate) fn check(arguments: &Check, registry: &Registry) -> Outcome {
    let plan = load::plan(&arguments.experiment.file, &arguments.experiment.set, registry)?;
    let experiment = &plan.experiment;
    let cell = experiment.cell();
    let directory = RunDir::new(arguments.folders.runs.join(&experiment.name).join(&cell.name));
    let state = directory.read_record()?.map(|r| r.state.to_string());
    let chosen = choose(&experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
    let (parameters, nfe) = (plan.parameters(), plan.sampler.evaluations(&*plan.schedule));
    let metrics: Vec<&str> = plan.metrics.iter().map(|(kind, _)| *kind).collect();
    if arguments.json {
        print_json(&json!({
            "experiment": experiment.name,
            "cell": cell.name,
            "hash": cell.hash,
            "run": directory.path().display().to_string(),
            "state": state,
            "device": chosen.description,
            "parameters": parameters,
            "steps": experiment.training.steps,
            "levels": plan.schedule.levels().len(),
            "evaluations_per_sample": nfe,
            "metrics": metrics,
            "resolved": experiment.resolved(),
        }));
        return Ok(());
    }
    let data = &plan.dataset;
    print(&experiment.to_toml());
    print("");
    print(&format!(
        "data     {} training rows, {} held out, of {} numbers",
        data.train.rows(),
        data.held_out.rows(),
        data.dimension()
    ));
    print(&format!("network  {parameters} parameters"));
    let batch = experiment.training.batch_size * experiment.training.accumulate;
    print(&format!("training {} steps of {batch} examples", experiment.training.steps));
    print(&format!("sampling {} samples, {nfe} network evaluations each", experiment.evaluation.samples));
    print(&format!("metrics  {}", metrics.join(", ")));
    print(&format!("device   {}", chosen.description));
    chosen.notes.iter().for_each(|note| print(&format!("         {note}")));
    print(&format!("run      {} ({})", directory.path().display(), state.as_deref().unwrap_or("not begun")));
    Ok(())
}
