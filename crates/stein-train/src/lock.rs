//! One writer a cell.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use stein_record::RecordError;

use crate::RunError;

/// An exclusive lock on a run directory, held until it is dropped or the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`RunError::Locked`] with host and process if somebody else has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, RunError> {
        std::fs::create_dir_all(directory).map_err(|e| RecordError::io(directory, "create the directory", e))?;
        let path = directory.join(".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| RecordError::io(&path, "open", e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.is_empty() { "unknown".into() } else { holder.trim().to_owned() };
                return Err(RunError::Locked { path: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(RecordError::io(&path, "lock", e).into()),
        }
        let write = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "process {} on {}", std::process::id(), host())
        };
        write(&mut file).map_err(|e| RecordError::io(&path, "write", e))?;
        Ok(Self { _file: file })
    }
}

fn host() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown host".into())
    }
}
