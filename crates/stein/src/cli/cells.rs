//! The cells of a file: which there are, where they lie, which one is meant.

use std::path::{Path, PathBuf};

use stein_core::Registry;
use stein_experiment::{CellPlan, Experiment, Plan, Sweep};
use stein_record::source::{Source, nearest};
use stein_record::{AxisRole, RecordError, RunDir, SweepAxis, SweepRecord, run_dir};

use super::{Failure, load};

/// Digits of a hash that a cell's name ends in.
const DIGITS: usize = 8;

/// The cells of an experiment, each with its run directory.
pub(crate) struct Cells {
    pub(crate) experiment: String,
    pub(crate) folder: PathBuf,
    pub(crate) all: Vec<(CellPlan, RunDir)>,
}

impl Cells {
    /// The names of the run directories.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all.iter().map(|(_, directory)| directory.name()).collect()
    }

    /// Writes `sweep.json`.
    pub(crate) fn record(&self, sweep: &Sweep<'_>) -> Result<(), RecordError> {
        sweep.record(&self.experiment, &self.names()).write(&self.folder)
    }

    /// The same, where there is none: a trial of one cell, perhaps with other values, must not take the place of the sweep that was
    /// run.
    pub(crate) fn record_if_new(&self, sweep: &Sweep<'_>) -> Result<(), RecordError> {
        if is_recorded(&self.folder) { Ok(()) } else { self.record(sweep) }
    }
}

/// Checks all cells and looks for their run directories.
pub(crate) fn find(source: &Source, sweep: &Sweep<'_>, registry: &Registry, runs: &Path) -> Result<Cells, Failure> {
    let cells = sweep.checked_cells(registry).map_err(load::wrong(source))?;
    let experiment = sweep.experiment(0, registry).map_err(load::wrong(source))?.name;
    let folder = runs.join(&experiment);
    let existing = run_dir::directories(&folder)?;
    let located = |plan: CellPlan| {
        let directory = RunDir::of_cell(&folder, &plan.cell.name, &plan.cell.hash, &existing);
        (plan, directory)
    };
    let all = cells.into_iter().map(located).collect();
    Ok(Cells { experiment, folder, all })
}

/// Whether a folder of runs has a `sweep.json` that can be read.
pub(crate) fn is_recorded(folder: &Path) -> bool {
    SweepRecord::read(folder).ok().flatten().is_some()
}

/// The folder of an experiment and the run directory of its cell.
pub(crate) fn directory(runs: &Path, experiment: &Experiment) -> Result<(PathBuf, RunDir), RecordError> {
    let folder = runs.join(&experiment.name);
    let (cell, existing) = (experiment.cell(), run_dir::directories(&folder)?);
    let directory = RunDir::of_cell(&folder, &cell.name, &cell.hash, &existing);
    Ok((folder, directory))
}

/// Builds the cell that is called `name`; the first if none is named.
pub(crate) fn plan(
    source: &Source,
    sweep: &Sweep<'_>,
    name: Option<&str>,
    registry: &Registry,
) -> Result<Plan, Failure> {
    let cell = name.map_or(Ok(0), |name| named(source, sweep, name, registry))?;
    let build = |experiment| Plan::build(experiment, registry);
    sweep.experiment(cell, registry).and_then(build).map_err(load::wrong(source))
}

/// Finds a cell by its name, with or without its hash, or by its hash alone.
pub(crate) fn named(source: &Source, sweep: &Sweep<'_>, name: &str, registry: &Registry) -> Result<usize, Failure> {
    let digits = name.rsplit('-').next().filter(|d| d.len() == DIGITS && d.chars().all(|c| c.is_ascii_hexdigit()));
    let slug = digits.map_or(name, |d| name.strip_suffix(d).unwrap_or(name).trim_end_matches('-'));
    // A cell's process asks for a name in full; among thousands, only those of that slug are read.
    for cell in (0..sweep.count()).filter(|&cell| sweep.slug(cell).is_some_and(|s| s == slug)) {
        if sweep.experiment(cell, registry).map_err(load::wrong(source))?.cell().name == name {
            return Ok(cell);
        }
    }
    let cells = sweep.cells(registry).map_err(load::wrong(source))?;
    let is_meant = |(i, plan): &(usize, &CellPlan)| {
        let cell = &plan.cell;
        cell.name == name
            || sweep.slug(*i).is_some_and(|s| s == name)
            || digits.is_some_and(|d| cell.hash.starts_with(d))
    };
    let found: Vec<usize> = cells.iter().enumerate().filter(is_meant).map(|(i, _)| i).collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let near = nearest(name, cells.iter().map(|plan| plan.cell.name.as_str()));
            let near = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            Err(Failure::usage(format!("{} has no cell {name}{near} (`stein plan` lists its cells)", source.origin())))
        }
        _ => {
            let names: Vec<&str> = found.iter().map(|&i| cells[i].cell.name.as_str()).collect();
            Err(Failure::usage(format!("{name} may be any of {}", names.join(", "))))
        }
    }
}

/// An axis on one line.
pub(crate) fn axis(axis: &SweepAxis) -> String {
    const SHOWN: usize = 12;
    let more = match axis.values.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let role = match axis.role {
        AxisRole::Compare => "",
        AxisRole::Repeat => " (averaged over)",
        AxisRole::Best => " (the best is shown)",
    };
    let shown: Vec<&str> = axis.values.iter().take(SHOWN).map(String::as_str).collect();
    format!("{}: {}{more}{role}", axis.name, shown.join(", "))
}
