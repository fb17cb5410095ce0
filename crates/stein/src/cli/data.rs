//! `stein data fetch`.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stein_data::files::{FileSet, RemoteFile, SETS, set};
use stein_record::source::list_of;
use stein_record::{RecordError, file};

use super::arguments::{Data, Fetch, Voice};
use super::{Failure, Outcome, print};

pub(crate) fn data(arguments: &Data, voice: Voice) -> Outcome {
    let Data::Fetch(Fetch { name, to, from }) = arguments;
    let Some(set) = set(name) else {
        let known = list_of(SETS.map(|set| set.kind));
        return Err(Failure::usage(format!("there is no set {name:?} to fetch; there are {known}")));
    };
    let folder = to.clone().unwrap_or_else(|| PathBuf::from(set.folder));
    match from {
        Some(from) => take(set, from, &folder, voice)?,
        None => fetch(set, &folder, voice, curl)?,
    }
    let given = if set.members.is_empty() { set.files } else { &[] };
    for name in given.iter().filter_map(|remote| remote.name.strip_suffix(".gz")) {
        if folder.join(name).exists() && folder.join(format!("{name}.gz")).exists() {
            voice.say(&format!(
                "note    {} is there too, and is read in place of the compressed one",
                folder.join(name).display()
            ));
        }
    }
    print(&format!("{} is in {}", set.kind, folder.display()));
    Ok(())
}

/// Why a set is not had.
#[derive(Debug)]
enum Problem {
    /// A file could not be read or written.
    File(RecordError),
    /// Nobody has it.
    Nowhere(String),
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        Self::File(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::File(RecordError::Io { path, action, error }) if error.kind() != std::io::ErrorKind::NotFound => {
                RecordError::Io { path, action, error }.into()
            }
            Problem::File(error) => Self::Message(error.to_string(), 3),
            Problem::Nowhere(message) => Self::Message(message, 3),
        }
    }
}

/// Takes the files from a folder where somebody has put them.
fn take(set: &FileSet, from: &Path, to: &Path, voice: Voice) -> Result<(), Problem> {
    if is_unpacked(set, to, voice)? {
        return Ok(());
    }
    let mut brought = false;
    for remote in set.files {
        if !is_there(remote, &to.join(remote.name), voice)? {
            let taken = remote.take_of(from, to);
            taken.map_err(|error| wanted(set, from, error))?;
            brought = true;
        }
    }
    unpack(set, to, brought, voice)
}

/// A file that is not there, with the names of what is looked for.
fn wanted(set: &FileSet, from: &Path, error: RecordError) -> Problem {
    match error {
        RecordError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
            let names = list_of(set.files.iter().map(|remote| remote.name));
            let from = from.display();
            let more = match set.members {
                [] => ", compressed or not".to_owned(),
                [first, ..] => {
                    format!("; what is unpacked, {} and so on, can be put into {} as it is", first.name, set.folder)
                }
            };
            Problem::Nowhere(format!("not all of it is in {from}: wanted are {names}{more}"))
        }
        error => Problem::File(error),
    }
}

/// Whether what comes in an archive is there already. What has the name of such a file and another length is somebody's own.
fn is_unpacked(set: &FileSet, to: &Path, voice: Voice) -> Result<bool, Problem> {
    if set.is_unpacked(to) {
        voice.more(&format!("{} is there", to.display()));
        return Ok(true);
    }
    for member in set.members {
        let at = to.join(member.name);
        if at.metadata().is_ok_and(|about| about.len() != member.bytes) {
            let (at, bytes) = (at.display(), member.bytes);
            return Err(Problem::Nowhere(format!("{at} is there, and has not {bytes} bytes; move it away")));
        }
    }
    Ok(false)
}

/// Unpacks an archive, which is not wanted then: it is removed, if it was `brought` and not put there by somebody.
fn unpack(set: &FileSet, to: &Path, brought: bool, voice: Voice) -> Result<(), Problem> {
    if let (false, [archive, ..]) = (set.members.is_empty(), set.files) {
        let archive = to.join(archive.name);
        voice.say(&format!("unpacking {}", archive.display()));
        set.unpack(&archive, to)?;
        if brought {
            remove(&archive);
        }
    }
    Ok(())
}

