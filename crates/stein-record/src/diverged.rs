//! `diverged/`: what it takes to do again what was not finite.
//!
//! It holds a set as [`checkpoint`] writes them, complete or absent, with a record in it that says what happened; of a training
//! the state before the step and the step's batches lie beside that.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, CheckpointSet};
use crate::{RecordError, RunDir};

/// The version of the record that this crate writes.
pub const SCHEMA: u32 = 1;
const RECORD: &str = "diverged.json";

/// What was not finite, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DivergedRecord {
    /// [`SCHEMA`] when it was written.
    pub schema: u32,
    /// The hash of the resolved configuration that it belongs to.
    pub configuration: String,
    /// The run seed: every noise stream is keyed by it.
    pub seed: u64,
    /// What the run said.
    pub reason: String,
    /// Where it happened.
    #[serde(flatten)]
    pub at: Divergent,
}

/// Where something was not finite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Divergent {
    /// In a training step.
    Step(StepRecord),
    /// In samples.
    Samples(SamplesRecord),
}

/// A training step that diverged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step, counted from 1: the state beside this is the one before it.
    pub step: u64,
    /// What was not finite.
    pub what: String,
    /// Its value.
    #[serde(with = "crate::float")]
    pub value: f64,
    /// Whether it was seen again when the steps were repeated. If not, the state is that of the last look at which all was finite,
    /// and there are no batches.
    pub repeated: bool,
    /// The smallest and the largest σ of its examples, where there is noise.
    pub sigma: Option<[f64; 2]>,
    /// Its batches.
    pub batches: Vec<BatchRecord>,
}

/// Where a batch came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// The noise streams that it was made of.
    pub streams: Vec<String>,
    /// The position in each of them.
    pub position: u64,
    /// The training rows that it has.
    pub rows: Vec<usize>,
}

/// What was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drawing {
    /// Samples.
    Samples,
    /// Samples that agree with a measurement.
    Completions,
}

/// Samples that diverged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplesRecord {
    /// What was drawn.
    pub drawing: Drawing,
    /// The first of the chains that were drawn together.
    pub first: usize,
    /// How many they were.
    pub chains: usize,
    /// The step after which it was seen, where steps are numbered.
    pub step: Option<usize>,
    /// σ there.
    pub sigma: Option<f64>,
    /// SHA-256 of the weights that they were drawn with.
    pub weights: String,
}

/// Writes what diverged in a run after so many training steps, in place of what there was.
///
/// # Errors
/// If it cannot be written.
pub fn write(
    run: &RunDir,
    step: u64,
    record: &DivergedRecord,
    mut files: BTreeMap<String, Vec<u8>>,
) -> Result<PathBuf, RecordError> {
    let path = run.diverged();
    let text = serde_json::to_vec_pretty(record).map_err(|e| RecordError::damaged(&path, e.to_string()))?;
    files.insert(RECORD.into(), text);
    checkpoint::save(&path, step, &record.configuration, &files, 1)
}

/// Reads what diverged in a run of that configuration, of files of at most `most` bytes; `None` if nothing did.
///
/// # Errors
/// If there is something, but it is damaged or of another configuration.
pub fn read(
    run: &RunDir,
    configuration: &str,
    most: u64,
) -> Result<Option<(DivergedRecord, CheckpointSet)>, RecordError> {
    let found = checkpoint::newest(&run.diverged(), configuration, most)?;
    let Some(set) = found.set else {
        return found
            .skipped
            .into_iter()
            .next()
            .map_or(Ok(None), |(path, problem)| Err(RecordError::Damaged { path, problem }));
    };
    let wrong = |problem: String| RecordError::damaged(set.path.join(RECORD), problem);
    let bytes = set.files.get(RECORD).ok_or_else(|| wrong("its manifest does not name it".into()))?;
    let record: DivergedRecord =
        serde_json::from_slice(bytes).map_err(|e| wrong(format!("not what stein writes there: {e}")))?;
    if record.schema != SCHEMA {
        return Err(wrong(format!("its schema is {}, this program reads {SCHEMA}", record.schema)));
    }
    Ok(Some((record, set)))
}

/// Removes what diverged in a run before it went well.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(run: &RunDir) -> Result<(), RecordError> {
    let path = run.diverged();
    match fs::remove_dir_all(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(RecordError::io(path, "remove", e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> DivergedRecord {
        DivergedRecord {
            schema: SCHEMA,
            configuration: "c".into(),
            seed: 3,
            reason: "diverged".into(),
            at: Divergent::Step(StepRecord {
                step,
                what: "loss".into(),
                value: f64::INFINITY,
                repeated: true,
                sigma: Some([0.1, 4.0]),
                batches: vec![BatchRecord { streams: vec!["batch".into()], position: step - 1, rows: vec![5, 0] }],
            }),
        }
    }

    #[test]
    fn the_last_one_takes_the_place_of_those_before() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        assert!(read(&run, "c", 9000).unwrap().is_none());
        for step in [7, 9, 4] {
            let files = BTreeMap::from([("state".to_owned(), vec![step as u8])]);
            write(&run, step - 1, &record(step), files).unwrap();
            let (read, set) = read(&run, "c", 9000).unwrap().unwrap();
            assert_eq!((read, &set.files["state"]), (record(step), &vec![step as u8]));
            assert_eq!(fs::read_dir(run.diverged()).unwrap().count(), 1);
        }
        assert!(read(&run, "other", 9000).unwrap_err().to_string().contains("another configuration"));
        remove(&run).unwrap();
        remove(&run).unwrap();
        assert!(read(&run, "c", 9000).unwrap().is_none() && !run.diverged().exists());
    }

    #[test]
    fn what_is_damaged_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        let path = write(&run, 6, &record(7), BTreeMap::new()).unwrap();
        fs::write(path.join(RECORD), "{}").unwrap();
        assert!(read(&run, "c", 9000).unwrap_err().to_string().contains("checksum"));
        for (text, problem) in [("{}", "not what stein writes"), ("", "not what stein writes")] {
            let files = BTreeMap::from([(RECORD.to_owned(), text.as_bytes().to_vec())]);
            checkpoint::save(&run.diverged(), 6, "c", &files, 1).unwrap();
            assert!(read(&run, "c", 9000).unwrap_err().to_string().contains(problem));
        }
        let later = DivergedRecord { schema: 99, ..record(7) };
        write(&run, 6, &later, BTreeMap::new()).unwrap();
        assert!(read(&run, "c", 9000).unwrap_err().to_string().contains("its schema is 99"));
        checkpoint::save(&run.diverged(), 6, "c", &BTreeMap::new(), 1).unwrap();
        assert!(read(&run, "c", 9000).unwrap_err().to_string().contains("does not name it"));
    }
}
