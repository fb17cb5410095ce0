//! A run whose network comes from elsewhere.

use std::collections::BTreeMap;

use stein_device::Chosen as Device;
use stein_experiment::Plan;
use stein_networks::{Parameterization, Sde};
use stein_record::arrays::ArrayFile;
use stein_record::{ImportRecord, Progress, RunDir, RunRecord, State};

use crate::foreign::{Chosen, Foreign};
use crate::lock::Lock;
use crate::run::{end, new_record};
use crate::weights::{score_sde, torch_arrays};
use crate::{Layout, RunError, RunOptions, WhichWeights};

/// By how much a σ may differ, relatively: ladders are rounded to single precision in places of their own.
const SIGMA_TOLERANCE: f64 = 1e-5;

/// The entry of the weights' metadata with the SHA-256 of the file that they come from.
const IMPORTED: &str = "imported-sha256";

/// Makes a run directory of a table of weights. Samples can be drawn of it at once; [`run`](crate::run()) draws and measures those
/// that the experiment asks for, and trains nothing.
///
/// # Errors
/// If there is a run already; if the weights are not those of the plan's network, or were trained on other levels.
pub fn import(
    plan: &Plan,
    directory: &RunDir,
    (foreign, chosen): (&mut Foreign, &Chosen),
    device: &Device,
    options: &RunOptions,
) -> Result<RunRecord, RunError> {
    unless_occupied(directory)?;
    let layout = Layout::of(&plan.network(&device.device)?);
    let values = weights(plan, foreign, chosen, &layout)
        .map_err(|problem| RunError::Foreign { path: foreign.path().to_owned(), problem })?;

    let _lock = Lock::take(directory.path())?;
    unless_occupied(directory)?;
    let mut record = new_record(plan, device, directory, options, None);
    end(&mut record, None);
    record.state = State::Imported;
    let step = chosen.step.unwrap_or(0);
    record.progress = Progress { step, steps: step, skipped: 0 };
    record.imported = Some(ImportRecord {
        file: foreign.path().display().to_string(),
        sha256: foreign.sha256().to_owned(),
        table: chosen.path.clone(),
        weights: chosen.weights.map(|weights| weights.word().to_owned()),
    });
    // The weights first: by them what was killed here is known for an import.
    let metadata = metadata(plan, foreign, chosen);
    ArrayFile { arrays: torch_arrays(&layout, &values), metadata }.write(&directory.network())?;
    stein_record::atomic::write(&directory.experiment(), plan.experiment.to_toml().as_bytes())?;
    directory.write_record(&record)?;
    Ok(record)
}

/// Nothing is written over but what an import left that was killed before it had a record.
fn unless_occupied(directory: &RunDir) -> Result<(), RunError> {
    let (record, network, checkpoints) = (directory.record(), directory.network(), directory.checkpoints());
    let is_begun = record.exists() || checkpoints.exists();
    let imported = |file: ArrayFile| file.metadata.contains_key(IMPORTED);
    if !is_begun && ArrayFile::read(&network).ok().flatten().is_some_and(imported) {
        return Ok(());
    }
    match [record, directory.experiment(), network, checkpoints].into_iter().find(|path| path.exists()) {
        Some(path) => Err(RunError::Occupied { path }),
        None => Ok(()),
    }
}

/// The parameters in the layout's order, of a ladder that is the plan's.
fn weights(plan: &Plan, foreign: &mut Foreign, chosen: &Chosen, layout: &Layout) -> Result<Vec<f32>, String> {
    let values = foreign.parameters(chosen, layout).map_err(|differences| {
        let (table, kind, of) = (&chosen.path, plan.experiment.network.kind(), &plan.experiment.name);
        format!("table `{table}` does not hold the network `{kind}` of {of}:\n{differences}")
    })?;
    let sde = score_sde(plan);
    let is_scaled = plan.experiment.parameterization == Parameterization::Scaled || foreign.is_exported();
    if sde.as_ref().is_some_and(|config| config.sde == Sde::Ve) && !is_scaled {
        return Err("a network of the score SDE with `sde = \"ve\"` puts out σ times the score: `parameterization` must be \"scaled\"".into());
    }
    // A network that is told σ or a time can be sampled on any ladder.
    let reads_ladder = sde.is_none_or(|config| config.tells_levels());
    if let Some(sigmas) = foreign.sigmas(chosen)?.filter(|_| reads_ladder) {
        check_sigmas(plan, &sigmas)?;
    }
    Ok(values)
}

/// Compares the ladder that came with the weights with the schedule's σ/α.
fn check_sigmas(plan: &Plan, theirs: &[f32]) -> Result<(), String> {
    let ours: Vec<f64> = plan.schedule.levels().iter().map(|level| level.sigma / level.alpha).collect();
    let agrees = |(ours, &theirs): (&f64, &f32)| (f64::from(theirs) / ours - 1.0).abs() <= SIGMA_TOLERANCE;
    if ours.len() == theirs.len() && ours.iter().zip(theirs).all(agrees) {
        return Ok(());
    }
    fn ladder<T: std::fmt::Display>(sigmas: &[T]) -> String {
        match sigmas {
            [] => "no levels".into(),
            [one] => format!("one level, σ = {one}"),
            [first, .., last] => format!("{} levels, σ from {first} to {last}", sigmas.len()),
        }
    }
    let mut said = format!("these weights were trained on {}; [schedule] has {}", ladder(theirs), ladder(&ours));
    if let Some(i) = ours.iter().zip(theirs).position(|both| !agrees(both)).filter(|_| ours.len() == theirs.len()) {
        said += &format!(", and level {i} has σ = {} there, {} here", theirs[i], ours[i]);
    }
    Err(said)
}

fn metadata(plan: &Plan, foreign: &Foreign, chosen: &Chosen) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([("format".into(), "pt".into()), (IMPORTED.into(), foreign.sha256().to_owned())]);
    let network = plan.experiment.resolved().remove("network");
    metadata.extend(network.map(|table| ("network".into(), table.to_string())));
    metadata.extend(chosen.step.map(|step| ("step".into(), step.to_string())));
    metadata.extend(chosen.weights.map(|weights: WhichWeights| ("imported".into(), weights.word().to_owned())));
    metadata
}
