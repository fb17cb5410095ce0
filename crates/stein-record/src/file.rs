//! Files that somebody else may have written: read up to a limit, and only if they are files.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::RecordError;

/// The most bytes of a record in JSON.
pub const RECORD: u64 = 64 << 20;
/// The most bytes of a log of metrics that is shown.
pub const METRICS: u64 = 512 << 20;
/// The most bytes of arrays of which nothing else tells how long they may be.
pub const ARRAYS: u64 = 16 << 30;
/// How many folders one of a run directory has in each other.
const DEPTH: usize = 3;
/// How often a file is opened again that was replaced meanwhile.
const TRIES: usize = 100;

/// Whether a name that a file gives is that of a file or folder beside it, on any system, and not hidden.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

/// What to say of bytes that are not the file that was meant, if they look like what a server gives in its place.
pub fn page_hint(bytes: &[u8]) -> &'static str {
    let page = bytes.trim_ascii_start().starts_with(b"<");
    if page { "; it looks like a web page, as a server gives in place of a file" } else { "" }
}

/// A file as a user names it, who may name a link.
pub fn named(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Opens a file to read it; `None` if there is none.
///
/// # Errors
/// If it cannot be opened, is a link, or is no file: to open a pipe is to wait for whoever writes to it, and a device may have no end.
pub fn open(path: &Path) -> Result<Option<File>, RecordError> {
    open_with(path, OpenOptions::new().read(true))
}

/// Opens a file to write in it as `options` say, and makes it if there is none.
///
/// # Errors
/// As [`open`].
pub fn open_or_make(path: &Path, options: &OpenOptions) -> Result<File, RecordError> {
    for _ in 0..TRIES {
        if let Some(file) = open_with(path, options)? {
            return Ok(file);
        }
        // What is made anew is behind no link.
        match options.clone().create_new(true).open(path) {
            Ok(file) => return Ok(file),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(RecordError::io(path, "open", e)),
        }
    }
    Err(restless(path))
}

fn open_with(path: &Path, options: &OpenOptions) -> Result<Option<File>, RecordError> {
    for _ in 0..TRIES {
        let Some(about) = look(path)? else { return Ok(None) };
        refuse_unless(about.is_file(), path, &about)?;
        let opened = options.open(path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((now, file)) if is_same(&about, &now) => return Ok(Some(file)),
            // A new one has taken its place.
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(RecordError::io(path, "open", e)),
        }
    }
    Err(restless(path))
}

/// What lies there, links not followed; `None` if nothing does.
fn look(path: &Path) -> Result<Option<Metadata>, RecordError> {
    match path.symlink_metadata() {
        Ok(about) => Ok(Some(about)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(RecordError::io(path, "read", e)),
    }
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, now: &Metadata) -> bool {
    now.is_file()
}

fn restless(path: &Path) -> RecordError {
    RecordError::damaged(path, "something else takes its place again and again")
}

/// Reads a file of at most `most` bytes; `None` if there is none.
///
/// # Errors
/// As [`open`], or if it is longer: its length is looked at before it is read, and what grows meanwhile is cut.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, RecordError> {
    let Some((file, length)) = open_at_most(path, most)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = || -> std::io::Result<()> {
        bytes.try_reserve_exact(length as usize).map_err(|_| ErrorKind::OutOfMemory)?;
        file.take(most).read_to_end(&mut bytes).map(drop)
    };
    read().map_err(|e| RecordError::io(path, "read", e))?;
    Ok(Some(bytes))
}

/// Opens a file of at most `most` bytes to read it, and tells its length; `None` if there is none.
///
/// # Errors
/// As [`open`], or if it is longer.
pub fn open_at_most(path: &Path, most: u64) -> Result<Option<(File, u64)>, RecordError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let length = file.metadata().map_err(|e| RecordError::io(path, "read", e))?.len();
    if length > most {
        return Err(RecordError::damaged(path, format!("it has {length} bytes; at most {most} are read")));
    }
    Ok(Some((file, length)))
}

