//! What happens in the middle of a save: signals and errors at each system call of it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use stein_record::checkpoint;

use crate::harness::{Folder, Said, newest_step};
use crate::scenario::{Scenario, signal};
use crate::strace::{self, Call};
use crate::tally::{Tally, repetitions};

/// Two saves; the second removes what the first has left.
static TWO_SAVES: Scenario = Scenario::new(&[
    "training.steps=20",
    "training.checkpoint-every=10",
    "training.log-every=5",
    "training.keep-checkpoints=1",
]);

/// A folder in which the first save is done and the second is not begun.
struct Half {
    folder: Folder,
    /// All that the second session does to files whose names are known: its save, and what comes before and after.
    calls: Vec<Call>,
}

impl Half {
    /// `None` where there is no strace: the test is left out.
    #[track_caller]
    fn of_two_saves() -> Option<Self> {
        if !strace::is_there() {
            return None;
        }
        let (folder, other) = (TWO_SAVES.folder(), TWO_SAVES.folder());
        TWO_SAVES.run(&other).exits(0);
        let path = format!("runs/small/trained/{}/checkpoints/.partial-step-20", other.training().name());
        let name = if cfg!(target_arch = "x86_64") { "mkdir" } else { "mkdirat" };
        let begin = Call { name: name.into(), path, time: 1 };
        let ended = strace::inject(&folder, &begin, "signal=KILL", &TWO_SAVES.arguments()).output().expect("strace");
        assert_eq!(ended.status.signal(), Some(9), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(newest_step(&folder.training().checkpoints()), Some(10));
        let mut half = Self { folder, calls: Vec::new() };
        half.calls = strace::calls(&half.copy(), &TWO_SAVES.arguments());
        Some(half)
    }

    fn copy(&self) -> Folder {
        let folder = Folder::new();
        let from = self.folder.path().join(".");
        assert!(Command::new("cp").arg("-a").arg(from).arg(folder.path()).status().expect("cp").success());
        folder
    }

    /// The calls of the save.
    fn of_the_save(&self) -> Vec<&Call> {
        let found: Vec<_> = self.calls.iter().filter(|call| call.path.contains("/checkpoints")).collect();
        for (name, at_least) in [("write", 5), ("fsync", 7), ("rename", 1), ("unlink", 1)] {
            let there = found.iter().filter(|call| call.name.starts_with(name)).count();
            assert!(there >= at_least, "{there} calls of {name}: {found:?}");
        }
        found
    }

    /// All others: each of them, or some.
    fn beside_the_save(&self) -> Vec<&Call> {
        let found: Vec<_> = self.calls.iter().filter(|call| !call.path.contains("/checkpoints")).collect();
        assert!(found.len() > 20, "{found:?}");
        let step = repetitions(found.len().div_ceil(5), 1);
        found.into_iter().step_by(step).collect()
    }

    /// Those of some names.
    fn named(&self, names: &[&str]) -> Vec<&Call> {
        let is_wanted = |call: &&Call| names.iter().any(|name| call.name.starts_with(name));
        self.of_the_save().into_iter().chain(self.beside_the_save()).filter(is_wanted).collect()
    }

    /// Does something at a call of the second session.
    fn meddle(&self, call: &Call, what: &str) -> (Folder, Output) {
        let folder = self.copy();
        let ended = strace::inject(&folder, call, what, &TWO_SAVES.arguments()).output().expect("strace starts");
        (folder, ended)
    }

    fn killed_at(&self, mut tally: Tally, calls: &[&Call]) {
        for call in calls {
            let (folder, ended) = self.meddle(call, "signal=KILL");
            assert_eq!(ended.status.signal(), Some(9), "{call:?} was not met");
            tally.injected();
            keeps_a_checkpoint(&folder);
            TWO_SAVES.ends_alike(&folder);
            tally.survived();
        }
    }

    /// The run ends with 8 and a word on what could not be done, and goes on once it can.
    fn fails_at(&self, mut tally: Tally, error: &str, says: &str, calls: &[&Call]) {
        for call in calls {
            let (folder, ended) = self.meddle(call, &format!("error={error}"));
            tally.injected();
            let said = Said(ended).exits(8);
            assert!(said.err().contains("runs/small/") && said.err().contains(says), "{call:?}: {}", said.err());
            keeps_a_checkpoint(&folder);
            TWO_SAVES.ends_alike(&folder);
            tally.survived();
        }
    }
}

/// Some set that is whole is there, whatever happened.
fn keeps_a_checkpoint(folder: &Folder) {
    let training = folder.training();
    let hash = training.read_record().unwrap().expect("a record").hash;
    let found = checkpoint::newest(&training.checkpoints(), &hash, stein_record::file::ARRAYS).unwrap();
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
    assert!(found.set.is_some(), "the last good set is gone");
}

#[test]
fn killed_at_each_call_of_a_save_a_run_goes_on() {
    if let Some(half) = Half::of_two_saves() {
        half.killed_at(Tally::of("SIGKILL at each call of a save"), &half.of_the_save());
    }
}

#[test]
fn killed_at_any_other_call_a_run_goes_on() {
    if let Some(half) = Half::of_two_saves() {
        half.killed_at(Tally::of("SIGKILL at other calls of a session"), &half.beside_the_save());
    }
}

#[test]
fn a_disk_that_does_not_sync_ends_a_run_that_goes_on_later() {
    if let Some(half) = Half::of_two_saves() {
        half.fails_at(Tally::of("EIO of a sync"), "EIO", "Input/output error", &half.named(&["fsync", "fdatasync"]));
    }
}

#[test]
fn a_disk_that_is_full_at_a_call_ends_a_run_that_goes_on_later() {
    if let Some(half) = Half::of_two_saves() {
        let tally = Tally::of("ENOSPC of a write or rename");
        half.fails_at(tally, "ENOSPC", "No space left", &half.named(&["write", "rename"]));
    }
}

#[test]
fn asked_to_stop_in_the_middle_of_a_save_a_run_makes_it_whole() {
    let Some(half) = Half::of_two_saves() else { return };
    let mut tally = Tally::of("SIGTERM in the middle of a save");
    for call in half.of_the_save().into_iter().step_by(repetitions(3, 1)) {
        let (folder, ended) = half.meddle(call, "signal=TERM");
        tally.injected();
        Said(ended).exits(143);
        assert_eq!(newest_step(&folder.training().checkpoints()), Some(20), "{call:?}");
        keeps_a_checkpoint(&folder);
        TWO_SAVES.ends_alike(&folder);
        tally.survived();
    }
}

/// Waits for something that another process does.
fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what} within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How a process has ended that its parent has not asked of yet, as `wait` gives it.
fn exit_status(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let is_over = fields.starts_with('Z');
    fields.split_whitespace().last()?.parse().ok().filter(|_| is_over)
}

