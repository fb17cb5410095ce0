//! Files that somebody else may have written: read up to a limit, and only if they are files.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::RecordError;

/// The most bytes of a record in JSON.
pub const RECORD: u64 = 64 << 20;
/// The most bytes of a log of metrics.
pub const METRICS: u64 = 512 << 20;
/// The most bytes of arrays.
pub const ARRAYS: u64 = 16 << 30;
/// How many folders a run directory has in each other.
const DEPTH: usize = 4;

/// Whether a name that a file gives is that of a file or folder beside it, on any system, and not hidden.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

/// Reads a file of at most `most` bytes; `None` if there is none.
///
/// # Errors
/// If it cannot be read, is no file, or is longer: its length is looked at before it is read, and what grows meanwhile is cut.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, RecordError> {
    let about = match path.metadata() {
        Ok(about) => about,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(RecordError::io(path, "read", e)),
    };
    // To open a pipe is to wait for whoever writes to it; a device may have no end.
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(RecordError::damaged(path, format!("it is {what}, not a file")));
    }
    if about.len() > most {
        return Err(RecordError::damaged(path, format!("it has {} bytes; at most {most} are read", about.len())));
    }
    let mut bytes = Vec::new();
    let read = || -> std::io::Result<()> {
        let file = std::fs::File::open(path)?;
        bytes.try_reserve_exact(about.len() as usize).map_err(|_| ErrorKind::OutOfMemory)?;
        file.take(most).read_to_end(&mut bytes).map(drop)
    };
    match { read }() {
        Ok(()) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(RecordError::io(path, "read", e)),
    }
}

/// Refuses a run directory with anything but files and folders in it: a link may lead out of it, to what must not be shown in
/// a report. The directory itself may be one, for whoever only reads.
///
/// # Errors
/// If there is such a thing, which the error names.
pub fn refuse_links(directory: &Path) -> Result<(), RecordError> {
    refuse_within(directory, DEPTH)
}

/// Refuses a link.
///
/// # Errors
/// If it is one.
pub fn refuse_link(path: &Path) -> Result<(), RecordError> {
    if path.symlink_metadata().is_ok_and(|about| about.is_symlink()) { Err(link(path)) } else { Ok(()) }
}

fn refuse_within(folder: &Path, depth: usize) -> Result<(), RecordError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        // What has just gone is what somebody else replaced.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            return Err(link(&entry.path()));
        }
        if kind.is_dir() && depth > 0 {
            refuse_within(&entry.path(), depth - 1)?;
        } else if !kind.is_dir() && !kind.is_file() {
            return Err(RecordError::damaged(entry.path(), "it is a pipe or device; a run directory has none"));
        }
    }
    Ok(())
}

fn link(path: &Path) -> RecordError {
    RecordError::damaged(
        path,
        "it is a link, which may lead anywhere; a run directory has none: put what it names in its place",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(read(&path, 3).unwrap().is_none());
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"abc");
        assert!(read(&path, 2).unwrap_err().to_string().contains("3 bytes; at most 2"));
        assert!(read(folder.path(), 2).unwrap_err().to_string().contains("a folder, not a file"));
        // A length without contents, as a sparse file has.
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read(&path, ARRAYS).unwrap_err().to_string().contains("at most"));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        std::fs::create_dir_all(run.join("checkpoints/step-1")).unwrap();
        std::fs::write(run.join("checkpoints/step-1/model"), "").unwrap();
        refuse_links(&run).unwrap();
        std::os::unix::fs::symlink("/", run.join("checkpoints/step-1/out")).unwrap();
        assert!(refuse_links(&run).unwrap_err().to_string().contains("step-1/out: it is a link"));
        std::fs::remove_file(run.join("checkpoints/step-1/out")).unwrap();
        std::os::unix::fs::symlink(&run, folder.path().join("other")).unwrap();
        refuse_links(&folder.path().join("other")).unwrap();
        assert!(refuse_link(&folder.path().join("other")).is_err());
        let listener = std::os::unix::net::UnixListener::bind(run.join("socket")).unwrap();
        assert!(refuse_links(&run).unwrap_err().to_string().contains("pipe or device"));
        drop(listener);
        assert!(read(Path::new("/dev/zero"), 10).unwrap_err().to_string().contains("not a file"));
    }
}
