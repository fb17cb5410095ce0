//! `stein status`: how far cells are, from their folders alone.

use std::time::Duration;

use stein_record::State;

use crate::harness::{Folder, SMALL, Said};
use crate::resume::signal;

/// What is said as JSON, and the exit code.
fn status(folder: &Folder, of: &str) -> (serde_json::Value, i32) {
    let output = folder.command(&["status", of, "--json"]).output().unwrap();
    let code = output.status.code().unwrap();
    let said = Said(output).exits(code);
    (serde_json::from_str(&said.out()).unwrap_or_else(|e| panic!("{e}: {}", said.err())), code)
}

fn sweep(lines: &str) -> String {
    format!("[sweep]\n{lines}\n{}", SMALL.replace("steps = 600", "steps = 40"))
}

#[test]
fn cells_are_counted_before_and_after() {
    let folder = Folder::with(&sweep("seed = [0, 1]"));
    let (before, code) = status(&folder, "small.toml");
    assert_eq!((code, &before["counts"]), (4, &serde_json::json!({ "not begun": 2 })));
    assert!(!folder.path().join("runs").exists(), "looking leaves nothing behind");
    folder.stein(&["run", "small.toml", "--quiet"]).exits(0);
    for of in ["small.toml", "runs/small"] {
        let (after, code) = status(&folder, of);
        assert_eq!((code, &after["counts"]), (0, &serde_json::json!({ "finished": 2 })), "{of}");
        for cell in after["cells"].as_array().unwrap() {
            assert_eq!((&cell["step"], &cell["steps"], &cell["reason"]), (&40.into(), &40.into(), &().into()));
            assert!(cell["steps_per_second"].as_f64().unwrap() > 0.0 && cell["seconds_left"].is_null());
            assert!(!cell["host"].as_str().unwrap().is_empty());
            assert!(cell["recorded_seconds_ago"].as_f64().unwrap() < 600.0);
        }
    }
    let said = folder.stein(&["status", "small.toml"]).exits(0);
    assert!(said.out().contains("2 cells: 2 finished") && said.out().contains("40/40"), "{}", said.out());
    // A value that is new is a cell that has not begun.
    let said = folder.stein(&["status", "small.toml", "--set", "sweep.seed=[0, 1, 2]"]).exits(4);
    assert!(said.out().contains("3 cells: 2 finished, 1 not begun"), "{}", said.out());
    let none = folder.stein(&["status", "reports"]).exits(2);
    assert!(none.err().contains("there are no runs in reports"), "{}", none.err());
    let wrong = folder.stein(&["status", "nowhere.toml"]).exits(2);
    assert!(wrong.err().contains("cannot read nowhere.toml"), "{}", wrong.err());
}

#[test]
fn failures_have_their_reasons() {
    let wild =
        "training = [{ name = \"wild\", clip = 0.0, optimizer = { learning-rate = 1e30 } }, { name = \"tame\" }]";
    let folder = Folder::with(&sweep(wild));
    folder.stein(&["run", "small.toml", "--quiet"]).exits(1);
    let (said, code) = status(&folder, "small.toml");
    assert_eq!((code, &said["counts"]), (1, &serde_json::json!({ "diverged": 1, "finished": 1 })));
    assert!(said["cells"][0]["reason"].as_str().unwrap().contains("diverged at step"), "{said}");
    // A damaged record hides nothing else.
    let tame = folder.path().join("runs/small").join(said["cells"][1]["cell"].as_str().unwrap());
    std::fs::write(tame.join("run.json"), "{").unwrap();
    let said = folder.stein(&["status", "small.toml"]).exits(1);
    assert!(
        said.out().contains("1 diverged, 1 damaged") && said.out().contains("not what stein writes there"),
        "{}",
        said.out()
    );
}

#[test]
fn a_running_cell_is_seen_and_a_dead_one_is_told_from_it() {
    let folder = Folder::with(SMALL);
    let long = ["run", "small.toml", "--set", "training.steps=100000"];
    let set = ["status", "runs/small", "--json"];
    let look = || {
        let output = folder.command(&set).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["cells"][0].clone()
    };
    let mut child = folder.start(&long);
    folder.wait_for_checkpoint(100);
    let first = look();
    assert_eq!((&first["state"], &first["steps"]), (&"running".into(), &100_000.into()));
    assert!(first["step"].as_u64().unwrap() >= 100 && first["seconds_left"].as_f64().unwrap() > 0.0, "{first}");
    std::thread::sleep(Duration::from_millis(300));
    assert!(look()["step"].as_u64() > first["step"].as_u64(), "steps are counted between checkpoints too");
    let said = folder.stein(&["status", "runs/small"]).exits(4);
    assert!(said.out().contains("running") && said.out().contains("s ago"), "{}", said.out());
    // Nobody who looks stands in the way.
    for _ in 0..20 {
        look();
    }
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(folder.cell().read_record().unwrap().unwrap().state, State::Running, "the record cannot know");
    let dead = look();
    assert_eq!(dead["state"], "interrupted");
    assert!(dead["reason"].as_str().unwrap().contains("died") && dead["seconds_left"].is_null(), "{dead}");

    let child = folder.start(&long);
    folder.wait_for("second session", |run| run.read_record().is_ok_and(|r| r.is_some_and(|r| r.sessions == 2)));
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "INT");
    Said(child.wait_with_output().unwrap()).exits(130);
    let stopped = look();
    assert_eq!(stopped["state"], "interrupted");
    assert!(stopped["reason"].as_str().unwrap().contains("SIGINT"), "{stopped}");
}
