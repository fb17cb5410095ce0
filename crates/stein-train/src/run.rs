//! One cell, from wherever it is to finished.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use burn::module::Module;
use burn::optim::AdamConfig;
use burn::tensor::Device;
use burn_train::metric::store::{Aggregate, Direction, Split};
use burn_train::{
    Interrupter, Learner, MetricEarlyStoppingStrategy, StoppingCondition, SupervisedTraining, TrainingStrategy,
};
use stein_device::Chosen;
use stein_experiment::{Plan, WhereNoise};
use stein_networks::Parameterized;
use stein_record::{
    Conventions, DataRecord, DeviceRecord, EstimatorRecord, GitRecord, LevelRecord, MetricRecord, MetricsLog,
    NetworkRecord, Progress, RunDir, RunRecord, State, Timings, Versions, run_record,
};
use stein_samplers::Start;

use crate::batches::truth;
use crate::evaluate::{Measured, evaluate};
use crate::loader::{HeldOutChunk, HeldOutLoader, TrainingLoader};
use crate::lock::Lock;
use crate::metric_log::{JsonLines, Series};
use crate::progress::{Bar, OneLine};
use crate::sampling::{draw_completions, draw_samples, stopped};
use crate::strategy::{Slot, Steps};
use crate::{Batches, Layout, RunError, Stop, Trainee, TrainingState, network_file};

/// What a run is told beside its plan.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// No progress, no notes.
    pub quiet: bool,
    /// burn-train's terminal interface in place of the one-line bar.
    pub tui: bool,
    /// The command line, for the record.
    pub argv: Vec<String>,
    /// burn's version, for the record.
    pub burn: String,
    /// The source that the program was built from, for the record.
    pub git: Option<GitRecord>,
    /// Set when somebody asks the process to stop.
    pub stop: Stop,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was finished before; nothing was done.
    Skipped,
    /// It is finished now.
    Finished,
}

/// Held-out examples that the loss is measured on during training: rows are repeated with other noise up to this.
const HELD_OUT_EXAMPLES: usize = 720;
/// Examples at a time in that.
const HELD_OUT_CHUNK: usize = 240;

/// Runs a cell: trains from the newest checkpoint, samples, evaluates, and records it all. A finished cell is left alone.
///
/// # Errors
/// Why it did not finish; the reason is in `run.json` too.
pub fn run(plan: &Plan, directory: &RunDir, chosen: &Chosen, options: &RunOptions) -> Result<Outcome, RunError> {
    let _lock = Lock::take(directory.path())?;
    let before = directory.read_record()?;
    if before.as_ref().is_some_and(|record| record.state == State::Finished) {
        return Ok(Outcome::Skipped);
    }
    let mut record = new_record(plan, chosen, directory, options, before.as_ref());
    if let Some(before) = &before {
        if before.data.sha256 != record.data.sha256 {
            let path = directory.path().to_owned();
            return Err(RunError::OtherData { path });
        }
        if before.device.backend != record.device.backend && !options.quiet {
            let (then, now) = (&before.device.description, &record.device.description);
            eprintln!(
                "note    this run began on {then}; it goes on on {now}, and will not be the same to the last bit"
            );
        }
    }
    stein_record::atomic::write(&directory.experiment(), plan.experiment.to_toml().as_bytes())?;
    directory.write_record(&record)?;

    let result = train_sample_evaluate(plan, directory, chosen, options, &mut record);
    record.ended = Some(now());
    record.peak_memory = peak_memory().max(record.peak_memory);
    let (state, reason) = match &result {
        Ok(()) => (State::Finished, None),
        Err(error @ RunError::Interrupted { .. }) => (State::Interrupted, Some(error.to_string())),
        Err(error) if error.exit_code() == 5 => (State::Diverged, Some(error.to_string())),
        Err(error) => (State::Failed, Some(error.to_string())),
    };
    (record.state, record.reason) = (state, reason);
    let written = directory.write_record(&record);
    result?;
    written?;
    Ok(Outcome::Finished)
}

