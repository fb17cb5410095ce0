//! The loop over steps, inside burn-train.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use burn::data::dataloader::{DataLoaderIterator, Progress};
use burn::module::Module;
use burn::tensor::Tensor;
use burn_train::metric::store::EventStoreClient;
use burn_train::{EventProcessorTraining, metric::store::Aggregate, metric::store::Split};
use burn_train::{
    InferenceStep, Interrupter, Learner, LearnerEvent, SupervisedLearningStrategy, SupervisedTrainingEventProcessor,
    TrainLoader, TrainingComponents, TrainingItem, ValidLoader,
};
use stein_core::to_host;
use stein_experiment::Training;

use crate::diverged::Diverged;
use crate::saves::{Place, Saves};
use crate::state::NotFinite;
use crate::step::{Looked, looked_step};
use crate::trainee::Measurement;
use crate::{Layout, RunError, Stop, Trainee, TrainingBatch, TrainingState, training_step};

/// Training as a burn-train strategy: starts at any step, owns optimiser, average and checkpoints.
pub(crate) struct Steps {
    pub(crate) training: Training,
    pub(crate) layout: Layout,
    /// Where checkpoints go.
    pub(crate) place: Arc<Place>,
    pub(crate) stop: Stop,
    /// The step that this session begins with.
    pub(crate) first: u64,
    /// The state in, the state or the error out. burn-train's `fit` takes `&self` and gives back a model only.
    pub(crate) slot: Mutex<Slot>,
}

/// What goes into a strategy and comes out of it.
#[derive(Default)]
pub(crate) struct Slot {
    /// The time of the steps themselves, without evaluations and checkpoints between them.
    pub(crate) stepping: Duration,
    pub(crate) state: Option<TrainingState>,
    pub(crate) error: Option<RunError>,
    /// What the error needs to be done again, if it is that something was not finite.
    pub(crate) diverged: Option<Diverged>,
}

/// Steps from one kept state to the next at least. To keep one costs the next step a copy of four vectors, which Adam would
/// otherwise change where they lie.
const KEEP: u64 = 50;

type Events = SupervisedTrainingEventProcessor<Trainee>;

impl Steps {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Begins to write a checkpoint set of a [snapshot](TrainingState::snapshot), after the metrics that belong to it.
    fn save(
        &self,
        state: TrainingState,
        events: &mut Events,
        store: &EventStoreClient,
        saves: &mut Saves,
    ) -> Result<(), RunError> {
        // Events pass through two threads; the flush empties the first, and a question to the store the second.
        events.flush().map_err(|e| RunError::Training(e.to_string()))?;
        let _ = store.find_metric("loss", 0, Aggregate::Mean, &Split::Train);
        let (seconds, steps) = (self.slot().stepping.as_secs_f64(), state.step - self.first);
        let speed = (steps > 0 && seconds > 0.0).then(|| steps as f64 / seconds);
        let place = self.place.clone();
        saves.begin(move || place.write(&state, speed))
    }

    fn run(
        &self,
        model: &mut Trainee,
        state: &mut TrainingState,
        components: &mut TrainingComponents<Trainee>,
        train: &TrainLoader<Trainee>,
        valid: &ValidLoader<Trainee>,
        saves: &mut Saves,
    ) -> Result<(), RunError> {
        let training = &self.training;
        let period = training.evaluation_period();
        let interrupter = components.interrupter.clone();
        let store = components.event_store.clone();
        if self.replay_early_stopping(components, state.step / period) {
            // An earlier session stopped here and was killed before it had sampled.
            return Ok(());
        }
        let events = &mut components.event_processor;
        send(
            &interrupter,
            events.process_train(LearnerEvent::StartSplit {
                epoch_number: (state.step / period) as usize + 1,
                total_items: training.steps as usize,
            }),
        );

        let mut batches = train.iter();
        let mut kept = state.kept();
        while state.step < training.steps {
            let started = Instant::now();
            let rate = training.learning_rate(state.step);
            let norm = match self.step(model, state, || next(&mut *batches))? {
                Looked::Taken(norm) | Looked::LeftOut(norm) => norm,
                Looked::NotFinite(found) => return Err(self.diverged(model, kept, state.step + 1, found, train)?),
            };

            let last = state.step == training.steps;
            if state.step.is_multiple_of(training.log_every) || last {
                if let Some(found) = state.interval.not_finite() {
                    return Err(self.diverged(model, kept, state.step, found, train)?);
                }
                let item = Measurement { step: state.step, values: self.measure(state, norm, rate) };
                send(&interrupter, events.process_train(event(item, state.step, training.steps)));
                if state.step >= kept.step + KEEP && state.is_sound() {
                    kept = state.kept();
                }
            }
            self.slot().stepping += started.elapsed();
            let mut stopping = false;
            if state.step.is_multiple_of(period) || last {
                let epoch = state.step.div_ceil(period) as usize;
                let item = held_out(&self.layout, model, state, valid.iter().flatten());
                send(&interrupter, events.process_valid(event(item, state.step, training.steps)));
                send(&interrupter, events.flush());
                if let Some(early) = &mut components.early_stopping {
                    stopping = early.should_stop(epoch, &store);
                }
            }
            let due = training.checkpoint_every > 0 && state.step.is_multiple_of(training.checkpoint_every);
            let asked = self.stop.requested();
            let interrupted = asked.is_some() || interrupter.should_stop();
            if due || last || interrupted || stopping {
                // A state that is no number any more must not push out one that is.
                let snapshot = state.snapshot();
                if let Some(found) = snapshot.interval.not_finite().or_else(|| snapshot.not_finite()) {
                    return Err(self.diverged(model, kept, state.step, found, train)?);
                }
                // All was just found finite.
                if state.step >= kept.step + KEEP {
                    kept = state.kept();
                }
                self.save(snapshot, events, &store, saves)?;
            }
            saves.ended()?;
            if let Some(error) = interrupter.error() {
                return Err(RunError::Training(error.to_string()));
            }
            match asked {
                Some(error) => return Err(error),
                // burn-train's terminal interface asks by its interrupter: like SIGINT.
                None if interrupted => return Err(RunError::Interrupted { name: "the user", code: 130 }),
                None if stopping => break,
                None => {}
            }
        }
        Ok(())
    }