/// Refuses what is there, if it is no file.
///
/// # Errors
/// If it is none, or a link.
pub fn refuse_unless_file(path: &Path) -> Result<(), RecordError> {
    look(path)?.map_or(Ok(()), |about| refuse_unless(about.is_file(), path, &about))
}

/// Refuses what is there, if it is no folder, or if there is anything in it but files and folders. Hidden names are left alone:
/// stein asks for none, and an editor's lock may be a link.
///
/// # Errors
/// If it is so; the error names it.
pub fn refuse_unless_folders(folder: &Path) -> Result<(), RecordError> {
    refuse_unless_folder(folder)?;
    refuse_within(folder, DEPTH)
}

/// Refuses what is there, if it is no folder.
///
/// # Errors
/// If it is none, or a link.
pub fn refuse_unless_folder(path: &Path) -> Result<(), RecordError> {
    look(path)?.map_or(Ok(()), |about| refuse_unless(about.is_dir(), path, &about))
}

fn refuse_within(folder: &Path, depth: usize) -> Result<(), RecordError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        // What has just gone is what somebody else replaced.
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let (false, Some(about)) = (hidden, look(&entry.path())?) else { continue };
        refuse_unless(about.is_file() || about.is_dir(), &entry.path(), &about)?;
        if about.is_dir() && depth > 0 {
            refuse_within(&entry.path(), depth - 1)?;
        }
    }
    Ok(())
}

fn refuse_unless(right: bool, path: &Path, about: &Metadata) -> Result<(), RecordError> {
    let problem = match about {
        _ if right => return Ok(()),
        _ if about.is_symlink() && !path.exists() => "it is a link that leads nowhere",
        _ if about.is_symlink() => {
            "it is a link, which may lead anywhere: put what it leads to in its place. (runs/, runs/<experiment>/ and what --runs \
             names may be links.)"
        }
        _ if about.is_dir() => "it is a folder, not a file",
        _ if about.is_file() => "it is a file, not a folder",
        _ => "it is a pipe or device, not a file",
    };
    Err(RecordError::damaged(path, problem))
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

    #[test]
    fn what_is_made_is_what_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for _ in 0..2 {
            use std::io::Write;
            open_or_make(&path, OpenOptions::new().append(true)).unwrap().write_all(b"ab").unwrap();
        }
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"abab");
        assert!(open(&path.join("below a file")).unwrap().is_none());
        assert!(open_or_make(folder.path(), OpenOptions::new().append(true)).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_are_refused() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let samples = folder.path().join("samples");
        std::fs::create_dir_all(samples.join("step-1")).unwrap();
        std::fs::write(samples.join("step-1/model"), "model").unwrap();
        symlink("nowhere", samples.join(".#model")).unwrap();
        refuse_unless_folders(&samples).unwrap();
        symlink("model", samples.join("step-1/link")).unwrap();
        let link = samples.join("step-1/link");
        for refused in [
            refuse_unless_folders(&samples),
            refuse_unless_file(&link),
            read(&link, 9).map(drop),
            open_or_make(&link, OpenOptions::new().append(true)).map(drop),
        ] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("step-1/link: it is a link") && said.contains("--runs"), "{said}");
        }
        assert_eq!(read(&named(&link), 9).unwrap().unwrap(), b"model");
        // One that leads nowhere is not written through.
        let new = folder.path().join("new");
        std::fs::remove_file(&link).unwrap();
        symlink(&new, &link).unwrap();
        assert!(open_or_make(&link, OpenOptions::new().append(true)).is_err() && !new.exists());
        std::fs::remove_file(&link).unwrap();
        symlink(&samples, folder.path().join("other")).unwrap();
        assert!(refuse_unless_folders(&folder.path().join("other")).is_err());
        let listener = std::os::unix::net::UnixListener::bind(samples.join("socket")).unwrap();
        assert!(refuse_unless_folders(&samples).unwrap_err().to_string().contains("pipe or device"));
        drop(listener);
        assert!(read(Path::new("/dev/zero"), 10).unwrap_err().to_string().contains("not a file"));
    }
}
