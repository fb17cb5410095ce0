//! One file, many cells: each in a process of its own, none twice.

use std::path::PathBuf;

use stein_record::{AxisRole, RunDir, State, SweepRecord};

use crate::harness::{Folder, SMALL, Said};
use crate::resume::signal;

/// Two objectives and two seeds, a fraction of a second each.
pub(crate) fn tiny(sweep: &str) -> String {
    let small = SMALL.replace("steps = 600", "steps = 40");
    format!("[sweep]\n{sweep}\n{small}")
}

pub(crate) const TWO_BY_TWO: &str =
    "objective = [{ kind = \"sliced\", name = \"SSM\" }, { kind = \"denoising\" }]\nseed = [0, 1]";

pub(crate) fn plan(folder: &Folder, more: &[&str]) -> Vec<serde_json::Value> {
    let said = folder.stein(&[&["plan", "small.toml", "--json"], more].concat()).exits(0);
    serde_json::from_str::<serde_json::Value>(&said.out()).unwrap().as_array().unwrap().clone()
}

pub(crate) fn runs(folder: &Folder) -> Vec<RunDir> {
    stein_record::run_dir::list(&folder.path().join("runs")).unwrap()
}

pub(crate) fn states(folder: &Folder) -> Vec<State> {
    runs(folder).iter().map(|run| run.read_record().unwrap().unwrap().state).collect()
}

fn record(folder: &Folder) -> SweepRecord {
    SweepRecord::read(&folder.path().join("runs/small")).unwrap().unwrap()
}

pub(crate) fn page(folder: &Folder) -> PathBuf {
    folder.path().join("reports/small/index.html")
}

#[test]
fn every_cell_runs_once() {
    let folder = Folder::with(&tiny(TWO_BY_TWO));
    let said = folder.stein(&["run", "small.toml", "--jobs", "2"]).exits(0);
    assert!(said.out().contains("cells   4 finished, 0 skipped, 0 failed"), "{}", said.out());
    assert_eq!(said.out().matches("report  ").count(), 1, "{}", said.out());
    assert!(page(&folder).is_file());
    let record = record(&folder);
    let names: Vec<&str> = record.cells.iter().map(|cell| cell.cell.as_str()).collect();
    for (name, slug) in names.iter().zip(["ssm-seed-0-", "ssm-seed-1-", "denoising-seed-0-", "denoising-seed-1-"]) {
        assert!(name.starts_with(slug) && name.len() == slug.len() + 8, "{name}");
        assert!(said.err().contains(&format!("{name}  finished in ")), "{}", said.err());
    }
    assert_eq!(record.axes.iter().map(|axis| axis.role).collect::<Vec<_>>(), [AxisRole::Compare, AxisRole::Repeat]);
    let planned = plan(&folder, &[]);
    assert_eq!(runs(&folder).len(), 4);
    for run in runs(&folder) {
        let record = run.read_record().unwrap().unwrap();
        assert_eq!((record.state, record.sessions), (State::Finished, 1));
        assert_eq!(record.cell, run.name());
        let cell = planned.iter().find(|cell| cell["cell"] == run.name()).expect("a planned cell");
        assert_eq!(cell["hash"], record.hash);
        assert_eq!(cell["overrides"]["seed"], record.seed);
        let log = std::fs::read_to_string(run.log()).unwrap();
        assert!(log.contains("device  ") && !log.contains("report  "), "{log}");
        assert!(run.sample("final.png").is_file());
    }

    let again = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(again.out().contains("cells   0 finished, 4 skipped, 0 failed"), "{}", again.out());
    assert!(!again.err().contains("begins"), "{}", again.err());
    // Alone, by --set, a cell is the same cell, whatever its folder is called.
    folder.write("alone.toml", &format!("name = \"small\"\n{}", SMALL.replace("steps = 600", "steps = 40")));
    let alone = folder.stein(&["run", "alone.toml", "--set", "objective.kind=sliced", "--set", "seed=1"]).exits(0);
    assert!(alone.err().contains(&format!("{} is finished", names[1])), "{}", alone.err());
    // More values rename nothing, and only what is new runs.
    let more = folder.stein(&["run", "small.toml", "--set", "sweep.seed=[2, 0, 1]"]).exits(0);
    assert!(more.out().contains("cells   2 finished, 4 skipped, 0 failed"), "{}", more.out());
}

