//! `metrics.jsonl`: one measurement a line, appended while a run goes on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::RecordError;

/// Which rows a number was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Training rows.
    Train,
    /// Held-out rows.
    HeldOut,
}

/// One measurement.
///
/// stein writes `loss` (weighted; `train`: the mean over the steps since the last line, `held-out`: of the averaged
/// network, with the same rows and noise each time), `learning-rate`, `gradient-norm` and `steps-per-second`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// Training steps done.
    pub step: u64,
    /// Measured on what.
    pub split: Split,
    /// What was measured.
    pub name: String,
    /// The value.
    #[serde(with = "crate::float")]
    pub value: f64,
}

/// Appends measurements.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
}

impl MetricsLog {
    /// Opens the log for appending after `step`: what an earlier session wrote beyond it, and a torn last line, is cut,
    /// since those steps will be done again.
    pub fn resume(path: &Path, step: u64) -> Result<Self, RecordError> {
        let kept: Vec<MetricLine> = read(path)?.into_iter().filter(|line| line.step <= step).collect();
        let mut text = String::new();
        for line in &kept {
            text.push_str(&to_line(path, line)?);
        }
        crate::atomic::write(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| RecordError::io(path, "append to", e))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends one measurement with a single write.
    pub fn append(&mut self, line: &MetricLine) -> Result<(), RecordError> {
        let text = to_line(&self.path, line)?;
        self.file.write_all(text.as_bytes()).map_err(|e| RecordError::io(&self.path, "append to", e))
    }

    /// Makes what was appended durable.
    pub fn sync(&self) -> Result<(), RecordError> {
        self.file.sync_data().map_err(|e| RecordError::io(&self.path, "sync", e))
    }
}

fn to_line(path: &Path, line: &MetricLine) -> Result<String, RecordError> {
    let json = serde_json::to_string(line).map_err(|e| RecordError::damaged(path, e.to_string()))?;
    Ok(json + "\n")
}

/// Reads a log. An absent file is empty; a last line without its newline was torn by a crash and is dropped.
pub fn read(path: &Path) -> Result<Vec<MetricLine>, RecordError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(RecordError::io(path, "read", e)),
    };
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    bytes[..whole]
        .split(|&b| b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| {
            serde_json::from_slice(line)
                .map_err(|e| RecordError::damaged(path, format!("line {} is not a measurement: {e}", i + 1)))
        })
        .collect()
}
