//! Training, from the newest checkpoint to the last step.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use burn::module::Module;
use burn::optim::AdamConfig;
use burn::tensor::{Device, Tensor};
use burn_train::metric::store::{Aggregate, Direction, Split};
use burn_train::{
    Interrupter, Learner, MetricEarlyStoppingStrategy, StoppingCondition, SupervisedTraining, TrainingStrategy,
};
use stein_experiment::Plan;
use stein_networks::Parameterized;
use stein_record::{MetricsLog, RecordError, RunDir, RunRecord, atomic, diverged};

use crate::batches::truth;
use crate::diverged::Diverged;
use crate::loader::{HeldOutLoader, TrainingLoader};
use crate::metric_log::{JsonLines, Series};
use crate::progress::OneLine;
use crate::run::RunOptions;
use crate::saves::Place;
use crate::strategy::{Slot, Steps};
use crate::{Batches, Layout, RunError, Trainee, TrainingState, network_file, trainee};

/// A trained network.
pub(crate) struct Trained {
    /// With the averaged weights, without autodiff.
    pub(crate) network: Parameterized,
    /// How its weights lie in a vector.
    pub(crate) layout: Layout,
    /// The averaged weights.
    pub(crate) average: Tensor<1>,
    /// Training steps.
    pub(crate) step: u64,
}

/// Where a network is trained.
pub(crate) struct Site<'a> {
    /// Where checkpoints, metrics and network go.
    pub(crate) directory: &'a RunDir,
    /// The cell that it is trained for; the same directory if it shares nothing.
    pub(crate) cell: &'a RunDir,
    /// The hash that its checkpoints are marked with.
    pub(crate) configuration: String,
}

impl Site<'_> {
    /// Gives the cell a file of the training.
    pub(crate) fn hand_over(&self, file: fn(&RunDir) -> PathBuf) -> Result<(), RecordError> {
        if self.directory == self.cell { Ok(()) } else { atomic::link(&file(self.directory), &file(self.cell)) }
    }
}

/// Trains from the newest checkpoint to the last step and writes the network. Time and progress go into `record`, which is the
/// site's.
pub(crate) fn train(
    plan: &Plan,
    site: &Site<'_>,
    device: &Device,
    options: &RunOptions,
    record: &mut RunRecord,
) -> Result<Trained, RunError> {
    let started = Instant::now();
    let ended = train_to_the_end(plan, site, device, options, record);
    record.timings.training += started.elapsed().as_secs_f64();
    let (network, state) = ended?;
    (record.progress.step, record.progress.skipped) = (state.step, state.skipped);
    diverged::remove(site.directory)?;
    let layout = Layout::of(&network);
    let resolved = plan.experiment.resolved();
    let table = resolved.get("network").cloned().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
    network_file(&layout, &state, &table, plan.experiment.training.ema).write(&site.directory.network())?;
    let (average, step) = (layout.averaged(&state), state.step);
    Ok(Trained { network: layout.unflatten(network, average.clone()), layout, average, step })
}

