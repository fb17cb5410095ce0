//! The comparison as a page of its own.

use std::path::Path;

use maud::{Markup, html};
use stein_record::RecordError;

use super::{About, Comparison, LEGEND, Line};
use crate::files;
use crate::page::{MOST_UPRIGHT, absent, document, files_of};
use crate::text::{count, visible};

impl Comparison {
    /// Writes a self-contained page, and its tables beside it: `both.html` has `both.configuration.csv`,
    /// `both.measured.csv` and the same as JSON.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let beside = |table: &str| path.with_file_name(format!("{name}.{table}"));
        self.configured().write(&beside("configuration"))?;
        self.measured().write(&beside("measured"))?;
        files::write(path, self.page(&name).as_bytes())
    }

    /// The page of that name, without its ending.
    fn page(&self, name: &str) -> String {
        let title = listed(&self.sides.iter().map(|side| side.name.as_str()).collect::<Vec<_>>());
        let body = html! {
            header {
                p.eyebrow { "stein report · comparison" }
                h1 { bdi { (visible(&title)) } }
                p.summary { (count(self.sides.len(), "configuration")) ", " (count(self.sides.iter().map(|s| s.runs.len()).sum(), "run")) "." }
                (missing(self))
            }
            main {
                section id="configuration" aria-labelledby="configuration-title" {
                    h2 id="configuration-title" { "What they were told" }
                    (configuration(self))
                    @if !self.configured().is_empty() { (files_of(&format!("{name}.configuration"))) }
                }
                section id="measured" aria-labelledby="measured-title" {
                    h2 id="measured-title" { "What came of it" }
                    (measured(self))
                    @if !self.measured().is_empty() { (files_of(&format!("{name}.measured"))) }
                    div.notes {
                        p.aside { (LEGEND) }
                        @for note in &self.notes { p.aside { (visible(note)) } }
                    }
                }
            }
        };
        document(&title, &body)
    }
}

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

fn missing(comparison: &Comparison) -> Markup {
    let all: Vec<&String> = comparison.sides.iter().flat_map(|side| &side.missing).collect();
    html! {
        @if !all.is_empty() {
            div.notice {
                strong { "Missing:" }
                ul { @for why in all { li { bdi { (visible(why)) } } } }
            }
        }
    }
}

fn configuration(comparison: &Comparison) -> Markup {
    html! {
        div.scroll role="region" aria-labelledby="configuration-title" tabindex="0" {
            table.comparison {
                thead { tr {
                    th scope="col" { "key" }
                    @for side in &comparison.sides { th scope="col" { (side.letter) " " small { bdi { (visible(&side.name)) } } } }
                } }
                tbody {
                    @for (key, values) in &comparison.differing {
                        tr { th scope="row" { (path(key)) } @for value in values { td { code { (visible(value)) } } } }
                    }
                    tr { th scope="row" { "seeds" } @for side in &comparison.sides { td { (seeds(&side.seeds)) } } }
                }
            }
        }
        @if comparison.differing.is_empty() { p.aside { "They were told the same, but for their seeds." } }
    }
}

/// A key path, which may be broken after its dots.
fn path(key: &str) -> Markup {
    html! { @for part in key.split_inclusive('.') { (visible(part)) wbr; } }
}

fn seeds(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn measured(comparison: &Comparison) -> Markup {
    if comparison.lines.is_empty() {
        return absent("No run has finished yet, so there is nothing to compare.");
    }
    let columns = 2 * comparison.sides.len();
    let groups = [(About::Quality, "What it buys"), (About::Cost, "What it costs"), (About::Samples, "Samples")];
    html! {
        div.scroll.wide[columns > MOST_UPRIGHT] role="region" aria-labelledby="measured-title" tabindex="0" {
            table.comparison {
                thead { tr {
                    td { }
                    @for side in &comparison.sides { th.number scope="col" { (side.letter) } }
                    @for side in comparison.sides.iter().skip(1) { th.number scope="col" { (side.letter) " − A" } }
                } }
                @for (about, title) in groups {
                    @if comparison.about(about).next().is_some() {
                        tbody {
                            tr.group { th scope="rowgroup" colspan=(columns) { (title) } }
                            @for line in comparison.about(about) { (one(line)) }
                        }
                    }
                }
            }
        }
    }
}

fn one(line: &Line) -> Markup {
    html! {
        tr {
            th scope="row" { (visible(&line.label)) "\u{a0}" span.direction { (line.direction) } }
            @for mean in &line.means {
                @let best = mean.as_ref().is_some_and(|m| m.mark == Some('★'));
                td.number.best[best] { @match mean { Some(mean) => (mean.text()), None => "–" } }
            }
            @for difference in line.differences.iter().skip(1) {
                td.number { @match difference { Some(difference) => (difference.text()), None => "–" } }
            }
        }
    }
}
