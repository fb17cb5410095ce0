//! One training for all cells that differ in nothing that it reads.

use std::collections::BTreeSet;
use std::process::Child;

use stein_record::{RunDir, State};

use crate::harness::{Folder, SMALL, Said};
use crate::resume::{LONG, results, same_as_undisturbed, signal, undisturbed};
use crate::sweep::{TWO_BY_TWO, page, plan, runs, states, tiny};

/// The same network as [`LONG`]'s, drawn from otherwise.
const OTHER: &[&str] = &[LONG[0], LONG[1], LONG[2], LONG[3], "--set", "sampler.steps-per-level=2"];

/// Their training has begun and not ended.
fn wait_for_training(folder: &Folder) {
    folder.wait_for_checkpoint(100);
}

fn trained(run: &RunDir) -> String {
    run.read_record().unwrap().unwrap().trained.expect("a training")
}

#[test]
fn cells_that_differ_in_sampling_train_once() {
    let folder = Folder::with(&tiny("sampler.steps-per-level = [2, 3, 4]"));
    let planned = folder.stein(&["plan", "small.toml"]).exits(0);
    assert!(planned.out().contains("networks 1 for 3 cells, 1 to train"), "{}", planned.out());
    assert!(planned.out().contains("of training for 1 network,"), "{}", planned.out());
    let names: BTreeSet<String> = plan(&folder, &[]).iter().map(|c| c["training"].as_str().unwrap().into()).collect();
    folder.stein(&["run", "small.toml", "--jobs", "2"]).exits(0);
    let training = folder.training();
    assert_eq!(names, BTreeSet::from([training.name()]));
    let record = training.read_record().unwrap().unwrap();
    assert_eq!((record.state, record.sessions, record.progress.step), (State::Finished, 1, 40));
    assert!(record.is_training() && record.hash.starts_with(&training.name()));
    let cells = runs(&folder);
    assert_eq!(cells.len(), 3, "a training is no run");
    for cell in &cells {
        let own = cell.read_record().unwrap().unwrap();
        assert_eq!((&own.trained, &own.trainer), (&Some(training.name()), &record.trainer));
        assert_eq!((own.timings.training, own.progress.step), (record.timings.training, 40));
        assert!(!cell.checkpoints().exists() && !own.is_training());
        let log = std::fs::read_to_string(cell.log()).unwrap();
        assert_eq!(log.contains("trained "), Some(cell.name()) != record.trainer, "{log}");
    }
    let planned = folder.stein(&["plan", "small.toml", "--set", "sweep.sampler.steps-per-level=[2, 5]"]).exits(0);
    assert!(planned.out().contains("networks 1 for 2 cells, 0 to train"), "{}", planned.out());
    assert!(planned.out().contains("not begun  trained"), "{}", planned.out());
    let html = std::fs::read_to_string(page(&folder)).unwrap();
    assert!(html.contains("3 cells share 1 trained network"));

    // A cell has all that it needs, and is what it would be alone.
    std::fs::remove_dir_all(training.path().parent().unwrap()).unwrap();
    let alone = Folder::with(&SMALL.replace("steps = 600", "steps = 40"));
    alone.stein(&["run", "small.toml", "--set", "sampler.steps-per-level=4"]).exits(0);
    let like_it = |run: &&RunDir| run.name().contains("4");
    let cell = cells.iter().find(like_it).expect("a cell of 4 steps");
    assert!(results(cell) == results(&alone.cell()), "a shared network gives other results");
    folder.stein(&["sample", cell.path().to_str().unwrap(), "-n", "8"]).exits(0);
    folder.stein(&["report", "small.toml"]).exits(0);
}

#[test]
fn a_later_run_takes_the_network_that_is_there() {
    let folder = Folder::with(&SMALL.replace("steps = 600", "steps = 40"));
    folder.stein(&["run", "small.toml"]).exits(0);
    let first = folder.cell();
    let said = folder.stein(&["run", "small.toml", "--set", "evaluation.samples=50"]).exits(0);
    assert!(said.err().contains(&format!("(by {})", first.name())), "{}", said.err());
    let training = folder.training();
    let [a, b] = &runs(&folder)[..] else { panic!("two runs") };
    assert_eq!(std::fs::read(a.network()).unwrap(), std::fs::read(b.network()).unwrap());
    assert_eq!(trained(a), trained(b));
    let second = if a.name() == first.name() { b } else { a };
    let html = std::fs::read_to_string(folder.path().join(format!("reports/small/{}.html", second.name()))).unwrap();
    assert!(html.contains("trained by"));
    // Its page is the experiment's.
    let said = folder.stein(&["report", training.path().to_str().unwrap()]).exits(0);
    assert!(said.out().trim().ends_with("reports/small/index.html"), "{}", said.out());
    // Another seed is another network, and without steps there is none.
    folder.stein(&["run", "small.toml", "--set", "seed=1"]).exits(0);
    folder.stein(&["run", "small.toml", "--set", "training.steps=0"]).exits(0);
    assert_eq!(folder.trainings().len(), 2);
}