#[test]
fn a_second_sigint_does_not_wait_for_a_save() {
    let Some(half) = Half::of_two_saves() else { return };
    let mut tally = Tally::of("SIGINT twice");
    let is_sync = |call: &&&Call| call.name == "fsync" && call.path.contains("/.partial-step-20/");
    let calls = half.of_the_save();
    for call in calls.iter().filter(is_sync).take(repetitions(1, 5)) {
        let folder = half.copy();
        // The save hangs longer than the test waits.
        let slow = "delay_enter=600000000";
        let mut strace = strace::inject(&folder, call, slow, &TWO_SAVES.arguments()).spawn().expect("strace starts");
        wait_for("save", || folder.path().join(&call.path).exists());
        let lock = std::fs::read_to_string(folder.cell().path().join(".lock")).unwrap();
        let process: u32 = lock.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a process");
        signal(process, "INT");
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(exit_status(process), None, "the first waits for the save");
        tally.injected();
        // Those that come together are one.
        wait_for("end", || {
            signal(process, "INT");
            exit_status(process).is_some()
        });
        assert_eq!(exit_status(process), Some(130 << 8));
        // It does not let go of what it delays.
        strace.kill().unwrap();
        strace.wait().unwrap();
        wait_for("end of its threads", || !Path::new("/proc").join(process.to_string()).exists());
        assert_eq!(newest_step(&folder.training().checkpoints()), Some(10), "the save is discarded");
        TWO_SAVES.ends_alike(&folder);
        tally.survived();
    }
}