/// Gives the network (without autodiff) and the state.
fn train_to_the_end(
    plan: &Plan,
    site: &Site<'_>,
    device: &Device,
    options: &RunOptions,
    record: &mut RunRecord,
) -> Result<(Parameterized, TrainingState), RunError> {
    let directory = site.directory;
    let training = plan.experiment.training.clone();
    let on_tape = trainee::on_tape(plan, device)?;
    let trainee = Trainee::new(plan.network(&on_tape)?, plan.objective.clone());
    let layout = Layout::of(&trainee).for_training(&training);
    let plain = trainee.network.valid();

    let say = |line: &str| options.say(line);
    let restored = TrainingState::restore(&directory.checkpoints(), &site.configuration, &layout, device, say)?;
    if let Some(state) = &restored
        && state.step > 0
    {
        options.say(&format!("resuming at step {} of {}", state.step, training.steps));
    }
    let state = restored.unwrap_or_else(|| TrainingState::new(&layout, &trainee));
    let (log, lines) = MetricsLog::resume(&directory.metrics(), state.step)?;
    // Appended to in place: whoever reads the cell sees it grow.
    site.hand_over(RunDir::metrics)?;
    let first = state.step;
    if first >= training.steps {
        return Ok((plain, state));
    }
    let period = training.evaluation_period();
    let log = JsonLines::new(log, lines, period);

    let trainee = layout.unflatten(trainee, state.parameters.clone());
    let accumulate = training.accumulate as u64;
    let batches = Batches::new(plan, &on_tape);
    let loader = TrainingLoader { batches: batches.clone(), from: first * accumulate, to: training.steps * accumulate };
    let held_out = HeldOutLoader::of(plan, device);
    let strategy = Arc::new(Steps {
        place: Arc::new(Place {
            directory: directory.clone(),
            cell: site.cell.clone(),
            configuration: site.configuration.clone(),
            layout: layout.clone(),
            log: log.clone(),
            keep: training.keep_checkpoints,
            examples: training.examples(),
        }),
        layout,
        stop: options.stop.clone(),
        first,
        slot: Mutex::new(Slot { state: Some(state), ..Slot::default() }),
        training: training.clone(),
    });

    let interrupter = Interrupter::new();
    let mut supervised = SupervisedTraining::new(directory.path(), Arc::new(loader), Arc::new(held_out))
        .with_application_logger(None)
        .with_interrupter(interrupter.clone())
        .with_metric_logger(log)
        .metric_train_numeric(Series::step())
        .metric_train_numeric(Series::new("loss"))
        .metric_train_numeric(Series::new("gradient-norm"))
        .metric_train_numeric(Series::new("learning-rate"))
        .metric_valid_numeric(Series::step())
        .metric_valid_numeric(Series::new("loss"))
        .num_epochs(training.steps.div_ceil(period) as usize)
        .renderer(renderer(first, training.steps, options, &interrupter))
        .with_training_strategy(TrainingStrategy::Custom(strategy.clone()));
    if truth(plan).is_some() {
        supervised = supervised.metric_valid_numeric(Series::new("fisher"));
    }
    if training.skip_non_finite > 0 {
        supervised = supervised.metric_train_numeric(Series::new("skipped"));
    }
    if training.patience > 0 {
        supervised = supervised.early_stopping(MetricEarlyStoppingStrategy::new(
            &Series::new("loss"),
            Aggregate::Mean,
            Direction::Lowest,
            Split::Valid,
            StoppingCondition::NoImprovementSince { n_epochs: training.patience as usize },
        ));
    }
    // The learner wants an optimiser; the strategy has its own.
    let result = supervised.launch(Learner::new(trainee, AdamConfig::new().init(), 0.0));

    let mut slot = strategy.slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(mut error) = slot.error.take() {
        if let Some(state) = &slot.state {
            (record.progress.step, record.progress.skipped) = (state.step, state.skipped);
        }
        if let Some(diverged) = slot.diverged.take() {
            (record.progress.step, record.progress.skipped) = diverged.done();
            let written = keep(&diverged, plan, site, &batches, options);
            if let RunError::Diverged { kept, .. } = &mut error {
                *kept = written;
            }
        }
        return Err(error);
    }
    if let Some(error) = result.error {
        return Err(RunError::Training(error.to_string()));
    }
    let state = slot.state.take().ok_or_else(|| RunError::Training("the strategy did not run".into()))?;
    if state.step > first {
        let rate = (state.step - first) as f64 / slot.stepping.as_secs_f64();
        record.timings.set_rate(rate, training.examples());
    }
    Ok((plain, state))
}

/// Writes what diverged, and gives whether that went well. Where it fails, the run has still ended for the other reason.
fn keep(diverged: &Diverged, plan: &Plan, site: &Site<'_>, batches: &Batches, options: &RunOptions) -> bool {
    let (kept, note) = match diverged.write(plan, site, batches) {
        Ok(path) => {
            let (path, cell) = (path.display(), site.cell.path().display());
            (true, format!("is in {path}; stein replay {cell} takes it again"))
        }
        Err(error) => (false, format!("could not be kept: {error}")),
    };
    options.say(&format!("note    what that step needs {note}"));
    kept
}

#[cfg_attr(not(feature = "tui"), expect(unused_variables, reason = "only the terminal interface stops training"))]
fn renderer(
    first: u64,
    steps: u64,
    options: &RunOptions,
    interrupter: &Interrupter,
) -> Box<dyn burn_train::renderer::MetricsRenderer> {
    #[cfg(feature = "tui")]
    if options.tui {
        return Box::new(crate::tui::Guarded::new(interrupter.clone()));
    }
    Box::new(OneLine::new(first, steps, options.quiet))
}
