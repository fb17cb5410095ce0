//! Signals at any moment.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::harness::{Folder, SMALL, newest_step};
use crate::scenario::{BUSY, Scenario, kill, signal};
use crate::tally::{Random, Tally, repetitions};

const SIGKILL: i32 = 9;

/// Starts a run and signals it after a random part of what it takes undisturbed. Gives how it ended.
fn disturb(scenario: &Scenario, folder: &Folder, name: &str, random: &mut Random) -> ExitStatus {
    let moment = scenario.time().mul_f64(random.unit());
    let mut child = scenario.start(folder);
    std::thread::sleep(moment);
    if child.try_wait().unwrap().is_none() {
        signal(child.id(), name);
    }
    child.wait_with_output().unwrap().status
}

#[test]
fn killed_at_any_moment_a_run_ends_as_if_it_had_not_been() {
    let (mut tally, mut random) = (Tally::of("SIGKILL at a random moment"), Random::of(1));
    let wanted = repetitions(12, 100);
    for _ in 0..20 * wanted {
        let folder = BUSY.folder();
        // It may have been faster than it was undisturbed.
        if disturb(&BUSY, &folder, "KILL", &mut random).signal() == Some(SIGKILL) {
            tally.injected();
            BUSY.ends_alike(&folder);
            tally.survived();
        }
        if tally.injected == wanted {
            return;
        }
    }
    panic!("a run is hardly ever met before its end");
}

#[test]
fn killed_again_and_again_a_run_ends() {
    let (mut tally, mut random) = (Tally::of("SIGKILL again and again"), Random::of(2));
    for _ in 0..repetitions(1, 10) {
        let (folder, before) = (BUSY.folder(), tally.injected);
        let newest = || folder.trainings().iter().filter_map(|training| newest_step(&training.checkpoints())).max();
        while newest().is_none_or(|step| step < 250) && tally.injected < before + 10 {
            let next = newest().unwrap_or(0) + 1;
            let child = BUSY.start(&folder);
            folder.wait_for_checkpoint(next);
            std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            kill(child);
            tally.injected();
        }
        BUSY.ends_alike(&folder);
        (before..tally.injected).for_each(|_| tally.survived());
    }
}

#[test]
fn asked_to_stop_at_any_moment_a_run_goes_on_later() {
    for (test, kind, name, number) in
        [(3, "SIGTERM at a random moment", "TERM", 15), (4, "SIGINT at a random moment", "INT", 2)]
    {
        let (mut tally, mut random) = (Tally::of(kind), Random::of(test));
        for _ in 0..repetitions(4, 30) {
            let folder = BUSY.folder();
            let ended = disturb(&BUSY, &folder, name, &mut random);
            tally.injected();
            // Before there is anything to save the signal's default holds; it may also come too late.
            let code = ended.code();
            assert!(code == Some(128 + number) || code == Some(0) || ended.signal() == Some(number), "{ended}");
            BUSY.ends_alike(&folder);
            tally.survived();
        }
    }
}

#[test]
fn the_cells_of_a_sweep_outlive_who_started_them() {
    let (mut tally, mut random) = (Tally::of("SIGKILL of a sweep"), Random::of(5));
    let text = format!("[sweep]\nseed = [0, 1]\n{SMALL}");
    let arguments = [BUSY.arguments(), vec!["--jobs", "2"]].concat();
    let whole = Folder::with(&text);
    whole.stein(&arguments).exits(0);
    for _ in 0..repetitions(2, 20) {
        let folder = Folder::with(&text);
        let child = folder.start(&arguments);
        std::thread::sleep(BUSY.time().mul_f64(2.0 * random.unit()));
        kill(child);
        tally.injected();
        // The cells that nobody attends any more save a checkpoint first.
        folder.stein(&arguments).exits(0);
        for (ours, theirs) in weights(&folder).iter().zip(weights(&whole)) {
            assert!(*ours == theirs, "the weights differ");
        }
        tally.survived();
    }
}

/// The weights of each cell.
fn weights(folder: &Folder) -> Vec<Vec<u8>> {
    let runs = stein_record::run_dir::list(&folder.path().join("runs")).unwrap();
    assert_eq!(runs.len(), 2);
    runs.iter().map(|run| std::fs::read(run.network()).unwrap()).collect()
}