#[test]
fn a_cell_that_diverges_does_not_stop_the_others() {
    let wild =
        "training = [{ name = \"wild\", clip = 0.0, optimizer = { learning-rate = 1e30 } }, { name = \"tame\" }]";
    let folder = Folder::with(&tiny(&format!("{wild}\nseed = [0, 1]")));
    let said = folder.stein(&["run", "small.toml"]).exits(1);
    assert!(said.out().contains("cells   2 finished, 0 skipped, 2 failed"), "{}", said.out());
    assert!(said.err().contains("2 of 4 cells failed") && said.err().contains("diverged at step"), "{}", said.err());
    assert_eq!(states(&folder), [State::Finished, State::Finished, State::Diverged, State::Diverged]);
    assert!(page(&folder).is_file());
}

/// Cells of half a minute; only stopped ones are waited for.
const LONG: &[&str] = &["run", "small.toml", "--set", "training.steps=100000"];

#[test]
fn a_sweep_that_is_asked_to_stop_saves_and_goes_on() {
    let folder = Folder::with(&tiny("seed = [0, 1]"));
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let child = folder.start(LONG);
        folder.wait_for("record of a run", |run| {
            run.read_record().is_ok_and(|record| record.is_some_and(|record| record.state == State::Running))
        });
        folder.wait_for_checkpoint(50);
        signal(&child, name);
        let said = Said(child.wait_with_output().unwrap()).exits(code);
        assert!(said.err().contains("the same command goes on"), "{}", said.err());
        assert_eq!(states(&folder), [State::Interrupted], "the second cell was not begun");
        assert!(!page(&folder).exists());
    }
    assert_eq!(folder.cell().read_record().unwrap().unwrap().sessions, 2);
    let log = std::fs::read_to_string(folder.cell().log()).unwrap();
    assert!(log.contains("resuming at step"), "{log}");
}

#[test]
fn no_cell_outlives_a_sweep_that_is_killed() {
    let text = tiny("seed = [0, 1]").replace("steps = 40", "steps = 3000");
    let folder = Folder::with(&text);
    let mut child = folder.start(&["run", "small.toml"]);
    folder.wait_for_checkpoint(50);
    child.kill().unwrap();
    child.wait().unwrap();
    folder.wait_for("end of the orphan", |run| run.read_record().unwrap().unwrap().state == State::Interrupted);
    // The orphan may hold its lock for a moment after its last word.
    let said = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(said.out().contains(" 0 failed"), "{}", said.out());
    assert_eq!(states(&folder), [State::Finished, State::Finished]);
}

#[test]
fn one_cell_can_be_named() {
    let folder = Folder::with(&tiny(TWO_BY_TWO));
    let cells = plan(&folder, &[]);
    let name = cells[2]["cell"].as_str().unwrap();
    let said = folder.stein(&["run", "small.toml", "--cell", name]).exits(0);
    assert!(said.out().contains("report  ") && said.err().contains(name), "{}{}", said.out(), said.err());
    assert_eq!(folder.cell().name(), name);
    assert_eq!(record(&folder).cells.len(), 4);
    for short in ["denoising-seed-0", &name[name.len() - 8..]] {
        let said = folder.stein(&["run", "small.toml", "--cell", short]).exits(0);
        assert!(said.err().contains("is finished"), "{}", said.err());
    }
    let said = folder.stein(&["run", "small.toml", "--cell", "denoising-sede-0"]).exits(2);
    assert!(said.err().contains("has no cell denoising-sede-0"), "{}", said.err());
    let checked = folder.stein(&["check", "small.toml", "--json", "--cell", name]).exits(0);
    let checked: serde_json::Value = serde_json::from_str(&checked.out()).unwrap();
    assert_eq!((&checked["hash"], &checked["state"]), (&cells[2]["hash"], &"finished".into()));
    assert_eq!(checked["sweep"]["cells"].as_array().unwrap().len(), 4);
    let text = folder.stein(&["check", "small.toml"]).exits(0);
    assert!(text.out().contains("4 cells, all of them valid") && text.out().contains("objective: SSM, denoising"));
    folder.stein(&["report", "small.toml"]).exits(0);
}

