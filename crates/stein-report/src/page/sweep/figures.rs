//! The figures of the comparison.

use maud::{Markup, html};
use stein_record::Estimate;

use crate::figures::sweep::{along, by_sigma, map, memorising, trade, training, work};
use crate::number::estimate;
use crate::page::figure::figure;
use crate::page::{Section, absent, files_of};
use crate::sweep::{Column, MEMORY, NFE, SAMPLING, STEP_COST, Table};
use crate::tables::{Data, Line};
use crate::text::visible;

/// In place of curls.
const NO_CURL: &str = "The scores have no curl, to rounding: at all levels it is below a millionth.";

/// The sections between the table and the cells.
pub(super) fn sections(table: &Table<'_>) -> Vec<Section> {
    let mut sections = Vec::new();
    if table.trained {
        sections.push(Section { id: "levels", title: "Noise levels", body: levels(table) });
        sections.push(Section { id: "training", title: "Training", body: over_training(table) });
    }
    if memorising::is_of_interest(table) {
        let body = html! {
            (figure(memorising::losses(table), ""))
            (figure(memorising::gaps(table), ""))
        };
        sections.push(Section { id: "memorising", title: "Learned by heart", body });
    }
    let work = table.column(NFE).is_some_and(Column::varies);
    if table.primary_column().is_some() && (table.trained || work) {
        sections.push(Section { id: "cost", title: "Quality against cost", body: cost(table, work) });
    }
    let axes = along::axes(table);
    if !axes.is_empty() {
        sections.push(Section { id: "along", title: "Along an axis", body: courses(table, &axes) });
    }
    if let Some(axes) = map::axes(table) {
        let body = html! { @for column in table.measured() { (figure(map::figure(table, axes, column), "")) } };
        sections.push(Section { id: "map", title: "Over two axes", body });
    }
    sections
}

fn levels(table: &Table<'_>) -> Markup {
    let known = table.rows.iter().flat_map(|r| r.numbers()).any(|n| n.scaled().is_some());
    let otherwise = if known {
        "Each row has a single noise level: what there is to say of it is in the table."
    } else {
        "The distance to the true score is not known level by level."
    };
    html! {
        (figure(by_sigma::scaled(table), otherwise))
        (figure(by_sigma::clean(table), ""))
        (figure(by_sigma::curl(table), if by_sigma::are_without_curl(table) { NO_CURL } else { "" }))
    }
}

fn over_training(table: &Table<'_>) -> Markup {
    let has_fisher = table.rows.iter().flat_map(|r| r.numbers()).any(|n| !n.fisher.is_empty());
    html! {
        @if has_fisher {
            h3 { "At equal steps" }
            (figure(training::by_steps(table), "No Fisher divergence of the training is finite."))
            h3 { "At equal time" }
            (figure(training::by_seconds(table), "The time of a step was not recorded."))
        } @else {
            (absent("The Fisher divergence was not measured during training, so quality at equal steps and at equal time is not known."))
        }
        h3 { "Loss" }
        (figure(training::losses(table), "No losses on held-out rows have been recorded."))
    }
}

/// Quality against training, where there was any, and against score evaluations, where rows differ in them.
fn cost(table: &Table<'_>, work: bool) -> Markup {
    html! {
        @if table.trained {
            @match table.column(STEP_COST) {
                Some(cost) => (figure(trade::figure(table, cost), "No row has both a finite quality and a cost.")),
                None => (absent("The time of a step was not recorded.")),
            }
        }
        @if work {
            @for column in table.measured() {
                (figure(work::figure(table, column), "No row has a finite quality."))
            }
        }
    }
}

fn courses(table: &Table<'_>, axes: &[usize]) -> Markup {
    let costs = if table.trained { &[STEP_COST, MEMORY][..] } else { &[SAMPLING] };
    let columns: Vec<&Column> = table.measured().chain(costs.iter().filter_map(|name| table.column(name))).collect();
    html! {
        @for &axis in axes {
            h3 { (visible(&table.compared[axis].name)) }
            @for column in &columns { (figure(along::figure(table, axis, column), "")) }
            (slopes(table, axis, &columns))
        }
        @if axes.iter().any(|&axis| columns.iter().any(|column| !along::slopes(table, axis, column).is_empty())) { (files_of("slopes")) }
    }
}

/// The slopes for other programs: a line each.
pub(crate) fn data(table: &Table<'_>) -> Data {
    let of = |axis: usize, column: &Column| {
        let line = |(name, slope): (String, Estimate)| {
            let line =
                Line::default().with("axis", table.compared[axis].name.clone()).with("column", column.name.clone());
            line.with("line", name).estimate("slope", Some(&slope))
        };
        along::slopes(table, axis, column).into_iter().map(line).collect::<Vec<_>>()
    };
    let axes = along::axes(table).into_iter();
    Data::of(axes.flat_map(|axis| table.columns.iter().flat_map(move |column| of(axis, column)).collect::<Vec<_>>()))
}

/// The orders that lines have along an axis.
fn slopes(table: &Table<'_>, axis: usize, columns: &[&Column]) -> Markup {
    let slopes: Vec<(&Column, Vec<(String, Estimate)>)> = columns
        .iter()
        .map(|column| (*column, along::slopes(table, axis, column)))
        .filter(|s| !s.1.is_empty())
        .collect();
    let mut lines: Vec<&String> = Vec::new();
    for (line, _) in slopes.iter().flat_map(|s| &s.1) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let slope = |of: &[(String, Estimate)], line: &String| of.iter().find(|s| s.0 == *line).map(|s| estimate(&s.1));
    html! {
        @if !lines.is_empty() {
            div.scroll tabindex="0" {
                table.slopes {
                    thead { tr {
                        th scope="col" { "slope of ln y on ln " bdi { (visible(&table.compared[axis].name)) } }
                        @for (column, _) in &slopes { th.number scope="col" { (visible(&column.label)) } }
                    } }
                    tbody { @for line in lines { tr {
                        th scope="row" { bdi { (line) } }
                        @for (_, of) in &slopes { td.number { (slope(of, line).unwrap_or_else(|| "–".into())) } }
                    } } }
                }
            }
        }
    }
}