/// Brings the files that are not there yet from the first mirror that has them; `download` puts what is at an address, from so many
/// bytes on, at the end of a file that is to have so many at most.
fn fetch(
    set: &FileSet,
    to: &Path,
    voice: Voice,
    download: impl Fn(&str, File, u64, u64) -> Result<(), Failed>,
) -> Result<(), Problem> {
    std::fs::create_dir_all(to).map_err(|e| RecordError::io(to, "create the directory", e))?;
    let _lock = lock(to, voice)?;
    if is_unpacked(set, to, voice)? {
        return Ok(());
    }
    let mut any = false;
    for remote in set.files {
        let at = to.join(remote.name);
        if is_there(remote, &at, voice)? {
            continue;
        }
        let partial = to.join(format!(".{}.partial", remote.name));
        let mut problems = Vec::new();
        let mut brought = false;
        for mirror in set.mirrors {
            let address = format!("{mirror}{}", remote.name);
            voice.say(&format!("fetching {address}"));
            match one(remote, &address, &partial, &at, &download)? {
                None => brought = true,
                Some(problem) => problems.push(format!("  {address}: {problem}")),
            }
            if brought {
                break;
            }
        }
        if !brought {
            let (problems, name, kind) = (problems.join("\n"), remote.name, set.kind);
            let hint = format!("bring the files otherwise, and take them with: stein data fetch {kind} --from FOLDER");
            return Err(Problem::Nowhere(format!("{name} cannot be had:\n{problems}\n{hint}")));
        }
        any = true;
    }
    unpack(set, to, any, voice)
}

/// One process at a time fetches into a folder: the tasks of a job array may all begin with it.
fn lock(folder: &Path, voice: Voice) -> Result<File, Problem> {
    let path = folder.join(".lock");
    let lock = file::open_or_make(&path, OpenOptions::new().append(true))?;
    let taken = match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            voice.say(&format!("waiting for another process that fetches into {}", folder.display()));
            lock.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    taken.map_err(|e| RecordError::io(&path, "lock", e))?;
    Ok(lock)
}

