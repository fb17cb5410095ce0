//! `stein run --launcher`: the cells of an experiment, for something else to run.

use std::collections::HashSet;

use stein_core::Registry;
use stein_experiment::Sweep;
use stein_record::source::Source;

use super::arguments::{Launcher, Run, Voice};
use super::pool::{Job, is_trained};
use super::{Failure, Outcome, cells, command, print, slurm, sweep};

/// A cell to launch.
pub(crate) struct Task<'a> {
    pub(crate) job: Job<'a>,
    /// Another cell, before it, trains the network that it shares.
    pub(crate) follows: bool,
}

/// Hands out every cell that is not finished, in the order in which a local run would begin them.
pub(crate) fn launch(
    arguments: &Run,
    launcher: Launcher,
    source: &Source,
    sweep: &Sweep<'_>,
    registry: &Registry,
    voice: Voice,
) -> Outcome {
    let file = &arguments.experiment.file;
    if !file.is_file() {
        let shown = file.display();
        return Err(Failure::usage(format!("{shown} is no file that can be read again by the process of each cell")));
    }
    let cells = cells::find(source, sweep, registry, &arguments.folders.runs)?;
    let mut jobs: Vec<Job<'_>> = sweep::unfinished(&cells, sweep).into();
    if let Some(name) = &arguments.cell {
        let cell = cells::named(source, sweep, name, registry)?;
        jobs.retain(|job| job.cell == cell);
    }
    if sweep.is_swept() && !arguments.dry_run {
        match arguments.cell {
            Some(_) => cells.record_if_new(sweep)?,
            None => cells.record(sweep)?,
        }
    }
    let (all, left) = (cells.all.len(), jobs.len());
    voice.say(&format!("sweep   {} ({all} cells, {left} to launch)", cells.folder.display()));
    let tasks = tasks(jobs);
    match launcher {
        Launcher::Print => print_commands(arguments, &tasks, sweep.is_swept(), voice),
        Launcher::Slurm => slurm::submit(arguments, &cells, sweep, tasks, voice),
    }
}

fn tasks(jobs: Vec<Job<'_>>) -> Vec<Task<'_>> {
    let mut begun = HashSet::new();
    let follows = |job: &Job<'_>| {
        job.training.as_ref().is_some_and(|training| !begun.insert(training.clone()) && !is_trained(training))
    };
    let follows: Vec<bool> = jobs.iter().map(follows).collect();
    jobs.into_iter().zip(follows).map(|(job, follows)| Task { job, follows }).collect()
}

/// Prints one command a line.
fn print_commands(arguments: &Run, tasks: &[Task<'_>], swept: bool, voice: Voice) -> Outcome {
    let program = std::env::args_os().next().unwrap_or_else(|| "stein".into());
    let file = &arguments.experiment.file;
    // One page that every cell writes again would be a waste; a file of one cell has its page at once.
    let report = !swept && !arguments.no_report;
    let mut lines = Vec::new();
    for task in tasks {
        let mut words = vec![program.clone(), "run".into(), "--cell".into(), task.job.name.into()];
        words.extend(command::of_cell(arguments, &arguments.folders.runs, voice));
        words.push(match report {
            true => command::option("--reports", arguments.folders.reports.as_os_str()),
            false => "--no-report".into(),
        });
        words.extend(["--".into(), file.into()]);
        lines.push(command::line(words)?);
    }
    if !lines.is_empty() {
        print(&lines.join("\n"));
    }
    if swept {
        let (runs, reports) = (&arguments.folders.runs, &arguments.folders.reports);
        let option = |name, value: &std::path::Path| command::option(name, value.as_os_str());
        let words =
            [program, "report".into(), option("--runs", runs), option("--reports", reports), "--".into(), file.into()];
        voice.say(&format!("then    {}", command::line(words)?));
    }
    Ok(())
}
