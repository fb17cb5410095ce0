//! The page of a sweep: its cells compared.

mod comparison;
mod figures;
mod header;
mod notes;

use maud::html;

use super::index::{self, Row};
use super::{Section, absent, contents, document};
use crate::sweep::{Sweep, Table};

/// The page about a sweep and its comparison; `rows` are those of the table of cells.
pub(crate) fn page(sweep: &Sweep, table: &Table<'_>, rows: &[Row]) -> String {
    let cells = if rows.is_empty() {
        absent("No cell has been run yet.")
    } else {
        html! {
            p { "Each name leads to its cell's page; the best value of each metric is set bold, whatever its error." }
            (index::table(rows))
        }
    };
    let mut sections = vec![Section { id: "comparison", title: "Comparison", body: comparison::section(table) }];
    if !table.columns.is_empty() {
        sections.extend(figures::sections(table));
    }
    sections.push(Section { id: "cells", title: "Cells", body: cells });
    document(&sweep.experiment, &html! { (header::header(sweep, table)) (contents(&sections)) })
}
