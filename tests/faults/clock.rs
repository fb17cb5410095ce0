//! Clocks that go back.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::harness::{Folder, Said};
use crate::needs;
use crate::scenario::{LONG, Scenario, kill, signal};
use crate::tally::{Tally, repetitions};

/// A clock that tells the time of a day in 2001, and each time that it is looked at an hour less. What measures durations is left.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
    static atomic_long looks;
    long failed = syscall(SYS_clock_gettime, clock, at);
    if (!failed && clock == CLOCK_REALTIME)
        at->tv_sec = 1000000000 - 3600 * atomic_fetch_add(&looks, 1);
    return failed;
}
"#;

/// Compiles the clock; `None` where there is no compiler: the test is left out.
#[track_caller]
fn shim(folder: &Folder) -> Option<std::path::PathBuf> {
    folder.write("clock.c", SHIM);
    let library = folder.path().join("clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(folder.path().join("clock.c")).stderr(Stdio::null());
    if cfg!(target_os = "linux") && compiler.status().is_ok_and(|status| status.success()) {
        return Some(library);
    }
    needs::leave_out("cc", "a clock that goes back is put in the system's place by a C compiler, on Linux");
    None
}

/// Another clock for `stein`.
fn at_another_time(folder: &Folder, library: &Path, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    command.env("LD_PRELOAD", library).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut tally = Tally::of("clock set back");
    for i in 0..repetitions(1, 10) {
        let folder = LONG.folder();
        let Some(library) = shim(&folder) else { return };
        // Begun today; gone on with in 2001.
        let child = LONG.start(&folder);
        folder.wait_for_checkpoint(100 + 100 * i as u64);
        kill(child);
        let killed = at_another_time(&folder, &library, &LONG.arguments()).spawn().expect("stein starts");
        let again = |run: &stein_record::RunDir| run.read_record().is_ok_and(|r| r.is_some_and(|r| r.sessions == 2));
        folder.wait_for("second session", again);
        kill(killed);
        tally.injected();
        let ended = at_another_time(&folder, &library, &LONG.arguments()).output().expect("stein starts");
        Said(ended).exits(0);
        let record = folder.cell().read_record().unwrap().unwrap();
        let end = record.ended.expect("an end");
        assert!(
            end.starts_with("2001-") && record.started > end,
            "{} to {end}: the clock was not ours",
            record.started
        );
        for seconds in [record.timings.training, record.timings.sampling, record.timings.steps_per_second] {
            assert!(seconds.is_finite() && (0.0..1e7).contains(&seconds), "{:?}", record.timings);
        }
        for arguments in [&["status", "runs/small"][..], &["report"], &["list", "runs"]] {
            Said(at_another_time(&folder, &library, arguments).output().expect("stein starts")).exits(0);
        }
        LONG.is_alike(&folder);
        tally.survived();
    }
}

/// Gives every file and folder another time.
fn touch(folder: &Path, time: SystemTime) {
    for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() {
            touch(&path, time);
        }
        std::fs::File::open(&path).and_then(|file| file.set_modified(time)).unwrap();
    }
}

/// Long in its evaluation, to be met there.
static EVALUATED: Scenario =
    Scenario::new(&["training.steps=20", "evaluation.level-rows=200", "evaluation.samples=2000"]);

#[test]
fn the_times_of_files_change_nothing() {
    let mut tally = Tally::of("times of files in the past or future");
    let day = Duration::from_secs(24 * 3600);
    for time in [SystemTime::UNIX_EPOCH + day, SystemTime::now() + 30_000 * day] {
        let folder = LONG.folder();
        let child = LONG.start(&folder);
        folder.wait_for_checkpoint(300);
        kill(child);
        touch(&folder.path().join("runs"), time);
        tally.injected();
        let said = folder.stein(&["status", "runs/small"]).exits(4);
        assert!(said.out().contains("interrupted"), "{}", said.out());
        LONG.ends_alike(&folder);
        touch(&folder.path().join("runs"), time);
        folder.stein(&["report"]).exits(0);
        LONG.is_alike(&folder);
        tally.survived();
    }
}

#[test]
fn pictures_of_an_earlier_session_are_drawn_again() {
    let mut tally = Tally::of("pictures from the future");
    for _ in 0..20 {
        let folder = EVALUATED.folder();
        let child = EVALUATED.start(&folder);
        folder.wait_for("samples", |run| run.sample("final.npy").is_file());
        signal(child.id(), "TERM");
        if child.wait_with_output().unwrap().status.code() == Some(143) {
            // Drawn without what was not measured yet, and newer than all that comes.
            folder.stein(&["report"]).exits(0);
            assert!(folder.cell().sample("final.png").is_file());
            touch(&folder.path().join("runs"), SystemTime::now() + Duration::from_secs(3600));
            tally.injected();
            EVALUATED.ends_alike(&folder);
            tally.survived();
            return;
        }
    }
    panic!("a run is never met while it measures");
}
