//! The comparison's table: what each row buys and what it costs.

use maud::{Markup, html};
use stein_record::Estimate;

use super::{differences, notes};
use crate::canvas::Svg;
use crate::figures::sweep::design::Design;
use crate::figures::sweep::strip;
use crate::number::{estimate, exact, significant};
use crate::page::figure::svg;
use crate::page::metrics::direction;
use crate::page::{MOST_UPRIGHT, absent, files_of};
use crate::palette::Tone;
use crate::statistics::{Mark, Repeated};
use crate::sweep::{Column, NFE, Reference, Role, Row, STEP_COST, Table};
use crate::text::visible;

pub(super) fn section(table: &Table<'_>) -> Markup {
    if table.columns.is_empty() {
        return absent("No cell has finished yet, so there is nothing to compare.");
    }
    let design = Design::of(table, None);
    html! {
        div.scroll.wide[table.columns.len() > MOST_UPRIGHT] role="region" aria-labelledby="comparison-title" tabindex="0" {
            table.comparison data-sortable {
                (head(table))
                tbody { @for (i, row) in table.rows.iter().enumerate() { (line(table, &design, i, row)) } }
                (references(table))
            }
        }
        (files_of("comparison"))
        div.notes { @for note in notes::of(table) { p.aside { (note) } } }
        (differences::section(table))
    }
}

fn head(table: &Table<'_>) -> Markup {
    let groups = [(Role::Quality, "What it buys"), (Role::Cost, "What it costs"), (Role::Samples, "Samples")];
    let span = |role| table.columns.iter().filter(|c| c.role == role).count();
    // A path's last key: the whole is in the page's head, and columns are narrow.
    let key = |axis: &&stein_record::SweepAxis| visible(axis.name.rsplit('.').next().unwrap_or(&axis.name));
    let names = |axes: &[&stein_record::SweepAxis]| axes.iter().map(key).collect::<Vec<_>>().join(" · ");
    html! {
        thead {
            tr.groups {
                th { }
                @if !table.best.is_empty() { th { } }
                th { }
                @for (role, title) in groups {
                    @if span(role) > 0 { th scope="colgroup" colspan=(span(role)) { (title) } }
                }
            }
            tr {
                th scope="col" { @if table.compared.is_empty() { "Cells" } @else { (names(&table.compared)) } }
                @if !table.best.is_empty() { th scope="col" { (names(&table.best)) ", best" } }
                th.number scope="col" { "runs" }
                @for (i, column) in table.columns.iter().enumerate() {
                    th.number.first[starts(table, i)] scope="col" { (visible(&column.label)) @if let Some(better) = column.better { "\u{a0}" (direction(better)) } }
                }
            }
        }
    }
}

/// Whether a column begins a group.
fn starts(table: &Table<'_>, column: usize) -> bool {
    column == 0 || table.columns[column - 1].role != table.columns[column].role
}

fn line(table: &Table<'_>, design: &Design, index: usize, row: &Row<'_>) -> Markup {
    // A rule where the first of several axes changes.
    let changes = index == 0 || table.rows[index - 1].labels.first() != row.labels.first();
    let begins = changes && row.labels.len() > 1;
    let measured = table.measured().count();
    let cost = if table.trained { STEP_COST } else { NFE };
    let (tone, _) = design.tone(index).unwrap_or((Tone::Muted, false));
    html! {
        tr.begins[begins] {
            th scope="row" {
                @match row.labels.split_first() {
                    None => "all cells",
                    Some((first, others)) => {
                        strong { bdi { (visible(first)) } }
                        @for label in others { " · " bdi { (visible(label)) } }
                    }
                }
            }
            @if !table.best.is_empty() { td { (choice(row)) } }
            td.number data-value=(row.count().0) { (runs(row)) }
            @for (i, column) in table.columns.iter().enumerate() {
                @let drawn = (i < measured || column.name == cost).then(|| strip::draw(column, index, tone));
                (value(column, index, row, drawn.and_then(|d| d.ok().flatten()), starts(table, i)))
            }
        }
    }
}

/// The value that was chosen.
fn choice(row: &Row<'_>) -> Markup {
    if row.count().0 == 0 {
        return html! { span.muted { "–" } };
    }
    html! {
        @for (i, label) in row.choice.labels.iter().enumerate() {
            @if i > 0 { " · " }
            bdi { (visible(label)) }
        }
        small { "of " (row.choice.among) }
        @if row.choice.passed_over > 0 { small.lacking { (row.choice.passed_over) " diverged" } }
    }
}

/// How many repetitions finished.
fn runs(row: &Row<'_>) -> Markup {
    match row.count() {
        (0, all) => html! { span.lacking { "0 of " (all) } },
        (1, 1) => html! { "1" small { "own s.e." } },
        (n, all) if n == all => html! { (n) },
        (n, all) => html! { span.lacking { (n) " of " (all) } @if n == 1 { small { "own s.e." } } },
    }
}

/// One value: the mean, its error and its mark.
fn value(column: &Column, index: usize, row: &Row<'_>, drawn: Option<Svg>, first: bool) -> Markup {
    let Some(Repeated { mean, n, not_finite }) = column.cells[index] else {
        return html! { td.number.first[first] { span.muted { "–" } } };
    };
    let text = estimate(&mean);
    let (value, error) = text.split_once(" ± ").map_or((text.as_str(), None), |(v, e)| (v, Some(e)));
    let mark = column.marks[index];
    let alt = format!("{} {text} on the column's axis, smallest left.", visible(&column.label));
    html! {
        td.number.first[first].best[mark == Mark::Best].tied[mark == Mark::Tied] data-value=[exact(mean.value)] {
            (value)
            @match mark {
                Mark::Best => span.sign role="img" aria-label="best" { "★" },
                Mark::Tied => span.sign role="img" aria-label="not told from the best" { "≈" },
                Mark::Plain => "",
            }
            @if let Some(error) = error { small { "± " (error) } }
            @if column.name == STEP_COST && mean.value > 0.0 { small { (significant(1e3 / mean.value, 3)) " steps/s" } }
            @if not_finite > 0 { small.lacking { (not_finite) " not finite" } }
            @else if n < row.count().0 { small.lacking { "of " (n) } }
            @if let Some(drawn) = &drawn { (svg(drawn, &alt)) }
        }
    }
}

/// The reference of a column.
type Pick = fn(&Column) -> Option<Reference>;

/// What real data and a fitted Gaussian get.
fn references(table: &Table<'_>) -> Markup {
    let lines: [(&str, Pick); 2] = [("real data", |c| c.floor), ("fitted Gaussian", |c| c.baseline)];
    let there = |pick: Pick| table.columns.iter().any(|c| pick(c).is_some());
    html! {
        @if lines.iter().any(|l| there(l.1)) {
            tbody.references {
                @for (name, pick) in lines {
                    @if there(pick) {
                        tr {
                            th scope="row" { (name) }
                            @if !table.best.is_empty() { td { } }
                            td { }
                            @for (i, column) in table.columns.iter().enumerate() {
                                td.number.first[starts(table, i)] { (reference(pick(column))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn reference(reference: Option<Reference>) -> Markup {
    match reference {
        None => html! {},
        Some(Reference::One(of)) => {
            let text = estimate(&of);
            let (value, error) = text.split_once(" ± ").map_or((text.as_str(), None), |(v, e)| (v, Some(e)));
            html! { (value) @if let Some(error) = error { small { "± " (error) } } }
        }
        Some(Reference::Between(low, high)) => {
            let of = |v| estimate(&Estimate::new(v, f64::NAN));
            html! { (of(low)) small { "to " (of(high)) } }
        }
    }
}
