//! The page of a sweep: its cells compared.

mod comparison;
pub(crate) mod configuration;
pub(crate) mod differences;
pub(crate) mod figures;
mod header;
mod notes;
pub(crate) mod samples;

use maud::html;

use super::index::{self, Row};
use super::{Section, absent, back, contents, document, files_of};
use crate::sweep::{Sweep, Table};

/// The page about a sweep and its comparison; `rows` are those of the table of cells, `shown` the samples of its cells.
pub(crate) fn page(sweep: &Sweep, table: &Table<'_>, rows: &[Row], shown: &[samples::Shown]) -> String {
    let cells = if rows.is_empty() {
        absent("No cell has been run yet.")
    } else {
        html! {
            p { "Each name leads to its cell's page." }
            (index::table(rows))
            (files_of("cells"))
        }
    };
    let mut sections = vec![
        Section { id: "configuration", title: "What was varied", body: configuration::section(sweep) },
        Section { id: "comparison", title: "Comparison", body: comparison::section(table) },
    ];
    if !shown.is_empty() {
        sections.push(Section { id: "samples", title: "Samples", body: samples::section(table, shown) });
    }
    if !table.columns.is_empty() {
        sections.extend(figures::sections(table));
    }
    sections.push(Section { id: "cells", title: "Cells", body: cells });
    document(&sweep.experiment, &html! { (back(false)) (header::header(sweep, table)) (contents(&sections)) })
}
