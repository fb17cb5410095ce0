//! Folders and files that somebody else made: nothing of them makes `stein` crash, wait for ever or write elsewhere.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use stein_record::arrays::ArrayFile;
use stein_record::{Array, RunDir};

use crate::harness::{Folder, SMALL, Said};
#[cfg(unix)]
use crate::resume::{LONG, same_as_undisturbed};

/// A run that takes a moment.
const SHORT: &[&str] = &["run", "small.toml", "--set", "training.steps=20"];

fn finished() -> (Folder, RunDir) {
    let folder = Folder::with(SMALL);
    folder.stein(SHORT).exits(0);
    let cell = folder.cell();
    (folder, cell)
}

/// What is said within seconds.
#[track_caller]
fn soon(folder: &Folder, arguments: &[&str], code: i32) -> Said {
    let begun = Instant::now();
    let said = folder.stein(arguments).exits(code);
    assert!(begun.elapsed() < Duration::from_secs(20), "{arguments:?} takes {:?}", begun.elapsed());
    said
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) {
    std::os::unix::fs::symlink(to, at).unwrap();
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[cfg(unix)]
#[test]
fn nothing_is_written_where_links_lead() {
    for inside in ["samples", "checkpoints", ".lock"] {
        let (folder, cell) = finished();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        let (target, at) =
            (if inside == ".lock" { elsewhere.join("file") } else { elsewhere.clone() }, cell.path().join(inside));
        match at.is_dir() {
            true => std::fs::remove_dir_all(&at).unwrap(),
            false => drop(std::fs::remove_file(&at)),
        }
        link(&target, &at);
        std::fs::remove_file(cell.record()).unwrap();
        let said = soon(&folder, SHORT, 6);
        assert!(said.err().contains(inside) && said.err().contains("it is a link"), "{}", said.err());
        assert!(is_empty(&elsewhere), "{inside}");
    }
    // The folder of trainings, before anything is there.
    let folder = Folder::with(SMALL);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::create_dir_all(folder.path().join("runs/small")).unwrap();
    link(&elsewhere, &folder.path().join("runs/small/trained"));
    assert!(soon(&folder, SHORT, 6).err().contains("it is a link"));
    assert!(is_empty(&elsewhere));
}

#[cfg(unix)]
#[test]
fn links_that_nobody_asks_for_disturb_nothing() {
    let folder = Folder::with(SMALL);
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(100);
    let (cell, training) = (folder.cell(), folder.training());
    // What Emacs leaves beside a file that it shows.
    let editors = |name: &str| format!(".#{name}");
    for (run, name) in [(&cell, editors("run.json")), (&training, editors("metrics.jsonl")), (&cell, "notes".into())] {
        link(Path::new("somebody@somewhere.1234:1"), &run.path().join(name));
    }
    link(Path::new("somebody@somewhere.1234:1"), &training.checkpoints().join(editors("step-1")));
    link(Path::new("/"), &folder.path().join("runs/small/elsewhere"));
    std::os::unix::net::UnixListener::bind(training.path().join("socket")).unwrap();
    Said(child.wait_with_output().unwrap()).exits(0);
    same_as_undisturbed(&folder);
    let page = || folder.path().join("reports/small/index.html");
    for of in [&[][..], &["runs/small"], &["small.toml"], &[cell.path().to_str().unwrap()]] {
        std::fs::remove_file(page()).unwrap();
        folder.stein(&[&["report"], of].concat()).exits(0);
        assert!(!std::fs::read_to_string(page()).unwrap().contains("it is a link"), "{of:?}");
    }
    let drawn = folder.stein(&["sample", cell.path().to_str().unwrap(), "-n", "4"]).exits(0);
    assert!(drawn.out().contains("samples.npy"));
}

#[cfg(unix)]
#[test]
fn a_cell_with_such_a_link_is_not_run_again() {
    let folder = Folder::with(&format!("[sweep]\nseed = [0, 1]\n{}", SMALL.replace("steps = 600", "steps = 40")));
    folder.stein(&["run", "small.toml"]).exits(0);
    let cells = stein_record::run_dir::list(&folder.path().join("runs")).unwrap();
    link(Path::new("somebody@somewhere.1234:1"), &cells[0].path().join(".#run.json"));
    let again = folder.stein(&["run", "small.toml"]).exits(0);
    assert!(again.out().contains("cells   0 finished, 2 skipped, 0 failed"), "{}", again.out());
}

#[cfg(unix)]
#[test]
fn a_link_in_the_way_of_a_run_ends_it() {
    // Samples that take long, so that there is time before they are written.
    let folder = Folder::with(&SMALL.replace("steps-per-level = 3", "steps-per-level = 2000"));
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(50);
    let samples = folder.cell().path().join("samples");
    link(&elsewhere, &samples);
    let said = Said(child.wait_with_output().unwrap()).exits(6);
    assert!(said.err().contains("samples: it is a link") && said.err().contains("--runs"), "{}", said.err());
    assert!(is_empty(&elsewhere));
}

#[cfg(unix)]
#[test]
fn commands_on_a_run_refuse_links() {
    let (folder, cell) = finished();
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    Array::new([2, 2], vec![0.5; 4]).write_npy(&folder.path().join("points.npy")).unwrap();
    link(Path::new("points.npy"), &folder.path().join("at.npy"));
    let run = cell.path().to_str().unwrap();
    let sample = &["sample", run, "-n", "4"][..];
    let score = &["score", run, "--at", "at.npy", "--sigma", "1", "--out", "scores.npy"][..];
    let (weights, curves) = (&["export", run, "--out", "out.safetensors"][..], &["export", run, "--csv"][..]);
    for (name, commands) in [
        ("drawn", &[sample][..]),
        ("experiment.toml", &[sample, score, weights]),
        ("network.safetensors", &[sample, score, weights]),
        ("metrics.jsonl", &[curves]),
    ] {
        // Linked to what would do, were it not a link.
        let (at, kept) = (cell.path().join(name), folder.path().join(name));
        if at.exists() {
            std::fs::rename(&at, &kept).unwrap();
        }
        link(if kept.exists() { &kept } else { &elsewhere }, &at);
        for arguments in commands {
            let said = soon(&folder, arguments, 6);
            assert!(said.err().contains(&format!("{name}: it is a link")), "{arguments:?}: {}", said.err());
        }
        std::fs::remove_file(&at).unwrap();
        if kept.exists() {
            std::fs::rename(&kept, &at).unwrap();
        }
    }
    assert!(is_empty(&elsewhere));
    // What the user names may be a link: points, a run, the folder of runs.
    folder.stein(score).exits(0);
    link(cell.path(), &folder.path().join("best"));
    folder.stein(&["sample", "best", "-n", "4"]).exits(0);
    link(&folder.path().join("runs"), &folder.path().join("other"));
    let again = folder.stein(&[SHORT, &["--runs", "other"]].concat()).exits(0);
    assert!(again.err().contains("is finished"), "{}", again.err());
}

#[test]
fn a_report_is_of_a_file_in_any_folder() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    folder.write("below/small.toml", SMALL);
    folder.stein(&["run", "below/small.toml", "--set", "training.steps=20", "--no-report"]).exits(0);
    let said = folder.stein(&["report", "below/small.toml"]).exits(0);
    assert!(said.out().contains("index.html"), "{}", said.out());
}

