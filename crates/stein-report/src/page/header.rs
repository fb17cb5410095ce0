//! The top of a page: what it is about, in a sentence and a few numbers.

use maud::{Markup, html};
use stein_record::{RunRecord, State};

use crate::number::{bytes, duration, grouped, significant};
use crate::run::Run;
use crate::text::{count, visible};

pub(super) fn header(run: &Run) -> Markup {
    html! {
        header {
            p.eyebrow { "stein report" }
            h1 { bdi { (visible(run.name())) } }
            p.cell { bdi { (visible(&run.cell)) } " " (state(run)) }
            p.summary { (summary(run)) }
            @if let Some(reason) = run.record.as_ref().and_then(|r| r.reason.as_ref()) {
                p.notice { strong { "Why it stopped: " } (visible(reason)) }
            }
            @if !run.notes.is_empty() {
                div.notice {
                    strong { "Left out, because it could not be read:" }
                    ul { @for note in &run.notes { li { (visible(note)) } } }
                }
            }
            dl.facts {
                @for (name, value) in facts(run) {
                    div { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

/// A run's state as a coloured word.
pub(super) fn state(run: &Run) -> Markup {
    let Some(state) = run.record.as_ref().map(|r| r.state) else {
        return html! { span.state { "no record" } };
    };
    let class = match state {
        State::Finished => "good",
        State::Running | State::Interrupted | State::Imported => "open",
        State::Diverged | State::Failed | State::TimedOut => "bad",
    };
    html! { span.state.(class) { (state) } }
}

fn summary(run: &Run) -> String {
    let Some(record) = &run.record else {
        return "There is no readable run record yet, so this page shows what else the run directory holds.".into();
    };
    let progress = record.progress;
    let network = visible(&record.network.kind);
    let what = if record.network.parameters == 0 {
        format!("The score of {}, {network}: nothing was trained", visible(&record.data.kind))
    } else {
        trained(record)
    };
    let place = || match progress.steps {
        0 => "while samples were drawn or measured".into(),
        steps => format!("at step {} of {}", grouped(progress.step as f64), grouped(steps as f64)),
    };
    match record.state {
        State::Finished => match &run.evaluation {
            Some(e) => format!(
                "{what}; {} drawn with {} each{}.",
                count(e.samples, "sample"),
                count(usize::try_from(e.nfe).unwrap_or(usize::MAX), "score evaluation"),
                e.acceptance.map_or(String::new(), |a| format!(", {:.1} % of the proposals accepted", 100.0 * a))
            ),
            None => format!("{what}. There is no evaluation of its samples."),
        },
        State::Imported => format!("{what}. Its samples are not drawn yet."),
        State::Running => format!("{what}. It is still running, or its process died without a word, {}.", place()),
        State::Interrupted => format!("{what}. It was interrupted {} and can be resumed.", place()),
        State::Diverged => format!("{what}. It diverged {}: something was no longer finite.", place()),
        State::Failed => format!("{what}. It stopped with an error {}.", place()),
        State::TimedOut => format!("{what}. Its time was over {}; it can be resumed.", place()),
    }
}

/// What was trained on what.
fn trained(record: &RunRecord) -> String {
    let (network, step) = (visible(&record.network.kind), record.progress.step);
    let steps = match step {
        0 => String::new(),
        step => format!(" for {}", count(usize::try_from(step).unwrap_or(usize::MAX), "step")),
    };
    if let Some(import) = &record.imported {
        return format!(
            "Score network {network} with {} parameters, trained elsewhere{steps}, imported from {}",
            grouped(record.network.parameters as f64),
            visible(&import.file),
        );
    }
    let state = if step == 0 { "to be trained" } else { "trained" };
    format!(
        "Score network {network} with {} parameters, {state} on {} of {}{steps}",
        grouped(record.network.parameters as f64),
        count(record.data.train, "row"),
        visible(&record.data.kind),
    )
}

fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(record) = &run.record {
        let (timings, progress) = (record.timings, record.progress);
        if run.is_trained() && (record.imported.is_none() || progress.step > 0) {
            let (step, steps) = (grouped(progress.step as f64), grouped(progress.steps as f64));
            facts.push(("steps", if step == steps { step } else { format!("{step} / {steps}") }));
        }
        if progress.skipped > 0 {
            facts.push(("steps left out, not finite", grouped(progress.skipped as f64)));
        }
        if run.is_trained() && timings.training > 0.0 {
            facts.push(("training", duration(timings.training)));
        }
        if let Some(other) = record.trainer.as_ref().filter(|trainer| **trainer != record.cell) {
            facts.push(("trained by", visible(other)));
        }
        if timings.steps_per_second > 0.0 {
            facts.push(("steps a second", significant(timings.steps_per_second, 3)));
        }
        if timings.examples_per_second > 0.0 {
            facts.push(("examples a second", significant(timings.examples_per_second, 3)));
        }
        if timings.sampling > 0.0 {
            facts.push(("sampling", duration(timings.sampling)));
        }
        if let Some(memory) = record.peak_memory {
            facts.push(("peak memory", bytes(memory)));
        }
        facts.push(("device", visible(&record.device.backend)));
    }
    facts
}
