//! What `stein check` says of broken files, word for word.
//!
//! Each file of `tests/broken/` is an experiment with one mistake that people make, and begins with the place that must be
//! named: `# at LINE:COLUMN`, several of them, or `# at nowhere` for something that is missing. The `.txt` beside it is the
//! whole answer. After a change of wording: `STEIN_BLESS=1 cargo test --release --workspace --test program -- broken`, then read the diff.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Folder, Said};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/broken")
}

/// Holds an answer against the one on file. Line ends of the file on disk may be those of the system.
fn compare(file: &Path, said: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("STEIN_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for answers");
        std::fs::write(file, said).expect("an answer is written");
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default().replace("\r\n", "\n");
    if said != expected {
        wrong.push(format!("{} is\n{expected}\nbut what was said is\n{said}", file.display()));
    }
}

/// Every `FILE:LINE:COLUMN` of an answer, in its order.
fn places(said: &str, file: &str) -> Vec<String> {
    let at = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(rest.len());
        rest[..end].trim_end_matches(':').to_owned()
    };
    said.split(&format!("{file}:")).skip(1).map(at).filter(|place| !place.is_empty()).collect()
}

#[test]
fn broken_files_are_answered_word_for_word() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let of = |extension: &str| -> Vec<&PathBuf> {
        files.iter().filter(|f| f.extension().is_some_and(|e| e == extension)).collect()
    };
    let mut wrong = Vec::new();
    for file in of("toml") {
        let name = format!("{}.toml", stem(file));
        let bytes = std::fs::read(file).unwrap();
        let first = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
        let first = String::from_utf8_lossy(first).trim_start_matches('\u{feff}').trim_end().to_owned();
        let expected = first.strip_prefix("# at ").unwrap_or_else(|| panic!("{name} does not begin with `# at …`"));
        let expected: Vec<&str> = match expected {
            "nowhere" => Vec::new(),
            list => list.split(", ").collect(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_stein"));
        command.args(["check", &name]).current_dir(folder()).stdin(Stdio::null());
        let said = Said(command.output().unwrap()).exits(2);
        assert!(said.out().is_empty(), "{name}: errors go to stderr");
        let found = places(&said.err(), &name);
        if found != expected {
            wrong.push(format!("{name} is broken at {expected:?}, but what was said names {found:?}:\n{}", said.err()));
        }
        compare(&file.with_extension("txt"), &said.err(), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(of("toml").len() >= 30, "only {} broken files", of("toml").len());
    for answer in of("txt") {
        assert!(answer.with_extension("toml").is_file(), "{} answers no file", answer.display());
    }
}

#[test]
fn broken_files_that_no_repository_keeps() {
    const MEGABYTE: usize = 1 << 20;
    let utf16 = "[data]\nkind = \"digits\"\n".encode_utf16().flat_map(u16::to_le_bytes);
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("empty", Vec::new(), ""),
        ("blank", b" \n\t\r\n\n".to_vec(), ""),
        ("only-a-byte-order-mark", "\u{feff}".into(), ""),
        ("brackets", vec![b'['; MEGABYTE], "1:3"),
        ("lists-in-lists", [b"means = ".to_vec(), vec![b'['; MEGABYTE - 8]].concat(), "1:89"),
        ("tables-in-tables", "a = { ".repeat(MEGABYTE / 6).into(), "1:485"),
        ("dotted", [b"a".to_vec(), b".a".repeat(MEGABYTE / 2 - 4), b" = 1\n".to_vec()].concat(), "1:1"),
        ("too-long", vec![b'#'; MEGABYTE + 1], ""),
        ("utf-16", [0xff, 0xfe].into_iter().chain(utf16).collect(), "1:1"),
    ];
    let folder_of_files = Folder::new();
    let mut wrong = Vec::new();
    for (name, bytes, expected) in cases {
        let file = format!("{name}.toml");
        std::fs::write(folder_of_files.path().join(&file), bytes).unwrap();
        let begun = std::time::Instant::now();
        let said = folder_of_files.stein(&["check", &file]).exits(2);
        assert!(begun.elapsed().as_secs() < 20, "{name} takes {:?}", begun.elapsed());
        assert!(said.out().is_empty(), "{name}: errors go to stderr");
        assert!(said.err().len() < 10_000, "{name} is answered with {} bytes", said.err().len());
        let found = places(&said.err(), &file);
        if found.first().map_or("", String::as_str) != expected {
            wrong.push(format!("{name} is broken at {expected:?}, but what was said names {found:?}:\n{}", said.err()));
        }
        compare(&folder().join(format!("generated/{name}.txt")), &said.err(), &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
