//! Stopped anywhere, a run ends where an undisturbed one ends.

use std::process::{Child, Command};

use stein_record::{RunDir, State};

use crate::harness::{Folder, SMALL, Said, hide_drivers, newest_step};

/// Long enough to be stopped in the middle.
pub(crate) const LONG: &[&str] = &["run", "small.toml", "--set", "training.steps=3000"];

/// All that must be the same, bit for bit.
pub(crate) fn results(run: &RunDir) -> (Vec<u8>, Vec<u8>, String, String) {
    let mut evaluation = run.read_evaluation().unwrap().unwrap();
    evaluation.sampling_seconds = 0.0;
    (
        std::fs::read(run.network()).unwrap(),
        std::fs::read(run.sample("final.npy")).unwrap(),
        std::fs::read_to_string(run.metrics()).unwrap(),
        serde_json::to_string(&evaluation).unwrap(),
    )
}

pub(crate) fn undisturbed() -> &'static (Vec<u8>, Vec<u8>, String, String) {
    static RESULTS: std::sync::OnceLock<(Vec<u8>, Vec<u8>, String, String)> = std::sync::OnceLock::new();
    RESULTS.get_or_init(|| {
        let folder = Folder::with(SMALL);
        folder.stein(LONG).exits(0);
        results(&folder.cell())
    })
}

pub(crate) fn same_as_undisturbed(folder: &Folder) {
    let (ours, theirs) = (results(&folder.cell()), undisturbed());
    assert!(ours.0 == theirs.0, "the weights differ");
    assert!(ours.1 == theirs.1, "the samples differ");
    assert!(ours.2 == theirs.2, "the metrics differ: {}", first_difference(&ours.2, &theirs.2));
    assert_eq!(ours.3, theirs.3, "the evaluations differ");
}

