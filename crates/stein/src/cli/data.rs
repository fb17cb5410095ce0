//! `stein data fetch`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stein_data::files::{FileSet, RemoteFile, SETS, set};
use stein_record::source::list_of;

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
        Some(from) => take(set, from, &folder, voice),
        None => fetch(set, &folder, voice, curl),
    }
    .map_err(|problem| Failure::Message(problem, 3))?;
    print(&format!("{} is in {}", set.kind, folder.display()));
    Ok(())
}

/// Takes the files from a folder where somebody has put them.
fn take(set: &FileSet, from: &Path, to: &Path, voice: Voice) -> Result<(), String> {
    for remote in set.files {
        let at = to.join(remote.name);
        if !is_there(remote, &at, voice)? {
            remote.take(&from.join(remote.name), &at).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Brings the files that are not there yet from the first mirror that has them; `download` puts what is at an address into a file,
/// behind what is in that already.
fn fetch(
    set: &FileSet,
    to: &Path,
    voice: Voice,
    download: impl Fn(&str, &Path, u64) -> Result<(), Failed>,
) -> Result<(), String> {
    for remote in set.files {
        let at = to.join(remote.name);
        if is_there(remote, &at, voice)? {
            continue;
        }
        std::fs::create_dir_all(to).map_err(|e| format!("{}: cannot create the directory: {e}", to.display()))?;
        let partial = to.join(format!(".{}.partial", remote.name));
        let mut problems = Vec::new();
        let brought = set.mirrors.iter().any(|mirror| {
            let address = format!("{mirror}{}", remote.name);
            voice.say(&format!("fetching {address}"));
            let result = one(remote, &address, &partial, &at, &download);
            result.inspect_err(|problem| problems.push(format!("  {address}: {problem}"))).is_ok()
        });
        if !brought {
            let (problems, name, kind) = (problems.join("\n"), remote.name, set.kind);
            let hint = format!("bring the files otherwise, and take them with: stein data fetch {kind} --from FOLDER");
            return Err(format!("{name} cannot be had:\n{problems}\n{hint}"));
        }
    }
    Ok(())
}

/// Downloads a file beside its place and takes it there if it is whole.
fn one(
    remote: &RemoteFile,
    address: &str,
    partial: &Path,
    at: &Path,
    download: impl Fn(&str, &Path, u64) -> Result<(), Failed>,
) -> Result<(), String> {
    // A download may have ended and its process before it was taken.
    if remote.is_whole(partial).map_err(|e| e.to_string())? != Some(true) {
        let length = || partial.metadata().map_or(0, |about| about.len());
        if length() >= remote.bytes {
            remove(partial);
        }
        match download(address, partial, remote.bytes) {
            Ok(()) => {}
            // What is there stays: the next attempt goes on behind it.
            Err(Failed::Broken(problem)) => return Err(problem),
            Err(Failed::Refused(problem)) => {
                remove(partial);
                return Err(problem);
            }
        }
    }
    let taken = remote.take(partial, at).map_err(|e| e.to_string());
    // What is not the file is worth nothing, and what was taken is there twice.
    remove(partial);
    taken
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn is_there(remote: &RemoteFile, at: &Path, voice: Voice) -> Result<bool, String> {
    match remote.is_whole(at).map_err(|e| e.to_string())? {
        Some(true) => {
            voice.more(&format!("{} is there", at.display()));
            Ok(true)
        }
        // Somebody's own file: not ours to overwrite.
        Some(false) => Err(format!(
            "{} is there, and is not the file that the mirrors have (its SHA-256 differs); move it away",
            at.display()
        )),
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

/// By curl, which nearly every system has and which knows its proxies and certificates.
fn curl(address: &str, partial: &Path, most: u64) -> Result<(), Failed> {
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--location", "--silent", "--show-error", "--connect-timeout", "20", "--retry", "2"]);
    curl.args(["--speed-limit", "1", "--speed-time", "60", "--continue-at", "-"]);
    curl.args(["--max-filesize", &most.to_string(), "--output"]).arg(partial).arg(address);
    let ended = curl.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
    let said = ended.map_err(|e| Failed::Broken(format!("cannot start curl, which downloads: {e}")))?;
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

    const QUIET: Voice = Voice { quiet: true, verbose: false };
    const SET: FileSet = FileSet {
        kind: "abc",
        folder: "data/abc",
        mirrors: &["first/", "second/"],
        files: &[RemoteFile {
            name: "abc",
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        }],
    };

    /// Mirrors that give one of these at a time, behind what is there.
    fn fetched(folder: &Path, given: &[Result<&str, Failed>]) -> (Result<(), String>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let result = fetch(&SET, folder, QUIET, |address, partial, most| {
            assert_eq!(most, 3);
            let i = asked.borrow().len();
            asked.borrow_mut().push(address.to_owned());
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(partial).unwrap();
            match &given[i] {
                Ok(text) => file.write_all(text.as_bytes()).map_err(|e| Failed::Broken(e.to_string())),
                Err(Failed::Broken(text)) => {
                    file.write_all(text.as_bytes()).unwrap();
                    Err(Failed::Broken("the line is cut".into()))
                }
                Err(Failed::Refused(why)) => Err(Failed::Refused(why.clone())),
            }
        });
        (result, asked.into_inner())
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
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
        assert!(take(&SET, from.path(), folder.path(), QUIET).unwrap_err().contains("move it away"));
        assert_eq!(std::fs::read(folder.path().join("abc")).unwrap(), b"mine");
        std::fs::remove_file(folder.path().join("abc")).unwrap();
        take(&SET, from.path(), folder.path(), QUIET).unwrap();
        assert_eq!(std::fs::read(folder.path().join("abc")).unwrap(), b"abc");
    }
}
