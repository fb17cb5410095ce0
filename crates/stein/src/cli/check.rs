//! `stein check`.

use std::collections::BTreeMap;

use serde_json::json;
use stein_core::{NoiseSchedule, Registry};
use stein_device::choose;

use super::arguments::{Check, Voice};
use super::{Failure, Outcome, cells, load, plain, print, print_json};

pub(crate) fn check(arguments: &Check, registry: &Registry, voice: Voice) -> Outcome {
    let source = load::source(&arguments.experiment.file, &arguments.experiment.set)?;
    let sweep = load::sweep(&source)?;
    let swept = match sweep.is_swept() {
        true => {
            let cells = cells::find(&source, &sweep, registry, &arguments.folders.runs)?;
            Some(sweep.record(&cells.experiment, &cells.names()))
        }
        false => None,
    };
    let plan = cells::plan(&source, &sweep, arguments.cell.as_deref(), registry)?;
    plan.for_evaluation().map_err(load::wrong(&source))?;
    let experiment = &plan.experiment;
    let cell = experiment.cell();
    let (_, directory) = cells::directory(&arguments.folders.runs, experiment)?;
    let state = directory.read_record()?.map(|r| r.state.to_string());
    let chosen = choose(&experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
    let (parameters, nfe) = (plan.parameters(), plan.sampler.evaluations(&*plan.schedule));
    let settled = plan.sampler.settled(&*plan.schedule);
    let metrics: Vec<&str> = plan.metrics.iter().map(|(kind, _)| *kind).collect();
    voice.more("doing a few steps to see what they cost");
    let cost = stein_train::measure(&plan, &chosen.device)?;
    let steps = experiment.training.steps;
    if arguments.json {
        let mut said = json!({
            "experiment": experiment.name,
            "cell": cell.name,
            "hash": cell.hash,
            "run": directory.path().display().to_string(),
            "state": state,
            "device": chosen.description,
            "parameters": parameters,
            "steps": experiment.training.steps,
            "levels": plan.schedule.levels().len(),
            "sigma_max": plan.schedule.first().sigma,
            "sigma_min": plan.schedule.last().sigma,
            "settled": settled.iter().copied().collect::<BTreeMap<_, _>>(),
            "evaluations_per_sample": nfe,
            "seconds_per_step": cost.map(|c| c.seconds),
            "memory_bytes": cost.and_then(|c| c.memory),
            "metrics": metrics,
            "resolved": experiment.resolved(),
        });
        if let Some(record) = swept {
            said["sweep"] = json!(record);
        }
        if let Some(launcher) = sweep.launcher() {
            said["launcher"] = json!(launcher.to_table()["launcher"]);
        }
        print_json(&said);
        return Ok(());
    }
    let data = &plan.dataset;
    print(&experiment.to_toml());
    if let Some(launcher) = sweep.launcher() {
        print(&format!("\n{}", launcher.to_table()));
    }
    print("");
    print(&format!(
        "data     {} training rows, {} held out, of {} numbers with a standard deviation of {:.3}",
        data.train.rows(),
        data.held_out.rows(),
        data.dimension(),
        data.spread()
    ));
    data.notes.iter().for_each(|note| print(&format!("         {}", plain(note))));
    print(&format!("levels   {}", levels(&*plan.schedule)));
    print(&format!("network  {parameters} parameters"));
    let batch = experiment.training.batch_size * experiment.training.accumulate;
    let about = cost.map(|c| {
        let memory = c.memory.map(|m| format!(", {} MB of memory so far", m / 1_000_000)).unwrap_or_default();
        format!(": about {:.1} ms a step, {} in all{memory}", c.seconds * 1e3, duration(c.seconds * steps as f64))
    });
    print(&format!("training {steps} steps of {batch} examples{}", about.unwrap_or_default()));
    let each = nfe.map_or("as many evaluations of the score as each needs".into(), |n| {
        format!("{n} evaluations of the score each")
    });
    print(&format!("sampling {} samples, {each}", experiment.evaluation.samples));
    settled.iter().for_each(|(key, value)| print(&format!("         {key} {value:.4e}")));
    print(&format!("metrics  {}", metrics.join(", ")));
    print(&format!("device   {}", chosen.description));
    chosen.notes.iter().for_each(|note| print(&format!("         {note}")));
    print(&format!("run      {} ({})", directory.path().display(), state.as_deref().unwrap_or("not begun")));
    if let Some(record) = swept {
        print(&format!("sweep    {} cells, all of them valid; this is {}", record.cells.len(), directory.name()));
        record.axes.iter().for_each(|axis| print(&format!("         {}", cells::axis(axis))));
    }
    Ok(())
}

/// How many, and between which σ.
fn levels(schedule: &dyn NoiseSchedule) -> String {
    let (first, last) = (schedule.first(), schedule.last());
    match schedule.levels().len() {
        1 if first.is_clean() => "no noise".into(),
        1 => format!("1, σ = {}", first.sigma),
        n => format!("{n}, σ from {} to {}", first.sigma, last.sigma),
    }
}

/// Seconds, as a person would say them.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