fn train_sample_evaluate(
    plan: &Plan,
    directory: &RunDir,
    chosen: &Chosen,
    options: &RunOptions,
    record: &mut RunRecord,
) -> Result<(), RunError> {
    let say = |text: &str| {
        if !options.quiet {
            eprintln!("{text}");
        }
    };
    let started = Instant::now();
    let device = &chosen.device;
    let (network, state) = train(plan, directory, device, options, record, say)?;
    record.timings.training += started.elapsed().as_secs_f64();
    record.progress.step = state.step;
    directory.write_record(record)?;

    let layout = Layout::of(&network);
    let resolved = plan.experiment.resolved();
    let table = resolved.get("network").cloned().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
    network_file(&layout, &state, &table, plan.experiment.training.ema).write(&directory.network())?;
    let network = layout.unflatten(network, state.average.clone());

    let drawn = draw_samples(plan, &network, state.step, device, &options.stop, options.quiet)?;
    record.timings.sampling += drawn.seconds;
    // Before anything that can fail: samples are what was paid for.
    drawn.samples.write_npy(&directory.sample("final.npy"))?;
    let completed = draw_completions(plan, &network, device, &options.stop, options.quiet)?;
    record.timings.sampling += completed.as_ref().map_or(0.0, |c| c.seconds);

    let started = Instant::now();
    // What was not learned has no loss: a true score's is its floor.
    let records = if layout.length() == 0 { Vec::new() } else { levels(plan, &network, device, options) };
    if let Some(asked) = options.stop.requested() {
        return Err(asked);
    }
    let mut estimators = estimators(plan, &state, device, options)?;
    if chosen.backend != "flex" {
        // What is counted is host memory.
        estimators.iter_mut().for_each(|e| e.memory = None);
    }
    let likelihood = likelihoods(plan, &network, device, options)?;
    let measured = Measured { levels: records, estimators, completed, likelihood };
    evaluate(plan, &network, &drawn, measured, device, directory, &options.stop)?;
    record.timings.evaluation += started.elapsed().as_secs_f64();
    Ok(())
}

