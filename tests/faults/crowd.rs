//! Many processes at one place.

use std::process::Child;

use crate::harness::{Folder, Said};
use crate::scenario::{BUSY, LONG, kill, sessions};
use crate::tally::{Tally, repetitions};

/// As many starts of one file as fit into a second.
const CROWD: usize = 50;

/// Starts a run so many times at once; each either does it, finds it done, or is told that another does it.
fn crowd(folder: &Folder) -> Vec<Said> {
    let started: Vec<Child> = (0..CROWD).map(|_| BUSY.start(folder)).collect();
    let ended: Vec<Said> = started.into_iter().map(|child| Said(child.wait_with_output().unwrap())).collect();
    for said in &ended {
        assert!(matches!(said.0.status.code(), Some(0 | 7)), "{}: {}", said.0.status, said.err());
        assert!(!said.err().contains("panicked"), "{}", said.err());
        let told = said.err().contains("another process is at work there");
        assert_eq!(said.0.status.code() == Some(7), told, "{}", said.err());
    }
    ended
}

#[test]
fn fifty_starts_at_once_do_what_one_does() {
    let mut tally = Tally::of("starts of one file at once");
    let folder = BUSY.folder();
    for _ in 0..CROWD {
        tally.injected();
    }
    let ended = crowd(&folder);
    assert!(ended.iter().any(|said| said.0.status.success()), "nobody has done it");
    assert_eq!(sessions(&folder), (1, 1), "it was done once");
    BUSY.is_alike(&folder);
    (0..CROWD).for_each(|_| tally.survived());
}

#[test]
fn fifty_starts_at_once_go_on_as_one_does() {
    let mut tally = Tally::of("starts of a killed run at once");
    let folder = BUSY.folder();
    let child = BUSY.start(&folder);
    folder.wait_for_checkpoint(100);
    kill(child);
    for _ in 0..CROWD {
        tally.injected();
    }
    crowd(&folder);
    assert_eq!(sessions(&folder), (2, 2));
    BUSY.is_alike(&folder);
    (0..CROWD).for_each(|_| tally.survived());
}

#[test]
fn of_two_processes_on_one_cell_the_second_leaves() {
    let (mut tally, wanted) = (Tally::of("second process on a cell"), repetitions(2, 10));
    for _ in 0..20 {
        let folder = LONG.folder();
        let first = LONG.start(&folder);
        folder.wait_for_checkpoint(50);
        while tally.injected < wanted {
            let said = LONG.run(&folder);
            if said.0.status.success() {
                // It came when all was done.
                break;
            }
            tally.injected();
            let said = said.exits(7);
            assert!(said.err().contains(&format!("process {}", first.id())), "{}", said.err());
            tally.survived();
        }
        Said(first.wait_with_output().unwrap()).exits(0);
        assert_eq!(sessions(&folder), (1, 1));
        LONG.is_alike(&folder);
        if tally.injected == wanted {
            return;
        }
    }
    panic!("a run is hardly ever met before its end");
}

#[test]
fn who_reports_while_a_run_writes_sees_whole_files() {
    let mut tally = Tally::of("report while a run writes");
    let folder = BUSY.folder();
    let mut child = BUSY.start(&folder);
    folder.wait_for("run", |run| run.record().is_file());
    let page = folder.path().join("reports/small/index.html");
    while child.try_wait().unwrap().is_none() || tally.injected == 0 {
        for (arguments, codes) in [
            (&["report"][..], &[0][..]),
            (&["list", "runs"], &[0]),
            (&["status", "runs/small"], &[0, 4]),
            (&["export", "runs/small", "--csv", "--out", "out.csv", "--force"], &[0]),
        ] {
            tally.injected();
            let said = folder.stein(arguments);
            let code = said.0.status.code().expect("a code");
            assert!(codes.contains(&code), "{arguments:?}: {code}: {}", said.err());
            tally.survived();
        }
        let html = std::fs::read_to_string(&page).unwrap();
        assert!(html.trim_end().ends_with("</html>") && !html.contains("could not be read"), "half a page");
    }
    Said(child.wait_with_output().unwrap()).exits(0);
    BUSY.is_alike(&folder);
}
