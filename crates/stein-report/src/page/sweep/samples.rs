//! Samples of the rows beside each other.

use maud::{Markup, html};
use stein_record::arrays::Array;

use crate::canvas::Trouble;
use crate::field::{Extent, points};
use crate::figures::plane::Plane;
use crate::figures::samples::{first_rows, grid_png};
use crate::figures::{Drawn, Figure, Layout, Panel, Picture};
use crate::number::estimate;
use crate::page::absent;
use crate::page::figure::figure;
use crate::palette::Tone;
use crate::run::Run;
use crate::sweep::{Cell, Row, Table, is_same};
use crate::text::{count, visible};

/// Rows that are shown.
const MOST_ROWS: usize = 24;
/// Images of a row.
const MOST_IMAGES: usize = 24;
/// Points of a row.
const MOST_POINTS: usize = 400;
/// Numbers that are kept of a run: hundreds of them lie in memory at a time.
const MOST_NUMBERS: usize = 1 << 16;
/// About the width of a picture.
const PIXELS: usize = 280;

/// What is kept of a run to show its samples beside those of others.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    cell: String,
    seed: u64,
    /// What decides the noise that chains start from, beside the seed.
    start: Vec<(String, String)>,
    samples: Array,
    held_out: Option<Array>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Images { shape: [usize; 3], range: [f64; 2] },
    Plane { extent: Extent },
}

impl Shown {
    /// What there is to show of a run; nothing if its rows are no pictures.
    pub(crate) fn of(run: &Run) -> Option<Self> {
        let (samples, record) = (run.samples.as_ref()?, run.record.as_ref()?);
        let width = samples.shape.get(1).copied().filter(|d| *d > 0)?;
        let (kind, most) = match run.image() {
            Some(shape) => (Kind::Images { shape, range: run.range() }, MOST_IMAGES),
            None => (plane(run)?, MOST_POINTS),
        };
        let most = most.min((MOST_NUMBERS / width).max(1));
        Some(Self {
            cell: run.cell.clone(),
            seed: record.seed,
            start: start(run),
            samples: first_rows(samples, most),
            held_out: run.held_out.as_ref().map(|rows| first_rows(rows, most)),
            kind,
        })
    }
}

/// The frame of points: that of held-out data, whatever strays from them.
fn plane(run: &Run) -> Option<Kind> {
    let rows = run.held_out.as_ref().or(run.samples.as_ref()).filter(|_| run.is_plane())?;
    Some(Kind::Plane { extent: Extent::around(&points(rows)?) })
}

/// Where chains start, and of which classes they are: with the seed these decide what they start from.
fn start(run: &Run) -> Vec<(String, String)> {
    let flat = run.toml.as_deref().and_then(|text| stein_record::configuration::flat(text).ok()).unwrap_or_default();
    let decides = |key: &str| key == "sampler.start" || key.starts_with("sampler.start.") || key == "sampler.class";
    let mut out: Vec<_> = flat.into_iter().filter(|(key, _)| decides(key)).collect();
    let mixed = run.evaluation.as_ref().and_then(|e| e.classes).map(|c| (c.count, c.of(0), c.of(1)));
    out.push(("classes".into(), format!("{mixed:?}")));
    out
}

