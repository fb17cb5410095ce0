//! The files of a report.

use std::io::ErrorKind;
use std::path::Path;

use stein_record::{RecordError, atomic, file};

/// Writes a file so that a reader sees the old content or the new, unless it has that content.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    // A report is written again and again, and most of a sweep's pages stay as they are: waiting for the disk is what costs.
    if matches!(file::read(path, bytes.len() as u64), Ok(Some(there)) if there == bytes) {
        return Ok(());
    }
    atomic::write(path, bytes)
}

/// Whether a name begins with a dot: what others keep there is none of a report's business.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), RecordError> {
    match std::fs::remove_file(path) {
        Err(e) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(RecordError::io(path, "remove", e))
        }
        _ => Ok(()),
    }
}
