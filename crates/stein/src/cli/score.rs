//! `stein score`.

use serde_json::json;
use stein_core::{Level, Registry};
use stein_device::choose;
use stein_record::{Array, RecordError, file};
use stein_train::{level_at, score_of_run};

use super::arguments::{Score, Voice};
use super::{Failure, Outcome, load, print, print_json, runs};

pub(crate) fn score(arguments: &Score, registry: &Registry, voice: Voice) -> Outcome {
    let run = runs::trained(&arguments.run)?;
    let plan = load::plan(&run.experiment(), &[], registry)?;
    load::same_data(&plan, &run)?;
    if plan.dataset.logit {
        let message =
            "this run's network sees logits, and its score is of theirs: there is none of the values themselves";
        return Err(Failure::usage(message));
    }
    let points = points(arguments, plan.dataset.dimension())?;
    let units = plan.dataset.units.as_ref();
    let points = units.map_or_else(|| points.clone(), |units| units.standardise(&points));
    let level = match arguments.sigma {
        Some(sigma) => level_at(&*plan.schedule, sigma).map_err(|e| Failure::usage(e.message))?,
        None if plan.schedule.first().is_clean() => Level::CLEAN,
        None => {
            let (first, last) = (plan.schedule.first().sigma, plan.schedule.last().sigma);
            return Err(Failure::usage(format!("--sigma is missing; this run's levels have σ from {first} to {last}")));
        }
    };
    check_class(arguments.class, plan.classes)?;
    let chosen = choose(&plan.experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
    voice.say(&format!("device  {}", chosen.description));
    let scores = score_of_run(&plan, &run, &points, (level, arguments.class), &chosen.device)?;
    units.map_or_else(|| scores.clone(), |units| units.restore_gradients(&scores)).write_npy(&arguments.out)?;
    if arguments.json {
        let Level { alpha, sigma } = level;
        print_json(&json!({ "scores": arguments.out, "shape": scores.shape, "sigma": sigma, "alpha": alpha }));
    } else {
        let of = if units.is_some() { ", of points in the data's own units; σ is of standardised ones" } else { "" };
        print(&format!("scores  {}{of}", arguments.out.display()));
    }
    Ok(())
}

/// Reads the points; their rows must be as long as the data's.
fn points(arguments: &Score, dimension: usize) -> Result<Array, Failure> {
    let shown = arguments.at.display();
    let points = match Array::read_npy(&file::named(&arguments.at)) {
        Ok(Some(points)) => points,
        Ok(None) => return Err(Failure::usage(format!("--at: there is no file {shown}"))),
        Err(RecordError::Damaged { problem, .. }) => return Err(Failure::usage(format!("--at {shown}: {problem}"))),
        Err(error) => return Err(error.into()),
    };
    if points.shape.is_empty() || points.row_length() != dimension {
        let shape = &points.shape;
        return Err(Failure::usage(format!(
            "--at {shown} has the shape {shape:?}; it must be [N, {dimension}], or rows of any shape with {dimension} numbers"
        )));
    }
    Ok(points)
}

fn check_class(class: Option<u32>, classes: Option<usize>) -> Result<(), Failure> {
    match (class, classes) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Failure::usage("--class: this run's network knows no classes")),
        (Some(class), Some(classes)) if (class as usize) < classes => Ok(()),
        (Some(class), Some(classes)) => {
            Err(Failure::usage(format!("--class is {class}; it must be from 0 to {}", classes - 1)))
        }
    }
}
