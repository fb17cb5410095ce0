//! `reports/<experiment>/summary.json`: what the overview of all reports says of one, so that it need not read any runs.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use stein_record::{Estimate, RecordError, State, run_dir};

use crate::files;
use crate::run::Run;
use crate::statistics::Mark;
use crate::sweep::{Found, Sweep, Table};

/// The version of `summary.json` that this crate writes.
const SCHEMA: u32 = 1;
/// What summaries are called.
const FILE: &str = "summary.json";

/// A report in a few words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// [`SCHEMA`] when it was written.
    pub(crate) schema: u32,
    /// What the experiment's folder is called.
    pub(crate) name: String,
    /// What was learned by what.
    pub(crate) about: String,
    /// Cells by where they stand.
    pub(crate) cells: BTreeMap<String, usize>,
    /// When a cell began or ended last, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<String>,
    /// When the runs were looked at, RFC 3339, UTC.
    pub(crate) written: String,
    /// The first row by what rows are ranked by, of each kind of rows that can be compared.
    #[serde(default)]
    pub(crate) best: Vec<Best>,
    /// What the runs take on disk, in bytes.
    pub(crate) bytes: u64,
    /// Some samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) picture: Option<Thumbnail>,
}

/// The first row of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// What it is called; empty where there is nothing to choose from.
    pub(crate) row: String,
    /// The measure's name.
    pub(crate) measure: String,
    /// What pages call it.
    pub(crate) label: String,
    /// The mean over repetitions with its standard error.
    #[serde(flatten)]
    pub(crate) value: Estimate,
    /// How many.
    pub(crate) repetitions: usize,
    /// How many there should be; 0 where that is not known.
    #[serde(default)]
    pub(crate) of: usize,
    /// Whether the error is a single run's own.
    #[serde(default)]
    pub(crate) own_error: bool,
    /// Rows that it was compared with.
    #[serde(default)]
    pub(crate) others: usize,
    /// Whether it is better than these by more than chance.
    #[serde(default)]
    pub(crate) told: bool,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thumbnail {
    /// A PNG file in base64.
    pub(crate) png: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// What a report's folder holds.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A summary.
    Told(Box<Summary>),
    /// A page, but no summary that could be read: the folder and what is wrong.
    Untold(String, String),
}

impl Entry {
    /// The folder's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Told(summary) => &summary.name,
            Self::Untold(name, _) => name,
        }
    }
}

impl Summary {
    /// A report's summary. Rows have a first where they are `swept`, or where there is but one. `picture` has that of the cell
    /// of that name, or of any.
    pub(crate) fn of(
        name: &str,
        (table, swept): (&Table<'_>, bool),
        states: BTreeMap<String, usize>,
        about: About,
        bytes: u64,
        picture: impl Fn(Option<&str>) -> Option<Thumbnail>,
    ) -> Self {
        let rows = if swept || table.rows.len() == 1 { best_rows(table) } else { Vec::new() };
        let cells = |row: &usize| table.rows[*row].repetitions.iter().flatten();
        let first = rows.first().and_then(|row| cells(row).find(|cell| cell.numbers().is_some()));
        Self {
            schema: SCHEMA,
            name: name.into(),
            about: about.what,
            cells: states,
            recorded: about.recorded,
            written: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            best: rows.into_iter().filter_map(|row| best(table, row)).collect(),
            bytes,
            picture: picture(first.map(|cell| cell.name.as_str())),
        }
    }

    /// Writes it into a report's folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), RecordError> {
        run_dir::write_json(&folder.join(FILE), self)
    }
}

/// What a summary says of its runs, gathered one after another.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    what: String,
    recorded: Option<String>,
}

impl About {
    /// What one run says.
    pub(crate) fn of(run: &Run) -> Self {
        let Some(record) = &run.record else { return Self::default() };
        let what = format!("{} on {}", record.network.kind, record.data.kind);
        // RFC 3339 in UTC is in the order of time.
        Self { what, recorded: record.ended.as_ref().max(Some(&record.started)).cloned() }
    }

    /// What this and another run say.
    pub(crate) fn and(self, other: Self) -> Self {
        let what = match (self.what.is_empty(), other.what.is_empty() || other.what == self.what) {
            (true, _) => other.what,
            (_, true) => self.what,
            _ if self.what.ends_with(MORE) => self.what,
            _ => self.what + MORE,
        };
        Self { what, recorded: self.recorded.max(other.recorded) }
    }
}

/// Where runs are of different networks or data.
const MORE: &str = ", and others";