/// Measures the losses level by level.
fn levels(plan: &Plan, network: &Parameterized, device: &Device, options: &RunOptions) -> Vec<LevelRecord> {
    let mut bar = Bar::new("evaluating", "levels", 0, plan.schedule.levels().len() as u64, options.quiet);
    let records = crate::level_losses(plan, network, device, |done| {
        bar.update(done as u64, "");
        if options.stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish();
    records
}

/// Measures the plan's estimators at the averaged network.
fn estimators(
    plan: &Plan,
    state: &TrainingState,
    device: &Device,
    options: &RunOptions,
) -> Result<Vec<EstimatorRecord>, RunError> {
    if plan.estimators.is_empty() {
        return Ok(Vec::new());
    }
    let on_tape = device.clone().autodiff();
    let network = plan.network(&on_tape)?;
    let network = Layout::of(&network).unflatten(network, state.average.clone());
    let mut bar: Option<Bar> = None;
    let records = crate::estimators::measure(plan, &network, &on_tape, |done, of| {
        bar.get_or_insert_with(|| Bar::new("estimators", "levels", 0, of as u64, options.quiet))
            .update(done as u64, "");
        if options.stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(mut bar) = bar {
        bar.finish();
    }
    options.stop.requested().map_or(Ok(records), Err)
}

/// Computes log-likelihoods with progress, if they are asked for.
fn likelihoods(
    plan: &Plan,
    network: &Parameterized,
    device: &Device,
    options: &RunOptions,
) -> Result<Vec<MetricRecord>, RunError> {
    let mut bar: Option<Bar> = None;
    let found = crate::log_likelihoods(plan, network, device, |done, of| {
        bar.get_or_insert_with(|| Bar::new("likelihood", "rows", 0, of as u64, options.quiet)).update(done as u64, "");
        if options.stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(mut bar) = bar {
        bar.finish();
    }
    found.map_err(|e| stopped(e, &options.stop))
}

/// Trains from the newest checkpoint to the last step. Gives the network (without autodiff) and the state.
fn train(
    plan: &Plan,
    directory: &RunDir,
    device: &Device,
    options: &RunOptions,
    record: &mut RunRecord,
    say: impl Fn(&str),
) -> Result<(Parameterized, TrainingState), RunError> {
    let training = plan.experiment.training.clone();
    let on_tape = device.clone().autodiff();
    let trainee = Trainee::new(plan.network(&on_tape)?, plan.objective.clone());
    let layout = Layout::of(&trainee);
    let plain = trainee.network.valid();

    let configuration = plan.experiment.cell().hash;
    let restored = TrainingState::restore(&directory.checkpoints(), &configuration, &layout, device, &say)?;
    if let Some(state) = &restored
        && state.step > 0
    {
        say(&format!("resuming at step {} of {}", state.step, training.steps));
    }
    let state = restored.unwrap_or_else(|| TrainingState::new(&layout, &trainee));
    let log = MetricsLog::resume(&directory.metrics(), state.step)?;
    let first = state.step;
    if first >= training.steps {
        return Ok((plain, state));
    }
    let lines = directory.read_metrics()?;
    let period = training.evaluation_period();
    let log = JsonLines::new(log, lines, period);

    let trainee = layout.unflatten(trainee, state.parameters.clone());
    let accumulate = training.accumulate as u64;
    let batches = Batches::new(plan, &on_tape);
    let loader = TrainingLoader { batches, from: first * accumulate, to: training.steps * accumulate };
    let held_out = HeldOutLoader { batches: Batches::new(plan, device), chunks: Arc::new(held_out_chunks(plan)) };
    let strategy = Arc::new(Steps {
        layout,
        directory: directory.clone(),
        configuration,
        log: log.clone(),
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
    if training.patience > 0 {
        supervised = supervised.early_stopping(MetricEarlyStoppingStrategy::new(
            &Series::new("loss"),
            Aggregate::Mean,
            Direction::Lowest,
            Split::Valid,
            StoppingCondition::NoImprovementSince { n_epochs: training.patience as usize },
        ));
    }
    let started = Instant::now();
    // The learner wants an optimiser; the strategy has its own.
    let result = supervised.launch(Learner::new(trainee, AdamConfig::new().init(), 0.0));

    let mut slot = strategy.slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(error) = slot.error.take() {
        if let Some(state) = &slot.state {
            record.progress.step = state.step;
        }
        record.timings.training += started.elapsed().as_secs_f64();
        return Err(error);
    }
    if let Some(error) = result.error {
        return Err(RunError::Training(error.to_string()));
    }
    let state = slot.state.take().ok_or_else(|| RunError::Training("the strategy did not run".into()))?;
    if state.step > first {
        record.timings.steps_per_second = (state.step - first) as f64 / slot.stepping.as_secs_f64();
    }
    Ok((plain, state))
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

/// The held-out rows, dequantised once and repeated, in chunks.
fn held_out_chunks(plan: &Plan) -> Vec<HeldOutChunk> {
    let data = &plan.dataset;
    let rows = data.dequantized(&data.held_out, &mut plan.streams.at("held-out dequantization", 0));
    let count = HELD_OUT_EXAMPLES.max(rows.rows().min(2 * HELD_OUT_EXAMPLES));
    let all: Vec<usize> = (0..count).map(|i| i % rows.rows()).collect();
    let chunk = |of: &[usize]| HeldOutChunk {
        rows: of.iter().flat_map(|&i| rows.row(i).iter().copied()).collect(),
        labels: data.labels.as_ref().map(|labels| of.iter().map(|&i| labels.held_out[i]).collect()),
    };
    all.chunks(HELD_OUT_CHUNK).map(chunk).collect()
}

fn new_record(
    plan: &Plan,
    chosen: &Chosen,
    directory: &RunDir,
    options: &RunOptions,
    before: Option<&RunRecord>,
) -> RunRecord {
    let experiment = &plan.experiment;
    let data = &plan.dataset;
    RunRecord {
        schema: run_record::SCHEMA,
        experiment: experiment.name.clone(),
        cell: directory.name(),
        hash: experiment.cell().hash,
        state: State::Running,
        reason: None,
        started: before.map_or_else(now, |b| b.started.clone()),
        ended: None,
        sessions: before.map_or(0, |b| b.sessions) + 1,
        seed: experiment.seed,
        git: options.git.clone(),
        argv: options.argv.clone(),
        versions: Versions {
            stein: env!("CARGO_PKG_VERSION").into(),
            burn: options.burn.clone(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        },
        device: DeviceRecord {
            requested: experiment.device.to_string(),
            backend: chosen.backend.to_string(),
            description: chosen.description.clone(),
            software: chosen.software,
        },
        data: DataRecord {
            kind: experiment.data.kind().into(),
            dimension: data.dimension(),
            image: data.image.map(|i| [i.height, i.width, i.channels]),
            range: data.range.map(|r| r.map(f64::from)),
            train: data.train.rows(),
            held_out: data.held_out.rows(),
            sha256: data.sha256(),
        },
        network: NetworkRecord { kind: experiment.network.kind().into(), parameters: plan.parameters() },
        conventions: conventions(plan),
        progress: Progress { step: before.map_or(0, |b| b.progress.step), steps: experiment.training.steps },
        timings: before.map_or_else(Timings::default, |b| b.timings),
        peak_memory: before.and_then(|b| b.peak_memory),
    }
}

/// What papers differ in, as this run has it.
fn conventions(plan: &Plan) -> Conventions {
    let host = "on the host, from counter-based streams";
    let noise = match plan.experiment.training.noise {
        WhereNoise::Host => host,
        WhereNoise::Device => "by the device's own generator: the run cannot be repeated bit for bit",
    };
    let clean = plan.schedule.first().is_clean();
    let start = match (&plan.experiment.start, clean) {
        (Start::Prior, true) => "mean of the training rows + their standard deviation times z",
        (Start::Prior, false) => "α₁ times the mean of the training rows + σ₁ z",
        (Start::Data, true) => "training rows",
        (Start::Data, false) => "α₁ times training rows + σ₁ z",
        (Start::Uniform(_) | Start::Normal(_) | Start::Point(_), _) => {
            "as the sampler's `start` says, whatever the first level"
        }
    };
    let (first, last) = (plan.schedule.first(), plan.schedule.last());
    let levels = match plan.schedule.levels().len() {
        _ if clean => "no noise".to_owned(),
        1 => format!("one, σ = {}", first.sigma),
        n => format!("{n}, σ from {} to {}", first.sigma, last.sigma),
    };
    let settled = plan.sampler.settled(&*plan.schedule);
    let settled = settled.into_iter().map(|(key, value)| (format!("sampler {key}"), value.to_string()));
    let guidance = plan
        .classes
        .map(|_| ("guidance".to_owned(), "(1 + w) s(x, c) − w s(x), with w the sampler's `guidance`".to_owned()));
    let fusion = if plan.experiment.runtime.fusion { "as burn chooses" } else { "off" };
    [
        ("loss", "½ is kept, dimensions are summed, the batch is averaged"),
        ("sigma", "standard deviation of the added noise"),
        (
            "langevin step",
            "paper: x + (α/2) s + √α z; repository: x + α s + √(2α) z; the sampler's `convention` says which",
        ),
        ("start of chains", start),
        ("clipping", "by the global norm of the gradient"),
        ("training noise", noise),
        ("fusion", fusion),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .chain(std::iter::once(("noise levels".to_owned(), levels)))
    .chain(settled)
    .chain(guidance)
    .collect()
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// The largest resident set of this process so far, in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
