//! `stein report`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use stein_core::Registry;
use stein_record::{RunDir, run_dir};

use super::arguments::Report;
use super::{Failure, Outcome, load, pictures, print, print_json, runs, say};

pub(crate) fn report(arguments: &Report, registry: &Registry) -> Outcome {
    let runs = &arguments.folders.runs;
    let folders = match arguments.of.is_empty() {
        true => run_dir::directories(runs)?.into_iter().filter(|folder| is_experiment(folder)).collect(),
        false => named(&arguments.of, runs, registry)?,
    };
    if folders.is_empty() {
        return Err(Failure::usage(format!("there are no runs under {}", runs.display())));
    }
    let mut pages = Vec::new();
    for folder in folders {
        run_dir::directories(&folder)?.into_par_iter().for_each(|cell| {
            // A damaged cell must not keep the others from their pages; the page names what is wrong with it.
            if let Err(error) = pictures::draw(&RunDir::new(cell)) {
                say(format_args!("warning: {error}"));
            }
        });
        let page = stein_report::write(&folder, &arguments.folders.reports)?;
        if !arguments.json {
            print(&page.display().to_string());
        }
        pages.push(page.display().to_string());
    }
    if arguments.json {
        print_json(&serde_json::json!(pages));
    }
    Ok(())
}

/// Whether a folder under `runs` is an experiment's, and not what an editor or a file system left there.
fn is_experiment(folder: &Path) -> bool {
    let hidden = folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let has_cells = || run_dir::directories(folder).is_ok_and(|cells| cells.iter().any(|cell| is_cell(cell)));
    !hidden && (stein_record::SweepRecord::read(folder).is_ok_and(|sweep| sweep.is_some()) || has_cells())
}

fn is_cell(folder: &Path) -> bool {
    let run = RunDir::new(folder);
    run.record().is_file() || run.experiment().is_file()
}

fn named(of: &[PathBuf], runs: &Path, registry: &Registry) -> Result<Vec<PathBuf>, Failure> {
    of.iter()
        .map(|path| {
            // A run directory stands for its experiment, which lies above where it really is.
            let run = runs::at(path);
            let path = run.path();
            let folder = match run.read_record() {
                Ok(Some(record)) => path.ancestors().nth(if record.is_training() { 2 } else { 1 }),
                Ok(None) => Some(path),
                Err(_) => path.parent(),
            };
            let folder = folder.unwrap_or(path).to_owned();
            if folder.is_dir() {
                let cells = run_dir::directories(&folder)?;
                if !cells.iter().any(|cell| RunDir::new(cell).record().is_file()) {
                    return Err(Failure::usage(format!("there are no runs in {}", folder.display())));
                }
                return Ok(folder);
            }
            let source = load::source(path, &[])?;
            let experiment = load::sweep(&source)?.experiment(0, registry).map_err(load::wrong(&source))?;
            let folder = runs.join(&experiment.name);
            if !folder.is_dir() {
                let (shown, path) = (folder.display(), path.display());
                return Err(Failure::usage(format!("there are no runs in {shown}; begin with: stein run {path}")));
            }
            Ok(folder)
        })
        .collect()
}