/// Cells by where they stand, in a reader's words.
pub(crate) fn states(sweep: &Sweep) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for cell in &sweep.cells {
        let state = match &cell.found {
            Found::Nothing => "not begun".to_owned(),
            Found::Numbers(_) => State::Finished.to_string(),
            Found::Short { state: None, .. } => "without a record".to_owned(),
            Found::Short { state: Some(State::Finished), .. } => "without an evaluation".to_owned(),
            Found::Short { state: Some(state), .. } => state.to_string(),
        };
        *out.entry(state).or_insert(0) += 1;
    }
    out
}

/// The rows that are first by what rows are ranked by, among those on the same data and noise levels. A row of which a repetition
/// diverged or is not finite is out of the running, as it is for marks.
fn best_rows(table: &Table<'_>) -> Vec<usize> {
    let Some(column) = table.primary_column() else { return Vec::new() };
    if table.rows.len() == 1 {
        // There is a value, though none may be better than another.
        return vec![0];
    }
    if column.better.is_none() {
        return Vec::new();
    }
    let fit = |&row: &usize| table.badness(row).is_finite() && column.finite(row).is_some() && !column.diverged[row];
    // The marked one is the first, though the mean of another may be nearer the goal than the mean distance of its runs.
    let rank = |row: usize| (column.marks[row] != Mark::Best, table.badness(row));
    let mut best: Vec<usize> = Vec::new();
    for row in (0..table.rows.len()).filter(fit) {
        match best.iter_mut().find(|other| column.families[**other] == column.families[row]) {
            Some(other) if rank(row) < rank(*other) => *other = row,
            Some(_) => {}
            None => best.push(row),
        }
    }
    best
}

fn best(table: &Table<'_>, row: usize) -> Option<Best> {
    let column = table.primary_column()?;
    let rivals = |other: &usize| column.families[*other] == column.families[row] && column.cells[*other].is_some();
    let (_, all) = table.rows[row].count();
    let mean = column.cells[row]?;
    Some(Best {
        row: if table.rows.len() > 1 { table.rows[row].labels.join(" · ") } else { String::new() },
        measure: column.name.clone(),
        label: column.label.clone(),
        value: column.finite(row)?,
        repetitions: table.measured_runs(row),
        of: all,
        own_error: mean.n == 1 && mean.mean.standard_error.is_finite(),
        others: (0..table.rows.len()).filter(rivals).count().saturating_sub(1),
        told: column.marks[row] == Mark::Best,
    })
}

/// What the files in an experiment's folder take: one under several names counts once.
pub(crate) fn bytes(folder: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut sum = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            // Files come and go while cells are at work.
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.is_file() && identity(&about).is_none_or(|id| seen.insert(id)) {
                sum += about.len();
            }
        }
    }
    sum
}

