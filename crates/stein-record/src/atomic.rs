//! Files that are whole or absent: written beside, synced, renamed, the directory synced.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::RecordError;

/// How the name of a file that is not whole yet begins and ends.
const PREFIX: &str = ".stein-";
const SUFFIX: &str = ".partial";

/// Writes `bytes` to `path` so that a reader sees the old content or the new, never a part.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let mut file = Partial::of(path)?;
    file.write_all(bytes).map_err(|e| RecordError::io(path, "write", e))?;
    file.finish()
}

/// What becomes the file at a path when it is whole; nothing is left of it if it is dropped before.
#[derive(Debug)]
pub struct Partial<'a> {
    file: NamedTempFile,
    path: &'a Path,
    parent: &'a Path,
}

impl<'a> Partial<'a> {
    /// Begins the file at `path`, in a folder that is made if it is not there.
    pub fn of(path: &'a Path) -> Result<Self, RecordError> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|e| RecordError::io(parent, "create the directory", e))?;
        let file = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .permissions(ordinary_permissions())
            .tempfile_in(parent)
            .map_err(|e| RecordError::io(path, "write", e))?;
        Ok(Self { file, path, parent })
    }

    /// Puts the file in its place, durably.
    pub fn finish(self) -> Result<(), RecordError> {
        let Self { file, path, parent } = self;
        file.as_file().sync_all().map_err(|e| RecordError::io(path, "write", e))?;
        file.persist(path).map_err(|e| RecordError::io(path, "write", e.error))?;
        sync_directory(parent)
    }
}

impl Write for Partial<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Puts the file `from` at `to` too: under a second name where the file system has hard links, else as a copy. A reader of `to`
/// sees the old content or the new, never a part.
pub fn link(from: &Path, to: &Path) -> Result<(), RecordError> {
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| RecordError::io(parent, "create the directory", e))?;
    let name = format!("{PREFIX}link-{}{SUFFIX}", std::process::id());
    let beside = parent.join(name);
    let _ = fs::remove_file(&beside);
    if fs::hard_link(from, &beside).is_err() {
        return fs::read(from).map_err(|e| RecordError::io(from, "read", e)).and_then(|bytes| write(to, &bytes));
    }
    fs::rename(&beside, to).map_err(|e| RecordError::io(to, "write", e))?;
    // Where both were names of one file already, renaming does nothing.
    let _ = fs::remove_file(&beside);
    sync_directory(parent)
}

/// Removes from a directory what writers that were killed have begun beside its files. For whoever alone writes there: nothing if
/// there is no such directory.
pub fn remove_partial(directory: &Path) -> Result<(), RecordError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(RecordError::io(directory, "list", e)),
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let is_ours = name.to_string_lossy().strip_prefix(PREFIX).is_some_and(|rest| rest.ends_with(SUFFIX));
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::remove_file(entry.path()).map_err(|e| RecordError::io(entry.path(), "remove", e))?;
        }
    }
    Ok(())
}

/// Writes a file that is to become part of a directory that is renamed as a whole: synced, but in place.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| RecordError::io(path, "write", e))
}

/// Makes the names in a directory durable. A no-op where directories cannot be opened (Windows).
pub fn sync_directory(path: &Path) -> Result<(), RecordError> {
    if cfg!(unix) {
        File::open(path).and_then(|d| d.sync_all()).map_err(|e| RecordError::io(path, "sync", e))?;
    }
    Ok(())
}

// `tempfile` makes files that only their owner can read; a run directory is to be shared.
#[cfg(unix)]
fn ordinary_permissions() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o666)
}

#[cfg(not(unix))]
fn ordinary_permissions() -> fs::Permissions {
    // Windows ignores these; a file's metadata is the only way to make a value of this type.
    fs::metadata(".").expect("the current directory has metadata").permissions()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_killed_have_begun_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        remove_partial(&dir.path().join("absent")).expect("nothing to remove");
        let others = [".lock", ".stein-notes", "run.json", "x.partial"];
        for name in [".stein-aB3.partial", ".stein-link-7.partial"].iter().chain(&others) {
            fs::write(dir.path().join(name), "x").expect("write");
        }
        fs::create_dir(dir.path().join(".stein-folder.partial")).expect("a folder");
        remove_partial(dir.path()).expect("removed");
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .expect("list")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, [".lock", ".stein-folder.partial", ".stein-notes", "run.json", "x.partial"]);
    }

    #[test]
    fn a_linked_file_is_there_whatever_was_there_before() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (dir.path().join("from"), dir.path().join("cell/to"));
        fs::write(&from, "one").expect("write");
        link(&from, &to).expect("a new name");
        link(&from, &to).expect("the same again");
        assert_eq!(fs::read(&to).expect("read"), b"one");
        write(&from, b"two").expect("another file in its place");
        assert_eq!(fs::read(&to).expect("read"), b"one");
        link(&from, &to).expect("that one too");
        assert_eq!(fs::read(&to).expect("read"), b"two");
        assert_eq!(fs::read_dir(dir.path().join("cell")).expect("list").count(), 1, "nothing is left beside it");
        assert!(link(&dir.path().join("absent"), &to).is_err());
    }
}
