//! Signals at any moment.

use std::cmp::Ordering;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::harness::{Folder, SMALL, newest_step};
use crate::scenario::{BUSY, kill, signal};
use crate::tally::{Random, Tally, repetitions};

const SIGKILL: i32 = 9;

/// Disturbs one process after another, each at a random moment of the time that it takes undisturbed, until so many were met.
/// Told that a moment was too early or too late for that, it looks for the next one behind or before it.
fn at_random_moments(
    wanted: usize,
    time: Duration,
    random: &mut Random,
    mut disturb: impl FnMut(Duration) -> Ordering,
) {
    // On a machine that others use too, processes are of any speed: what was learned of one is soon forgotten.
    const MEMORY: usize = 8;
    let whole = (Duration::ZERO, time);
    let (mut met, mut missed, mut between) = (0, 0, whole);
    for _ in 0..50 * wanted {
        if missed > 0 && missed % MEMORY == 0 {
            between = (Duration::ZERO, 2 * time);
        }
        let moment = between.0 + (between.1 - between.0).mul_f64(random.unit());
        match disturb(moment) {
            Ordering::Less => between = (moment, between.1.max(2 * moment)),
            Ordering::Equal => (met, missed, between) = (met + 1, 0, whole),
            Ordering::Greater => between = (between.0.min(moment / 2), moment),
        }
        missed += usize::from(between != whole);
        if met == wanted {
            return;
        }
    }
    panic!("met {met} processes of {wanted} in {} tries: the others were not ready yet or had ended", 50 * wanted);
}

/// Starts a run and signals it at a moment. Gives how it ended.
fn disturb(folder: &Folder, name: &str, moment: Duration) -> ExitStatus {
    let mut child = BUSY.start(folder);
    std::thread::sleep(moment);
    if child.try_wait().unwrap().is_none() {
        signal(child.id(), name);
    }
    child.wait_with_output().unwrap().status
}

#[test]
fn killed_at_any_moment_a_run_ends_as_if_it_had_not_been() {
    let (mut tally, mut random) = (Tally::of("SIGKILL at a random moment"), Random::of(1));
    at_random_moments(repetitions(12, 100), BUSY.time(), &mut random, |moment| {
        let folder = BUSY.folder();
        // It may have been faster than it was undisturbed.
        let ended = disturb(&folder, "KILL", moment);
        if ended.signal() != Some(SIGKILL) {
            assert!(ended.success(), "{ended}");
            return Ordering::Greater;
        }
        tally.injected();
        BUSY.ends_alike(&folder);
        tally.survived();
        Ordering::Equal
    });
}

#[test]
fn killed_again_and_again_a_run_ends() {
    let (mut tally, mut random) = (Tally::of("SIGKILL again and again"), Random::of(2));
    let (wanted, mut met) = (repetitions(1, 10), 0);
    for _ in 0..20 * wanted {
        let (folder, before) = (BUSY.folder(), tally.injected);
        let newest = || folder.trainings().iter().filter_map(|training| newest_step(&training.checkpoints())).max();
        while newest().is_none_or(|step| step < 250) && tally.injected < before + 10 {
            let next = newest().unwrap_or(0) + 1;
            let child = BUSY.start(&folder);
            folder.wait_for_checkpoint(next);
            std::thread::sleep(Duration::from_millis(random.below(30) as u64));
            // It may have come to its end meanwhile.
            if kill(child).signal() == Some(SIGKILL) {
                tally.injected();
            }
        }
        BUSY.ends_alike(&folder);
        (before..tally.injected).for_each(|_| tally.survived());
        met += usize::from(tally.injected > before);
        if met == wanted {
            return;
        }
    }
    panic!("a run is hardly ever met before its end");
}

#[test]
fn asked_to_stop_at_any_moment_a_run_goes_on_later() {
    for (test, kind, name, number) in
        [(3, "SIGTERM at a random moment", "TERM", 15), (4, "SIGINT at a random moment", "INT", 2)]
    {
        let (mut tally, mut random) = (Tally::of(kind), Random::of(test));
        at_random_moments(repetitions(4, 30), BUSY.time(), &mut random, |moment| {
            let folder = BUSY.folder();
            let ended = disturb(&folder, name, moment);
            // Before there is anything to save the signal's default holds; it may also come too late.
            let met = match ended.signal() {
                Some(by) if by == number => Ordering::Less,
                _ if ended.success() => Ordering::Greater,
                _ => Ordering::Equal,
            };
            if met.is_eq() {
                tally.injected();
                assert_eq!(ended.code(), Some(128 + number), "{ended}");
            }
            BUSY.ends_alike(&folder);
            if met.is_eq() {
                tally.survived();
            }
            met
        });
    }
}

#[test]
fn the_cells_of_a_sweep_outlive_who_started_them() {
    let (mut tally, mut random) = (Tally::of("SIGKILL of a sweep"), Random::of(5));
    let text = format!("[sweep]\nseed = [0, 1]\n{SMALL}");
    let arguments = [BUSY.arguments(), vec!["--jobs", "2"]].concat();
    let (whole, begun) = (Folder::with(&text), Instant::now());
    whole.stein(&arguments).exits(0);
    at_random_moments(repetitions(2, 20), begun.elapsed(), &mut random, |moment| {
        let folder = Folder::with(&text);
        let child = folder.start(&arguments);
        std::thread::sleep(moment);
        let ended = kill(child);
        if ended.signal() != Some(SIGKILL) {
            assert!(ended.success(), "{ended}");
            return Ordering::Greater;
        }
        tally.injected();
        // The cells that nobody attends any more save a checkpoint first.
        folder.stein(&arguments).exits(0);
        for (ours, theirs) in weights(&folder).iter().zip(weights(&whole)) {
            assert!(*ours == theirs, "the weights differ");
        }
        tally.survived();
        Ordering::Equal
    });
}

/// The weights of each cell.
fn weights(folder: &Folder) -> Vec<Vec<u8>> {
    let runs = stein_record::run_dir::list(&folder.path().join("runs")).unwrap();
    assert_eq!(runs.len(), 2);
    runs.iter().map(|run| std::fs::read(run.network()).unwrap()).collect()
}
