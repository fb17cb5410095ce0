//! Cells that hang, and devices that cells are dealt to.

use std::process::Command;

use stein_record::State;

use crate::harness::{Folder, SMALL, Said};
use crate::sweep::{page, plan, runs, states, tiny};

/// Twelve cells: one diverges, one would draw for days.
fn twelve() -> String {
    let mut cases =
        String::from("case = [{ name = \"wild\", training = { clip = 0.0, optimizer = { learning-rate = 1e30 } } }");
    for steps in (1..=10).chain([1_000_000]) {
        cases += &format!(", {{ name = \"{steps} steps\", sampler = {{ steps-per-level = {steps} }} }}");
    }
    tiny(&format!("{cases}]"))
}

#[test]
fn what_diverges_or_hangs_does_not_stop_the_others() {
    let folder = Folder::with(&twelve());
    let run = ["run", "small.toml", "--jobs", "2", "--timeout", "20s"];
    let said = folder.stein(&run).exits(1);
    assert!(said.out().contains("cells   10 finished, 0 skipped, 2 failed"), "{}{}", said.out(), said.err());
    let lines: Vec<String> =
        said.err().lines().skip_while(|l| !l.contains("2 of 12 cells failed")).map(String::from).collect();
    assert!(lines.iter().any(|l| l.contains("wild-") && l.contains("diverged at step")), "{lines:?}");
    assert!(lines.iter().any(|l| l.contains("1000000-steps-") && l.contains("timed out after")), "{lines:?}");
    let count = |state| states(&folder).into_iter().filter(|s| *s == state).count();
    assert_eq!((count(State::Finished), count(State::Diverged), count(State::TimedOut)), (10, 1, 1));
    let html = std::fs::read_to_string(page(&folder)).unwrap();
    assert!(html.contains("10 of 12 cells finished; 1 diverged, 1 timed-out"));
    assert!(html.contains("<strong>timed-out</strong>") && html.contains("<strong>diverged</strong>"));
    for run in runs(&folder) {
        assert!(html.contains(&run.name()), "{}", run.name());
    }

    let again = folder.stein(&["run", "small.toml", "--timeout", "2s"]).exits(1);
    assert!(again.out().contains("cells   0 finished, 10 skipped, 2 failed"), "{}{}", again.out(), again.err());
    assert_eq!(again.err().matches("  begins").count(), 2, "{}", again.err());
}

#[test]
fn a_run_that_takes_too_long_saves_and_goes_on() {
    let folder = Folder::with(SMALL);
    let long = ["run", "small.toml", "--set", "training.steps=100000", "--timeout", "3s"];
    for session in 1..=2 {
        let said = folder.stein(&long).exits(124);
        assert_eq!(said.err().contains("resuming at step"), session == 2, "{}", said.err());
        let record = folder.cell().read_record().unwrap().unwrap();
        assert_eq!((record.state, record.sessions), (State::TimedOut, session));
        assert!(record.progress.step > 0);
    }
    for wrong in ["0s", "soon"] {
        let said = folder.stein(&["run", "small.toml", "--timeout", wrong]).exits(2);
        assert!(said.err().contains(wrong), "{}", said.err());
    }
}

#[test]
fn a_cell_that_does_not_listen_is_killed() {
    let folder = Folder::with(&tiny("seed = [0]").replace("steps-per-level = 3", "steps-per-level = 1000000"));
    let sweep = folder.start(&["run", "small.toml", "--timeout", "4s", "--grace", "1s"]);
    folder.wait_for("trained weights", |run| run.network().is_file());
    let lock = std::fs::read_to_string(folder.cell().path().join(".lock")).unwrap();
    let process = lock.split(' ').nth(1).expect("process N on host");
    assert!(Command::new("kill").args(["-STOP", process]).status().unwrap().success());
    let said = Said(sweep.wait_with_output().unwrap()).exits(1);
    assert!(said.err().contains("timed out and was killed after"), "{}", said.err());
    let record = folder.cell().read_record().unwrap().unwrap();
    assert_eq!(record.state, State::TimedOut);
    assert!(record.reason.unwrap().contains("killed"));
}

#[test]
fn cells_are_dealt_to_devices_and_stay_the_same_cells() {
    let folder = Folder::with(&tiny("seed = [0, 1, 2]"));
    let refused = |arguments: &[&str], what: &str| {
        let said = folder.stein(&[&["run", "small.toml"], arguments].concat()).exits(2);
        assert!(said.err().contains(what), "{}", said.err());
        assert!(!folder.path().join("runs").exists(), "nothing began");
    };
    refused(&["--devices", "cpu,wgpu:discrete:77"], "wgpu:discrete:77");
    refused(&["--devices", "cpu,gpo"], "gpo");
    refused(&["--devices", "cpu,cpu", "--jobs", "3"], "--jobs is 3, but --devices names 2");
    refused(&["--devices", "cpu", "--set", "device=cpu"], "names its device, cpu");
    refused(&["--devices", "cpu,cpu", "--cell", "seed-0"], "there is one run");
    let names: Vec<_> = plan(&folder, &[]).iter().map(|cell| cell["cell"].as_str().unwrap().to_owned()).collect();
    let said = folder.stein(&["run", "small.toml", "--devices", "cpu,cpu"]).exits(0);
    assert_eq!(said.err().matches("begins on cpu").count(), 3, "{}", said.err());
    let runs = runs(&folder);
    assert_eq!(runs.iter().map(|run| run.name()).collect::<Vec<_>>(), names);
    assert!(runs.iter().all(|run| run.read_record().unwrap().unwrap().device.requested == "cpu"));
}
