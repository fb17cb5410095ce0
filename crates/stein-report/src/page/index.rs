//! The table of an experiment's cells.

use maud::{Markup, html};
use stein_record::{Better, Estimate, RunRecord, State};

use super::figure::{base64, data_uri};
use super::{absent, back, document, files_of, header, metrics};
use crate::field::points;
use crate::figures::Picture;
use crate::figures::samples::{first_rows, grid_png};
use crate::images;
use crate::number::{duration, estimate, exact};
use crate::run::Run;
use crate::summary::Thumbnail;
use crate::sweep::{Cell, Found, Sweep, is_same};
use crate::tables::{Data, Line};
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
    /// The same in words.
    stands: Option<State>,
    why: Option<String>,
    seed: Option<u64>,
    /// Seconds of training; `None` if there was nothing to train, or nothing is known of it.
    training: Option<f64>,
    /// The same and more, in seconds, evaluations and bytes.
    costs: Vec<(&'static str, Option<f64>)>,
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
            stands: run.record.as_ref().map(|r| r.state),
            why: run.record.as_ref().and_then(|r| r.reason.clone()),
            seed: run.record.as_ref().map(|r| r.seed),
            training: run.record.as_ref().filter(|_| run.is_trained()).map(|r| r.timings.training),
            costs: costs(run),
            metrics: metrics.map(|m| (m.name.clone(), m.label.clone(), m.better, m.estimate)).collect(),
            picture: if index < MOST_PICTURES { picture(run) } else { None },
        }
    }
}

/// What a run cost.
fn costs(run: &Run) -> Vec<(&'static str, Option<f64>)> {
    let (record, evaluation) = (run.record.as_ref(), run.evaluation.as_ref());
    let trained = |pick: fn(&RunRecord) -> f64| record.filter(|_| run.is_trained()).map(pick).filter(|v| *v > 0.0);
    vec![
        ("training-seconds", trained(|r| r.timings.training)),
        ("steps-per-second", trained(|r| r.timings.steps_per_second)),
        ("examples-per-second", trained(|r| r.timings.examples_per_second)),
        ("sampling-seconds", evaluation.map(|e| e.sampling_seconds)),
        ("nfe", evaluation.map(|e| e.nfe as f64)),
        ("peak-memory-bytes", record.and_then(|r| r.peak_memory).map(|bytes| bytes as f64)),
    ]
}

/// The table for other programs: a line a cell, with its labels where it is one of a sweep. Cells that have not been begun are
/// in it too.
pub(crate) fn data(rows: &[Row], sweep: Option<&Sweep>) -> Data {
    let labelled = |name: &str, line: Line| {
        let Some(sweep) = sweep else { return line };
        let Some(cell) = sweep.cells.iter().find(|cell| is_same(&cell.name, name)) else { return line };
        let labels = sweep.axes.iter().zip(&cell.labels);
        labels.fold(line, |line, (axis, label)| line.with(axis.name.clone(), label.clone()))
    };
    let line = |row: &Row| {
        let line = Line::default().with("cell", row.name.clone()).with("page", row.file.clone());
        let line = line.with("state", row.stands.map(|s| s.to_string())).with("reason", row.why.clone());
        let line = labelled(&row.name, line).with("seed", row.seed.map(|seed| seed.to_string()));
        let line = row.costs.iter().fold(line, |line, (name, value)| line.number(*name, *value));
        row.metrics.iter().fold(line, |line, (name, _, _, value)| line.estimate(name, Some(value)))
    };
    let missing = sweep.iter().flat_map(|s| &s.cells).filter(|cell| matches!(cell.found, Found::Nothing));
    let begin =
        |cell: &Cell| labelled(&cell.name, Line::default().with("cell", cell.name.clone()).with("state", "not begun"));
    Data::of(rows.iter().map(line).chain(missing.map(begin)))
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

/// The picture of the cell of that name, or else of the first run that has one.
pub(crate) fn thumbnail(rows: &[Row], cell: Option<&str>) -> Option<Thumbnail> {
    let of = |row: &Row| row.picture.clone().filter(|_| cell.is_some_and(|cell| is_same(cell, &row.name)));
    let any = || rows.iter().find_map(|row| row.picture.clone());
    let (png, (width, height)) = rows.iter().find_map(of).or_else(any)?;
    Some(Thumbnail { png: base64(&png), width, height })
}

/// The page; `note` says what could not be read.
pub(crate) fn page(experiment: &str, rows: &[Row], note: Option<&str>) -> String {
    document(
        experiment,
        &html! {
            (back(false))
            header {
                p.eyebrow { "stein report" }
                h1 { bdi { (visible(experiment)) } }
                p.summary {
                    @if rows.is_empty() { "There are no runs of this experiment yet." }
                    @else { (count(rows.len(), "cell")) ". Each name leads to its cell's page. No value is marked as the best: single runs cannot tell." }
                }
                @if let Some(note) = note { p.notice { (visible(note)) } }
            }
            main {
                @if rows.is_empty() { (absent("Run the experiment, then write its report again.")) }
                @else { (table(rows)) (files_of("cells")) }
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
                        @for (name, _, _) in &columns {
                            @let found = value(row, name);
                            td.number data-value=[found.and_then(|e| exact(e.value))] { @match found { Some(e) => (estimate(&e)), None => "–" } }
                        }
                    }
                } }
            }
        }
    }
}