#[cfg(unix)]
fn identity(about: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// What the reports in a folder say of themselves, newest first. A folder without a page is no report.
pub(crate) fn all(reports: &Path) -> Result<Vec<Entry>, RecordError> {
    let folders = run_dir::directories(reports)?;
    let entry = |folder: PathBuf| {
        if files::is_hidden(&folder) {
            return None;
        }
        let name = folder.file_name()?.to_string_lossy().into_owned();
        let untold = |why: &str| Entry::Untold(name.clone(), why.into());
        Some(match run_dir::read_json::<Summary>(&folder.join(FILE)) {
            Ok(Some(summary)) if summary.schema != SCHEMA => untold("its summary is of another version of stein"),
            // A folder without runs is no experiment.
            Ok(Some(summary)) if summary.cells.is_empty() => return None,
            // A folder may have been renamed since.
            Ok(Some(summary)) => Entry::Told(Box::new(Summary { name, ..summary })),
            Ok(None) if folder.join("index.html").is_file() => untold("it has no summary"),
            Ok(None) => return None,
            Err(RecordError::Io { action, error, .. }) => untold(&format!("cannot {action} its summary: {error}")),
            Err(RecordError::Damaged { .. }) => untold("its summary is damaged"),
        })
    };
    let mut out: Vec<Entry> = folders.into_iter().filter_map(entry).collect();
    let recorded = |entry: &Entry| match entry {
        Entry::Told(summary) => summary.recorded.clone(),
        Entry::Untold(..) => None,
    };
    out.sort_by_cached_key(|entry| (std::cmp::Reverse(recorded(entry)), entry.name().to_owned()));
    Ok(out)
}

/// Writes `index.html` in the folder of all reports, from their summaries.
pub(crate) fn overview(reports: &Path, page: impl Fn(&[Entry]) -> String) -> Result<(), RecordError> {
    /// Others may write their reports for as long as they like.
    const MOST: usize = 8;
    let mut made = page(&all(reports)?);
    for _ in 0..MOST {
        files::write(&reports.join("index.html"), made.as_bytes())?;
        // Whoever wrote a summary after these were read may have written the overview before.
        let now = page(&all(reports)?);
        if now == made {
            break;
        }
        made = now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::Numbers;
    use crate::sweep::tests::sweep;

    #[test]
    fn the_result_is_the_best_row_with_its_error_over_repetitions() {
        let axes = [("sampler", AxisRole::Compare, "a b"), ("seed", AxisRole::Repeat, "0 1")];
        let mut sweep = sweep(&axes, &[("a 0", 0.1), ("a 1", 9.0), ("b 0", 2.0), ("b 1", 4.0)]);
        let found = |sweep: &Sweep| -> Vec<(String, Estimate, usize)> {
            let table = Table::of(sweep);
            let all = best_rows(&table).into_iter().map(|row| best(&table, row).unwrap());
            all.map(|best| (best.row, best.value, best.repetitions)).collect()
        };
        // The wrong twin takes the best cell, or its own error of 0.1.
        assert_eq!(found(&sweep), [("b".to_owned(), Estimate::new(3.0, 1.0), 2)]);
        sweep.cells[3].found = Found::Short { file: String::new(), state: Some(State::TimedOut), why: String::new() };
        sweep.cells[2].found = Found::Nothing;
        let counted: Vec<(String, usize)> = states(&sweep).into_iter().collect();
        assert_eq!(counted, [("finished".into(), 2), ("not begun".into(), 1), ("timed-out".into(), 1)]);
        assert_eq!(found(&sweep)[0].0, "a");
        // A row of which a repetition diverged is no result, however good the other.
        sweep.cells[0].found = Found::Short { file: String::new(), state: Some(State::Diverged), why: String::new() };
        sweep.cells[2].found = Found::Numbers(Box::new(Numbers::synthetic(Estimate::new(20.0, 0.1))));
        assert_eq!(found(&sweep), [("b".to_owned(), Estimate::new(20.0, 0.1), 1)]);
        let table = Table::of(&sweep);
        let told = best(&table, 1).unwrap();
        assert_eq!((told.of, told.own_error, told.told, told.others), (2, true, false, 1));
    }

    #[test]
    fn a_row_is_called_the_best_only_where_it_is_marked() {
        let axes = [("sampler", AxisRole::Compare, "a b"), ("seed", AxisRole::Repeat, "0 1 2")];
        let names = ["a 0", "a 1", "a 2", "b 0", "b 1", "b 2"];
        let told = |values: [f64; 6]| {
            let sweep = sweep(&axes, &names.into_iter().zip(values).collect::<Vec<_>>());
            let table = Table::of(&sweep);
            let rows = best_rows(&table);
            let best = best(&table, rows[0]).unwrap();
            (best.row, best.told, best.repetitions, best.of)
        };
        assert_eq!(told([1.0, 1.1, 0.9, 2.0, 2.2, 1.8]), ("a".to_owned(), true, 3, 3));
        assert_eq!(told([1.0, 1.1, 0.9, 1.0, 1.0, 1.1]), ("a".to_owned(), false, 3, 3));
    }

    #[test]
    fn each_data_has_its_best_row() {
        let axes = [("data", AxisRole::Compare, "x y"), ("sampler", AxisRole::Compare, "a b")];
        let sweep = sweep(&axes, &[("x a", 2.0), ("x b", 1.0), ("y a", 0.1), ("y b", 0.2)]);
        let table = Table::of(&sweep);
        let rows: Vec<String> = best_rows(&table).into_iter().filter_map(|row| Some(best(&table, row)?.row)).collect();
        assert_eq!(rows, ["x · b", "y · a"]);
    }

    #[test]
    fn runs_of_different_things_are_told_so() {
        let about = |what: &str, recorded: &str| About { what: what.into(), recorded: Some(recorded.into()) };
        let all = [about("mlp on a", "2026-01-02"), about("mlp on b", "2026-01-03"), about("mlp on c", "2026-01-01")];
        let said = all.into_iter().fold(About::default(), About::and);
        assert_eq!((said.what.as_str(), said.recorded.as_deref()), ("mlp on a, and others", Some("2026-01-03")));
    }

    #[test]
    fn a_file_of_two_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cell")).unwrap();
        std::fs::write(folder.path().join("one"), [0; 100]).unwrap();
        std::fs::hard_link(folder.path().join("one"), folder.path().join("cell/two")).unwrap();
        std::fs::write(folder.path().join("cell/three"), [0; 11]).unwrap();
        assert_eq!(bytes(folder.path()), if cfg!(unix) { 111 } else { 211 });
        assert_eq!(bytes(Path::new("no-such-folder")), 0);
    }
}
