//! `run.json`: what was run, on what, in what state it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Array;

/// The version of `run.json` that this crate writes.
pub const SCHEMA: u32 = 1;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A process works on it, or died while it did.
    Running,
    /// Stopped by a signal; a checkpoint is there.
    Interrupted,
    /// A loss, gradient or sample was not finite.
    Diverged,
    /// Stopped by an error.
    Failed,
    /// Stopped because its time was over.
    TimedOut,
    /// Its weights were imported; samples can be drawn, and those of the experiment are not yet.
    Imported,
    /// Trained, sampled and evaluated.
    Finished,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Imported => "imported",
            Self::Finished => "finished",
        })
    }
}

/// The record of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`] when it was written.
    pub schema: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The cell: a readable slug and eight hexadecimal digits of `hash`.
    pub cell: String,
    /// SHA-256 of the resolved configuration without the keys that equal their default.
    pub hash: String,
    /// Where it stands.
    pub state: State,
    /// Why, if it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the first session began, RFC 3339, UTC.
    pub started: String,
    /// When the last session ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// How many processes worked on it, one after another.
    pub sessions: u32,
    /// The run seed: every noise stream is keyed by it.
    pub seed: u64,
    /// The source that was built, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitRecord>,
    /// The last session's command line.
    pub argv: Vec<String>,
    /// Versions of what computed.
    pub versions: Versions,
    /// What it ran on.
    pub device: DeviceRecord,
    /// What it learned from.
    pub data: DataRecord,
    /// What learned.
    pub network: NetworkRecord,
    /// The conventions that papers differ in.
    pub conventions: Conventions,
    /// The training that the network is of, by the name of its directory in `trained/`; none of a training's own record, nor
    /// where nothing is trained or nothing is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained: Option<String>,
    /// The cell whose process trained that network, or worked on it last: this one, or another of the same training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<String>,
    /// Where the network's weights are from, if they were not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportRecord>,
    /// How far training is; of imported weights, how far it was, 0 if nothing tells.
    pub progress: Progress,
    /// Where the time went.
    pub timings: Timings,
    /// The largest resident set of any session, in bytes, if the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

impl RunRecord {
    /// Whether this is the record of a training that cells share, not of a cell.
    pub fn is_training(&self) -> bool {
        self.hash.starts_with(&self.cell)
    }
}

/// The state of the source tree that the program was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitRecord {
    /// The commit.
    pub commit: String,
    /// Whether tracked files differed from it.
    pub dirty: bool,
}

/// Versions of what computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// stein.
    pub stein: String,
    /// burn.
    pub burn: String,
    /// The operating system and architecture.
    pub platform: String,
}

/// The device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// What was asked for: `auto`, `cpu`, `wgpu:discrete:1`, …
    pub requested: String,
    /// The burn backend: `flex`, `wgpu`, `cuda`.
    pub backend: String,
    /// One line: name, kind, driver.
    pub description: String,
    /// Whether it is a software adapter, whose timings mean nothing.
    pub software: bool,
}

/// The data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The data source's kind.
    pub kind: String,
    /// Numbers in one row, D.
    pub dimension: usize,
    /// Height, width and channels, where a row is an image (channel first in memory, row major).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 3]>,
    /// The values' lower and upper bound, where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Rows to train on.
    pub train: usize,
    /// Rows held out.
    pub held_out: usize,
    /// SHA-256 of the rows, train then held-out, as little-endian f32.
    pub sha256: String,
    /// What the numbers were before they were standardised, if they were: all arrays of the run are standardised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
}

/// The data's own units: mean + scale · x, column by column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Units {
    /// The columns' names, `[D]`.
    pub names: Vec<String>,
    /// Their means over the training rows, `[D]`.
    pub mean: Vec<f64>,
    /// Their standard deviations over these, `[D]`.
    pub scale: Vec<f64>,
}

impl Units {
    /// Rows in the data's own units, rounded to single precision.
    pub fn restore(&self, rows: &Array) -> Array {
        let columns = self.mean.iter().zip(&self.scale).cycle();
        let data = rows.data.iter().zip(columns).map(|(&x, (mean, scale))| (mean + scale * f64::from(x)) as f32);
        Array { shape: rows.shape.clone(), data: data.collect() }
    }

    /// Rows that are in the data's own units, as networks see them.
    pub fn standardise(&self, rows: &Array) -> Array {
        let columns = self.mean.iter().zip(&self.scale).cycle();
        let data = rows.data.iter().zip(columns).map(|(&x, (mean, scale))| ((f64::from(x) - mean) / scale) as f32);
        Array { shape: rows.shape.clone(), data: data.collect() }
    }

    /// Gradients by what networks see, as gradients by the data's own units.
    pub fn restore_gradients(&self, rows: &Array) -> Array {
        let data = rows.data.iter().zip(self.scale.iter().cycle()).map(|(&s, scale)| (f64::from(s) / scale) as f32);
        Array { shape: rows.shape.clone(), data: data.collect() }
    }
}

/// The network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// The network's kind.
    pub kind: String,
    /// Trainable numbers.
    pub parameters: usize,
}

/// Where imported weights are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// The file, as it was called then.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// The table in it, its keys joined by slashes; a dot for the whole.
    pub table: String,
    /// `averaged` or `last`, if the file tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
}

/// The conventions that papers differ in, by name: what the ½ is, what a step size means, …
pub type Conventions = BTreeMap<String, String>;

/// How far training is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps to do.
    pub steps: u64,
    /// Of those that are done, steps that were left out because something was not finite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Where the time went, in seconds, over all sessions. Of a shared training, what it took whichever cells worked on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Training steps, with evaluation and checkpoints between them.
    pub training: f64,
    /// Sampling.
    pub sampling: f64,
    /// Metrics and fields after it.
    pub evaluation: f64,
    /// Training steps a second: steps of the last session over the time of these steps, without evaluations and checkpoints
    /// between them.
    pub steps_per_second: f64,
    /// Examples a second: those times the examples of a step. 0 in records that are older than it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub examples_per_second: f64,
}

fn is_none(rate: &f64) -> bool {
    *rate == 0.0
}

impl Timings {
    /// Sets how fast training is, by steps of so many examples.
    pub fn set_rate(&mut self, steps_per_second: f64, examples: usize) {
        (self.steps_per_second, self.examples_per_second) = (steps_per_second, steps_per_second * examples as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_there_and_back() {
        let units = Units { names: vec!["a".into(), "b".into()], mean: vec![10.0, -1.0], scale: vec![2.0, 0.5] };
        let own = Array::new([2, 2], vec![14.0, -1.0, 10.0, 0.0]);
        let seen = units.standardise(&own);
        assert_eq!(seen.data, [2.0, 0.0, 0.0, 2.0]);
        assert_eq!(units.restore(&seen), own);
        // d/dx = (1/scale) d/dy.
        assert_eq!(units.restore_gradients(&Array::new([1, 2], vec![3.0, 3.0])).data, [1.5, 6.0]);
    }
}