/// Downloads a file beside its place and takes it there if it is whole. Gives what is wrong with what the mirror has.
fn one(
    remote: &RemoteFile,
    address: &str,
    partial: &Path,
    at: &Path,
    download: impl Fn(&str, File, u64, u64) -> Result<(), Failed>,
) -> Result<Option<String>, RecordError> {
    // No link, whose end it would be written to.
    let part = file::open_or_make(partial, OpenOptions::new().append(true))?;
    // A download may have ended and its process before it was taken.
    if remote.is_whole(partial)? != Some(true) {
        let failed = |e| RecordError::io(partial, "write", e);
        let mut begun = part.metadata().map_err(failed)?.len();
        if begun >= remote.bytes {
            part.set_len(0).map_err(failed)?;
            begun = 0;
        }
        match download(address, part, begun, remote.bytes) {
            Ok(()) => {}
            // What is there stays: the next attempt goes on behind it.
            Err(Failed::Broken(problem)) => return Ok(Some(problem)),
            Err(Failed::Refused(problem)) => {
                remove(partial);
                return Ok(Some(problem));
            }
        }
    }
    let taken = remote.take(partial, at);
    // What is not the file is worth nothing, and what was taken is there twice.
    remove(partial);
    match taken {
        Err(RecordError::Damaged { problem, .. }) => Ok(Some(problem)),
        taken => taken.map(|()| None),
    }
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn is_there(remote: &RemoteFile, at: &Path, voice: Voice) -> Result<bool, Problem> {
    if let (Some(name), Some(folder)) = (remote.content_name(), at.parent())
        && remote.is_uncompressed(folder)?
    {
        voice.more(&format!("{} is there", folder.join(name).display()));
        return Ok(true);
    }
    match remote.is_whole(at)? {
        Some(true) => {
            voice.more(&format!("{} is there", at.display()));
            Ok(true)
        }
        // Somebody's own file: not ours to overwrite.
        Some(false) => Err(Problem::Nowhere(format!(
            "{} is there, and is not the file that the mirrors have (its SHA-256 differs); move it away",
            at.display()
        ))),
        None => Ok(false),
    }
}

/// Why a download did not succeed.
#[derive(Debug)]
enum Failed {
    /// It may be gone on with.
    Broken(String),
    /// There is nothing to go on with.
    Refused(String),
}

/// By curl, which nearly every system has and which knows its proxies and certificates. A mirror that is slow to no end is left.
fn curl(address: &str, part: File, begun: u64, most: u64) -> Result<(), Failed> {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--location", "--proto-redir", "=http,https", "--silent", "--show-error"]);
    curl.args(["--connect-timeout", "20", "--retry", "2", "--retry-max-time", "60", "--max-time", "3600"]);
    curl.args(["--speed-limit", "1000", "--speed-time", "60", "--max-filesize", &most.to_string()]);
    if begun > 0 {
        curl.args(["--continue-at", &begun.to_string()]);
    }
    curl.args(["--output", "-", address]).stdin(Stdio::null()).stdout(part).stderr(Stdio::piped());
    let said = curl.spawn().and_then(|child| child.wait_with_output());
    let said = said.map_err(|e| Failed::Broken(format!("cannot start curl, which downloads: {e}")))?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    let problem = if text.is_empty() { format!("curl: {}", said.status) } else { text };
    // 22: the server said no; 33, 36: it does not go on in the middle; 63: it is longer than the file is.
    Err(if matches!(said.status.code(), Some(22 | 33 | 36 | 63)) { Failed::Refused } else { Failed::Broken }(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io::Write;

    use stein_files::tar::Member;

    const QUIET: Voice = Voice { quiet: true, verbose: false };
    const SET: FileSet = FileSet {
        kind: "abc",
        folder: "data/abc",
        mirrors: &["first/", "second/"],
        files: &[RemoteFile {
            name: "abc",
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            content: None,
        }],
        members: &[],
    };

    /// What `tar --format=ustar | gzip` made of `set/readme`, `set/two.bin`, 600 times 7, and `set/one.bin`, "abc".
    const ARCHIVE: &str = concat!(
        "H4sIAAAAAAACA+3WMQ7CIBSAYTav4QmU1xJ6HqoMDrZJwejxfdHEmDpqaTD/t7wEBsLAH1LM+ymG4zmaxVjlnXtMNZ/SdK+957qI",
        "eGe21hRwSTlMevwvLvl+uUrcgEoZfC1p//N13PWnYbX+S2vn/W86T/9L2AALoKz19H8c4pr9V+1H/x3//yJCf+ARAAAAAAAAAAAA",
        "/JE7Y7m7kQAoAAA=",
    );
    const ARCHIVED: FileSet = FileSet {
        kind: "archived",
        folder: "data/archived",
        mirrors: &["first/"],
        files: &[RemoteFile {
            name: "set.tar.gz",
            bytes: 161,
            sha256: "ac1794f3a9da2640c57a0022526bcb6bd5b5fbd4d76c14cafe8cc6f680fbef9e",
            content: None,
        }],
        members: &[Member { name: "one.bin", bytes: 3 }, Member { name: "two.bin", bytes: 600 }],
    };

    fn archive() -> Vec<u8> {
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, ARCHIVE).unwrap()
    }

    /// Fetched from a mirror that gives these bytes.
    fn unpacked(folder: &Path, given: &[u8]) -> Result<(), String> {
        fetch(&ARCHIVED, folder, QUIET, |_, mut file, _, _| {
            file.write_all(given).map_err(|e| Failed::Broken(e.to_string()))
        })
        .map_err(told)
    }

    #[test]
    fn of_an_archive_what_is_wanted_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("data");
        unpacked(&to, &archive()).unwrap();
        let mut there = names(&to);
        there.sort();
        assert_eq!(there, ["one.bin", "two.bin"], "neither the archive nor what else is in it");
        assert_eq!(
            (std::fs::read(to.join("one.bin")).unwrap(), to.join("two.bin").metadata().unwrap().len()),
            (b"abc".into(), 600)
        );
        unpacked(&to, b"not asked").unwrap();
        // Somebody's own file of that name, and what was put there to be unpacked.
        std::fs::write(to.join("one.bin"), "mine").unwrap();
        assert!(unpacked(&to, &archive()).unwrap_err().contains("one.bin is there, and has not 3 bytes"));
        std::fs::remove_file(to.join("one.bin")).unwrap();
        std::fs::write(to.join("set.tar.gz"), archive()).unwrap();
        unpacked(&to, b"not asked").unwrap();
        assert!(to.join("one.bin").exists() && to.join("set.tar.gz").exists());
    }

    #[test]
    fn nothing_is_unpacked_of_another_archive() {
        let folder = tempfile::tempdir().unwrap();
        let mut other = archive();
        *other.last_mut().unwrap() ^= 1;
        assert!(unpacked(folder.path(), &other).unwrap_err().contains("SHA-256"));
        assert!(names(folder.path()).is_empty());
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("set.tar.gz"), other).unwrap();
        let to = folder.path().join("to");
        assert!(told(take(&ARCHIVED, from.path(), &to, QUIET).unwrap_err()).contains("SHA-256") && !to.exists());
        std::fs::write(from.path().join("set.tar.gz"), archive()).unwrap();
        take(&ARCHIVED, from.path(), &to, QUIET).unwrap();
        assert_eq!(std::fs::read(to.join("one.bin")).unwrap(), b"abc");
        assert!(!to.join("set.tar.gz").exists() && from.path().join("set.tar.gz").exists());
    }

    /// Mirrors that give one of these at a time, behind what is there.
    fn fetched(folder: &Path, given: &[Result<&str, Failed>]) -> (Result<(), String>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let result = fetch(&SET, folder, QUIET, |address, mut file, begun, most| {
            assert_eq!((begun, most), (file.metadata().unwrap().len(), 3));
            let i = asked.borrow().len();
            asked.borrow_mut().push(address.to_owned());
            match &given[i] {
                Ok(text) => file.write_all(text.as_bytes()).map_err(|e| Failed::Broken(e.to_string())),
                Err(Failed::Broken(text)) => {
                    file.write_all(text.as_bytes()).unwrap();
                    Err(Failed::Broken("the line is cut".into()))
                }
                Err(Failed::Refused(why)) => Err(Failed::Refused(why.clone())),
            }
        });
        (result.map_err(told), asked.into_inner())
    }

    fn told(problem: Problem) -> String {
        match problem {
            Problem::File(error) => error.to_string(),
            Problem::Nowhere(message) => message,
        }
    }

    /// All but the lock.
    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_where_a_link_leads() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        std::fs::write(&precious, "a").unwrap();
        let to = folder.path().join("data");
        std::fs::create_dir(&to).unwrap();
        std::os::unix::fs::symlink(&precious, to.join(".abc.partial")).unwrap();
        assert!(fetched(&to, &[]).0.unwrap_err().contains(".abc.partial: it is a link"));
        assert_eq!(std::fs::read(&precious).unwrap(), b"a");
    }

    #[test]
    fn what_is_whole_is_kept_and_not_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("data");
        assert_eq!(fetched(&to, &[Ok("abc")]), (Ok(()), vec!["first/abc".into()]));
        assert_eq!(names(&to), ["abc"]);
        assert_eq!(fetched(&to, &[]), (Ok(()), vec![]));
    }

    #[test]
    fn a_page_in_place_of_a_file_is_not_kept_and_another_mirror_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (result, asked) = fetched(folder.path(), &[Ok("<h>"), Ok("abc")]);
        assert_eq!((result, asked.len()), (Ok(()), 2));
        assert_eq!(names(folder.path()), ["abc"]);

        let folder = tempfile::tempdir().unwrap();
        let refused = || Err(Failed::Refused("404".into()));
        let said = fetched(folder.path(), &[Ok("<h>"), refused()]).0.unwrap_err();
        assert!(said.contains("web page") && said.contains("second/abc: 404") && said.contains("--from"), "{said}");
        assert!(names(folder.path()).is_empty(), "nothing of it is kept");
    }

    #[test]
    fn a_download_goes_on_where_it_broke() {
        let folder = tempfile::tempdir().unwrap();
        let broken = |text: &str| Err(Failed::Broken(text.into()));
        assert!(fetched(folder.path(), &[broken("a"), broken("")]).0.unwrap_err().contains("the line is cut"));
        assert_eq!(names(folder.path()), [".abc.partial"]);
        assert_eq!(fetched(folder.path(), &[Ok("bc")]), (Ok(()), vec!["first/abc".into()]));
        assert_eq!(names(folder.path()), ["abc"]);

        // What was whole before its process ended needs no mirror; what is too long is begun again.
        for (left, given) in [("abc", &[][..]), ("abcd", &[Ok("abc")])] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(".abc.partial"), left).unwrap();
            assert_eq!(fetched(folder.path(), given).0, Ok(()), "{left}");
            assert_eq!(names(folder.path()), ["abc"]);
        }
    }

    #[test]
    fn files_of_somebodys_own_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("abc"), "mine").unwrap();
        assert!(fetched(folder.path(), &[]).0.unwrap_err().contains("move it away"));
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("abc"), "abc").unwrap();
        assert!(told(take(&SET, from.path(), folder.path(), QUIET).unwrap_err()).contains("move it away"));
        assert_eq!(std::fs::read(folder.path().join("abc")).unwrap(), b"mine");
        std::fs::remove_file(folder.path().join("abc")).unwrap();
        take(&SET, from.path(), folder.path(), QUIET).unwrap();
        assert_eq!(std::fs::read(folder.path().join("abc")).unwrap(), b"abc");
    }
}
