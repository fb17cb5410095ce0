//! One training for all cells that differ only in what it does not read.

use std::path::Path;
use std::time::Duration;

use burn::tensor::Device;
use stein_experiment::{Plan, TrainingId};
use stein_record::{RunDir, RunRecord, State, checkpoint};

use crate::lock::Lock;
use crate::run::{RunOptions, end, now};
use crate::training::{Site, Trained, train};
use crate::{Layout, RunError, load_network};

/// Between looks at a training that another process works on.
const TICK: Duration = Duration::from_millis(100);

/// The network of a cell: the imported one, or from `trained/` if it is there, else trained there. What the training took goes into `record`, the cell's.
pub(crate) fn trained(
    plan: &Plan,
    cell: &RunDir,
    device: &Device,
    options: &RunOptions,
    record: &mut RunRecord,
) -> Result<Trained, RunError> {
    if let Some(import) = &record.imported {
        options.say(&format!("weights {} (sha256 {}): nothing is trained", import.file, import.sha256));
        return loaded(plan, cell, device, record.progress.step);
    }
    let Some((id, directory)) = directory(plan, cell)? else {
        let site = Site { directory: cell, cell, configuration: plan.experiment.cell().hash };
        return train(plan, &site, device, options, record);
    };
    let directory = &directory;
    let site = Site { directory, cell, configuration: id.hash };
    let (claim, waited) = claim(directory, options)?;
    let mut training = match directory.read_record()? {
        Some(before) => before,
        None => RunRecord { sessions: 0, timings: Default::default(), peak_memory: None, ..record.clone() },
    };
    if training.data.sha256 != record.data.sha256 {
        return Err(RunError::OtherData { path: directory.path().to_owned() });
    }
    let result = match claim {
        None => found(plan, &site, device, options, &training, record),
        Some(_) if training.state == State::Diverged && (waited || !options.retry_diverged) => {
            let reason = training.reason.clone().unwrap_or_else(|| "its training diverged".into());
            Err(RunError::DivergedBefore { reason })
        }
        Some(_lock) => train_here(plan, &site, device, options, record, &mut training),
    };
    record.trained = Some(id.name);
    record.trainer = training.trainer;
    (record.progress.step, record.progress.skipped) = (training.progress.step, training.progress.skipped);
    record.timings.training = training.timings.training;
    record.timings.steps_per_second = training.timings.steps_per_second;
    record.timings.examples_per_second = training.timings.examples_per_second;
    record.peak_memory = record.peak_memory.max(training.peak_memory);
    // What there is of it is the cell's too, however it ended.
    if directory.metrics().is_file() {
        site.hand_over(RunDir::metrics)?;
    }
    let trained = result?;
    site.hand_over(RunDir::network)?;
    Ok(trained)
}

/// The training that a cell's network is of, and where it lies; none if it is the cell's own, or nothing is trained.
pub(crate) fn directory(plan: &Plan, cell: &RunDir) -> Result<Option<(TrainingId, RunDir)>, RunError> {
    // A cell that earlier versions began has its checkpoints itself, and goes on where they lie.
    if checkpoint::exist(&cell.checkpoints())? {
        return Ok(None);
    }
    let folder = cell.path().parent().unwrap_or(Path::new(""));
    let Some(id) = plan.experiment.training_id() else { return Ok(None) };
    let directory = RunDir::of_training(folder, &id.name);
    directory.check_for_reading()?;
    Ok(Some((id, directory)))
}

/// Whether a training is done.
fn is_done(directory: &RunDir) -> Result<bool, RunError> {
    let finished = directory.read_record()?.is_some_and(|record| record.state == State::Finished);
    Ok(finished && directory.network().is_file())
}

/// Takes the lock of a training that is not done, or waits until it is. Gives the lock, and whether another process had it.
fn claim(directory: &RunDir, options: &RunOptions) -> Result<(Option<Lock>, bool), RunError> {
    let mut waited = false;
    loop {
        if is_done(directory)? {
            return Ok((None, waited));
        }
        match Lock::take(directory.path()) {
            // It may have been done just before.
            Ok(lock) => return Ok(((!is_done(directory)?).then_some(lock), waited)),
            Err(RunError::Locked { holder, path }) => {
                if !waited {
                    options.say(&format!("waiting for the network that {holder} trains in {}", path.display()));
                }
                waited = true;
            }
            Err(error) => return Err(error),
        }
        if let Some(asked) = options.stop.requested() {
            return Err(asked);
        }
        std::thread::sleep(TICK);
    }
}

/// Reads a network that was trained before.
fn found(
    plan: &Plan,
    site: &Site<'_>,
    device: &Device,
    options: &RunOptions,
    training: &RunRecord,
    cell: &RunRecord,
) -> Result<Trained, RunError> {
    let (by, at) = (training.trainer.as_deref().unwrap_or("another cell"), site.directory.path().display());
    options.say(&format!("trained {at} (by {by})"));
    if training.device.backend != cell.device.backend {
        options.say(&format!("note    the network was trained on {}", training.device.description));
    }
    loaded(plan, site.directory, device, training.progress.step)
}

/// The network of a directory, after so many steps.
fn loaded(plan: &Plan, directory: &RunDir, device: &Device, step: u64) -> Result<Trained, RunError> {
    let network = load_network(plan, directory, device)?;
    let layout = Layout::of(&network);
    let average = layout.flatten(&network);
    Ok(Trained { network, layout, average, step })
}

/// Trains, and keeps the training's record.
fn train_here(
    plan: &Plan,
    site: &Site<'_>,
    device: &Device,
    options: &RunOptions,
    cell: &RunRecord,
    training: &mut RunRecord,
) -> Result<Trained, RunError> {
    if training.sessions > 0 && training.device.backend != cell.device.backend {
        let (then, now) = (&training.device.description, &cell.device.description);
        options.say(&format!(
            "note    this training began on {then}; it goes on on {now}, and will not be the same to the last bit"
        ));
    }
    let begun = if training.sessions == 0 { now() } else { training.started.clone() };
    *training = RunRecord {
        cell: site.directory.name(),
        hash: site.configuration.clone(),
        started: begun,
        sessions: training.sessions + 1,
        trained: None,
        trainer: Some(cell.cell.clone()),
        progress: training.progress,
        timings: training.timings,
        peak_memory: training.peak_memory,
        ..cell.clone()
    };
    site.directory.remove_partial()?;
    stein_record::atomic::write(&site.directory.experiment(), plan.experiment.training_toml().as_bytes())?;
    site.directory.write_record(training)?;
    let result = train(plan, site, device, options, training);
    end(training, result.as_ref().err());
    let written = site.directory.write_record(training);
    let trained = result?;
    written?;
    Ok(trained)
}
