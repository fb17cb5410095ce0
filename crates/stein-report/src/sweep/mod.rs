//! A sweep as a comparison needs it: its axes, and of each cell a few numbers, so that hundreds of runs fit in memory.

mod column;
mod configuration;
mod curve;
mod differences;
mod measure;
mod numbers;
mod row;
mod table;

pub(crate) use column::{CLEAN, Column, MEMORY, NFE, Reference, Role, SAMPLING, STEP_COST};
pub(crate) use configuration::{Configuration, Varied};
pub(crate) use curve::{at, mean};
pub(crate) use differences::{Differences, Lacking};
pub(crate) use measure::{CURL, is_of_score};
pub(crate) use numbers::{Distance, Numbers};
pub(crate) use row::Row;
pub(crate) use table::Table;

use stein_record::{State, SweepAxis, SweepRecord};

use crate::run::Run;

/// What a cell says where it has no label on an axis.
const NO_LABEL: &str = "–";

/// A sweep.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) experiment: String,
    /// The metrics that it names to be compared by.
    pub(crate) measures: Vec<String>,
    pub(crate) axes: Vec<SweepAxis>,
    pub(crate) cells: Vec<Cell>,
    /// Runs in the experiment's directory that are none of its cells.
    pub(crate) strangers: usize,
}

/// One cell.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    /// A label for each axis of the sweep.
    pub(crate) labels: Vec<String>,
    /// Its resolved experiment; empty where none was read.
    pub(crate) configuration: Configuration,
    pub(crate) found: Found,
}

/// What the comparison needs of a run.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What the run's directory is called.
    pub(crate) name: String,
    configuration: Configuration,
    found: Found,
}

/// What there is of a cell.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// No directory.
    Nothing,
    /// A run that has no numbers to compare: the page about it, its state if that is known, and why.
    Short { file: String, state: Option<State>, why: String },
    /// A finished run.
    Numbers(Box<Numbers>),
}

impl Found {
    fn of(run: &Run, file: &str) -> Self {
        match numbers::of(run) {
            Ok(numbers) => Self::Numbers(Box::new(numbers)),
            Err((state, why)) => Self::Short { file: file.into(), state, why },
        }
    }
}

impl Taken {
    /// What is needed of a run whose page is `file`.
    pub(crate) fn of(run: &Run, file: &str) -> Self {
        Self { name: run.cell.clone(), configuration: configuration::read(run), found: Found::of(run, file) }
    }
}

impl Cell {
    /// The cell of a run whose page is `file`, with its labels.
    pub(crate) fn of(run: &Run, labels: Vec<String>, file: &str) -> Self {
        let Taken { name, configuration, found } = Taken::of(run, file);
        Self { name, labels, configuration, found }
    }

    /// The numbers of a finished run.
    pub(crate) fn numbers(&self) -> Option<&Numbers> {
        match &self.found {
            Found::Numbers(numbers) => Some(numbers),
            Found::Nothing | Found::Short { .. } => None,
        }
    }

    /// Where a run that has no numbers stands.
    pub(crate) fn state(&self) -> Option<State> {
        match &self.found {
            Found::Short { state, .. } => *state,
            Found::Nothing | Found::Numbers(_) => None,
        }
    }

    /// Whether something was no longer finite while it ran.
    pub(crate) fn diverged(&self) -> bool {
        self.state() == Some(State::Diverged)
    }
}

/// Whether an axis varies the data themselves.
pub(crate) fn is_data(axis: &SweepAxis) -> bool {
    axis.name == "data" || axis.name.starts_with("data.")
}

