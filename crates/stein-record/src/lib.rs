//! What a run leaves on disk, and what a user writes for it: everything that can be read without a tensor.
//!
//! A run directory is the whole interface between training and reporting. This crate owns its layout
//! ([`RunDir`]), the records in it ([`RunRecord`], [`MetricLine`], [`Evaluation`]), the checkpoint sets
//! ([`checkpoint`]), the small array files ([`arrays`]), what other programs are given ([`series`], [`tensorboard`]),
//! and experiment files with the place of every value in their text ([`source`]), data that come as files ([`idx`]), and PyTorch's
//! checkpoints ([`torch`]). It does not depend on burn, so the
//! report and the fuzz targets build in seconds.
//!
//! ```text
//! runs/<experiment>/sweep.json   SweepRecord, for experiments with a [sweep]
//! runs/<experiment>/<cell>/
//!   experiment.toml      resolved experiment
//!   run.json             RunRecord
//!   .lock                held by the process that is at work there
//!   log.txt              what the cell's process said, in a sweep
//!   metrics.jsonl        MetricLine a line
//!   network.safetensors  EMA weights
//!   samples/             final.npy, final.png, held-out.npy, nearest.npy, nearest-classifier.npy, trajectory.npy,
//!                        trajectory.gif
//!   evaluation.json      Evaluation
//!   diverged/step-N/     which of its samples were not finite
//!   evaluation/field.safetensors   density and score fields on a grid, for 2-D data
//!   drawn/<name>/        samples that were drawn later
//! runs/<experiment>/trained/<name>/      a training of one cell or several
//!   experiment.toml      what training reads of it
//!   run.json             RunRecord of the training
//!   metrics.jsonl        as the cells', who have it too
//!   checkpoints/step-N/  a checkpoint set, manifest.json written last
//!   diverged/step-N/     the same of the step that something was not finite in, with its batches
//!   network.safetensors  as the cells', who have it too
//! ```

#![forbid(unsafe_code)]

pub mod arrays;
pub mod atomic;
pub mod checkpoint;
pub mod configuration;
pub mod csv;
pub mod diverged;
pub mod evaluation;
pub mod file;
pub mod float;
pub mod hash;
pub mod idx;
pub mod metrics_log;
pub mod run_dir;
pub mod run_record;
pub mod series;
pub mod source;
pub mod sweep;
pub mod tensorboard;
pub mod torch;

pub use arrays::Array;
pub use diverged::{BatchRecord, DivergedRecord, Divergent, Drawing, SamplesRecord, StepRecord};
pub use evaluation::{
    AtLevel, Better, ClassRecord, Estimate, EstimatorRecord, Evaluation, InverseRecord, LevelRecord, MetricRecord,
    Modes, PartRecord,
};
pub use idx::Idx;
pub use metrics_log::{MetricLine, MetricsLog, Split};
pub use run_dir::RunDir;
pub use run_record::{
    Conventions, DataRecord, DeviceRecord, GitRecord, ImportRecord, NetworkRecord, Progress, RunRecord, State, Timings,
    Units, Versions,
};
pub use sweep::{AxisRole, SweepAxis, SweepCell, SweepRecord};

/// What can go wrong while a record is read or written. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The operating system refused.
    #[error("{path}: cannot {action}: {error}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What was tried, an infinitive: "read", "write", …
        action: &'static str,
        /// The system's answer.
        error: std::io::Error,
    },
    /// The file is there, but is not what it should be.
    #[error("{path}: {problem}")]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl RecordError {
    /// An [`RecordError::Io`] for `path`.
    pub fn io(path: impl Into<std::path::PathBuf>, action: &'static str, error: std::io::Error) -> Self {
        Self::Io { path: path.into(), action, error }
    }

    /// A [`RecordError::Damaged`] for `path`.
    pub fn damaged(path: impl Into<std::path::PathBuf>, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), problem: problem.into() }
    }
}
