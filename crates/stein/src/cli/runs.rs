//! Run directories, as a user names them.

use std::path::{Path, PathBuf};

use stein_core::Registry;
use stein_record::{RunDir, State, SweepRecord, file, run_dir};

use super::{Failure, load};

/// The run directory that a path names. Where that is a link, or has no name, as `.` has none, it is told by its real path: what
/// belongs to a run lies beside it.
pub(crate) fn at(path: &Path) -> RunDir {
    let plain = path.file_name().is_some() && !path.is_symlink();
    RunDir::new(if plain { path.to_owned() } else { file::named(path) })
}

/// The run directory of a command that takes one; it has an experiment, and no links where one is looked for.
pub(crate) fn one(path: &Path) -> Result<RunDir, Failure> {
    let run = at(path);
    run.check_for_reading()?;
    if run.experiment().is_file() {
        return Ok(run);
    }
    let shown = path.display();
    Err(Failure::usage(format!("{shown} is no run directory: it has no experiment.toml (see stein list runs)")))
}

/// The same, with a trained network.
pub(crate) fn trained(path: &Path) -> Result<RunDir, Failure> {
    let run = one(path)?;
    if run.network().is_file() {
        return Ok(run);
    }
    let shown = path.display();
    let why = match run.read_record()?.map(|record| record.state) {
        Some(State::Diverged) => "no trained network: it diverged, stein replay shows where",
        _ => "no trained network yet; stein run goes on with it",
    };
    Err(Failure::usage(format!("{shown} has {why}")))
}

/// All runs that are meant, for a command that needs each of them: none has links.
pub(crate) fn all_checked(of: &[PathBuf]) -> Result<Vec<RunDir>, Failure> {
    let runs = all(of)?;
    runs.iter().try_for_each(RunDir::check_for_reading)?;
    Ok(runs)
}

/// All runs that are meant: a run directory stands for itself, a folder of runs for those in it. Each is there once.
fn all(of: &[PathBuf]) -> Result<Vec<RunDir>, Failure> {
    let is_run = |run: &RunDir| run.record().is_file() || run.experiment().is_file();
    let mut found: Vec<(PathBuf, RunDir)> = Vec::new();
    for path in of {
        let run = at(path);
        let here = match is_run(&run) {
            true => vec![run],
            false => in_folder(path)?.into_iter().filter(is_run).collect(),
        };
        if here.is_empty() {
            let shown = path.display();
            return Err(Failure::usage(format!(
                "{shown} is neither a run directory nor a folder of such (see stein list runs)"
            )));
        }
        for run in here {
            let resolved = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
            if !found.iter().any(|(other, _)| *other == resolved) {
                found.push((resolved, run));
            }
        }
    }
    Ok(found.into_iter().map(|(_, run)| run).collect())
}

/// The cells of a folder of runs: those of its sweep in their order, begun or not, then what else there is.
pub(crate) fn in_folder(folder: &Path) -> Result<Vec<RunDir>, Failure> {
    let named = SweepRecord::read(folder)?.map(|record| record.cells).unwrap_or_default();
    let mut cells: Vec<RunDir> = named.into_iter().map(|cell| RunDir::new(folder.join(cell.cell))).collect();
    for path in run_dir::directories(folder)? {
        let run = RunDir::new(path);
        if run.record().is_file() && !cells.contains(&run) {
            cells.push(run);
        }
    }
    Ok(cells)
}

/// All runs that are meant, where experiment files may stand for their runs under `runs`.
pub(crate) fn of_experiments(of: &[PathBuf], runs: &Path, registry: &Registry) -> Result<Vec<RunDir>, Failure> {
    let folder = |path: &PathBuf| {
        if !path.is_file() {
            return Ok(path.clone());
        }
        let source = load::source(path, &[])?;
        let experiment = load::sweep(&source)?.experiment(0, registry).map_err(load::wrong(&source))?;
        Ok(runs.join(experiment.name))
    };
    all(&of.iter().map(folder).collect::<Result<Vec<_>, Failure>>()?)
}