impl Sweep {
    /// The sweep of a record, of which no run has been seen yet.
    pub(crate) fn new(record: SweepRecord) -> Self {
        let SweepRecord { experiment, measures, mut axes, cells, .. } = record;
        // Rows on the same data stand together: only they can be compared.
        axes.sort_by_key(|axis| !is_data(axis));
        let label = |values: &std::collections::BTreeMap<String, String>, axis: &SweepAxis| {
            values.get(&axis.name).cloned().unwrap_or_else(|| NO_LABEL.into())
        };
        let cells = cells
            .into_iter()
            .map(|cell| Cell {
                labels: axes.iter().map(|axis| label(&cell.values, axis)).collect(),
                name: cell.cell,
                configuration: Vec::new(),
                found: Found::Nothing,
            })
            .collect();
        Self { experiment, measures, axes, cells, strangers: 0 }
    }

    /// Takes a run.
    pub(crate) fn take(&mut self, run: Taken) {
        let mut known = false;
        for cell in &mut self.cells {
            let exact = cell.name == run.name;
            // A cell that was run alone may be named otherwise; its configuration's hash is the same.
            let same = exact || is_same(&cell.name, &run.name);
            known |= same;
            if exact || same && matches!(cell.found, Found::Nothing) {
                (cell.configuration, cell.found) = (run.configuration.clone(), run.found.clone());
            }
        }
        self.strangers += usize::from(!known);
    }

    /// The numbers of the cells that have some.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = &Numbers> {
        self.cells.iter().filter_map(Cell::numbers)
    }

    /// Whether any cell had a network to train.
    pub(crate) fn is_trained(&self) -> bool {
        self.numbers().any(|n| n.parameters > 0)
    }

    /// Finished cells.
    pub(crate) fn finished(&self) -> usize {
        self.numbers().count()
    }
}

/// Whether two names are of one cell: their configurations' hashes are the same.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    a == b || hash(a).is_some_and(|h| hash(b) == Some(h))
}

/// The eight hexadecimal digits at the end of a cell's name.
fn hash(name: &str) -> Option<&str> {
    let (_, hash) = name.rsplit_once('-')?;
    (hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit())).then_some(hash)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use stein_record::{AxisRole, Estimate, SweepCell};

    use super::*;

    /// A sweep with axes (name, role, values) and finished cells (labels, mean σ²·F), whose labels are words in one text.
    pub(crate) fn sweep(axes: &[(&str, AxisRole, &str)], cells: &[(&str, f64)]) -> Sweep {
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let axis = |&(name, role, values): &(&str, AxisRole, &str)| SweepAxis {
            name: name.into(),
            values: words(values),
            numbers: None,
            role,
        };
        let cell = |(labels, _): &(&str, f64)| SweepCell {
            cell: (*labels).into(),
            values: axes.iter().map(|a| a.0.into()).zip(words(labels)).collect(),
        };
        let mut sweep = Sweep::new(SweepRecord {
            schema: 1,
            experiment: "x".into(),
            measures: Vec::new(),
            axes: axes.iter().map(axis).collect(),
            cells: cells.iter().map(cell).collect(),
        });
        for (cell, (_, value)) in sweep.cells.iter_mut().zip(cells) {
            cell.found = Found::Numbers(Box::new(Numbers::synthetic(Estimate::new(*value, 0.1))));
        }
        sweep
    }

    #[test]
    fn cells_that_no_run_was_seen_of_have_no_numbers() {
        let mut sweep = sweep(&[("seed", AxisRole::Repeat, "0")], &[("0", 1.0)]);
        assert_eq!(sweep.finished(), 1);
        let nothing = Run::read(&stein_record::RunDir::new(Path::new("no-such-place").join("0")));
        sweep.take(Taken::of(&nothing, "0.html"));
        assert!(matches!(&sweep.cells[0].found, Found::Short { file, .. } if file == "0.html"));
        assert_eq!(sweep.finished(), 0);
    }

    #[test]
    fn a_cell_is_found_by_its_hash() {
        assert_eq!(hash("denoising-levels-10-seed-0-1a2b3c4d"), Some("1a2b3c4d"));
        assert_eq!([hash("1a2b3c4d"), hash("seed-0-1a2b3c4"), hash("seed-0-1a2b3c4x")], [None; 3]);
    }
}
