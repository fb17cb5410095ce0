//! What a run directory holds, as far as it can be read.

use std::io::{BufReader, Read};
use std::path::Path;

use stein_record::arrays::{Array, ArrayFile};
use stein_record::file::{METRICS, open, read};
use stein_record::metrics_log::Lines;
use stein_record::source::MAX_BYTES;
use stein_record::{Evaluation, MetricLine, MetricRecord, RecordError, RunDir, RunRecord};

use crate::field::Field;
use crate::sweep::is_of_score;

/// The most bytes of an animation, which becomes part of the page.
const PICTURE: u64 = 64 << 20;

/// Everything that a page shows. Whatever is missing is `None` or empty; whatever cannot be read is in `notes` too.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// The directory's name.
    pub(crate) cell: String,
    /// The experiment's directory's name.
    pub(crate) folder: String,
    pub(crate) record: Option<RunRecord>,
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) metrics: Vec<MetricLine>,
    /// The resolved experiment.
    pub(crate) toml: Option<String>,
    /// `[N, D]`.
    pub(crate) samples: Option<Array>,
    /// `[N, D]`.
    pub(crate) held_out: Option<Array>,
    /// `[n, D]`, for the first samples.
    pub(crate) nearest: Option<Array>,
    /// The same by the features of a classifier.
    pub(crate) nearest_classifier: Option<Array>,
    /// `[N R, D]`, R for each measured row.
    pub(crate) completions: Option<Array>,
    /// What was measured, seen as rows, `[N, D]`.
    pub(crate) measured: Option<Array>,
    /// The rows that were measured, `[N, D]`.
    pub(crate) measured_truth: Option<Array>,
    /// `[F, n, D]`.
    pub(crate) trajectory: Option<Array>,
    pub(crate) gif: Option<Vec<u8>>,
    pub(crate) field: Option<Field>,
    /// One sentence for each file that is there, but cannot be used.
    pub(crate) notes: Vec<String>,
}

impl Run {
    /// Reads a run directory. Never fails.
    pub(crate) fn read(dir: &RunDir) -> Self {
        let name = |path: Option<&Path>| {
            path.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let mut run = Self { cell: name(Some(dir.path())), folder: name(dir.path().parent()), ..Self::default() };
        let mut notes = Vec::new();
        // What a link leads to is none of the run's, and may be nobody's to see.
        if keep(dir.check_for_reading().map(Some), &mut notes).is_none() {
            run.notes = notes;
            return run;
        }
        run.record = keep(dir.read_record(), &mut notes);
        run.evaluation = keep(dir.read_evaluation(), &mut notes);
        run.metrics = metrics(&dir.metrics(), &mut notes);
        run.toml = file(&dir.experiment(), MAX_BYTES as u64, &mut notes)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let mut rows = |name: &str, rank: usize| {
            let path = dir.sample(name);
            let array = keep(Array::read_npy(&path), &mut notes)?;
            let extents = array.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            if array.shape.len() != rank || extents != Some(array.data.len()) {
                notes.push(format!("{name} has the shape {:?}, not {rank} dimensions.", array.shape));
                return None;
            }
            (!array.data.is_empty()).then_some(array)
        };
        run.samples = rows("final.npy", 2);
        run.held_out = rows("held-out.npy", 2);
        run.nearest = rows("nearest.npy", 2);
        run.nearest_classifier = rows("nearest-classifier.npy", 2);
        run.completions = rows("completions.npy", 2);
        run.measured = rows("measured.npy", 2);
        run.measured_truth = rows("measured-truth.npy", 2);
        run.trajectory = rows("trajectory.npy", 3);
        run.gif = file(&dir.sample("trajectory.gif"), PICTURE, &mut notes).filter(|b| b.starts_with(b"GIF8"));
        run.field = keep(ArrayFile::read(&dir.field()), &mut notes).and_then(|arrays| {
            Field::from_arrays(&arrays).map_err(|problem| notes.push(format!("field.safetensors: {problem}."))).ok()
        });
        run.notes = notes;
        run
    }

    /// The experiment's name.
    pub(crate) fn name(&self) -> &str {
        self.record.as_ref().map_or(&self.folder, |r| &r.experiment)
    }

    /// Whether there was a network to train; if not, the score is the target's own.
    pub(crate) fn is_trained(&self) -> bool {
        self.record.as_ref().is_none_or(|r| r.network.parameters > 0)
    }

    /// Its metrics, without those of the score where that is the target's own.
    pub(crate) fn metrics_of_interest(&self) -> impl Iterator<Item = &MetricRecord> {
        let all = self.evaluation.iter().flat_map(|e| &e.metrics);
        all.filter(|m| self.is_trained() || !is_of_score(&m.name))
    }

    /// Height, width and channels, if rows are images and the samples' rows are as long as that says.
    pub(crate) fn image(&self) -> Option<[usize; 3]> {
        let image = self.record.as_ref()?.data.image?;
        let size = image.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        let fits = |array: &Option<Array>| array.as_ref().is_none_or(|a| a.shape.last() == Some(&size));
        (size > 0 && size <= 1 << 20 && fits(&self.samples) && fits(&self.held_out)).then_some(image)
    }

    /// Whether rows are points in the plane.
    pub(crate) fn is_plane(&self) -> bool {
        let rows = self.samples.as_ref().or(self.held_out.as_ref());
        let dimension = rows.and_then(|a| a.shape.last().copied());
        self.record.as_ref().is_none_or(|r| r.data.image.is_none())
            && dimension.or(self.record.as_ref().map(|r| r.data.dimension)) == Some(2)
    }

    /// The values' range: the record's, or what the rows span.
    pub(crate) fn range(&self) -> [f64; 2] {
        if let Some(range) = self.record.as_ref().and_then(|r| r.data.range) {
            return range;
        }
        let rows = self.held_out.as_ref().or(self.samples.as_ref());
        let finite = rows.into_iter().flat_map(|a| &a.data).map(|&v| f64::from(v)).filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low < high { [low, high] } else { [0.0, 1.0] }
    }
}

/// The value, or a note.
fn keep<T>(read: Result<Option<T>, RecordError>, notes: &mut Vec<String>) -> Option<T> {
    read.unwrap_or_else(|error| {
        let (path, problem) = match &error {
            RecordError::Io { path, action, error } => (path, format!("cannot {action}: {error}")),
            RecordError::Damaged { path, problem } => (path, problem.clone()),
        };
        notes.push(format!("{}: {problem}.", short(path)));
        None
    })
}

fn file(path: &Path, most: u64, notes: &mut Vec<String>) -> Option<Vec<u8>> {
    keep(read(path, most), notes)
}

fn short(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// The lines that can be read: a page of a running or crashed run should show them.
fn metrics(path: &Path, notes: &mut Vec<String>) -> Vec<MetricLine> {
    let Some(file) = keep(open(path), notes) else { return Vec::new() };
    if file.metadata().is_ok_and(|about| about.len() > METRICS) {
        notes.push(format!("{}: only its first {} MiB are shown.", short(path), METRICS >> 20));
    }
    let mut lines = Lines::new(path, BufReader::new(file.take(METRICS)));
    let (mut read, mut all) = (Vec::new(), 0);
    while let Some(line) = keep(lines.next_line(), notes) {
        all += 1;
        read.extend(line.ok());
    }
    if read.len() < all {
        notes.push(format!("{}: {} of {all} lines are no measurements.", short(path), all - read.len()));
    }
    read
}