/// What a cell says that finds another process at its training.
const WAITING: &str = "waiting for the network that process";

fn killed(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn who_waits_for_a_training_takes_over_from_the_dead() {
    let folder = Folder::with(SMALL);
    let first = folder.start(LONG);
    wait_for_training(&folder);
    // It keeps its lock and trains no further, however slow the others are to begin.
    signal(&first, "STOP");
    let [asked, mut second] = [OTHER.to_vec(), [OTHER, &["--set", "evaluation.frames=6"]].concat()].map(|arguments| {
        let (child, said) = folder.start_telling(&arguments);
        let begun = std::time::Instant::now();
        while !std::fs::read_to_string(&said).unwrap().contains(WAITING) {
            assert!(begun.elapsed().as_secs() < 60, "it does not wait within a minute");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child
    });
    signal(&asked, "TERM");
    Said(asked.wait_with_output().unwrap()).exits(143);
    killed(first);
    assert!(second.wait().unwrap().success());
    folder.stein(LONG).exits(0);
    let training = folder.training().read_record().unwrap().unwrap();
    assert_eq!((training.state, training.sessions), (State::Finished, 2));
    assert!(std::fs::read(folder.training().network()).unwrap() == undisturbed().0, "the weights differ");
    assert!(std::fs::read_to_string(folder.training().metrics()).unwrap() == undisturbed().2, "the metrics differ");
}

#[test]
fn a_training_that_diverges_is_not_tried_for_each_cell() {
    let wild = "clip = 0.0\noptimizer = { learning-rate = 1e30 }\nbatch-size = 64";
    let text = tiny("sampler.steps-per-level = [2, 3, 4]").replace("batch-size = 64", wild);
    let folder = Folder::with(&text);
    for sessions in [1, 2] {
        let said = folder.stein(&["run", "small.toml"]).exits(1);
        assert!(said.out().contains("cells   0 finished, 0 skipped, 3 failed"), "{}", said.out());
        assert_eq!(states(&folder), [State::Diverged; 3]);
        let record = folder.training().read_record().unwrap().unwrap();
        assert_eq!((record.state, record.sessions), (State::Diverged, sessions));
        for run in runs(&folder) {
            assert_eq!(run.read_record().unwrap().unwrap().reason, record.reason);
        }
    }
}

/// Makes of a run what earlier versions left: checkpoints in its own folder, of its own configuration.
fn age(folder: &Folder) {
    let (cell, training) = (folder.cell(), folder.training());
    let mut record = cell.read_record().unwrap().unwrap();
    (record.trained, record.trainer) = (None, None);
    cell.write_record(&record).unwrap();
    std::fs::rename(training.checkpoints(), cell.checkpoints()).unwrap();
    std::fs::rename(training.metrics(), cell.metrics()).unwrap();
    for set in stein_record::run_dir::directories(&cell.checkpoints()).unwrap() {
        let path = set.join("manifest.json");
        // What is half written has none.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        std::fs::write(&path, text.replace(training_hash(&training).as_str(), &record.hash)).unwrap();
    }
    std::fs::remove_dir_all(training.path().parent().unwrap()).unwrap();
}

fn training_hash(training: &RunDir) -> String {
    training.read_record().unwrap().unwrap().hash
}

#[test]
fn a_run_of_an_earlier_version_goes_on_where_it_lies() {
    let folder = Folder::with(SMALL);
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(200);
    killed(child);
    age(&folder);
    let said = folder.stein(LONG).exits(0);
    assert!(said.err().contains("resuming at step"), "{}", said.err());
    assert!(folder.trainings().is_empty());
    same_as_undisturbed(&folder);
}

#[test]
fn two_jobs_give_what_one_gives() {
    let text = tiny(&format!("{TWO_BY_TWO}\nsampler.steps-per-level = [2, 3]"));
    let all = |jobs: &str| {
        let folder = Folder::with(&text);
        let said = folder.stein(&["run", "small.toml", "--jobs", jobs]).exits(0);
        assert_eq!(folder.trainings().len(), 4);
        let cells = runs(&folder);
        assert_eq!(cells.len(), 8);
        // Nobody waits for a network that another trains: one of each training goes first.
        let begun: Vec<String> = said.err().lines().filter(|line| line.ends_with("begins")).map(String::from).collect();
        let of = |line: &String| cells.iter().find(|cell| line.contains(&cell.name())).map(trained);
        assert_eq!(begun[..4].iter().map(of).collect::<BTreeSet<_>>().len(), 4, "{begun:?}");
        cells.iter().map(|run| (run.name(), results(run))).collect::<Vec<_>>()
    };
    assert!(all("1") == all("2"), "results depend on --jobs");
}
