//! Whether there is room for what a run will write.

use std::path::Path;

use stein_experiment::{Plan, Training};
use stein_record::{RunDir, RunRecord, checkpoint};

use crate::{RunError, shared};

/// Files of a checkpoint set, and what the smallest of files takes on most file systems.
const FILES: u64 = 5;
const BLOCK: u64 = 4096;
/// Bytes of a number, and of a line of metrics.
const NUMBER: u64 = 4;
const LINE: u64 = 90;

/// Refuses to begin where the file system has no room for the end. Where it does not tell, the run begins.
///
/// # Errors
/// [`RunError::NoSpace`].
pub(crate) fn check(plan: &Plan, cell: &RunDir, record: &RunRecord) -> Result<(), RunError> {
    let needed = needed(plan, cell, record)?;
    match free(cell.path()) {
        Some(free) if free < needed => Err(RunError::NoSpace { path: cell.path().to_owned(), needed, free }),
        _ => Ok(()),
    }
}

/// The least that the rest of a run takes: checkpoint sets, network, metrics, samples. Trajectories, of as many moments as the sampler
/// has, pictures and fields are not counted.
fn needed(plan: &Plan, cell: &RunDir, record: &RunRecord) -> Result<u64, RunError> {
    let directory = shared::directory(plan, cell)?.map_or_else(|| cell.clone(), |(_, directory)| directory);
    let training = if directory.network().is_file() || record.imported.is_some() {
        0
    } else {
        let there = checkpoint::count(&directory.checkpoints())? as u64;
        of_training(&plan.experiment.training, plan.parameters() as u64, record.progress.step, there)
    };
    let evaluation = &plan.experiment.evaluation;
    let held_out = plan.dataset.held_out.rows().min(evaluation.samples);
    let rows = (evaluation.samples as u64).saturating_add(held_out as u64);
    Ok(training.saturating_add(rows.saturating_mul(plan.dataset.dimension() as u64 * NUMBER)))
}

/// What a training writes from a step on, where so many checkpoint sets are there.
fn of_training(training: &Training, parameters: u64, step: u64, there: u64) -> u64 {
    let left = training.steps.saturating_sub(step);
    let saves = match training.checkpoint_every {
        0 => 1,
        every => left.div_ceil(every),
    };
    // Parameters, their average, and the optimiser's two vectors.
    let set = (4 * NUMBER).saturating_mul(parameters).saturating_add(FILES * BLOCK);
    // The oldest goes when the newest is whole.
    let most = (training.keep_checkpoints.max(1) as u64 + 1).saturating_sub(there).max(1);
    let lines = 3 * (left / training.log_every.max(1)) + left / training.evaluation_period();
    let network = NUMBER.saturating_mul(parameters);
    set.saturating_mul(saves.min(most)).saturating_add(network).saturating_add(lines.saturating_mul(LINE))
}

/// What an ordinary user may still write to the file system of a folder, in bytes; `None` if it does not tell.
fn free(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let about = rustix::fs::statvfs(folder).ok()?;
        // Some, of networks and of the system's own, count nothing.
        (about.f_blocks > 0).then(|| about.f_bavail.saturating_mul(about.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        None
    }
}

/// Bytes, as a person would say them.
pub(crate) fn bytes(n: u64) -> String {
    match n as f64 {
        x if x < 1e6 => format!("{:.0} kB", x / 1e3),
        x if x < 1e9 => format!("{:.0} MB", x / 1e6),
        x => format!("{:.1} GB", x / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_needs_one_set_more_than_it_keeps() {
        let mut training = Training {
            steps: 1000,
            checkpoint_every: 100,
            log_every: 1000,
            evaluate_every: 1000,
            ..Default::default()
        };
        training.keep_checkpoints = 2;
        let set = 16_000_000 + FILES * BLOCK;
        let beside = 4_000_000 + 4 * LINE;
        let sets = |training: &Training, step, there| (of_training(training, 1_000_000, step, there) - 4_000_000) / set;
        assert_eq!(of_training(&training, 1_000_000, 0, 0), 3 * set + beside);
        assert_eq!(sets(&training, 0, 2), 1, "the oldest makes room");
        assert_eq!(sets(&training, 0, 9), 1);
        assert_eq!(sets(&training, 850, 0), 2, "there are two to come");
        assert_eq!(sets(&training, 1000, 2), 0);
        training.checkpoint_every = 0;
        assert_eq!(sets(&training, 0, 0), 1);
        training.keep_checkpoints = usize::MAX;
        training.checkpoint_every = 1;
        assert_eq!(of_training(&training, u64::MAX, 0, 0), u64::MAX, "nothing overflows");
        let small = Training::default();
        assert!(of_training(&small, 2000, 0, 0) < 1_000_000, "{}", of_training(&small, 2000, 0, 0));
    }

    #[test]
    fn a_file_system_tells_what_is_free() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!cfg!(target_os = "linux") || free(folder.path()).is_some());
        assert_eq!(free(&folder.path().join("absent")), None);
        // It has no blocks.
        assert_eq!(free(Path::new("/proc")), None);
    }
}
