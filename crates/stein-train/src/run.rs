//! One cell, from wherever it is to finished.

use std::cell::Cell;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use burn::tensor::{Device, Tensor};
use stein_device::Chosen;
use stein_experiment::{Plan, WhereNoise};
use stein_networks::Parameterized;
use stein_record::{
    Conventions, DataRecord, DeviceRecord, Drawing, EstimatorRecord, GitRecord, LevelRecord, MetricRecord,
    NetworkRecord, Progress, RecordError, RunDir, RunRecord, State, Timings, Versions, checkpoint, diverged,
    run_record,
};
use stein_samplers::Start;

use crate::evaluate::{Measured, evaluate};
use crate::lock::Lock;
use crate::progress::{Bar, say};
use crate::replay_samples::keep;
use crate::sampling::{draw_completions, draw_samples, stopped};
use crate::shared::{self, trained};
use crate::training::Trained;
use crate::{Layout, RunError, Stop, space, trainee};

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
    /// Whether a shared training that has diverged is tried again; if not, so has every cell of it.
    pub retry_diverged: bool,
    /// The source that the program was built from, for the record.
    pub git: Option<GitRecord>,
    /// How long another process may still be at work on the cell.
    pub patience: Duration,
    /// Set when somebody asks the process to stop.
    pub stop: Stop,
}

impl RunOptions {
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was finished before; nothing was done.
    Skipped,
    /// It is finished now.
    Finished,
}

/// Runs a cell: trains from the newest checkpoint or takes the network that a cell of the same training has trained, samples,
/// evaluates, and records it all. A finished cell is left alone.
///
/// # Errors
/// Why it did not finish; the reason is in `run.json` too.
pub fn run(plan: &Plan, directory: &RunDir, chosen: &Chosen, options: &RunOptions) -> Result<Outcome, RunError> {
    let _lock = Lock::wait(directory.path(), options.patience, &options.stop)?;
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
        if before.device.backend != record.device.backend && before.state != State::Imported {
            let (then, now) = (&before.device.description, &record.device.description);
            options.say(&format!(
                "note    this run began on {then}; it goes on on {now}, and will not be the same to the last bit"
            ));
        }
    }
    let is_trained = directory.network().exists() || before.is_some_and(|before| before.state == State::Imported);
    if plan.experiment.training.steps > 0 && !is_trained {
        // Before anything is written.
        trainee::on_tape(plan, &chosen.device)?;
    }
    tidy(directory)?;
    tidy_training(plan, directory)?;
    space::check(plan, directory, &record)?;
    stein_record::atomic::write(&directory.experiment(), plan.experiment.to_toml().as_bytes())?;
    directory.write_record(&record)?;

    let kept = Cell::new(false);
    let result = train_sample_evaluate(plan, directory, chosen, options, &mut record, &kept);
    end(&mut record, result.as_ref().err());
    if let Err(RunError::Sampling(error)) = &result
        && kept.get()
    {
        record.reason = Some(format!("{error}; `stein replay` shows where"));
    }
    let written = directory.write_record(&record);
    result?;
    written?;
    Ok(Outcome::Finished)
}

/// Removes what earlier sessions have half written, and pictures of what they drew: whether these are of this session's samples, only
/// the clock would tell, and clocks go back.
fn tidy(directory: &RunDir) -> Result<(), RecordError> {
    directory.remove_partial()?;
    for picture in ["final.png", "trajectory.gif"].map(|name| directory.sample(name)) {
        match std::fs::remove_file(&picture) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(RecordError::io(picture, "remove", e)),
            _ => {}
        }
    }
    Ok(())
}

/// Removes what a training that was killed has half written, if nobody works on it now: it may be what leaves no room.
fn tidy_training(plan: &Plan, cell: &RunDir) -> Result<(), RunError> {
    if let Some((_, training)) = shared::directory(plan, cell)?
        && checkpoint::has_partial(&training.checkpoints())?
        && let Ok(_lock) = Lock::take(training.path())
    {
        training.remove_partial()?;
    }
    Ok(())
}

/// Writes into a record how it ended.
pub(crate) fn end(record: &mut RunRecord, error: Option<&RunError>) {
    record.ended = Some(now());
    record.peak_memory = peak_memory().max(record.peak_memory);
    record.state = match error {
        None => State::Finished,
        Some(RunError::Interrupted { .. }) => State::Interrupted,
        Some(RunError::TimedOut) => State::TimedOut,
        Some(error) if error.exit_code() == 5 => State::Diverged,
        Some(_) => State::Failed,
    };
    record.reason = error.map(ToString::to_string);
}

