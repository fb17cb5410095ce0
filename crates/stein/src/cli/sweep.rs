//! `stein run` of a file with a `[sweep]`: each cell in a process of its own.

use std::collections::{HashMap, VecDeque};

use stein_core::Registry;
use stein_device::{DeviceRequest, choose};
use stein_experiment::Sweep;
use stein_record::source::Source;
use stein_record::{RunDir, State};

use super::arguments::{Run, Voice};
use super::pool::{Job, Pool};
use super::{Failure, Outcome, cells, pictures, print, run, say, signals};

/// Failures that are listed again at the end.
const LISTED: usize = 20;

/// Runs every cell that is not finished.
pub(crate) fn run(arguments: &Run, source: &Source, sweep: &Sweep<'_>, registry: &Registry, voice: Voice) -> Outcome {
    let file = arguments.experiment.file.display();
    if arguments.tui {
        return Err(Failure::usage("--tui shows one run; name one cell of the [sweep] with --cell"));
    }
    if !arguments.experiment.file.is_file() {
        return Err(Failure::usage(format!("{file} is no file that can be read again by the process of each cell")));
    }
    let jobs = jobs(arguments)?;
    let cells = cells::find(source, sweep, registry, &arguments.folders.runs)?;
    check_devices(&arguments.devices, &cells)?;
    let stop = signals::watch().map_err(|e| Failure::Message(format!("cannot handle signals: {e}"), 1))?;
    cells.record(sweep)?;
    let left = unfinished(&cells, sweep);
    let (all, before) = (cells.all.len(), cells.all.len() - left.len());
    voice.say(&format!("sweep   {} ({all} cells, {before} finished)", cells.folder.display()));

    let mut pool = Pool::new(arguments, voice, jobs, all, left);
    if let Some(asked) = pool.work(&stop) {
        return Err(asked.into());
    }
    for (_, directory) in &cells.all {
        if let Some(asked) = stop.requested() {
            return Err(asked.into());
        }
        // Each process draws its own; one that was killed may not have come to it.
        if !directory.sample("final.png").is_file()
            && let Err(error) = pictures::draw(directory)
        {
            say(format_args!("warning: {error}"));
        }
    }
    let (finished, failed) = (pool.finished, pool.failed);
    print(&format!("cells   {finished} finished, {before} skipped, {} failed", failed.len()));
    if !arguments.no_report {
        let page = stein_report::write(&cells.folder, &arguments.folders.reports)?;
        print(&format!("report  {}", page.display()));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let more = match failed.len().saturating_sub(LISTED) {
        0 => String::new(),
        n => format!("\n  and {n} more"),
    };
    let shown = failed[..failed.len().min(LISTED)].join("\n");
    Err(Failure::Message(format!("{} of {all} cells failed:\n{shown}{more}", failed.len()), 1))
}

/// How many cells run at a time.
fn jobs(arguments: &Run) -> Result<usize, Failure> {
    let devices = arguments.devices.len();
    match (arguments.jobs.map(usize::from), devices) {
        (None, n) => Ok(n.max(1)),
        (Some(jobs), n) if n > 0 && jobs > n => Err(Failure::usage(format!(
            "--jobs is {jobs}, but --devices names {n}, each for one cell at a time; a device may be named twice"
        ))),
        (Some(jobs), _) => Ok(jobs),
    }
}

/// Refuses devices that are not there, and cells that name their own.
fn check_devices(devices: &[DeviceRequest], cells: &cells::Cells) -> Outcome {
    if devices.is_empty() {
        return Ok(());
    }
    if let Some((plan, _)) = cells.all.iter().find(|(plan, _)| plan.device != DeviceRequest::Auto) {
        return Err(run::named(plan.device));
    }
    for (i, device) in devices.iter().enumerate() {
        if !devices[..i].contains(device) {
            choose(device).map_err(|e| Failure::usage(e.to_string()))?;
        }
    }
    Ok(())
}

/// The cells to run, in the order to run them.
pub(crate) fn unfinished<'a>(cells: &'a cells::Cells, sweep: &Sweep<'_>) -> VecDeque<Job<'a>> {
    let mut jobs = Vec::new();
    for (cell, (plan, directory)) in cells.all.iter().enumerate() {
        // A record that cannot be read is its own process's to complain of, and does not stop the others.
        let finished = directory.read_record().ok().flatten().is_some_and(|record| record.state == State::Finished);
        if !finished {
            let training = plan.training.as_ref().map(|id| RunDir::of_training(&cells.folder, &id.name));
            jobs.push(Job { cell, name: &plan.cell.name, directory, training });
        }
    }
    // Repetitions one after another: what drifts meanwhile, the machine's load say, then falls on all rows alike.
    jobs.sort_by_key(|job| sweep.repetition(job.cell));
    // But first one of each training, so that none waits for another's.
    let mut seen: HashMap<RunDir, usize> = HashMap::new();
    jobs.sort_by_cached_key(|job| {
        let Some(training) = &job.training else { return 0 };
        let place = seen.entry(training.clone()).or_default();
        *place += 1;
        (*place > 1) as u8
    });
    jobs.into()
}
