//! How far rows are from the first, repetition by repetition.

use maud::{Markup, html};

use crate::number::significant;
use crate::page::files_of;
use crate::statistics::Difference;
use crate::sweep::{Column, Differences, Row, Table};
use crate::tables::{Data, Line};
use crate::text::visible;

/// The columns in which rows differ, with their differences.
fn columns<'t>(table: &'t Table<'_>) -> Vec<(&'t Column, Differences)> {
    table.columns.iter().filter(|column| column.varies()).filter_map(|c| Some((c, c.against_first()?))).collect()
}

pub(super) fn section(table: &Table<'_>) -> Markup {
    let columns = columns(table);
    if table.rows.len() < 2 {
        return html! {};
    }
    html! {
        h3 id="differences" { "Differences, seed by seed" }
        @if columns.is_empty() {
            p.absent { "There are no two rows with two repetitions in common, so there is nothing to pair." }
        } @else {
            p { (from(table, &columns)) " Differences are of the same repetitions, means with a 95% interval by Student's t; * is more than chance, by paired t tests over at least 3 repetitions with Holm's correction for the rows of a column." }
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
                                @for (_, of) in &columns { td.number { (value(of, i)) } }
                            }
                        }
                    }
                }
            }
            (files_of("differences"))
        }
    }
}

/// What rows are held against.
fn from(table: &Table<'_>, columns: &[(&Column, Differences)]) -> String {
    let mut all: Vec<usize> = columns.iter().flat_map(|c| c.1.reference.iter().flatten()).copied().collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [one] => format!("How far each row is from the first, “{}”.", name(&table.rows[*one])),
        _ => "How far each row is from the first that was measured on the same data and, where that matters, over the same noise levels: the “reference” of its column.".into(),
    }
}

fn name(row: &Row<'_>) -> String {
    match row.labels.as_slice() {
        [] => "all cells".into(),
        labels => labels.iter().map(|label| visible(label)).collect::<Vec<_>>().join(" · "),
    }
}

fn value(of: &Differences, row: usize) -> Markup {
    match &of.of[row] {
        Some(Difference { mean, interval: [low, high], told, .. }) => html! {
            (signed(mean.value)) @if *told { span.sign role="img" aria-label="more than chance" { "*" } }
            small { "[" (significant(*low, 2)) ", " (significant(*high, 2)) "]" }
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
