//! How far rows are from the first, repetition by repetition.

use maud::{Markup, html};

use crate::number::significant;
use crate::page::files_of;
use crate::statistics::Difference;
use crate::sweep::{Column, Differences, Lacking, Row, Table};
use crate::tables::{Data, Line};
use crate::text::visible;

/// The columns in which rows differ, with their differences.
fn columns<'t>(table: &'t Table<'_>) -> Vec<(&'t Column, Differences)> {
    table.columns.iter().filter(|column| column.varies()).map(|column| (column, column.against_first())).collect()
}

pub(super) fn section(table: &Table<'_>) -> Markup {
    let columns = columns(table);
    if table.rows.len() < 2 {
        return html! {};
    }
    html! {
        h3 id="differences" { "Differences, seed by seed" }
        @if columns.iter().all(|c| c.1.lacking.is_some()) {
            p.absent { (nothing(&columns)) }
        } @else {
            p {
                (from(table, &columns)) " Differences are of the same repetitions, not of their logarithms: means with a 95% interval by Student's t; * is more than chance, by paired t tests over at least 3 repetitions with Holm's correction for all differences of a column."
                @if table.rows.iter().any(Row::diverged) { " A row of which a repetition diverged, or whose reference has one that did, has no * but for what it costs." }
                @for lacking in [Lacking::Shared, Lacking::Finite] { (without(&columns, lacking)) }
            }
            div.scroll role="region" aria-labelledby="differences" tabindex="0" {
                table.differences {
                    thead { tr {
                        th scope="col" { "row" }
                        @for (column, _) in &columns { th.number scope="col" { (visible(&column.label)) } }
                    } }
                    tbody {
                        @for (i, row) in table.rows.iter().enumerate() {
                            tr {
                                th scope="row" { bdi { (name(row)) } }
                                @for (column, of) in &columns { td.number { (value(column, of, i)) } }
                            }
                        }
                    }
                }
            }
            (files_of("differences"))
        }
    }
}

/// Why no column has any difference.
fn nothing(columns: &[(&Column, Differences)]) -> &'static str {
    match columns.iter().filter_map(|c| c.1.lacking).max() {
        Some(Lacking::Finite) => {
            "Rows with two repetitions in common have values that are not finite, so there is nothing to pair."
        }
        Some(Lacking::Shared) => "There are no two rows with two repetitions in common, so there is nothing to pair.",
        None => "There are no two values that differ, so there is nothing to pair.",
    }
}

/// The columns that have no differences, and why.
fn without(columns: &[(&Column, Differences)], why: Lacking) -> String {
    let names = columns.iter().filter(|c| c.1.lacking == Some(why)).map(|c| format!("“{}”", visible(&c.0.label)));
    let names: Vec<String> = names.collect();
    match (names.is_empty(), why) {
        (true, _) => String::new(),
        (_, Lacking::Shared) => format!(" No two rows have two repetitions in common in {}.", names.join(", ")),
        (_, Lacking::Finite) => format!(" Not finite, and so not paired: {}.", names.join(", ")),
    }
}

/// What rows are held against.
fn from(table: &Table<'_>, columns: &[(&Column, Differences)]) -> String {
    let mut all: Vec<usize> = columns.iter().flat_map(|c| c.1.reference.iter().flatten()).copied().collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [0] => format!("How far each row is from the first, “{}”.", name(&table.rows[0])),
        [one] => {
            format!("How far each row is from the first that was repeated and is finite, “{}”.", name(&table.rows[*one]))
        }
        _ => "How far each row is from the first that was repeated and is finite, on the same data and, where that matters, over the same noise levels: the “reference” of its column.".into(),
    }
}

fn name(row: &Row<'_>) -> String {
    match row.labels.as_slice() {
        [] => "all cells".into(),
        labels => labels.iter().map(|label| visible(label)).collect::<Vec<_>>().join(" · "),
    }
}

fn value(column: &Column, of: &Differences, row: usize) -> Markup {
    let all = of.reference[row].map_or(0, |reference| column.each[reference].iter().flatten().count());
    match &of.of[row] {
        Some(Difference { mean, interval: [low, high], told, n }) => html! {
            (signed(mean.value)) @if *told { span.sign role="img" aria-label="more than chance" { "*" } }
            small { "[" (significant(*low, 2)) ", " (significant(*high, 2)) "]" }
            @if *n < all { small.lacking { "of " (n) } }
        },
        None if of.reference[row] == Some(row) => html! { span.muted { "reference" } },
        None => html! { span.muted { "–" } },
    }
}

fn signed(x: f64) -> String {
    format!("{}{}", if x > 0.0 { "+" } else { "" }, significant(x, 2))
}

/// The same for other programs: a line a row and column.
pub(crate) fn data(table: &Table<'_>) -> Data {
    let labelled = |row: &Row<'_>, prefix: &str, line: Line| {
        table
            .compared
            .iter()
            .zip(&row.labels)
            .fold(line, |line, (axis, label)| line.with(format!("{prefix}{}", axis.name), *label))
    };
    let columns = columns(table);
    let lines = columns.iter().flat_map(|(column, of)| {
        table.rows.iter().enumerate().filter_map(move |(i, row)| {
            let (found, reference) = (of.of[i]?, &table.rows[of.reference[i]?]);
            let line = labelled(row, "", Line::default().with("column", column.name.clone()));
            let line = labelled(reference, "reference.", line)
                .estimate("difference", Some(&found.mean))
                .number("low", Some(found.interval[0]))
                .number("high", Some(found.interval[1]))
                .with("n", found.n)
                .with("told", found.told);
            Some(line)
        })
    });
    Data::of(lines)
}
