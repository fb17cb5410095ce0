//! `stein sigmas`.

use serde_json::json;
use stein_core::{Level, Registry};
use stein_record::source::Source;

use super::arguments::Sigmas;
use super::{Failure, Outcome, load, print, print_json};

pub(crate) fn sigmas(arguments: &Sigmas, registry: &Registry) -> Outcome {
    let text = format!("schedule = {}", arguments.schedule);
    let source = Source::new("--schedule", text.as_bytes())
        .map_err(|_| Failure::usage("--schedule is longer than an experiment may be"))?;
    let schedule = stein_experiment::schedule(&source, registry).map_err(load::wrong(&source))?;
    let levels = schedule.levels();
    if arguments.json {
        let each = |of: fn(&Level) -> f64| levels.iter().map(of).collect::<Vec<f64>>();
        print_json(&json!({ "sigmas": each(|l| l.sigma), "alphas": each(|l| l.alpha) }));
    } else {
        // σ and α, short and to the last bit.
        let lines: Vec<String> = levels.iter().map(|l| format!("{:<22?} {:?}", l.sigma, l.alpha)).collect();
        print(&lines.join("\n"));
    }
    Ok(())
}
