//! `stein profile`.

use serde_json::json;
use stein_core::Registry;
use stein_device::choose;
use stein_train::Part;

use super::arguments::{Profile as Arguments, Voice};
use super::plan::aligned;
use super::{Failure, Outcome, cells, load, print, print_json};

pub(crate) fn profile(arguments: &Arguments, registry: &Registry, voice: Voice) -> Outcome {
    let source = load::source(&arguments.experiment.file, &arguments.experiment.set)?;
    let sweep = load::sweep(&source)?;
    let plan = cells::plan(&source, &sweep, arguments.cell.as_deref(), registry)?;
    let experiment = &plan.experiment;
    if !experiment.runtime.fusion {
        stein_device::disable_fusion().map_err(|e| Failure::usage(e.to_string()))?;
    }
    let chosen = choose(&experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
    voice.say(&format!("device  {}", chosen.description));
    chosen.notes.iter().for_each(|note| voice.say(&format!("note    {note}")));
    let Some(profile) = stein_train::profile(&plan, &chosen.device, arguments.seconds)? else {
        return Err(Failure::usage(format!("{} trains nothing", source.origin())));
    };
    let sum: f64 = profile.parts.iter().map(Part::share).sum();
    if arguments.json {
        let part = |part: &Part| {
            json!({
                "name": part.name,
                "seconds": part.seconds,
                "every": part.every,
                "seconds_per_step": part.share(),
                "share": part.share() / sum,
            })
        };
        print_json(&json!({
            "device": chosen.description,
            "parameters": plan.parameters(),
            "step": profile.step,
            "steps": profile.steps,
            "parts": profile.parts.iter().map(part).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let mut table = vec![["part", "ms a step", "share", ""].map(String::from).to_vec()];
    for part in &profile.parts {
        let seldom = match part.every {
            0 => "at the end only".into(),
            1 => String::new(),
            every => format!("{:.2} ms every {every} steps", 1e3 * part.seconds),
        };
        let share = part.share();
        table.push(vec![
            part.name.into(),
            format!("{:.3}", 1e3 * share),
            format!("{:.0} %", 100.0 * share / sum),
            seldom,
        ]);
    }
    print(&aligned(&table));
    let (step, steps) = (profile.step, profile.steps);
    let rate = 1.0 / step;
    let digits = if rate < 10.0 { 2 } else { 0 };
    print(&format!("\na step    {:.3} ms, {rate:.digits$} a second (the median of {steps})", 1e3 * step));
    Ok(())
}
