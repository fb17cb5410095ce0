//! Figures and report pages, from run directories alone.
//!
//! [`write()`] turns `runs/<experiment>/` into `reports/<experiment>/index.html`: one self-contained page that asks
//! nothing of a network and is complete without a script. It reads what [`stein_record`] defines and never sees a tensor, so it
//! builds in seconds and works on runs that are still going: what is missing is left out with a plain sentence, and
//! a file that is half written or damaged is named on the page instead of making the report fail. Beside each page lie its
//! tables as CSV and JSON, and `reports/index.html` lists all reports.
//!
//! - [`compare`]: any runs beside each other.
//! - [`images`]: pictures of samples, which training saves too.
//! - `figures`: one file per figure, drawn by plotters.
//! - `page`: one file per section of a page, put together by maud.
//! - `palette`: the colours that figures and pages share (Okabe and Ito, light and dark).

#![forbid(unsafe_code)]

mod canvas;
pub mod compare;
mod export;
mod field;
mod figures;
mod files;
pub mod images;
mod number;
mod page;
mod palette;
mod run;
mod statistics;
mod summary;
mod sweep;
mod tables;
mod text;

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use stein_record::{AxisRole, RecordError, RunDir, SweepAxis, SweepCell, SweepRecord};

use crate::page::sweep::{configuration, differences, figures as sweep_figures, samples};
use crate::page::{Place, index, tables as run_tables};
use crate::run::Run;
use crate::summary::{About, Summary};
use crate::sweep::{Sweep, Table, Taken};
use crate::tables::Data;

/// Writes the report of `runs/<experiment>` to `reports/<experiment>/index.html` and returns that path.
///
/// With one cell the index is that run's page; with several it is a table of the cells, which links to a page for
/// each beside it. Where `sweep.json` tells of a sweep, it is a comparison of its cells. The tables of a page lie beside it as
/// CSV and JSON, those of a cell's page in a folder of its name. Then `reports/index.html` is made anew from what each report
/// left in its `summary.json`; two processes may do so at once.
///
/// # Errors
/// If `experiment_dir` cannot be listed or a page cannot be written. Files that are missing, unfinished or damaged
/// are no error: the page says what it had to leave out.
pub fn write(experiment_dir: &Path, reports: &Path) -> Result<PathBuf, RecordError> {
    // A path like `..` has no name of its own.
    let resolved = experiment_dir.canonicalize().unwrap_or_default();
    let name = experiment_dir.file_name().or_else(|| resolved.file_name()).unwrap_or("report".as_ref());
    let (name, folder) = (name.to_string_lossy(), reports.join(name));
    let index = folder.join("index.html");
    let cells = cells(experiment_dir)?;
    let (sweep, note) = sweep(experiment_dir);
    let kind = match (&sweep, cells.len()) {
        (Some(_), _) => Kind::Sweep,
        (None, 1) if note.is_none() => Kind::Only,
        (None, _) => Kind::Cells,
    };
    // As many runs at a time in memory as there are threads: a sweep may have hundreds.
    let looked: Vec<Looked> =
        cells.par_iter().enumerate().map(|(i, cell)| look(cell, i, kind, &folder)).collect::<Result<_, _>>()?;

    let about = looked.iter().map(|l| l.about.clone()).fold(About::default(), About::and);
    let mut compared = match &sweep {
        Some(record) => Sweep::new(record.clone()),
        None => Sweep::new(unswept(&name, &looked)),
    };
    let (mut rows, mut shown) = (Vec::new(), Vec::new());
    for Looked { row, taken, own, .. } in looked {
        compared.take(taken);
        rows.push(row);
        shown.extend(own);
    }
    let table = Table::of(&compared);
    tables(&folder, kind, &compared, &table, &rows)?;
    let page = match kind {
        Kind::Only => None,
        Kind::Cells => Some(index::page(&name, &rows, note.as_deref())),
        Kind::Sweep => Some(page::sweep::page(&compared, &table, &rows, &shown)),
    };
    if let Some(page) = page {
        files::write(&index, page.as_bytes())?;
    }
    let (states, bytes) = (summary::states(&compared), summary::bytes(experiment_dir));
    let picture = |cell: Option<&str>| index::thumbnail(&rows, cell);
    // Runs that no sweep holds together are no comparison.
    Summary::of(&name, (&table, kind == Kind::Sweep), states, about, bytes, picture).write(&folder)?;
    summary::overview(reports, page::overview::page)?;
    Ok(index)
}

/// What an experiment's index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The page of its only run.
    Only,
    /// A table of its cells.
    Cells,
    /// The comparison of a sweep.
    Sweep,
}