/// Records of a cell whose process was killed that its time was over.
///
/// # Errors
/// If its record cannot be read or written, or another process is at work there.
pub fn record_timeout(directory: &RunDir, reason: &str) -> Result<(), RunError> {
    let _lock = Lock::take(directory.path())?;
    if let Some(mut record) = directory.read_record()? {
        (record.state, record.reason, record.ended) = (State::TimedOut, Some(reason.to_owned()), Some(now()));
        directory.write_record(&record)?;
    }
    Ok(())
}

/// `kept` has whether chains that diverged are kept.
fn train_sample_evaluate(
    plan: &Plan,
    directory: &RunDir,
    chosen: &Chosen,
    options: &RunOptions,
    record: &mut RunRecord,
    kept: &Cell<bool>,
) -> Result<(), RunError> {
    let device = &chosen.device;
    let Trained { network, layout, average, step } = trained(plan, directory, device, options, record)?;
    directory.write_record(record)?;

    let chunk = Cell::new(0);
    let keep_chains = |e: &RunError, drawing| kept.set(keep(e, plan, directory, (drawing, chunk.get(), step), options));
    let drawn = draw_samples(plan, &network, step, device, options, &chunk);
    let drawn = drawn.inspect_err(|e| keep_chains(e, Drawing::Samples))?;
    record.timings.sampling += drawn.seconds;
    // Training took a while. Before anything that can fail: samples are what was paid for.
    directory.check_for_writing()?;
    drawn.samples.write_npy(&directory.sample("final.npy"))?;
    let completed = draw_completions(plan, &network, device, options, &chunk);
    let completed = completed.inspect_err(|e| keep_chains(e, Drawing::Completions))?;
    record.timings.sampling += completed.as_ref().map_or(0.0, |c| c.seconds);
    diverged::remove(directory)?;

    let started = Instant::now();
    // What was not learned has no loss: a true score's is its floor.
    let records = if layout.length() == 0 { Vec::new() } else { levels(plan, &network, device, options) };
    if let Some(asked) = options.stop.requested() {
        return Err(asked);
    }
    let mut estimators = estimators(plan, &average, device, options)?;
    if chosen.backend != "flex" {
        // What is counted is host memory.
        estimators.iter_mut().for_each(|e| e.memory = None);
    }
    let mut likelihood = likelihoods(plan, &network, device, options)?;
    likelihood.extend(log_z(plan, &network, device, options)?);
    let measured = Measured { levels: records, estimators, completed, likelihood };
    evaluate(plan, &network, &drawn, measured, device, directory, options)?;
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
    average: &Tensor<1>,
    device: &Device,
    options: &RunOptions,
) -> Result<Vec<EstimatorRecord>, RunError> {
    if plan.estimators.is_empty() {
        return Ok(Vec::new());
    }
    // In single precision, whatever training was in.
    let on_tape = trainee::taped(plan, device);
    let network = plan.network(&on_tape)?;
    let network = Layout::of(&network).unflatten(network, average.clone());
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

/// Normalises the network's density with progress, if that is asked for.
fn log_z(
    plan: &Plan,
    network: &Parameterized,
    device: &Device,
    options: &RunOptions,
) -> Result<Vec<MetricRecord>, RunError> {
    let mut bar: Option<Bar> = None;
    let found = crate::log_z(plan, network, device, |done, of| {
        bar.get_or_insert_with(|| Bar::new("log Z", "steps", 0, of as u64, options.quiet)).update(done as u64, "");
        if options.stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(mut bar) = bar {
        bar.finish();
    }
    found.map_err(|e| stopped(e, &options.stop))
}
pub(crate) fn new_record(
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
            requested: chosen.request.to_string(),
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
            units: data.units.clone(),
        },
        network: NetworkRecord { kind: experiment.network.kind().into(), parameters: plan.parameters() },
        conventions: conventions(plan),
        trained: before.and_then(|b| b.trained.clone()),
        trainer: before.and_then(|b| b.trainer.clone()),
        imported: before.and_then(|b| b.imported.clone()),
        progress: match before {
            // Nothing is to be trained.
            Some(before) if before.imported.is_some() => before.progress,
            before => Progress {
                steps: experiment.training.steps,
                ..before.map_or_else(Progress::default, |before| before.progress)
            },
        },
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
    // If it is not there, the evaluation will say so.
    let is_measured = plan.metrics.iter().any(|(_, metric)| metric.needs_inception());
    let inception = plan.experiment.evaluation.inception.as_deref().filter(|_| is_measured).map(|path| {
        let sha256 = stein_metrics::InceptionWeights::open(Path::new(path)).and_then(|weights| weights.sha256());
        let weights =
            sha256.map_or_else(|_| "weights that cannot be read".to_owned(), |sum| format!("weights of sha256 {sum}"));
        ("inception".to_owned(), format!("pictures of 8 bits as pytorch-fid treats them; {weights}"))
    });
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
    .chain(inception)
    .collect()
}

pub(crate) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// The largest resident set of this process so far, in bytes.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
