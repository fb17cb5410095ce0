//! Folders and files that somebody else made: nothing of them makes `stein` crash, wait for ever or write elsewhere.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use stein_record::arrays::ArrayFile;
use stein_record::{Array, RunDir};

use crate::harness::{Folder, SMALL, Said};

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
