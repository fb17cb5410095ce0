//! Why a run did not finish.

use std::path::PathBuf;

use stein_core::{Invalid, SampleError};
use stein_record::RecordError;

use crate::space::bytes;

/// Why a run did not finish. [`RunError::exit_code`] is what the process answers with.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Stopped by a signal; what was trained is in a checkpoint.
    #[error("stopped by {name}; the same command goes on from here")]
    Interrupted {
        /// SIGINT, SIGTERM or SIGUSR1.
        name: &'static str,
        /// 128 plus the signal's number.
        code: u8,
    },
    /// Its time was over; what was trained is in a checkpoint.
    #[error("its time was over; the same command goes on from here")]
    TimedOut,
    /// A loss or gradient is not a finite number.
    #[error(
        "diverged at step {step}: {what} is {value}{}{}; try a smaller learning rate, clip the gradient, or with f16 a smaller loss-scale",
        if *repeated { "" } else { ", or became so before, but not when the steps since the last look were taken again" },
        if *kept { "; `stein replay` shows where" } else { "" }
    )]
    Diverged {
        /// The step.
        step: u64,
        /// What is not finite.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Whether it was seen again when the steps were taken again one by one.
        repeated: bool,
        /// Whether what the step needs to be taken again was written.
        kept: bool,
    },
    /// The training that a cell shares with others has diverged, and is not tried again.
    #[error("{reason}")]
    DivergedBefore {
        /// What was said then.
        reason: String,
    },
    /// Samples are not finite numbers.
    #[error(transparent)]
    Sampling(#[from] SampleError),
    /// Another process works on this cell.
    #[error("{path}: another process is at work there ({holder}); wait for it, or stop it")]
    Locked {
        /// The run directory.
        path: PathBuf,
        /// Host and process.
        holder: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file system has no room for what is to be written.
    #[error(
        "{path}: the run is to write {} there, and its file system has {} free; make room, or go on elsewhere with --runs",
        bytes(*.needed), bytes(*.free)
    )]
    NoSpace {
        /// The run directory.
        path: PathBuf,
        /// Bytes that it takes at least.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Checkpoints are there, but none verifies.
    #[error("{path}: no checkpoint can be used:\n{problems}\nmove the folder away to train from the beginning")]
    Checkpoint {
        /// The checkpoints.
        path: PathBuf,
        /// What is wrong with each.
        problems: String,
    },
    /// The data are not those that the run began with.
    #[error("{path}: the data have changed since this run began; move the folder away to train on the new ones")]
    OtherData {
        /// The run directory.
        path: PathBuf,
    },
    /// A file of weights that another program wrote does not hold the network's.
    #[error("{path}: {problem}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Weights are not imported into a run that is there already.
    #[error(
        "{path} is there already: nothing is written over it; --out names another run directory, --runs another folder"
    )]
    Occupied {
        /// What is there.
        path: PathBuf,
    },
    /// A component refused what it met.
    #[error(transparent)]
    Component(#[from] Invalid),
    /// What the experiment asks for, the device cannot.
    #[error("{message}")]
    Unsupported {
        /// What that is, and what it can.
        message: String,
    },
    /// burn-train stopped with an error.
    #[error("burn-train: {0}")]
    Training(String),
}

impl RunError {
    /// The exit code: 2 usage, 3 data, 5 diverged, 6 damaged or refused, 7 locked, 8 disk, 124 timed out, 130, 138
    /// and 143 interrupted, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted { code, .. } => *code,
            Self::TimedOut => 124,
            Self::Diverged { .. }
            | Self::DivergedBefore { .. }
            | Self::Sampling(
                SampleError::Diverged { .. } | SampleError::NotFinite { .. } | SampleError::Unsolved { .. },
            ) => 5,
            Self::Sampling(_) => 130,
            Self::Checkpoint { .. } => 6,
            Self::Locked { .. } => 7,
            Self::Record(RecordError::Damaged { .. }) => 6,
            Self::Record(RecordError::Io { .. }) | Self::NoSpace { .. } => 8,
            Self::Component(_) | Self::OtherData { .. } | Self::Foreign { .. } => 3,
            Self::Occupied { .. } | Self::Unsupported { .. } => 2,
            Self::Training(_) => 1,
        }
    }
}
