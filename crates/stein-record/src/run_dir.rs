//! Where things lie in a run directory.

use std::path::{Path, PathBuf};

use crate::{Evaluation, MetricLine, RecordError, RunRecord, atomic, checkpoint, file, metrics_log};

/// The folder in `runs/<experiment>/` of the trainings that cells share.
const TRAINED: &str = "trained";
/// The files in a run directory that stein reads and writes.
const FILES: [&str; 7] =
    ["experiment.toml", "run.json", ".lock", "log.txt", "metrics.jsonl", "network.safetensors", "evaluation.json"];
/// The folders, all that is in them included.
const FOLDERS: [&str; 5] = ["checkpoints", "samples", "evaluation", "drawn", "diverged"];

/// The directory of one cell, `runs/<experiment>/<cell>/`, or of a training that several share,
/// `runs/<experiment>/trained/<name>/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// The run directory at `path`. Nothing is read or made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory of a cell in `runs/<experiment>/`. One that is there keeps its slug: `existing` (see [`directories`]) are
    /// looked through for a name that ends in the first eight digits of `hash`, unless there is one called `name`.
    pub fn of_cell(experiment_dir: &Path, name: &str, hash: &str, existing: &[PathBuf]) -> Self {
        let own = Self::new(experiment_dir.join(name));
        if own.path.is_dir() {
            return own;
        }
        let suffix = format!("-{}", hash.get(..8).unwrap_or(hash));
        let ends = |path: &&PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(&suffix));
        // Eight digits may agree by chance; a record has them all.
        let is_its = |dir: &Self| dir.read_record().ok().flatten().is_none_or(|record| record.hash == hash);
        existing.iter().filter(ends).map(Self::new).find(is_its).unwrap_or(own)
    }

    /// The directory of a training in `runs/<experiment>/`.
    pub fn of_training(experiment_dir: &Path, name: &str) -> Self {
        Self::new(experiment_dir.join(TRAINED).join(name))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved experiment.
    pub fn experiment(&self) -> PathBuf {
        self.path.join("experiment.toml")
    }

    /// The directory's name: the cell's.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Held by the process that is at work there.
    pub fn lock(&self) -> PathBuf {
        self.path.join(".lock")
    }

    /// What the process of one cell of a sweep said.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// The run record.
    pub fn record(&self) -> PathBuf {
        self.path.join("run.json")
    }

    /// The metrics, a line each.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The checkpoint sets.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// What was not finite, to be done again.
    pub fn diverged(&self) -> PathBuf {
        self.path.join("diverged")
    }

    /// The trained weights.
    pub fn network(&self) -> PathBuf {
        self.path.join("network.safetensors")
    }

    /// A file among the samples.
    pub fn sample(&self, name: &str) -> PathBuf {
        self.path.join("samples").join(name)
    }

    /// Samples that were drawn later.
    pub fn drawn(&self, name: &str) -> PathBuf {
        self.path.join("drawn").join(name)
    }

    /// The evaluation.
    pub fn evaluation(&self) -> PathBuf {
        self.path.join("evaluation.json")
    }

    /// Density and score on a grid (2-D data): see [`crate::arrays::FIELD_TENSORS`].
    pub fn field(&self) -> PathBuf {
        self.path.join("evaluation").join("field.safetensors")
    }

    /// The folder in `runs/<experiment>/` for what metrics keep of the data, which all cells share.
    ///
    /// # Errors
    /// If it is there and no folder, but a link, say.
    pub fn features(&self) -> Result<PathBuf, RecordError> {
        let trained = self.path.parent().unwrap_or(Path::new("")).join(TRAINED);
        let features = trained.join("features");
        file::refuse_unless_folder(&trained)?;
        file::refuse_unless_folder(&features)?;
        Ok(features)
    }

    /// Refuses links, pipes and devices where stein reads: a link may lead to what must not be shown in a report. What else lies
    /// there is nobody's business. The directory itself may be a link.
    ///
    /// # Errors
    /// If there is one, which the error names.
    pub fn check_for_reading(&self) -> Result<(), RecordError> {
        if let Some(parent) = self.path.parent()
            && parent.file_name().is_some_and(|name| name == TRAINED)
        {
            file::refuse_unless_folder(parent)?;
        }
        FILES.iter().try_for_each(|name| file::refuse_unless_file(&self.path.join(name)))?;
        FOLDERS.iter().try_for_each(|name| file::refuse_unless_folders(&self.path.join(name)))
    }

    /// The same where stein writes: the directory itself may not be a link either.
    ///
    /// # Errors
    /// If there is one, which the error names.
    pub fn check_for_writing(&self) -> Result<(), RecordError> {
        file::refuse_unless_folder(&self.path)?;
        self.check_for_reading()
    }

    /// Removes what sessions that were killed have half written. For whoever has the lock.
    pub fn remove_partial(&self) -> Result<(), RecordError> {
        for folder in [self.path.clone(), self.path.join("samples"), self.path.join("evaluation")] {
            atomic::remove_partial(&folder)?;
        }
        [self.checkpoints(), self.diverged()].iter().try_for_each(|sets| checkpoint::remove_partial(sets))
    }

    /// Reads `run.json`; `None` if there is none.
    pub fn read_record(&self) -> Result<Option<RunRecord>, RecordError> {
        read_json(&self.record())
    }

    /// Writes `run.json` atomically.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), RecordError> {
        write_json(&self.record(), record)
    }

    /// Reads `evaluation.json`; `None` if there is none.
    pub fn read_evaluation(&self) -> Result<Option<Evaluation>, RecordError> {
        read_json(&self.evaluation())
    }

    /// Writes `evaluation.json` atomically.
    pub fn write_evaluation(&self, evaluation: &Evaluation) -> Result<(), RecordError> {
        write_json(&self.evaluation(), evaluation)
    }

    /// Reads `metrics.jsonl`; a torn last line is dropped; an absent file is no lines.
    pub fn read_metrics(&self) -> Result<Vec<MetricLine>, RecordError> {
        metrics_log::read(&self.metrics())
    }
}

