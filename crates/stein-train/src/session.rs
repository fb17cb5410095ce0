//! What a user does to a running process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A request to stop, set by a signal handler and read by whoever loops.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicUsize>);

const SIGINT: usize = 2;
const SIGALRM: usize = 14;
/// Linux's number; macOS and the BSDs have another.
const SIGUSR1: u8 = if cfg!(target_os = "linux") { 10 } else { 30 };
const NOTICE: usize = SIGUSR1 as usize;

impl Stop {
    /// Nobody has asked.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cell that a signal handler writes its signal's number to.
    pub fn cell(&self) -> Arc<AtomicUsize> {
        self.0.clone()
    }

    /// Asks to stop, as SIGINT does.
    pub fn interrupt(&self) {
        self.0.store(SIGINT, Ordering::SeqCst);
    }

    /// Asks to stop because its time is over.
    pub fn time_out(&self) {
        self.0.store(SIGALRM, Ordering::SeqCst);
    }

    /// Whether somebody asked: the error that the run is to end with.
    pub fn requested(&self) -> Option<crate::RunError> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            SIGINT => Some(crate::RunError::Interrupted { name: "SIGINT", code: 130 }),
            SIGALRM => Some(crate::RunError::TimedOut),
            NOTICE => Some(crate::RunError::Interrupted { name: "SIGUSR1", code: 128 + SIGUSR1 }),
            _ => Some(crate::RunError::Interrupted { name: "SIGTERM", code: 143 }),
        }
    }
}
