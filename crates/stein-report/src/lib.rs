//! Figures and report pages, from run directories alone.
//!
//! [`write()`] turns `runs/<experiment>/` into `reports/<experiment>/index.html`: one self-contained page that asks
//! nothing of a network and is complete without a script. It reads what [`stein_record`] defines and never sees a tensor, so it
//! builds in seconds and works on runs that are still going: what is missing is left out with a plain sentence, and
//! a file that is half written or damaged is named on the page instead of making the report fail.
//!
//! - [`compare`]: any runs beside each other.
//! - [`images`]: pictures of samples, which training saves too.
//! - `figures`: one file per figure, drawn by plotters.
//! - `page`: one file per section of a page, put together by maud.
//! - `palette`: the colours that figures and pages share (Okabe and Ito, light and dark).

mod canvas;
pub mod compare;
mod export;
mod field;
mod figures;
pub mod images;
mod number;
mod page;
mod palette;
mod run;
mod statistics;
mod sweep;
mod text;

use std::path::{Path, PathBuf};

use stein_record::{RecordError, RunDir, SweepRecord, atomic};

use crate::run::Run;
use crate::sweep::{Sweep, Table};

/// Writes the report of `runs/<experiment>` to `reports/<experiment>/index.html` and returns that path.
///
/// With one cell the index is that run's page; with several it is a table of the cells, which links to a page for
/// each beside it. Where `sweep.json` tells of a sweep, it is a comparison of its cells, whose table is beside it as
/// `comparison.csv` and `comparison.json`.
///
/// # Errors
/// If `experiment_dir` cannot be listed or a page cannot be written. Files that are missing, unfinished or damaged
/// are no error: the page says what it had to leave out.
pub fn write(experiment_dir: &Path, reports: &Path) -> Result<PathBuf, RecordError> {
    // A path like `..` has no name of its own.
    let resolved = experiment_dir.canonicalize().unwrap_or_default();
    let name = experiment_dir.file_name().or_else(|| resolved.file_name()).unwrap_or("report".as_ref());
    let folder = reports.join(name);
    let index = folder.join("index.html");
    let cells = cells(experiment_dir)?;
    let (mut sweep, note) = sweep(experiment_dir);
    if let ([cell], None, None) = (cells.as_slice(), &sweep, &note) {
        atomic::write(&index, page::run(&Run::read(cell), None).as_bytes())?;
        return Ok(index);
    }
    let mut rows = Vec::new();
    for cell in &cells {
        // One run at a time in memory: a sweep may have hundreds.
        let run = Run::read(cell);
        let file = page::index::file_name(&run.cell);
        if let Some(sweep) = &mut sweep {
            sweep.take(&run, &file);
        }
        atomic::write(&folder.join(&file), page::run(&run, Some("index.html")).as_bytes())?;
        rows.push(page::index::Row::of(&run, file, rows.len()));
    }
    let page = match &sweep {
        Some(sweep) => {
            let table = Table::of(sweep);
            let json = format!("{:#}\n", export::json(&sweep.experiment, &table));
            atomic::write(&folder.join("comparison.csv"), export::csv(&table).as_bytes())?;
            atomic::write(&folder.join("comparison.json"), json.as_bytes())?;
            page::sweep::page(sweep, &table, &rows)
        }
        None => page::index::page(&name.to_string_lossy(), &rows, note.as_deref()),
    };
    atomic::write(&index, page.as_bytes())?;
    Ok(index)
}

/// The sweep that the experiment's directory tells of, or why its record cannot be used.
fn sweep(experiment_dir: &Path) -> (Option<Sweep>, Option<String>) {
    match SweepRecord::read(experiment_dir) {
        Ok(record) => (record.map(Sweep::new), None),
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
    page::run(&Run::read(dir), None)
}

/// The directories in an experiment's directory that hold a run, sorted by name.
fn cells(experiment_dir: &Path) -> Result<Vec<RunDir>, RecordError> {
    let entries = std::fs::read_dir(experiment_dir).map_err(|e| RecordError::io(experiment_dir, "list", e))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        // `trained/` holds networks that several cells share.
        .filter(|path| path.is_dir() && path.file_name().is_some_and(|name| name != "trained"))
        .collect();
    paths.sort();
    let dirs = paths.into_iter().map(RunDir::new);
    Ok(dirs.filter(|dir| dir.record().is_file() || dir.experiment().is_file()).collect())
}