/// Lists the run directories under `runs`: every `<experiment>/<cell>/` that has a `run.json`, sorted by path.
pub fn list(runs: &Path) -> Result<Vec<RunDir>, RecordError> {
    let mut found = Vec::new();
    for experiment in directories(runs)? {
        for cell in directories(&experiment)? {
            let dir = RunDir::new(cell);
            if dir.record().is_file() {
                found.push(dir);
            }
        }
    }
    Ok(found)
}

/// The folders in a folder, sorted; none if it is not there.
pub fn directories(path: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(RecordError::io(path, "list", e)),
    };
    let mut out: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect();
    out.sort();
    Ok(out)
}

/// Reads a JSON file; `None` if there is none.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordError> {
    let parse = |bytes: Vec<u8>| {
        let wrong = |e| RecordError::damaged(path, format!("not what stein writes there: {e}"));
        serde_json::from_slice(&bytes).map_err(wrong)
    };
    file::read(path, file::RECORD)?.map(parse).transpose()
}

/// Writes a value as JSON, indented, atomically.
pub fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), RecordError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| RecordError::damaged(path, e.to_string()))?;
    bytes.push(b'\n');
    atomic::write(path, &bytes)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_half_written_goes_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path().join("run"));
        run.remove_partial().unwrap();
        let whole = run.checkpoints().join("step-2/model");
        let half = [
            run.checkpoints().join(".partial-step-4/model"),
            run.diverged().join(".partial-step-3/model"),
            run.sample(".stein-aB3.partial"),
        ];
        for path in half.iter().chain([&whole]) {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        run.remove_partial().unwrap();
        assert!(whole.is_file() && half.iter().all(|path| !path.exists()));
    }

    #[test]
    fn links_are_refused_where_stein_looks() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::of_training(folder.path(), "a");
        std::fs::create_dir_all(run.path()).unwrap();
        for harmless in [".#run.json", "notes", "samples.zip"] {
            symlink("/", run.path().join(harmless)).unwrap();
        }
        run.check_for_writing().unwrap();
        let places =
            [run.experiment(), run.record(), run.lock(), run.log(), run.metrics(), run.network(), run.evaluation()];
        let folders = [run.checkpoints(), run.checkpoints().join("step-1/model.safetensors"), run.sample("final.npy")];
        for place in places.into_iter().chain(folders).chain([
            run.field(),
            run.drawn("more").join("samples.npy"),
            run.diverged().join("step-3/diverged.json"),
        ]) {
            let within = place.strip_prefix(run.path()).unwrap();
            let above: Vec<&Path> = within.ancestors().filter(|name| !name.as_os_str().is_empty()).collect();
            for refused in above.into_iter().rev().map(|name| run.path().join(name)) {
                std::fs::create_dir_all(refused.parent().unwrap()).unwrap();
                symlink("/", &refused).unwrap();
                let said = run.check_for_reading().unwrap_err().to_string();
                assert!(said.starts_with(&format!("{}: it is a link", refused.display())), "{said}");
                std::fs::remove_file(&refused).unwrap();
            }
        }
        run.check_for_writing().unwrap();
        // The directory, and the folder of trainings.
        let other = RunDir::new(folder.path().join("other"));
        symlink(run.path(), other.path()).unwrap();
        other.check_for_reading().unwrap();
        assert!(other.check_for_writing().is_err());
        std::fs::create_dir(folder.path().join("experiment")).unwrap();
        symlink(folder.path().join("trained"), folder.path().join("experiment/trained")).unwrap();
        assert!(RunDir::of_training(&folder.path().join("experiment"), "a").check_for_reading().is_err());
    }
}