#[cfg(unix)]
#[test]
fn what_links_lead_to_is_not_shown() {
    let (folder, cell) = finished();
    folder.write("secret", "[data]\nkey = \"do not show\"\n");
    std::fs::remove_file(cell.experiment()).unwrap();
    link(&folder.path().join("secret"), &cell.experiment());
    soon(&folder, &["report"], 0);
    for entry in std::fs::read_dir(folder.path().join("reports/small")).unwrap().map(|e| e.unwrap().path()) {
        assert!(!std::fs::read(&entry).unwrap_or_default().windows(11).any(|w| w == b"do not show"), "{entry:?}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_sparse_files_are_not_waited_for() {
    let (folder, cell) = finished();
    for file in [cell.metrics(), cell.evaluation(), cell.sample("final.npy")] {
        let before = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        for arguments in [&["report"][..], &["list", "runs"], &["status", "small.toml"], &["compare", "runs/small"]] {
            let begun = Instant::now();
            let said = folder.stein(arguments);
            assert!(!said.err().contains("panicked") && begun.elapsed() < Duration::from_secs(20), "{}", said.err());
        }
        std::fs::remove_file(&file).unwrap();
        // A terabyte that is not there.
        std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        soon(&folder, &["report"], 0);
        std::fs::write(&file, before).unwrap();
    }
}

#[test]
fn the_cells_of_a_sweep_lie_beside_its_record() {
    let (folder, _) = finished();
    let sweep = r#"{"schema":1,"experiment":"small","axes":[],"cells":[{"cell":"../../../elsewhere","values":{}}]}"#;
    folder.write("runs/small/sweep.json", sweep);
    let said = soon(&folder, &["export", "runs/small", "--csv"], 6);
    assert!(said.err().contains("cannot be the name of a run directory"), "{}", said.err());
    soon(&folder, &["report"], 0);
    let page = std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
    assert!(page.contains("sweep.json could not be read"));
}

#[test]
fn a_wrong_line_a_line_is_answered_at_once() {
    let folder = Folder::new();
    folder.write("lines.toml", &"a\n".repeat(1 << 19));
    let said = soon(&folder, &["check", "lines.toml"], 2);
    assert!(said.err().contains("more syntax errors") && said.err().len() < 20_000, "{}", said.err().len());
}

#[test]
fn weights_and_vectors_that_lie_are_refused() {
    let (folder, cell) = finished();
    let header = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 16]].concat();
    let entry = |shape: &str, from: u64, to: u64| {
        format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
    };
    let overlapping = format!("{{\"x\":{},\"y\":{}}}", entry("[4]", 0, 16), entry("[3]", 4, 16));
    let empty = ArrayFile { arrays: [("x".into(), Array::new([1 << 60, 0], vec![]))].into(), ..ArrayFile::default() };
    let cases: [(&str, Vec<u8>); 8] = [
        (
            "a pickle",
            b"\x80\x02}q\x00(X\x06\x00\x00\x00weightq\x01cos\nsystem\nq\x02X\x05\x00\x00\x00touchq\x03tR.".to_vec(),
        ),
        ("a zip", b"PK\x03\x04\x14\x00\x00\x00\x00\x00archive/data.pkl".to_vec()),
        ("a page", b"<!DOCTYPE html><html><body>404 Not Found</body></html>".to_vec()),
        ("a header without end", u64::MAX.to_le_bytes().to_vec()),
        ("a header longer than the file", (1u64 << 40).to_le_bytes().to_vec()),
        ("overlapping tensors", header(&overlapping)),
        ("more than there is", header(&format!("{{\"x\":{}}}", entry("[1152921504606846976]", 0, 1 << 62)))),
        ("nothing in enormous rows", empty.to_bytes()),
    ];
    for (what, bytes) in cases {
        std::fs::write(cell.network(), &bytes).unwrap();
        std::fs::write(folder.path().join("vector.safetensors"), &bytes).unwrap();
        let cell = cell.path().to_str().unwrap();
        for arguments in [&["verify", "vector.safetensors"][..], &["export", cell, "--out", "out.safetensors"]] {
            let begun = Instant::now();
            let said = folder.stein(arguments);
            assert!(!said.0.status.success() && said.err().contains("safetensors"), "{what}: {}", said.err());
            assert!(
                !said.err().contains("panicked") && begun.elapsed() < Duration::from_secs(20),
                "{what}: {}",
                said.err()
            );
        }
    }
}
