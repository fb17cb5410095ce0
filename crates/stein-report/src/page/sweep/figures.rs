//! The figures of the comparison.

use maud::{Markup, html};

use crate::figures::sweep::{along, by_sigma, trade, training};
use crate::page::figure::figure;
use crate::page::{Section, absent};
use crate::sweep::{MEMORY, STEP_COST, Table};
use crate::text::visible;

/// The sections between the table and the cells.
pub(super) fn sections(table: &Table<'_>) -> Vec<Section> {
    let mut sections = vec![
        Section { id: "levels", title: "Noise levels", body: levels(table) },
        Section { id: "training", title: "Training", body: over_training(table) },
    ];
    if table.primary_column().is_some() {
        sections.push(Section { id: "cost", title: "Quality against cost", body: cost(table) });
    }
    let axes = along::axes(table);
    if !axes.is_empty() {
        sections.push(Section { id: "along", title: "Along an axis", body: courses(table, &axes) });
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

fn cost(table: &Table<'_>) -> Markup {
    match table.column(STEP_COST) {
        Some(cost) => figure(trade::figure(table, cost), "No row has both a finite quality and a cost."),
        None => absent("The time of a step was not recorded."),
    }
}

fn courses(table: &Table<'_>, axes: &[usize]) -> Markup {
    let primary = table.primary.label();
    html! {
        @for &axis in axes {
            h3 { (visible(&table.compared[axis].name)) }
            @for label in [primary, STEP_COST, MEMORY] {
                @if let Some(column) = table.column(label) { (figure(along::figure(table, axis, column), "")) }
            }
        }
    }
}
