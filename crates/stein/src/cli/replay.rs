//! `stein replay`.

use serde_json::{Value, json};
use stein_core::Registry;
use stein_device::choose;
use stein_train::{Norms, Replay as Replayed, SampleStep, SamplesReplay, StepReplay, Tally};

use super::arguments::{Replay, Voice};
use super::plan::aligned;
use super::{Failure, Outcome, load, print, print_json, runs};

/// Rows of a table that are shown unless all are asked for.
const SHOWN: usize = 12;

pub(crate) fn replay(arguments: &Replay, registry: &Registry, voice: Voice) -> Outcome {
    let run = runs::one(&arguments.run)?;
    // A record that is damaged is refused, though nothing is read from it.
    run.read_record()?;
    let plan = load::plan(&run.experiment(), &[], registry)?;
    if !plan.experiment.runtime.fusion {
        stein_device::disable_fusion().map_err(|e| Failure::usage(e.to_string()))?;
    }
    let chosen = choose(&plan.experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
    voice.say(&format!("device  {}", chosen.description));
    let Some(replayed) = stein_train::replay(&plan, &run, &chosen.device)? else {
        let shown = arguments.run.display();
        return Err(Failure::usage(format!(
            "{shown} has nothing that diverged; or it could not be kept, or a later session has passed it"
        )));
    };
    if arguments.json {
        print_json(&match &replayed {
            Replayed::Step(step) => json_of_step(step),
            Replayed::Samples(samples) => json_of_samples(samples),
        });
    } else {
        match &replayed {
            Replayed::Step(step) => show_step(step, arguments.all),
            Replayed::Samples(samples) => show_samples(samples, arguments.all),
        }
    }
    if replayed.reproduced() { Ok(()) } else { Err(Failure::Silent(1)) }
}

fn show_step(step: &StepReplay, all: bool) {
    let record = &step.record;
    print(&format!("then    {}", step.reason));
    let head = ["", "numbers", "not finite", "first at", "largest finite"].map(String::from).to_vec();
    let mut table = vec![head];
    for stage in step.tallies.chunk_by(|a, b| a.stage == b.stage) {
        table.push(summary(stage));
        // One array is on the stage's own line.
        let wrong = || stage.iter().filter(|tally| stage.len() > 1 && (all || tally.not_finite > 0));
        let shown = if all { usize::MAX } else { SHOWN };
        table.extend(wrong().take(shown).map(row));
        let more = wrong().count().saturating_sub(shown);
        if more > 0 {
            let mut row = vec![String::new(); 5];
            row[0] = format!("  and {more} more (--all)");
            table.push(row);
        }
    }
    print(&aligned(&table));
    if !record.repeated {
        print(
            "\nnow     there is no step to take: it was not found then; the state is that of the last look, when all was finite",
        );
        return;
    }
    let Some(first) = step.first() else {
        print("\nnow     all of it is finite: what was seen then is not seen again on this device");
        return;
    };
    print(&format!("\nfirst   {}: {} at {}", first.stage, first.name, place(first)));
    if !first.examples.is_empty() {
        print(&format!("        in the examples {}", examples(first)));
    }
    if !step.reproduced {
        print(&format!("now     {} is finite: what was seen then is not seen again on this device", record.what));
    }
}

/// A stage on one line.
fn summary(stage: &[Tally]) -> Vec<String> {
    let numbers: usize = stage.iter().map(|tally| tally.shape.iter().product::<usize>()).sum();
    let wrong: usize = stage.iter().map(|tally| tally.not_finite).sum();
    let largest = stage.iter().map(|tally| tally.largest).fold(0.0, f64::max);
    let at = if let [alone] = stage { place(alone) } else { String::new() };
    vec![stage[0].stage.into(), numbers.to_string(), count(wrong), at, number(largest)]
}

fn row(tally: &Tally) -> Vec<String> {
    let numbers: usize = tally.shape.iter().product();
    let name = format!("  {}", tally.name);
    vec![name, numbers.to_string(), count(tally.not_finite), place(tally), number(tally.largest)]
}

fn place(tally: &Tally) -> String {
    tally.first.as_ref().map_or_else(String::new, |at| format!("{at:?}"))
}

fn count(wrong: usize) -> String {
    if wrong == 0 { "-".into() } else { wrong.to_string() }
}

fn number(x: f64) -> String {
    format!("{x:.3e}")
}

fn examples(tally: &Tally) -> String {
    let one = |(i, sigma): &(usize, Option<f64>)| match sigma {
        Some(sigma) => format!("{i} (σ = {sigma:.3})"),
        None => i.to_string(),
    };
    let shown: Vec<String> = tally.examples.iter().take(SHOWN).map(one).collect();
    let more = tally.examples.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

fn show_samples(samples: &SamplesReplay, all: bool) {
    let record = &samples.record;
    print(&format!("then    {}", samples.reason));
    print(&format!("chains  {} to {}", record.first, record.first + record.chains - 1));
    let head = ["step", "σ", "largest ‖x‖", "not finite", "largest ‖s‖", "not finite"].map(String::from).to_vec();
    let mut table = vec![head];
    let count_of = samples.steps.len();
    // The way there in even steps, and the last ones one by one.
    let every = count_of.div_ceil(SHOWN).max(1);
    for (i, step) in samples.steps.iter().enumerate() {
        if all || i % every == 0 || i + SHOWN > count_of {
            table.push(step_row(step));
        }
    }
    print(&aligned(&table));
    match (&samples.ended, samples.steps.last()) {
        (None, _) => print("\nnow     the chains end as samples: what was seen then is not seen again on this device"),
        (Some(ended), last) => {
            print(&format!("\nnow     {ended}"));
            if !samples.reproduced() {
                print("        what was seen then is not seen again on this device");
            }
            if let Some(last) = last {
                tell_first("the score", last.score, record.first);
                tell_first("x", last.x, record.first);
                if let Some(longest) = last.x.longest {
                    print(&format!("        the longest x is that of chain {}", record.first + longest));
                }
            }
        }
    }
}

fn tell_first(what: &str, norms: Norms, chains_from: usize) {
    if let Some(first) = norms.first {
        print(&format!("        {what}: {} chains, the first of them {}", norms.not_finite, chains_from + first));
    }
}

fn step_row(seen: &SampleStep) -> Vec<String> {
    let SampleStep { step, steps, sigma, x, score } = seen;
    vec![
        format!("{step} of {steps}"),
        format!("{sigma:.4}"),
        number(x.largest),
        count(x.not_finite),
        number(score.largest),
        count(score.not_finite),
    ]
}

fn json_of_step(step: &StepReplay) -> Value {
    let tally = |tally: &Tally| {
        let examples: Vec<Value> =
            tally.examples.iter().map(|(i, sigma)| json!({ "example": i, "sigma": sigma })).collect();
        json!({
            "stage": tally.stage,
            "name": tally.name,
            "shape": tally.shape,
            "not_finite": tally.not_finite,
            "first": tally.first,
            "largest": tally.largest,
            "examples": examples,
        })
    };
    json!({
        "reason": step.reason,
        "step": step.record.step,
        "what": step.record.what,
        "reproduced": step.reproduced,
        "first": step.first().map(tally),
        "tallies": step.tallies.iter().map(tally).collect::<Vec<_>>(),
    })
}

fn json_of_samples(samples: &SamplesReplay) -> Value {
    let norms = |norms: Norms| {
        let Norms { largest, longest, not_finite, first } = norms;
        json!({ "largest": largest, "longest": longest, "not_finite": not_finite, "first": first })
    };
    let step = |seen: &SampleStep| json!({ "step": seen.step, "steps": seen.steps, "sigma": seen.sigma, "x": norms(seen.x), "score": norms(seen.score) });
    json!({
        "reason": samples.reason,
        "first_chain": samples.record.first,
        "chains": samples.record.chains,
        "reproduced": samples.reproduced(),
        "ended": samples.ended,
        "steps": samples.steps.iter().map(step).collect::<Vec<_>>(),
    })
}
