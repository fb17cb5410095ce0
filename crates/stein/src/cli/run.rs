//! `stein run`.

use std::time::Duration;

use stein_core::Registry;
use stein_device::{DeviceRequest, choose};
use stein_record::{GitRecord, RunDir};
use stein_train::{Outcome as Ended, RunOptions, Stop};

use super::arguments::{Run, Voice};
use super::{Failure, Outcome, cells, launch, load, pictures, plain, print, signals, sweep};

/// A sweep's process that was killed leaves those of its cells behind, which save a checkpoint and end: for so long the cells of the
/// next one wait.
const ORPHAN: Duration = Duration::from_secs(30);

pub(crate) fn run(arguments: &Run, registry: &Registry, voice: Voice) -> Outcome {
    let source = load::source(&arguments.experiment.file, &arguments.experiment.set)?;
    let sweep = load::sweep(&source)?;
    if let Some(launcher) = arguments.launcher {
        return launch::launch(arguments, launcher, &source, &sweep, registry, voice);
    }
    if sweep.is_swept() && arguments.cell.is_none() {
        return sweep::run(arguments, &source, &sweep, registry, voice);
    }
    if arguments.devices.len() > 1 {
        return Err(Failure::usage("--devices names several devices, but there is one run"));
    }
    let plan = cells::plan(&source, &sweep, arguments.cell.as_deref(), registry)?;
    let experiment = &plan.experiment;
    let (folder, directory) = cells::directory(&arguments.folders.runs, experiment)?;
    if sweep.is_swept() && !arguments.attended && !cells::is_recorded(&folder) {
        cells::find(&source, &sweep, registry, &arguments.folders.runs)?.record_if_new(&sweep)?;
    }
    let stop = match (arguments.attended, arguments.scheduled) {
        (true, _) => signals::attended(),
        (false, true) => signals::watch(),
        (false, false) => signals::install(),
    };
    let stop = stop.map_err(|e| Failure::Message(format!("cannot handle signals: {e}"), 1))?;
    if let Some(time) = arguments.timeout {
        signals::limit(&stop, time).map_err(|e| Failure::Message(format!("cannot watch the clock: {e}"), 1))?;
    }

    let finished = directory.read_record()?.is_some_and(|r| r.state == stein_record::State::Finished);
    if finished {
        voice.say(&format!(
            "{} is finished; nothing to train (another seed is another run: --set seed=1)",
            directory.path().display()
        ));
    } else {
        plan.for_evaluation().map_err(load::wrong(&source))?;
        if !experiment.runtime.fusion {
            stein_device::disable_fusion().map_err(|e| Failure::usage(e.to_string()))?;
        }
        let request = device(&arguments.devices, experiment.device)?;
        let chosen = choose(&request).map_err(|e| Failure::usage(e.to_string()))?;
        plan.dataset.notes.iter().for_each(|note| voice.say(&format!("note    {}", plain(note))));
        voice.say(&format!("device  {}", chosen.description));
        chosen.notes.iter().for_each(|note| voice.say(&format!("note    {note}")));
        voice.say(&format!("run     {}", directory.path().display()));
        voice.more(&format!("hash    {}", experiment.cell().hash));
        voice.more(&format!("network {} parameters", plan.parameters()));
        voice.more(&format!("data    {} training rows, sha256 {}", plan.dataset.train.rows(), plan.dataset.sha256()));
        let options = RunOptions {
            tui: arguments.tui,
            retry_diverged: !arguments.keep_diverged,
            patience: if arguments.attended { ORPHAN } else { Duration::ZERO },
            ..options(voice, stop)
        };
        let ended = stein_train::run(&plan, &directory, &chosen, &options)?;
        if ended == Ended::Skipped {
            voice.say("another process has finished it");
        }
    }
    pictures::draw(&directory)?;
    if arguments.attended || arguments.no_report {
        print(&summary(&directory)?);
        return Ok(());
    }
    let page = stein_report::write(&folder, &arguments.folders.reports)?;
    print(&summary(&directory)?);
    print(&format!("report  {}", page.display()));
    Ok(())
}

/// What every process that makes a run tells it.
pub(crate) fn options(voice: Voice, stop: Stop) -> RunOptions {
    RunOptions {
        quiet: voice.quiet,
        tui: false,
        argv: std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect(),
        burn: env!("STEIN_BURN_VERSION").into(),
        retry_diverged: true,
        git: git(),
        patience: Duration::ZERO,
        stop,
    }
}

/// The device of --devices if there is one, else the one that the experiment asks for.
fn device(devices: &[DeviceRequest], asked: DeviceRequest) -> Result<DeviceRequest, Failure> {
    let Some(&device) = devices.first() else { return Ok(asked) };
    // A device that is named is part of what the run is; only `auto` leaves it to the machine.
    match asked {
        DeviceRequest::Auto => Ok(device),
        _ => Err(named(asked)),
    }
}

/// What --devices cannot go with.
pub(crate) fn named(device: DeviceRequest) -> Failure {
    Failure::usage(format!("the experiment names its device, {device}: --devices deals out what leaves it to `auto`"))
}

/// The metrics as a table for a terminal.
fn summary(directory: &RunDir) -> Result<String, Failure> {
    let Some(evaluation) = directory.read_evaluation()? else { return Ok(String::new()) };
    let width = evaluation.metrics.iter().map(|m| m.label.chars().count()).max().unwrap_or(0);
    let number = |e: &stein_record::Estimate| match e.standard_error {
        error if error.is_nan() => short(e.value, 3),
        error => format!("{} ± {}", short(e.value, resolved(e.value, error)), short(error, 2)),
    };
    let optional = |e: &Option<stein_record::Estimate>| e.as_ref().map(number).unwrap_or_else(|| "–".into());
    let mut out = String::new();
    if !evaluation.metrics.is_empty() {
        out += &format!("{:width$}  {:>19}  {:>19}  {:>19}\n", "", "samples", "real data", "fitted Gaussian");
    }
    for metric in &evaluation.metrics {
        let (value, floor, baseline) = (number(&metric.estimate), optional(&metric.floor), optional(&metric.baseline));
        out += &format!("{:width$}  {value:>19}  {floor:>19}  {baseline:>19}\n", metric.label);
    }
    if let (Some(weights), Some(modes)) = (&evaluation.mode_weights, &evaluation.modes) {
        let list = |w: &[f64]| w.iter().map(|w| format!("{w:.3}")).collect::<Vec<_>>().join(" ");
        out += &format!("{:width$}  {} (truth {})\n", "mode weights", list(weights), list(&modes.truth));
    }
    Ok(out)
}

/// The digits of a value down to its error's second one: at least 3, at most 6.
fn resolved(value: f64, error: f64) -> usize {
    let exponent = |x: f64| if x == 0.0 || !x.is_finite() { 0.0 } else { x.abs().log10().floor() };
    if error > 0.0 { (exponent(value) - exponent(error) + 2.0).clamp(3.0, 6.0) as usize } else { 3 }
}

/// So many digits that count.
fn short(x: f64, digits: usize) -> String {
    match x.abs() {
        0.0 => "0".into(),
        a if (1e-3..1e4).contains(&a) => {
            let decimals = (digits as i32 - 1 - a.log10().floor() as i32).max(0) as usize;
            format!("{x:.decimals$}")
        }
        _ => format!("{x:.*e}", digits.saturating_sub(1)),
    }
}

fn git() -> Option<GitRecord> {
    let commit = option_env!("STEIN_GIT_COMMIT")?;
    Some(GitRecord { commit: commit.into(), dirty: option_env!("STEIN_GIT_DIRTY") == Some("true") })
}
