//! `stein status`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stein_core::Registry;
use stein_record::{RunDir, run_dir};
use stein_train::{Standing, Status};

use super::arguments::Status as Arguments;
use super::check::duration;
use super::plan::aligned;
use super::{Failure, Outcome, load, print, print_json, runs};

/// Not all cells are done, and none has failed.
const NOT_DONE: u8 = 4;

pub(crate) fn status(arguments: &Arguments, registry: &Registry) -> Outcome {
    let cells = if arguments.of.is_dir() { runs::in_folder(&arguments.of)? } else { of_file(arguments, registry)? };
    if cells.is_empty() {
        return Err(Failure::usage(format!("there are no runs in {}", arguments.of.display())));
    }
    let all: Vec<(RunDir, Status)> = cells.into_iter().map(with_status).collect();
    let mut counts: BTreeMap<Standing, usize> = BTreeMap::new();
    for (_, status) in &all {
        *counts.entry(status.standing).or_default() += 1;
    }
    if arguments.json {
        let counts: BTreeMap<String, usize> = counts.iter().map(|(standing, n)| (standing.to_string(), *n)).collect();
        print_json(&json!({ "counts": counts, "cells": all.iter().map(entry).collect::<Vec<_>>() }));
    } else {
        let mut table =
            vec![["cell", "state", "step", "steps/s", "left", "host", "recorded", ""].map(String::from).to_vec()];
        table.extend(all.iter().map(row));
        print(&aligned(&table));
        let counts: Vec<String> = counts.iter().map(|(standing, n)| format!("{n} {standing}")).collect();
        print(&format!("\n{} cells: {}", all.len(), counts.join(", ")));
    }
    let any = |of: &[Standing]| counts.keys().any(|standing| of.contains(standing));
    if any(&[Standing::Failed, Standing::TimedOut, Standing::Diverged, Standing::Damaged]) {
        return Err(Failure::Silent(1));
    }
    if any(&[Standing::Running, Standing::Interrupted, Standing::Imported, Standing::NotBegun]) {
        return Err(Failure::Silent(NOT_DONE));
    }
    Ok(())
}

fn with_status(run: RunDir) -> (RunDir, Status) {
    let status = Status::of(&run);
    (run, status)
}

/// The cells of an experiment file, in its order.
fn of_file(arguments: &Arguments, registry: &Registry) -> Result<Vec<RunDir>, Failure> {
    let source = load::source(&arguments.of, &arguments.set)?;
    let sweep = load::sweep(&source)?;
    let cells = sweep.cells(registry).map_err(load::wrong(&source))?;
    let experiment = sweep.experiment(0, registry).map_err(load::wrong(&source))?.name;
    let folder = arguments.runs.join(experiment);
    let existing = run_dir::directories(&folder)?;
    let located =
        |plan: &stein_experiment::CellPlan| RunDir::of_cell(&folder, &plan.cell.name, &plan.cell.hash, &existing);
    Ok(cells.iter().map(located).collect())
}

fn row((run, status): &(RunDir, Status)) -> Vec<String> {
    let Status { standing, steps, steps_per_second, seconds_left, host, age, reason } = status;
    let optional = |text: Option<String>| text.unwrap_or_default();
    vec![
        run.name(),
        standing.to_string(),
        optional(steps.map(|(step, steps)| format!("{step}/{steps}"))),
        optional(steps_per_second.map(|rate| format!("{rate:.1}"))),
        optional(seconds_left.map(duration)),
        optional(host.clone()),
        optional(age.map(|age| format!("{} ago", duration(age.as_secs_f64())))),
        // A record's reason may have several lines.
        optional(reason.as_ref().map(|reason| reason.lines().next().unwrap_or_default().to_owned())),
    ]
}

fn entry((run, status): &(RunDir, Status)) -> Value {
    json!({
        "cell": run.name(),
        "path": run.path(),
        "state": status.standing.to_string(),
        "step": status.steps.map(|steps| steps.0),
        "steps": status.steps.map(|steps| steps.1),
        "steps_per_second": status.steps_per_second,
        "seconds_left": status.seconds_left,
        "host": status.host,
        "recorded_seconds_ago": status.age.map(|age| age.as_secs_f64()),
        "reason": status.reason,
    })
}
