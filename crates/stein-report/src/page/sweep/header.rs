//! The top of a sweep's page: what is varied, and what is missing.

use maud::{Markup, html};
use stein_record::{State, SweepAxis};

use crate::summary::states;
use crate::sweep::{Cell, Found, Sweep, Table};
use crate::text::{count, href, visible};

/// Missing cells that are listed in full view.
const MOST_IN_VIEW: usize = 6;
/// Labels of an axis that are listed.
const MOST_LABELS: usize = 24;

pub(super) fn header(sweep: &Sweep, table: &Table<'_>) -> Markup {
    let (finished, all) = (sweep.finished(), sweep.cells.len());
    html! {
        header {
            p.eyebrow { "stein report · sweep" }
            h1 { bdi { (visible(&sweep.experiment)) } }
            p.summary {
                @if finished == all { (count(all, "cell")) ", all finished." }
                @else { (finished) " of " (count(all, "cell")) " finished; " (unfinished(sweep)) "." }
            }
            (missing(sweep))
            (unknown(table))
            @if sweep.strangers > 0 {
                p.notice {
                    "Not in the comparison, but below: " (count(sweep.strangers, "run"))
                    " in this experiment's directory that the sweep does not have (any more)."
                }
            }
            dl.axes {
                (axes("Compared", &table.compared, ""))
                (axes("Repeated", &table.repeated, "averaged over"))
                (axes("Best of", &table.best, "only the best value of each row is shown"))
            }
        }
    }
}

/// Where the others stand.
fn unfinished(sweep: &Sweep) -> String {
    let states = states(sweep).into_iter().filter(|(state, _)| *state != State::Finished.to_string());
    states.map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", ")
}

/// Measures that the sweep names, but no finished cell has.
fn unknown(table: &Table<'_>) -> Markup {
    let (unknown, known) = &table.unknown;
    if unknown.is_empty() || known.is_empty() {
        return html! {};
    }
    let list = |names: &[&str]| {
        html! {
            @for (i, name) in names.iter().enumerate() {
                @if i > 0 { ", " }
                code { (visible(name)) }
            }
        }
    };
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    html! {
        p.notice {
            "No finished cell has the " (if unknown.len() == 1 { "measure" } else { "measures" }) " " (list(&unknown))
            " that [sweep] names. There are: " (list(known)) ". Cells are ranked by “" (visible(table.primary.label())) "”."
        }
    }
}

/// Axes of one role, with their labels.
fn axes(role: &str, axes: &[&SweepAxis], meaning: &str) -> Markup {
    html! {
        @for (i, axis) in axes.iter().enumerate() {
            div {
                dt { @if i == 0 { (role) } }
                dd {
                    strong { bdi { (visible(&axis.name)) } } " "
                    @for (j, label) in axis.values.iter().take(MOST_LABELS).enumerate() {
                        @if j > 0 { " · " }
                        bdi { (visible(label)) }
                    }
                    @if axis.values.len() > MOST_LABELS { " and " (axis.values.len() - MOST_LABELS) " more" }
                    @if !meaning.is_empty() { span.muted { " (" (meaning) ")" } }
                }
            }
        }
    }
}

/// The cells that have no numbers, with their reasons.
fn missing(sweep: &Sweep) -> Markup {
    let lost: Vec<Markup> = sweep.cells.iter().filter_map(loss).collect();
    if lost.is_empty() {
        return html! {};
    }
    let list = html! { ul { @for cell in &lost { li { (cell) } } } };
    html! {
        div.notice {
            @if lost.len() <= MOST_IN_VIEW {
                strong { "Missing, here and in every figure:" }
                (list)
            } @else {
                details {
                    summary { strong { "Missing, here and in every figure: " (count(lost.len(), "cell")) } }
                    (list)
                }
            }
        }
    }
}

/// Why a cell has no numbers; `None` if it has.
fn loss(cell: &Cell) -> Option<Markup> {
    let name = html! { bdi { (visible(&cell.name)) } };
    match &cell.found {
        Found::Numbers(_) => None,
        Found::Nothing => Some(html! { (name) ": not run yet" }),
        Found::Short { file, state, why } => Some(html! {
            a href=(href(file)) { (name) } ": " @if let Some(state) = state { strong { (state) } ", " } (visible(why))
        }),
    }
}