pub(super) fn section(table: &Table<'_>, shown: &[Shown]) -> Markup {
    let rows: Vec<(&Row<'_>, usize, &Shown)> =
        table.rows.iter().enumerate().filter_map(|(i, row)| Some((row, i, first(row, shown)?))).collect();
    if rows.is_empty() {
        return absent("No finished cell has samples that are images or points of the plane.");
    }
    html! { (figure(draw(table, &rows), "")) }
}

/// The samples of a row's first repetition that has some.
fn first<'s>(row: &Row<'_>, shown: &'s [Shown]) -> Option<&'s Shown> {
    let finished = row.repetitions.iter().flatten().filter(|cell| cell.numbers().is_some());
    finished.filter_map(|cell: &&Cell| shown.iter().find(|s| is_same(&s.cell, &cell.name))).next()
}

fn draw(table: &Table<'_>, rows: &[(&Row<'_>, usize, &Shown)]) -> Drawn {
    let mut panels = Vec::new();
    for (row, index, shown) in rows.iter().take(MOST_ROWS) {
        let name = match row.labels.as_slice() {
            [] => "all cells".to_owned(),
            labels => labels.iter().map(|l| visible(l)).collect::<Vec<_>>().join(" · "),
        };
        // Rows on the same data have the frame of the first of them.
        let like = rows.iter().find(|other| other.0.data == row.data).map_or(*shown, |other| other.2);
        let (picture, outside) = picture(&shown.samples, like, Tone::Train)?;
        panels.push(Panel {
            alt: format!("{} of {name}{}.", count(shown.samples.shape[0], "sample"), beyond(outside)),
            title: name,
            note: note(table, *index, outside),
            picture,
        });
    }
    let first = rows[0].2;
    if let Some(held_out) = first.held_out.as_ref().filter(|_| !table.is_over_data()) {
        let (picture, outside) = picture(held_out, first, Tone::HeldOut)?;
        panels.push(Panel {
            title: "Held-out data".into(),
            note: String::new(),
            alt: format!("{}{}.", count(held_out.shape[0], "held-out row"), beyond(outside)),
            picture,
        });
    }
    let caption = caption(rows);
    Ok(Some(Figure { panels, layout: Layout::Tiles, legend: None, caption }))
}

fn beyond(outside: usize) -> String {
    if outside == 0 { String::new() } else { format!(", {outside} of them outside the frame") }
}

/// What the whole row gets by the measure that ranks.
fn note(table: &Table<'_>, row: usize, outside: usize) -> String {
    let measure = table
        .primary_column()
        .and_then(|column| Some(format!("{} {}", visible(&column.label), estimate(&column.cells[row]?.mean))));
    let outside = (outside > 0).then(|| format!("{outside} outside the frame"));
    measure.into_iter().chain(outside).collect::<Vec<_>>().join("; ")
}

/// The rows as they are framed by `like`, and how many points lie outside.
fn picture(rows: &Array, like: &Shown, tone: Tone) -> Result<(Picture, usize), Trouble> {
    match &like.kind {
        Kind::Images { shape, range } => {
            let columns = (PIXELS / (2 * shape[1] + 1)).clamp(2, 6);
            Ok((grid_png(rows, *shape, *range, columns, PIXELS)?, 0))
        }
        Kind::Plane { extent } => {
            let points = points(rows).ok_or("the rows are no points of the plane")?;
            let outside = points.iter().filter(|p| extent.place(**p, 1.0, 1.0).is_none()).count();
            let plane = Plane { points: &points, point_tone: tone, ..Plane::new(*extent) };
            Ok((Picture::Svg(plane.draw(PIXELS as f64)?), outside))
        }
    }
}

fn caption(rows: &[(&Row<'_>, usize, &Shown)]) -> String {
    let (_, _, first) = rows[0];
    let number = rows.iter().map(|r| r.2.samples.shape[0]).max().unwrap_or(0);
    let what =
        format!("The first {} of each row, not chosen, from its first finished repetition", count(number, "sample"));
    let same_seed = rows.iter().all(|r| r.2.seed == first.seed);
    // Chain i draws its start from a stream of the run's seed and i, before anything else.
    let same =
        |s: &Shown| s.seed == first.seed && s.start == first.start && s.samples.shape[1] == first.samples.shape[1];
    let noise = match (same_seed, rows.len() > 1 && rows.iter().all(|r| same(r.2))) {
        (_, true) => format!(" (seed {}). Sample for sample all start from the same draws of noise.", first.seed),
        (true, false) => format!(" (seed {}).", first.seed),
        (false, false) => ", whose seeds differ.".into(),
    };
    let frame = match first.kind {
        Kind::Images { .. } => " Values beyond the data's range are clipped for display.",
        Kind::Plane { .. } => " The frame is that of the held-out data; points beyond it are counted, not drawn.",
    };
    let more = match rows.len().saturating_sub(MOST_ROWS) {
        0 => String::new(),
        n => format!(" Of {} rows the last {n} are left out.", rows.len()),
    };
    format!("{what}{noise}{frame}{more}")
}
