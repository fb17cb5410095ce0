//! The pages: one file per section.

mod completions;
mod estimators;
mod figure;
mod header;
pub(crate) mod index;
mod levels;
mod metrics;
pub(crate) mod overview;
mod plane;
mod samples;
mod setup;
pub(crate) mod sweep;
pub(crate) mod tables;
mod training;
mod trajectory;

use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use stein_record::hash;

use crate::palette;
use crate::run::Run;
use crate::text::{href, visible};

const STYLE: &str = include_str!("style.css");

/// Sorts and filters tables that are marked `data-sortable`.
const SCRIPT: &str = include_str!("script.js");

/// Columns that fit on upright paper; a table with more is printed across.
pub(crate) const MOST_UPRIGHT: usize = 9;

/// A section: its anchor, its heading and what it holds.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

/// Where the page of a run lies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// By itself, without any files beside it.
    Alone,
    /// As the only page of its experiment.
    Only,
    /// As the page of a cell, whose tables are in the folder of that name.
    Cell(&'a str),
}

impl Place<'_> {
    /// Links to a table's files.
    fn files_of(self, table: &str) -> Markup {
        match self {
            Self::Alone => html! {},
            Self::Only => files_of(table),
            Self::Cell(folder) => files_of(&format!("{folder}/{table}")),
        }
    }
}

/// The page of a run.
pub(crate) fn run(run: &Run, place: Place<'_>) -> String {
    let mut sections = vec![
        Section { id: "samples", title: "Samples", body: samples::section(run) },
        Section { id: "metrics", title: "Metrics", body: metrics::section(run, place) },
    ];
    if let Some(inverse) = run.evaluation.as_ref().and_then(|e| e.inverse.as_ref()) {
        let body = completions::section(run, inverse);
        sections.insert(1, Section { id: "completions", title: "Completions", body });
    }
    if run.is_trained() {
        sections.push(Section { id: "training", title: "Training", body: training::section(run) });
        sections.push(Section { id: "levels", title: "Noise levels", body: levels::section(run, place) });
    }
    if let Some(records) = run.evaluation.as_ref().map(|e| &e.estimators).filter(|e| !e.is_empty()) {
        sections.push(Section { id: "estimators", title: "Estimators", body: estimators::section(records, place) });
    }
    if run.is_plane() {
        sections.push(Section { id: "field", title: "Score field", body: plane::section(run) });
    }
    sections.push(Section { id: "trajectory", title: "Sampling", body: trajectory::section(run) });
    sections.push(Section { id: "setup", title: "What was run", body: setup::section(run) });
    let is_cell = matches!(place, Place::Cell(_));
    let title = if is_cell { format!("{} · {}", run.name(), run.cell) } else { run.name().to_owned() };
    document(
        &title,
        &html! {
            @if !matches!(place, Place::Alone) { (back(is_cell)) }
            (header::header(run))
            (contents(&sections))
        },
    )
}

/// The way back: to the overview, and from a cell to all of its experiment's.
pub(crate) fn back(is_cell: bool) -> Markup {
    html! {
        p.back {
            @if is_cell { a href="index.html" { "← all cells" } " · " }
            a href="../index.html" { @if !is_cell { "← " } "all experiments" }
        }
    }
}

/// Links to a table's files, whose path without its ending is `stem`.
pub(crate) fn files_of(stem: &str) -> Markup {
    let stem = stem.split('/').map(href).collect::<Vec<_>>().join("/");
    html! {
        p.aside { "The table for other programs: " a href={ (stem) ".csv" } { "CSV" } ", " a href={ (stem) ".json" } { "JSON" } "." }
    }
}

/// Links to the sections, and the sections.
fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Sections" {
            @for section in sections {
                a href={ "#" (section.id) } { (section.title) }
            }
        }
        main {
            @for section in sections {
                section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                    h2 id={ (section.id) "-title" } { (section.title) }
                    (section.body)
                }
            }
        }
    }
}

/// What a page may do: show what it holds, run `script` to the letter, and nothing else.
fn policy(script: Option<&str>) -> String {
    let show = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    script.map_or(show.to_owned(), |script| {
        let sum = base64::engine::general_purpose::STANDARD.encode(hash::digest(script.as_bytes()));
        format!("{show}; script-src 'sha256-{sum}'")
    })
}

/// A whole document about a run or several.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    document_from(title, body, "the run directory alone")
}

/// A whole document that was made from `source`, with the script where a table is marked for it.
pub(crate) fn document_from(title: &str, body: &Markup, source: &str) -> String {
    let script = body.0.contains(" data-sortable").then_some(SCRIPT);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(script));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content="stein";
                title { (visible(title)) " · stein report" }
                style { (PreEscaped(palette::css())) (PreEscaped(STYLE)) }
                // A module waits until the document is there.
                @if let Some(script) = script { script type="module" { (PreEscaped(script)) } }
            }
            body {
                div.page {
                    (body)
                    footer {
                        "Written by stein from " (source) ". This page makes no requests"
                        @if script.is_some() { "; its one script, which sorts and filters tables, can be done without." }
                        @else { " and runs no scripts." }
                    }
                }
            }
        }
    }
    .into_string()
}

/// A plain sentence in place of something that is not there.
pub(crate) fn absent(sentence: &str) -> Markup {
    html! { p.absent { (sentence) } }
}
