//! The table of an experiment's cells.

use maud::{Markup, html};
use stein_record::{Better, Estimate};

use super::figure::data_uri;
use super::{absent, document, header, metrics};
use crate::field::points;
use crate::figures::Picture;
use crate::figures::samples::{first_rows, grid_png};
use crate::images;
use crate::number::{duration, estimate, exact};
use crate::run::Run;
use crate::statistics::badness;
use crate::text::{count, href, visible};

/// Metrics that have a column.
const MOST_METRICS: usize = 5;
/// Rows that have a picture.
const MOST_PICTURES: usize = 120;

/// One cell's row.
pub(crate) struct Row {
    name: String,
    file: String,
    state: Markup,
    seed: Option<u64>,
    /// Seconds of training; `None` if there was nothing to train, or nothing is known of it.
    training: Option<f64>,
    metrics: Vec<(String, String, Better, Estimate)>,
    picture: Option<(Vec<u8>, (u32, u32))>,
}

impl Row {
    /// The row of a run whose page is `file`; `index` rows come before it.
    pub(crate) fn of(run: &Run, file: String, index: usize) -> Self {
        let metrics = run.metrics_of_interest();
        Self {
            name: run.cell.clone(),
            file,
            state: header::state(run),
            seed: run.record.as_ref().map(|r| r.seed),
            training: run.record.as_ref().filter(|_| run.is_trained()).map(|r| r.timings.training),
            metrics: metrics.map(|m| (m.name.clone(), m.label.clone(), m.better, m.estimate)).collect(),
            picture: if index < MOST_PICTURES { picture(run) } else { None },
        }
    }
}

/// The file of a cell's page.
pub(crate) fn file_name(cell: &str) -> String {
    if cell == "index" { "index-cell.html".into() } else { format!("{cell}.html") }
}

/// A few samples, small.
fn picture(run: &Run) -> Option<(Vec<u8>, (u32, u32))> {
    let samples = run.samples.as_ref()?;
    if let Some(image) = run.image() {
        return match grid_png(&first_rows(samples, 12), image, run.range(), 6, 120).ok()? {
            Picture::Png { bytes, size, .. } => Some((bytes, size)),
            Picture::Svg(_) => None,
        };
    }
    points(samples)?;
    let picture = images::scatter(&first_rows(samples, 400), None, 240).ok()?;
    let size = picture.dimensions();
    Some((images::png_bytes(&picture.into()).ok()?, size))
}

/// The page; `note` says what could not be read.
pub(crate) fn page(experiment: &str, rows: &[Row], note: Option<&str>) -> String {
    document(
        experiment,
        &html! {
            header {
                p.eyebrow { "stein report" }
                h1 { bdi { (visible(experiment)) } }
                p.summary {
                    @if rows.is_empty() { "There are no runs of this experiment yet." }
                    @else { (count(rows.len(), "cell")) ". Each name leads to its cell's page; the best value of each metric is set bold." }
                }
                @if let Some(note) = note { p.notice { (visible(note)) } }
            }
            main {
                @if rows.is_empty() { (absent("Run the experiment, then write its report again.")) }
                @else { (table(rows)) }
            }
        },
    )
}

/// The table of the cells.
pub(super) fn table(rows: &[Row]) -> Markup {
    let mut columns: Vec<(&str, &str, Better)> = Vec::new();
    for (name, label, better, _) in rows.iter().flat_map(|r| &r.metrics) {
        if columns.len() < MOST_METRICS && !columns.iter().any(|c| c.0 == name) {
            columns.push((name, label, *better));
        }
    }
    let value = |row: &Row, name: &str| row.metrics.iter().find(|m| m.0 == name).map(|m| m.3);
    let best: Vec<Option<f64>> = columns
        .iter()
        .map(|(name, _, better)| {
            let scores = rows.iter().filter_map(|r| value(r, name)).map(|e| badness(*better, e.value));
            scores.filter(|s| s.is_finite()).min_by(f64::total_cmp)
        })
        .collect();
    let trained = rows.iter().any(|r| r.training.is_some());
    html! {
        div.scroll role="region" aria-label="Cells" tabindex="0" {
            table.cells data-sortable {
                thead { tr {
                    th scope="col" { "Cell" }
                    th scope="col" { "Samples" }
                    th scope="col" { "State" }
                    th.number scope="col" { "Seed" }
                    @if trained { th.number scope="col" { "Training" } }
                    @for (_, label, better) in &columns {
                        th.number scope="col" { (visible(label)) "\u{a0}" (metrics::direction(*better)) }
                    }
                } }
                tbody { @for row in rows {
                    tr {
                        th scope="row" { a href=(href(&row.file)) { bdi { (visible(&row.name)) } } }
                        td { @if let Some((png, size)) = &row.picture {
                            img.pixels src=(data_uri("image/png", png)) width=(size.0) height=(size.1) alt={ "Some samples of " (visible(&row.name)) "." };
                        } }
                        td { (row.state) }
                        td.number data-value=[row.seed] { @match row.seed { Some(seed) => (seed), None => "–" } }
                        @if trained {
                            td.number data-value=[row.training.and_then(exact)] { (row.training.map_or("–".into(), duration)) }
                        }
                        @for ((name, _, better), best) in columns.iter().zip(&best) {
                            @let found = value(row, name);
                            @let wins = found.is_some_and(|e| Some(badness(*better, e.value)) == *best);
                            td.number.best[wins] data-value=[found.and_then(|e| exact(e.value))] { @match found { Some(e) => (estimate(&e)), None => "–" } }
                        }
                    }
                } }
            }
        }
    }
}
