//! `strace`, which sees each system call of a process and may meddle with it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Folder;
use crate::needs;

/// The calls that change what is on the disk.
pub(crate) const WRITING: &str = "/^(write|fsync|fdatasync|rename.*|mkdir.*|unlink.*|rmdir|link.*)$";

/// A system call that a process makes, of all that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What it is done to, a path in the folder.
    pub(crate) path: String,
    /// Which of those that one thread makes, counted from 1.
    pub(crate) time: usize,
}

/// Whether there is strace, and it may trace; if not, the test is left out.
#[track_caller]
pub(crate) fn is_there() -> bool {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]);
    command.args(["-e", "inject=fsync:error=EIO", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let works = command.status().is_ok_and(|status| status.success());
    if !works {
        needs::leave_out("strace", "there is no strace that traces here: install strace");
    }
    works
}

/// `stein` under strace.
fn strace(folder: &Folder, options: &[&str], arguments: &[&str]) -> Command {
    let stein = folder.command(arguments);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).arg(stein.get_program()).args(stein.get_args());
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `stein` with something done at a call: `signal=KILL`, `error=EIO`, …
pub(crate) fn inject(folder: &Folder, call: &Call, what: &str, arguments: &[&str]) -> Command {
    let (name, time) = (&call.name, call.time);
    // A path is given to a call as the process has it; a file that is open has its own.
    let own = folder.path().canonicalize().expect("a path").join(&call.path);
    let inject = format!("inject={name}:{what}:when={time}");
    let trace = format!("trace={name}");
    let options = ["-o", "/dev/null", "-P", &call.path, "-P", &own.to_string_lossy(), "-e", &trace, "-e", &inject];
    strace(folder, &options, arguments)
}

/// The calls that `stein` makes to files of the folder's `runs` that have the same names each time, in their order.
pub(crate) fn calls(folder: &Folder, arguments: &[&str]) -> Vec<Call> {
    let trace = folder.path().join("trace");
    let options = ["-y", "-o", &trace.to_string_lossy(), "-e", &format!("trace={WRITING}")];
    let ended = strace(folder, &options, arguments).output().expect("strace starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = String::from_utf8_lossy(&std::fs::read(&trace).expect("a trace")).into_owned();
    std::fs::remove_file(trace).expect("a trace");
    let mut made: Vec<(&str, Call)> = Vec::new();
    let own = folder.path().canonicalize().expect("a path");
    for line in text.lines() {
        let Some((thread, name, path)) = parse(line, &own) else { continue };
        let alike = |(other, call): &&(&str, Call)| *other == thread && call.name == name && call.path == path;
        let time = made.iter().filter(alike).count() + 1;
        made.push((thread, Call { name: name.into(), path, time }));
    }
    // Another thread's may be the same: whichever comes first is met.
    let mut calls: Vec<Call> = Vec::new();
    for (_, call) in made {
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    calls
}

/// Thread, name and path of a line of strace's.
fn parse<'a>(line: &'a str, folder: &Path) -> Option<(&'a str, &'a str, String)> {
    let (thread, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return None;
    }
    let folder = format!("{}/", folder.to_string_lossy());
    // Of a rename strace looks at the first path alone.
    let words = if name == "rename" { 2 } else { usize::MAX };
    let words = arguments.split(['<', '>', '"']).take(words);
    let mut paths = words.map(|word| word.strip_prefix(&folder).unwrap_or(word));
    // What has a name of its own each time is not met by it.
    let path = paths.find(|word| word.starts_with("runs/") && !word.contains("/.stein-"))?;
    Some((thread, name, path.to_owned()))
}