fn first_difference(a: &str, b: &str) -> String {
    let pair = a.lines().zip(b.lines()).find(|(a, b)| a != b);
    pair.map_or_else(
        || format!("{} and {} lines", a.lines().count(), b.lines().count()),
        |(a, b)| format!("{a} and {b}"),
    )
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// Starts the long run and kills it once `ready` returns.
fn kill_once(folder: &Folder, ready: impl Fn(&Folder)) {
    let mut child = folder.start(LONG);
    ready(folder);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn stopped_by(name: &str, code: i32) {
    let folder = Folder::with(SMALL);
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(200);
    signal(&child, name);
    let said = Said(child.wait_with_output().unwrap()).exits(code);
    assert!(said.err().contains("the same command goes on"), "{}", said.err());
    let record = folder.cell().read_record().unwrap().unwrap();
    assert_eq!(record.state, State::Interrupted);
    assert!(record.progress.step < 3000, "it was stopped before the end");
    let again = folder.stein(LONG).exits(0);
    assert!(again.err().contains("resuming at step"), "{}", again.err());
    assert_eq!(folder.cell().read_record().unwrap().unwrap().sessions, 2);
    same_as_undisturbed(&folder);
}

#[test]
fn sigint_saves_and_the_run_goes_on() {
    stopped_by("INT", 130);
}

#[test]
fn sigterm_saves_and_the_run_goes_on() {
    stopped_by("TERM", 143);
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let folder = Folder::with(SMALL);
    for step in [100, 900, 1700] {
        kill_once(&folder, |folder| folder.wait_for_checkpoint(step));
    }
    folder.stein(LONG).exits(0);
    same_as_undisturbed(&folder);
}

#[test]
fn a_run_resumes_on_the_cpu_with_every_driver_hidden() {
    let folder = Folder::with(SMALL);
    kill_once(&folder, |folder| folder.wait_for_checkpoint(100));
    let mut command = folder.command(LONG);
    hide_drivers(&mut command);
    Said(command.output().unwrap()).exits(0);
    same_as_undisturbed(&folder);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let folder = Folder::with(SMALL);
    kill_once(&folder, |folder| folder.wait_for_checkpoint(300));
    let checkpoints = folder.training().checkpoints();
    let newest = newest_step(&checkpoints).unwrap();
    let file = checkpoints.join(format!("step-{newest}/optimizer.safetensors"));
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    let said = folder.stein(LONG).exits(0);
    assert!(said.err().contains("skipping the checkpoint") && said.err().contains("checksum"), "{}", said.err());
    same_as_undisturbed(&folder);
}

#[test]
fn with_every_checkpoint_damaged_nothing_is_overwritten() {
    let folder = Folder::with(SMALL);
    kill_once(&folder, |folder| folder.wait_for_checkpoint(200));
    let checkpoints = folder.training().checkpoints();
    for entry in std::fs::read_dir(&checkpoints).unwrap() {
        let manifest = entry.unwrap().path().join("manifest.json");
        if manifest.is_file() {
            std::fs::write(manifest, "{").unwrap();
        }
    }
    let said = folder.stein(LONG).exits(6);
    assert!(said.err().contains("no checkpoint can be used"), "{}", said.err());
}

#[test]
fn two_processes_do_not_work_on_one_cell() {
    let folder = Folder::with(SMALL);
    let mut child = folder.start(LONG);
    folder.wait_for_checkpoint(50);
    // It is there for as long as the others take.
    signal(&child, "STOP");
    let second = folder.stein(LONG).exits(7);
    assert!(second.err().contains(&format!("process {}", child.id())), "{}", second.err());
    // Readers are not kept out.
    folder.stein(&["list", "runs"]).exits(0);
    folder.stein(&["report"]).exits(0);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs `text` undisturbed, and again with a kill once `ready` says so; both must end alike.
fn killed_and_resumed(text: &str, ready: impl Fn(&Folder)) -> Folder {
    let whole = Folder::with(text);
    whole.stein(LONG).exits(0);
    let folder = Folder::with(text);
    kill_once(&folder, ready);
    folder.stein(LONG).exits(0);
    assert!(results(&folder.cell()) == results(&whole.cell()));
    whole
}

fn wait_for_weights(folder: &Folder) {
    folder.wait_for("trained weights", |run| run.network().is_file());
}

/// Early stopping strikes long before the last step.
fn patient() -> String {
    let settings = "[training]\nema = 0.0\npatience = 2\nevaluate-every = 100\nlearning-rate-schedule = \"constant\"";
    SMALL.replace("[training]", settings)
}

#[test]
fn patience_is_kept_over_a_stop() {
    let whole = killed_and_resumed(&patient(), |folder| folder.wait_for_checkpoint(100));
    let stopped_at = whole.cell().read_evaluation().unwrap().unwrap().step;
    assert!(stopped_at < 3000, "early stopping must have struck");
}

#[test]
fn a_run_that_stopped_early_does_not_train_on_after_a_kill() {
    let text = patient().replace("steps-per-level = 3", "steps-per-level = 2000");
    let whole = killed_and_resumed(&text, wait_for_weights);
    assert!(whole.cell().read_evaluation().unwrap().unwrap().step < 3000);
}

#[test]
fn measurements_are_the_same_when_checkpoints_fall_between_them() {
    let text = SMALL.replace("log-every = 20", "log-every = 30\naccumulate = 2");
    killed_and_resumed(&text, |folder| folder.wait_for_checkpoint(250));
}

#[test]
fn a_signal_while_samples_are_drawn_stops_at_once() {
    let text = SMALL.replace("steps-per-level = 3", "steps-per-level = 4000");
    let short: &[&str] = &["run", "small.toml", "--set", "training.steps=40"];
    let folder = Folder::with(&text);
    let child = folder.start(short);
    wait_for_weights(&folder);
    signal(&child, "TERM");
    Said(child.wait_with_output().unwrap()).exits(143);
    assert!(!folder.cell().evaluation().exists(), "it was stopped while it sampled");
    folder.stein(short).exits(0);
    assert_eq!(folder.cell().read_record().unwrap().unwrap().state, State::Finished);
}

/// Batches so large that they are made on a thread ahead of the steps.
fn large() -> String {
    SMALL.replace("train = 400", "train = 600").replace("batch-size = 64", "batch-size = 512")
}

#[test]
fn batches_that_were_made_for_nothing_are_made_again() {
    let whole = Folder::with(&large());
    whole.stein(LONG).exits(0);
    let folder = Folder::with(&large());
    kill_once(&folder, |folder| folder.wait_for_checkpoint(100));
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(600);
    signal(&child, "TERM");
    Said(child.wait_with_output().unwrap()).exits(143);
    folder.stein(LONG).exits(0);
    assert!(results(&folder.cell()) == results(&whole.cell()));
}

#[test]
fn a_signal_while_a_checkpoint_is_written_leaves_one_of_the_last_step() {
    let rarely: &[&str] = &["run", "small.toml"];
    let always = &[rarely, &["--set", "training.checkpoint-every=1"]].concat();
    let whole = Folder::with(SMALL);
    whole.stein(rarely).exits(0);
    let folder = Folder::with(SMALL);
    for (step, name) in [(20, "KILL"), (60, "TERM")] {
        let mut child = folder.start(always);
        folder.wait_for_checkpoint(step);
        signal(&child, name);
        child.wait().unwrap();
    }
    let (training, cell) = (folder.training(), folder.cell());
    let stopped_at = cell.read_record().unwrap().unwrap().progress.step;
    assert!((60..600).contains(&stopped_at), "{stopped_at}");
    assert_eq!(newest_step(&training.checkpoints()), Some(stopped_at));
    let again = folder.stein(always).exits(0);
    assert!(again.err().contains(&format!("resuming at step {stopped_at} of 600")), "{}", again.err());
    assert!(results(&cell) == results(&whole.cell()));
}

/// Something at the place of what a checkpoint is written into.
fn in_the_way(checkpoints: &std::path::Path) {
    for step in (50..=3000).step_by(50) {
        // A set that is there stays.
        let _ = std::fs::OpenOptions::new().write(true).create_new(true).open(checkpoints.join(format!("step-{step}")));
    }
}

fn out_of_the_way(checkpoints: &std::path::Path) {
    for entry in std::fs::read_dir(checkpoints).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_the_run() {
    let folder = Folder::with(SMALL);
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(200);
    let checkpoints = folder.training().checkpoints();
    in_the_way(&checkpoints);
    let said = Said(child.wait_with_output().unwrap()).exits(8);
    assert!(said.err().contains("cannot rename to") && said.err().contains("/step-"), "{}", said.err());
    out_of_the_way(&checkpoints);
    let record = folder.cell().read_record().unwrap().unwrap();
    assert_eq!(record.state, State::Failed);
    let newest = newest_step(&checkpoints).unwrap();
    assert!((200..3000).contains(&newest), "{newest}");
    assert!(!folder.cell().network().exists());
    let again = folder.stein(LONG).exits(0);
    assert!(again.err().contains(&format!("resuming at step {newest} of")), "{}", again.err());
    same_as_undisturbed(&folder);
}

/// Metrics at every step outgrow what a file may have.
#[cfg(unix)]
#[test]
fn metrics_that_cannot_be_written_end_the_run_and_it_goes_on() {
    let text = SMALL.replace("log-every = 20", "log-every = 1");
    let whole = Folder::with(&text);
    whole.stein(LONG).exits(0);
    let folder = Folder::with(&text);
    // In blocks of 512 bytes. A write beyond is to be an error, not a signal.
    let limited = "trap '' XFSZ; ulimit -f 128; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_stein")]).args(LONG).current_dir(folder.path());
    let said = Said(command.output().unwrap()).exits(8);
    assert!(said.err().contains("metrics.jsonl: cannot append"), "{}", said.err());
    assert_eq!(folder.cell().read_record().unwrap().unwrap().state, State::Failed);
    let metrics = std::fs::read(folder.training().metrics()).unwrap();
    assert_eq!(metrics.len(), 128 * 512);
    // What an earlier version went on to write when there was room again.
    let rest = b"{\"step\":2000,\"split\":\"train\",\"name\":\"loss\",\"value\":1.5}\n";
    std::fs::write(folder.training().metrics(), [&metrics[..], rest].concat()).unwrap();
    let again = folder.stein(LONG).exits(0);
    assert!(again.err().contains("resuming at step"), "{}", again.err());
    assert!(results(&folder.cell()) == results(&whole.cell()));
}

#[test]
fn a_last_checkpoint_that_cannot_be_written_is_no_end() {
    let once: &[&str] = &["run", "small.toml", "--set", "training.checkpoint-every=0"];
    let folder = Folder::with(SMALL);
    folder.stein(once).exits(0);
    let checkpoints = folder.training().checkpoints();
    std::fs::remove_dir_all(folder.path().join("runs")).unwrap();
    std::fs::create_dir_all(&checkpoints).unwrap();
    in_the_way(&checkpoints);
    // What somebody else left there is none of its own.
    std::fs::write(checkpoints.join(".partial-x"), "").unwrap();
    let said = folder.stein(once).exits(8);
    assert!(said.err().contains("cannot rename to") && said.err().contains("/step-600"), "{}", said.err());
    assert_eq!(folder.cell().read_record().unwrap().unwrap().state, State::Failed);
    assert!(!folder.cell().network().exists());
}