/// Writes the tables of the index, and removes those that a report of another kind left there.
fn tables(folder: &Path, kind: Kind, sweep: &Sweep, table: &Table<'_>, rows: &[index::Row]) -> Result<(), RecordError> {
    let [csv, json] = ["comparison.csv", "comparison.json"].map(|name| folder.join(name));
    let is_sweep = kind == Kind::Sweep;
    if is_sweep {
        files::write(&csv, export::csv(table).as_bytes())?;
        files::write(&json, format!("{:#}\n", export::json(&sweep.experiment, table)).as_bytes())?;
    } else {
        files::remove(&csv)?;
        files::remove(&json)?;
    }
    let of_sweep = |data: Data| if is_sweep { data } else { Data::default() };
    of_sweep(configuration::data(sweep)).write(&folder.join("configuration"))?;
    of_sweep(differences::data(table)).write(&folder.join("differences"))?;
    of_sweep(sweep_figures::data(table)).write(&folder.join("slopes"))?;
    let cells = match kind {
        Kind::Only => Data::default(),
        Kind::Cells => index::data(rows, None),
        Kind::Sweep => index::data(rows, Some(sweep)),
    };
    cells.write(&folder.join("cells"))?;
    if kind == Kind::Only { Ok(()) } else { run_tables::remove(folder) }
}

/// What is kept of a run once its page is written.
struct Looked {
    row: index::Row,
    taken: Taken,
    /// Its samples, for a sweep's page.
    own: Option<samples::Shown>,
    about: About,
}

/// Reads a run and writes its page and tables; `place` runs come before it.
fn look(cell: &RunDir, place: usize, kind: Kind, folder: &Path) -> Result<Looked, RecordError> {
    let run = Run::read(cell);
    let file = if kind == Kind::Only { "index.html".to_owned() } else { index::file_name(&run.cell) };
    let name = file.strip_suffix(".html").unwrap_or(&file);
    let (of_page, beside) = match kind {
        Kind::Only => (Place::Only, folder.to_owned()),
        Kind::Cells | Kind::Sweep => (Place::Cell(name), folder.join(name)),
    };
    files::write(&folder.join(&file), page::run(&run, of_page).as_bytes())?;
    run_tables::write(&run, &beside)?;
    let own = if kind == Kind::Sweep { samples::Shown::of(&run) } else { None };
    let (taken, about) = (Taken::of(&run, &file), About::of(&run));
    Ok(Looked { row: index::Row::of(&run, file, place), taken, own, about })
}

/// Runs that no sweep holds together, as rows by their names.
fn unswept(name: &str, looked: &[Looked]) -> SweepRecord {
    let names: Vec<String> = looked.iter().map(|l| l.taken.name.clone()).collect();
    let cell = |name: &String| SweepCell { cell: name.clone(), values: [("cell".to_owned(), name.clone())].into() };
    let cells = names.iter().map(cell).collect();
    let axis = SweepAxis { name: "cell".into(), values: names, numbers: None, role: AxisRole::Compare };
    SweepRecord { schema: 1, experiment: name.into(), measures: Vec::new(), axes: vec![axis], cells }
}

/// The sweep that the experiment's directory tells of, or why its record cannot be used.
fn sweep(experiment_dir: &Path) -> (Option<SweepRecord>, Option<String>) {
    match SweepRecord::read(experiment_dir) {
        Ok(record) => (record, None),
        Err(error) => {
            let problem = match error {
                RecordError::Io { action, error, .. } => format!("cannot {action}: {error}"),
                RecordError::Damaged { problem, .. } => problem,
            };
            (None, Some(format!("There is no comparison, because sweep.json could not be read: {problem}.")))
        }
    }
}

/// The page of one run, as HTML.
pub fn page_of(dir: &RunDir) -> String {
    page::run(&Run::read(dir), Place::Alone)
}

/// The directories in an experiment's directory that hold a run, sorted by name.
fn cells(experiment_dir: &Path) -> Result<Vec<RunDir>, RecordError> {
    let entries = std::fs::read_dir(experiment_dir).map_err(|e| RecordError::io(experiment_dir, "list", e))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        // `trained/` holds networks that several cells share.
        .filter(|path| path.is_dir() && !files::is_hidden(path))
        .filter(|path| path.file_name().is_some_and(|name| name != "trained"))
        .collect();
    paths.sort();
    let dirs = paths.into_iter().map(RunDir::new);
    Ok(dirs.filter(|dir| dir.record().is_file() || dir.experiment().is_file()).collect())
}
