//! What the rows of a comparison were told differently.

use maud::{Markup, html};

use crate::page::{MOST_UPRIGHT, absent, files_of};
use crate::sweep::{Sweep, Varied};
use crate::tables::{Data, Line};
use crate::text::visible;

/// Labels of an axis that have a column.
const MOST_LABELS: usize = 24;

pub(super) fn section(sweep: &Sweep) -> Markup {
    let varied = sweep.varied();
    if varied.iter().all(|axis| axis.keys.is_empty()) {
        return absent(if sweep.cells.iter().all(|cell| cell.configuration.is_empty()) {
            "No cell has been begun, so there is no resolved configuration to show."
        } else {
            "The cells that have been begun were told the same, but for their repetitions."
        });
    }
    html! {
        p { "The keys of the resolved experiments that differ along each axis; every other key is the same at all its values. The whole of a cell's configuration is on its page." }
        @for axis in varied.iter().filter(|axis| !axis.keys.is_empty()) {
            @if says_itself(axis) {
                p { code { (visible(&axis.keys[0].0)) } ": " (list(&axis.labels)) "." }
            } @else {
                (table(axis))
            }
        }
        (files_of("configuration"))
    }
}

/// Whether an axis's labels are the values of its only key.
fn says_itself(axis: &Varied<'_>) -> bool {
    let [(_, values)] = axis.keys.as_slice() else { return false };
    values.iter().zip(&axis.labels).all(|(value, label)| value.as_ref().is_some_and(|v| v.trim_matches('"') == *label))
}

fn list(labels: &[&str]) -> Markup {
    html! { @for (i, label) in labels.iter().enumerate() { @if i > 0 { ", " } bdi { (visible(label)) } } }
}

fn table(axis: &Varied<'_>) -> Markup {
    let shown = axis.labels.len().min(MOST_LABELS);
    html! {
        div.scroll.wide[shown > MOST_UPRIGHT] role="region" aria-label=(visible(&axis.axis.name)) tabindex="0" {
            table.told {
                thead { tr {
                    th scope="col" { bdi { (visible(&axis.axis.name)) } }
                    @for label in &axis.labels[..shown] { th scope="col" { bdi { (visible(label)) } } }
                } }
                tbody {
                    @for (key, values) in &axis.keys {
                        tr {
                            th scope="row" { code { (visible(key)) } }
                            @for value in &values[..shown] {
                                td { @match value { Some(value) => code { (visible(value)) }, None => span.muted { "–" } } }
                            }
                        }
                    }
                }
            }
        }
        @if axis.labels.len() > shown { p.aside { "The other " (axis.labels.len() - shown) " values are in the files." } }
    }
}

/// The same for other programs: a line an axis, value and key.
pub(crate) fn data(sweep: &Sweep) -> Data {
    let lines = sweep.varied().into_iter().flat_map(|axis| {
        let Varied { axis, labels, keys } = axis;
        let line = move |key: &str, label: &str, value: Option<String>| {
            Line::default().with("axis", axis.name.clone()).with("label", label).with("key", key).with("value", value)
        };
        keys.into_iter().flat_map(move |(key, values)| {
            let lines: Vec<Line> = labels.iter().zip(values).map(|(label, value)| line(&key, label, value)).collect();
            lines
        })
    });
    Data::of(lines)
}
