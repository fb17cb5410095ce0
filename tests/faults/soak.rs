//! A long run holds no more at its end than in its middle.

use std::path::Path;
use std::process::Child;

use crate::harness::{Folder, Said, newest_step};
use crate::needs;
use crate::scenario::Scenario;
use crate::tally::{Tally, repetitions};

static SHORT: Scenario =
    Scenario::new(&["training.steps=2000", "training.checkpoint-every=100", "training.log-every=100"]);
static WHOLE: Scenario =
    Scenario::new(&["training.steps=10000", "training.checkpoint-every=100", "training.log-every=100"]);

/// What a process holds at a time.
struct Held {
    step: u64,
    /// Bytes of memory.
    memory: u64,
    handles: usize,
    /// Bytes of files, but for the metrics, a line for each measurement.
    disk: u64,
}

/// What a process holds now, unless it trains no more.
fn held(folder: &Folder, child: &Child) -> Option<Held> {
    let process = Path::new("/proc").join(child.id().to_string());
    let training = folder.trainings().into_iter().next()?;
    if training.network().is_file() {
        return None;
    }
    let statm = std::fs::read_to_string(process.join("statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let handles = std::fs::read_dir(process.join("fd")).ok()?.count();
    let step = newest_step(&training.checkpoints())?;
    Some(Held { step, memory: pages * 4096, handles, disk: size(&folder.path().join("runs")) })
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => size(&path),
        path if path.ends_with("metrics.jsonl") => 0,
        path => path.metadata().map_or(0, |about| about.len()),
    };
    entries.filter_map(Result::ok).map(of).sum()
}

/// The middle one.
fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_long_run_holds_no_more_at_its_end_than_in_its_middle() {
    if !cfg!(target_os = "linux") {
        needs::leave_out("proc", "what a process holds is told by /proc, on Linux");
        return;
    }
    let mut tally = Tally::of("hundred steps of a soak");
    let (scenario, steps) = if repetitions(0, 1) == 1 { (&WHOLE, 10_000) } else { (&SHORT, 2000) };
    let folder = scenario.folder();
    let mut child = scenario.start(&folder);
    let mut all = Vec::new();
    while child.try_wait().unwrap().is_none() {
        all.extend(held(&folder, &child));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    Said(child.wait_with_output().unwrap()).exits(0);
    for _ in 0..steps / 100 {
        tally.injected();
    }
    let quarter = |n: u64| all.iter().filter(move |held| (held.step * 4 / steps).min(3) == n);
    let (middle, end): (Vec<&Held>, Vec<&Held>) = (quarter(1).collect(), quarter(3).collect());
    assert!(middle.len() > 3 && end.len() > 3, "{} and {} looks", middle.len(), end.len());
    let most = |of: &[&Held], what: fn(&Held) -> u64| of.iter().map(|held| what(held)).max().unwrap_or(0);
    let usual = |of: &[&Held], what: fn(&Held) -> u64| median(of.iter().map(|held| what(held)).collect());
    let (memory, disk, handles) =
        (|held: &Held| held.memory, |held: &Held| held.disk, |held: &Held| held.handles as u64);
    let (before, after) = (most(&middle, memory), most(&end, memory));
    // What the heaps of threads that come and go take.
    assert!(after <= before + before / 20 + (2 << 20), "memory grows from {before} to {after} bytes");
    let (before, after) = (most(&middle, disk), most(&end, disk));
    // One looks when a checkpoint is half written or when it is not; what is left behind is left by each.
    let set = size(&folder.training().checkpoints().join(format!("step-{steps}")));
    assert!(after <= before + set + 1024, "the folder grows from {before} to {after} bytes");
    let (before, after) = (usual(&middle, handles), usual(&end, handles));
    assert!(after <= before + 2, "handles grow from {before} to {after}");
    scenario.is_alike(&folder);
    for _ in 0..steps / 100 {
        tally.survived();
    }
}
