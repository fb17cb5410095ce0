//! What was run: enough to run it again.

use maud::{Markup, html};
use stein_record::RunRecord;

use super::absent;
use crate::number::{bytes, duration, grouped, significant};
use crate::run::Run;
use crate::text::{count, visible, visible_lines};

pub(super) fn section(run: &Run) -> Markup {
    html! {
        div.setup {
            @match &run.record {
                Some(record) => (facts(record)),
                None => (absent("There is no readable run record.")),
            }
            @match &run.toml {
                Some(text) => (toml(text)),
                None => (absent("There is no resolved experiment file.")),
            }
        }
    }
}

fn facts(record: &RunRecord) -> Markup {
    let group = |title: &str, rows: Vec<(&str, Markup)>| {
        html! {
            h3 { (title) }
            dl.record {
                @for (name, value) in rows { div { dt { (name) } dd { (value) } } }
            }
        }
    };
    let text = |s: &str| html! { (visible(s)) };
    let code = |s: &str| html! { code { (visible(s)) } };
    let mut run = vec![
        ("State", html! { (record.state) @if record.sessions > 1 { ", " (record.sessions) " sessions" } }),
        ("Seed", html! { (record.seed) }),
        ("Started", text(&record.started)),
    ];
    if let Some(ended) = &record.ended {
        run.push(("Ended", text(ended)));
    }
    run.push(("Command", code(&record.argv.join(" "))));
    run.push(("Configuration", code(&record.hash)));
    if let Some(git) = &record.git {
        run.push((
            "Commit",
            html! { code { (visible(&git.commit)) } @if git.dirty { " with uncommitted changes" } @else { ", clean" } },
        ));
    }
    let versions = &record.versions;
    run.push((
        "Versions",
        html! { "stein " (visible(&versions.stein)) ", burn " (visible(&versions.burn)) ", " (visible(&versions.platform)) },
    ));

    let device = &record.device;
    let on = vec![
        ("Device", text(&device.description)),
        ("Backend", html! { (visible(&device.backend)) " (asked for: " (visible(&device.requested)) ")" }),
        ("Software", html! { @if device.software { "yes: its timings say nothing about hardware" } @else { "no" } }),
    ];

    let times = record.timings;
    let mut cost = Vec::new();
    if record.network.parameters > 0 && record.imported.is_none() {
        let progress = record.progress;
        cost.push(("Steps", html! { (grouped(progress.step as f64)) " of " (grouped(progress.steps as f64)) }));
        cost.push((
            "Training",
            html! {
                (duration(times.training)) ", " (significant(times.steps_per_second, 3)) " steps a second"
                @if times.examples_per_second > 0.0 { ", " (significant(times.examples_per_second, 3)) " examples a second" }
            },
        ));
    }
    cost.push(("Sampling", html! { (duration(times.sampling)) }));
    cost.push(("Evaluation", html! { (duration(times.evaluation)) }));
    if let Some(memory) = record.peak_memory {
        cost.push(("Peak memory", html! { (bytes(memory)) }));
    }

    let data = &record.data;
    let mut learned = vec![
        ("Network", html! { (visible(&record.network.kind)) ", " (count(record.network.parameters, "parameter")) }),
        (
            "Data",
            html! {
                (visible(&data.kind)) ", " (grouped(data.train as f64)) " rows to train on, " (grouped(data.held_out as f64)) " held out"
            },
        ),
        (
            "Row",
            html! {
                (count(data.dimension, "number"))
                @if let Some([h, w, c]) = data.image { " (" (h) " × " (w) @if c != 1 { " × " (c) } " image)" }
                @if let Some([low, high]) = data.range { " from " (significant(low, 3)) " to " (significant(high, 3)) }
            },
        ),
        ("Data hash", code(&data.sha256)),
    ];
    if let Some(import) = &record.imported {
        learned.push((
            "Imported from",
            html! { code { (visible(&import.file)) } ", table " code { (visible(&import.table)) } },
        ));
        learned.push(("SHA-256", code(&import.sha256)));
    }
    learned.retain(|(name, _)| *name != "Data hash" || !data.sha256.is_empty());
    let conventions: Vec<(&str, Markup)> =
        record.conventions.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
    html! {
        div.facts-column {
            (group("Run", run))
            (group("Device", on))
            (group("Cost", cost))
            (group("Data and network", learned))
            @if !conventions.is_empty() {
                h3 { "Conventions" }
                dl.record {
                    @for (name, value) in conventions { div { dt { (visible(name)) } dd { (value) } } }
                }
            }
        }
    }
}

/// The experiment file, its tables and comments set off.
fn toml(text: &str) -> Markup {
    let lines = visible_lines(text);
    html! {
        div.toml {
            h3 { "Resolved experiment" }
            p.aside { "Every default written out; saved as a file, it runs again as it stands." }
            pre tabindex="0" { code {
                @for line in lines.lines() {
                    @let trimmed = line.trim_start();
                    @if trimmed.starts_with('[') { b { (line) } }
                    @else if trimmed.starts_with('#') { i { (line) } }
                    @else { (line) }
                    "\n"
                }
            } }
        }
    }
}