    /// One step. Where none may be left out, nothing of it is looked at: a look waits for the device.
    fn step(
        &self,
        model: &mut Trainee,
        state: &mut TrainingState,
        next: impl FnMut() -> Result<TrainingBatch, RunError>,
    ) -> Result<Looked, RunError> {
        if self.training.skip_non_finite > 0 {
            return looked_step(model, state, &self.layout, &self.training, next);
        }
        training_step(model, state, &self.layout, &self.training, next).map(Looked::Taken)
    }

    /// The error of a training of which something up to the step `until` is not finite. What it needs to be done again goes into the
    /// slot.
    fn diverged(
        &self,
        model: &Trainee,
        kept: TrainingState,
        until: u64,
        seen: NotFinite,
        train: &TrainLoader<Trainee>,
    ) -> Result<RunError, RunError> {
        let batch = |step: u64| ((step - self.first) * self.training.accumulate as u64) as usize;
        let again = train.slice(batch(kept.step), batch(until));
        let mut batches = again.iter();
        let diverged = Diverged::find(model, kept, (until, seen), &self.layout, (&self.training, &self.stop), || {
            next(&mut *batches)
        })?;
        let error = diverged.error();
        self.slot().diverged = Some(diverged);
        Ok(error)
    }

    /// The mean loss since the last measurement, the last gradient norm, the learning rate, and the number of steps that were left
    /// out, where any may be.
    fn measure(&self, state: &mut TrainingState, norm: Tensor<1>, rate: f64) -> Vec<(&'static str, f64)> {
        let (loss, norm) = (state.interval.take(), f64::from(to_host(norm)[0]));
        let mut values = vec![("loss", loss), ("gradient-norm", norm), ("learning-rate", rate)];
        if self.training.skip_non_finite > 0 {
            values.push(("skipped", state.skipped as f64));
        }
        values
    }

    /// A resumed run's early stopping must know what it saw before: the log still has it. Gives whether it has struck.
    fn replay_early_stopping(&self, components: &mut TrainingComponents<Trainee>, epochs: u64) -> bool {
        let Some(early) = &mut components.early_stopping else { return false };
        (1..=epochs).fold(false, |_, epoch| early.should_stop(epoch as usize, &components.event_store))
    }
}

/// The means of what the averaged network measures on the held-out rows.
pub(crate) fn held_out(
    layout: &Layout,
    model: &Trainee,
    state: &TrainingState,
    batches: impl Iterator<Item = TrainingBatch>,
) -> Measurement {
    let averaged = layout.unflatten(model.valid(), layout.averaged(state));
    let mut sums: Vec<(&'static str, f64)> = Vec::new();
    let mut rows = 0.0;
    for batch in batches {
        let n = batch.perturbed.clean.dims()[0] as f64;
        rows += n;
        for (name, value) in InferenceStep::step(&averaged, batch).values {
            match sums.iter_mut().find(|(of, _)| *of == name) {
                Some((_, sum)) => *sum += value * n,
                None => sums.push((name, value * n)),
            }
        }
    }
    Measurement { step: state.step, values: sums.into_iter().map(|(name, sum)| (name, sum / rows)).collect() }
}

/// The next batch, which there must be.
pub(crate) fn next(batches: &mut dyn DataLoaderIterator<TrainingBatch>) -> Result<TrainingBatch, RunError> {
    let batch = batches.next().ok_or_else(|| RunError::Training("the data ended early".into()))?;
    batch.map_err(|e| RunError::Training(e.to_string()))
}

fn event(item: Measurement, step: u64, steps: u64) -> LearnerEvent<Measurement> {
    let progress = Progress::new(step as usize, steps as usize, Some("steps".into()));
    LearnerEvent::ProcessedItem(TrainingItem::new(item, progress, Some(step as usize), None))
}

fn send<E: Into<burn_train::TrainingError>>(interrupter: &Interrupter, result: Result<(), E>) {
    interrupter.fail_on_error(result);
}

impl SupervisedLearningStrategy<Trainee> for Steps {
    fn fit(
        &self,
        mut components: TrainingComponents<Trainee>,
        learner: Learner<Trainee>,
        train: TrainLoader<Trainee>,
        valid: ValidLoader<Trainee>,
        _starting_epoch: usize,
    ) -> (Trainee, Events) {
        let mut model = learner.model();
        // A second owner of the parameters would forbid updates in place.
        drop(learner);
        let state = self.slot().state.take();
        if let Some(mut state) = state {
            let mut saves = Saves::default();
            let result = self.run(&mut model, &mut state, &mut components, &train, &valid, &mut saves);
            let result = saves.end(result);
            let mut slot = self.slot();
            slot.state = Some(state);
            slot.error = result.err();
        }
        // No end of the split is announced: burn-train would log the last values once more.
        (model, components.event_processor)
    }
}
