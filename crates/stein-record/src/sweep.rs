//! `runs/<experiment>/sweep.json`: which cells an experiment with a `[sweep]` has, and what each of them varies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{RecordError, file, run_dir};

/// The version of `sweep.json` that this crate writes.
pub const SCHEMA: u32 = 1;

/// A sweep: its axes and its cells, in the order of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// [`SCHEMA`] when it was written.
    pub schema: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The metrics that cells are compared by, as `evaluation.json` names them; the first ranks. Empty where the report chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<String>,
    /// What is varied.
    pub axes: Vec<SweepAxis>,
    /// The cells.
    pub cells: Vec<SweepCell>,
}

/// One axis of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepAxis {
    /// The key path that it varies (`schedule.levels`, `objective`, `seed`).
    pub name: String,
    /// The values' labels, in the order of the file.
    pub values: Vec<String>,
    /// The values as numbers, where all of them are: an axis that can be drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Vec<f64>>,
    /// What a comparison does with the axis.
    #[serde(default)]
    pub role: AxisRole,
}

/// What a comparison does with an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AxisRole {
    /// Its values are compared.
    #[default]
    Compare,
    /// Its values are repetitions, averaged over (`seed`).
    Repeat,
    /// Only its best value is shown (a learning rate, say): `best-of` in `[sweep]`.
    Best,
}

/// One cell of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepCell {
    /// The run directory's name.
    #[serde(deserialize_with = "name_of_a_folder")]
    pub cell: String,
    /// The label that the cell has on each axis, by the axis's name.
    pub values: BTreeMap<String, String>,
}

/// What is joined to a path must not lead away from it.
fn name_of_a_folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("{name:?} cannot be the name of a run directory"));
    if file::is_name(&name) { Ok(name) } else { Err(wrong()) }
}

impl SweepRecord {
    /// Where a sweep's record lies in `runs/<experiment>/`.
    pub fn path(experiment_dir: &Path) -> PathBuf {
        experiment_dir.join("sweep.json")
    }

    /// Reads the record in `runs/<experiment>/`; `None` if there is none.
    pub fn read(experiment_dir: &Path) -> Result<Option<Self>, RecordError> {
        run_dir::read_json(&Self::path(experiment_dir))
    }

    /// Writes it atomically.
    pub fn write(&self, experiment_dir: &Path) -> Result<(), RecordError> {
        run_dir::write_json(&Self::path(experiment_dir), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_lie_beside_the_record() {
        let read = |name: &str| {
            let text = serde_json::json!({ "cell": name, "values": {} }).to_string();
            serde_json::from_str::<SweepCell>(&text).map(|cell| cell.cell)
        };
        assert_eq!(read("seed-1-0123abcd").unwrap(), "seed-1-0123abcd");
        for name in ["../../other", "/etc", "..", ".", "", "a/b", "a\\b", "c:a"] {
            assert!(read(name).unwrap_err().to_string().contains("cannot be the name"), "{name}");
        }
    }
}
