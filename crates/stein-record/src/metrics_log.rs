//! `metrics.jsonl`: one measurement a line, appended while a run goes on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{RecordError, file};

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
/// network, with the same rows and noise each time), `learning-rate` and `gradient-norm`.
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
        // The lines' own text is kept, to the last digit.
        let lines = read_lines(path)?;
        let kept = lines.iter().filter(|(line, _)| line.step <= step).map(|(_, text)| format!("{text}\n"));
        let text: String = kept.collect();
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
    Ok(read_lines(path)?.into_iter().map(|(line, _)| line).collect())
}

/// Measurements in the bytes of a log; see [`read`].
///
/// # Errors
/// Which line is none, and why.
pub fn parse(bytes: &[u8]) -> Result<Vec<MetricLine>, String> {
    Ok(parse_lines(bytes)?.into_iter().map(|(line, _)| line).collect())
}

/// The measurements, each with its text.
fn read_lines(path: &Path) -> Result<Vec<(MetricLine, String)>, RecordError> {
    let bytes = file::read(path, file::METRICS)?.unwrap_or_default();
    parse_lines(&bytes).map_err(|problem| RecordError::damaged(path, problem))
}

fn parse_lines(bytes: &[u8]) -> Result<Vec<(MetricLine, String)>, String> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
    bytes[..whole]
        .split(|&b| b == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| {
            let problem = |e: String| format!("line {} is not a measurement: {e}", i + 1);
            let text = std::str::from_utf8(line).map_err(|e| problem(e.to_string()))?;
            let mut line: MetricLine = serde_json::from_str(text).map_err(|e| problem(e.to_string()))?;
            line.value = exact_value(text).unwrap_or(line.value);
            Ok((line, text.to_owned()))
        })
        .collect()
}

/// The value as it was written: `serde_json` may miss the last digit of a number, the standard library does not. A resumed
/// run's early stopping must compare the very same values.
fn exact_value(line: &str) -> Option<f64> {
    let (_, value) = line.rsplit_once("\"value\":")?;
    value.trim().strip_suffix('}')?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, value: f64) -> MetricLine {
        MetricLine { step, split: Split::Train, name: "loss".into(), value }
    }

    #[test]
    fn values_come_back_to_the_last_bit_and_torn_lines_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::resume(&path, 0).unwrap();
        let values = [0.9024190306663513, 1.0 / 3.0, 1e-300, 5e22, f64::INFINITY, -0.0];
        for (i, value) in values.into_iter().enumerate() {
            log.append(&line(i as u64, value)).unwrap();
        }
        log.append(&line(6, f64::NAN)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"step\":7,\"spl"].concat()).unwrap();
        let read_back = read(&path).unwrap();
        assert_eq!(read_back.len(), 7);
        assert!(read_back.iter().zip(values).all(|(l, v)| l.value.to_bits() == v.to_bits()));
        assert!(read_back[6].value.is_nan());

        MetricsLog::resume(&path, 3).unwrap();
        let lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').take(4).collect();
        assert_eq!(std::fs::read(&path).unwrap(), lines.concat(), "what is kept is kept to the letter");
    }
}