#[test]
fn a_plan_says_what_there_is_to_do() {
    let folder = Folder::with(&tiny(TWO_BY_TWO));
    let cells = plan(&folder, &["--set", "sweep.seed=[0, 5]"]);
    let expected = serde_json::json!({ "objective": { "kind": "sliced" }, "seed": 5 });
    assert_eq!(cells[1]["overrides"], expected);
    let said = folder.stein(&["plan", "small.toml"]).exits(0);
    assert_eq!(said.out().matches("not begun").count(), 4, "{}", said.out());
    assert_eq!(said.out().matches("timed    ").count(), 2, "seeds cost the same: {}", said.out());
    assert!(said.out().contains("of training for 4 networks,"), "{}", said.out());
    let silent = folder.stein(&["plan", "small.toml", "--no-measure"]).exits(0);
    assert!(!silent.out().contains("timed    "), "{}", silent.out());
    let many = folder.stein(&["plan", "small.toml", "--set", "sweep.max-cells=3"]).exits(2);
    assert!(many.err().contains("makes 4 cells; at most 3"), "{}", many.err());
    assert!(!folder.path().join("runs").exists(), "planning leaves nothing behind");
    folder.write("small.toml", SMALL);
    let cells = plan(&folder, &[]);
    assert_eq!((cells.len(), &cells[0]["overrides"]), (1, &serde_json::json!({})));
    assert!(cells[0]["cell"].as_str().unwrap().starts_with("seed-0-"));
}

#[test]
fn sixty_cells_keep_their_names_when_an_axis_grows() {
    let kinds = ["explicit", "implicit", "sliced", "denoising"];
    let objectives = |of: &[&str]| {
        let tables: Vec<String> = of.iter().map(|kind| format!("{{ kind = \"{kind}\" }}")).collect();
        format!("objective = [{}]", tables.join(", "))
    };
    let cells = |objectives: String, levels: &str, seeds: &str| {
        let folder = Folder::with(&tiny(&format!("{objectives}\nschedule.levels = {levels}\nseed = {seeds}")));
        let said = |cell: &serde_json::Value| (cell["cell"].to_string(), cell["hash"].to_string());
        plan(&folder, &[]).iter().map(said).collect::<std::collections::BTreeSet<_>>()
    };
    let (levels, seeds) = ("[3, 5, 10, 20]", "[0, 1, 2, 3, 4]");
    let sixty = cells(objectives(&kinds[..3]), levels, seeds);
    assert_eq!(sixty.len(), 60);
    assert_eq!(sixty.iter().map(|cell| &cell.1).collect::<std::collections::BTreeSet<_>>().len(), 60, "hashes differ");
    let grown = [
        (cells(objectives(&kinds), levels, seeds), 80),
        (cells(objectives(&kinds[..3]), "[4, 3, 5, 10, 20]", seeds), 75),
        (cells(objectives(&kinds[..3]), levels, "[0, 1, 2, 7, 3, 4]"), 72),
    ];
    for (more, count) in grown {
        assert_eq!(more.len(), count);
        assert!(more.is_superset(&sixty), "{:?}", sixty.difference(&more).next());
    }
    // The hashes tell: other steps are other cells.
    let other = Folder::with(&tiny(&format!("seed = {seeds}")).replace("steps = 40", "steps = 41"));
    let known: Vec<&String> = sixty.iter().map(|cell| &cell.1).collect();
    assert!(plan(&other, &[]).iter().all(|cell| !known.contains(&&cell["hash"].to_string())));
}

#[test]
fn nothing_begins_if_one_cell_is_wrong() {
    let folder = Folder::with(&tiny("training.batch-size = [32, 4000]"));
    let said = folder.stein(&["run", "small.toml"]).exits(2);
    assert!(said.err().contains("small.toml:2:28") && said.err().contains("400 training rows"), "{}", said.err());
    assert!(!folder.path().join("runs").exists());
    let said = folder.stein(&["run", "small.toml", "--set", "training.batch-size=16"]).exits(2);
    assert!(said.err().contains("--set 'sweep.training.batch-size=[…]'"), "{}", said.err());
}

#[test]
fn a_trial_of_one_cell_does_not_take_the_sweeps_place() {
    let folder = Folder::with(&tiny(TWO_BY_TWO));
    folder.stein(&["run", "small.toml", "--jobs", "2"]).exits(0);
    let before = record(&folder);
    folder.stein(&["run", "small.toml", "--cell", "denoising-seed-0", "--set", "training.steps=30"]).exits(0);
    assert_eq!(record(&folder), before);
    assert!(std::fs::read_to_string(page(&folder)).unwrap().contains("4 cells, all finished."));
}
