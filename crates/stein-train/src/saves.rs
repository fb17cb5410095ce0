//! Checkpoints, written by a thread beside the training.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use stein_record::{RunDir, checkpoint};

use crate::metric_log::JsonLines;
use crate::{Layout, RunError, TrainingState};

/// Where the checkpoints of a training go.
pub(crate) struct Place {
    pub(crate) directory: RunDir,
    /// The cell that is trained; the same directory if it shares nothing.
    pub(crate) cell: RunDir,
    pub(crate) configuration: String,
    pub(crate) layout: Layout,
    pub(crate) log: JsonLines,
    /// Sets that are kept.
    pub(crate) keep: usize,
    /// Examples of a step.
    pub(crate) examples: usize,
}

impl Place {
    /// Writes a checkpoint set, after the metrics that belong to it, and how far and how fast the training is.
    pub(crate) fn write(&self, state: &TrainingState, steps_per_second: Option<f64>) -> Result<(), RunError> {
        self.log.sync()?;
        let files = state.to_files(&self.layout);
        checkpoint::save(&self.directory.checkpoints(), state.step, &self.configuration, &files, self.keep)?;
        let cell = (self.cell != self.directory).then_some(&self.cell);
        for directory in std::iter::once(&self.directory).chain(cell) {
            if let Some(mut record) = directory.read_record()? {
                (record.progress.step, record.progress.skipped) = (state.step, state.skipped);
                if let Some(rate) = steps_per_second {
                    record.timings.set_rate(rate, self.examples);
                }
                directory.write_record(&record)?;
            }
        }
        Ok(())
    }
}

/// Saves beside the training, one at a time.
#[derive(Default)]
pub(crate) struct Saves(Option<JoinHandle<Result<(), RunError>>>);

impl Saves {
    /// Begins one, when the one before has ended.
    ///
    /// # Errors
    /// That of the one before.
    pub(crate) fn begin(
        &mut self,
        save: impl Fn() -> Result<(), RunError> + Send + Sync + 'static,
    ) -> Result<(), RunError> {
        self.wait()?;
        let save = Arc::new(save);
        let beside = save.clone();
        match Builder::new().name("checkpoint".into()).spawn(move || beside()) {
            Ok(thread) => self.0 = Some(thread),
            // The system gives no thread: then here.
            Err(_) => save()?,
        }
        Ok(())
    }

    /// Waits until nothing is being saved.
    ///
    /// # Errors
    /// That of the last save, if it was not given before.
    ///
    /// # Panics
    /// As the save did, if it did.
    pub(crate) fn wait(&mut self) -> Result<(), RunError> {
        self.0.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// How a training ended, when nothing is being saved any more. What was saved was saved before that; but a divergence is what
    /// is to be told.
    pub(crate) fn end(&mut self, training: Result<(), RunError>) -> Result<(), RunError> {
        let saved = self.wait();
        if matches!(training, Err(RunError::Diverged { .. })) { training } else { saved.and(training) }
    }

    /// The error of a save that has ended; waits for none.
    pub(crate) fn ended(&mut self) -> Result<(), RunError> {
        if self.0.as_ref().is_some_and(JoinHandle::is_finished) { self.wait() } else { Ok(()) }
    }
}

impl Drop for Saves {
    fn drop(&mut self) {
        // Only where training panics; a set that was begun is still made whole.
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    fn failed() -> RunError {
        RunError::Training("the disk".into())
    }

    #[test]
    fn one_save_at_a_time_and_all_are_waited_for() {
        let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut saves = Saves::default();
        for _ in 0..5 {
            let (running, done) = (running.clone(), done.clone());
            let save = move || {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two saves at a time");
                std::thread::sleep(Duration::from_millis(5));
                running.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            saves.begin(save).unwrap();
        }
        saves.wait().unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 5);
        let counter = done.clone();
        let slow = move || {
            std::thread::sleep(Duration::from_millis(5));
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        saves.begin(slow).unwrap();
        drop(saves);
        assert_eq!(done.load(Ordering::SeqCst), 6, "a save that was begun is ended");
    }

    #[test]
    fn a_divergence_is_told_before_a_disk() {
        let begun = |save: fn() -> Result<(), RunError>| {
            let mut saves = Saves::default();
            saves.begin(save).unwrap();
            saves
        };
        let diverged =
            || Err(RunError::Diverged { step: 7, what: "loss", value: f64::NAN, repeated: true, kept: false });
        assert!(matches!(begun(|| Err(failed())).end(diverged()), Err(RunError::Diverged { step: 7, .. })));
        assert!(matches!(begun(|| Ok(())).end(diverged()), Err(RunError::Diverged { step: 7, .. })));
        for training in [Ok(()), Err(RunError::TimedOut)] {
            assert!(matches!(begun(|| Err(failed())).end(training), Err(RunError::Training(_))));
        }
        assert!(matches!(begun(|| Ok(())).end(Err(RunError::TimedOut)), Err(RunError::TimedOut)));
        begun(|| Ok(())).end(Ok(())).unwrap();
    }

    #[test]
    fn an_error_is_given_once_by_whoever_asks_first() {
        let mut saves = Saves::default();
        saves.begin(|| Err(failed())).unwrap();
        saves.wait().unwrap_err();
        saves.wait().unwrap();
        saves.begin(|| Err(failed())).unwrap();
        saves.begin(|| unreachable!("a save after one that failed")).unwrap_err();
        saves.begin(|| Err(failed())).unwrap();
        let begun = Instant::now();
        while saves.ended().is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the error is not seen");
        }
        saves.wait().unwrap();
    }
}
