//! Flipped bits and files cut short.

use std::path::{Path, PathBuf};

use stein_record::checkpoint::{self, Found};
use stein_record::{RunDir, run_dir};

use crate::harness::{Folder, newest_step};
use crate::scenario::{LONG, kill};
use crate::tally::{Random, Tally, repetitions};

/// A run that was killed with two checkpoints.
fn killed() -> Folder {
    let folder = LONG.folder();
    let child = LONG.start(&folder);
    folder.wait_for_checkpoint(200);
    kill(child);
    folder
}

/// The newest checkpoint set, and its files.
fn newest(training: &RunDir) -> (PathBuf, Vec<PathBuf>) {
    let step = newest_step(&training.checkpoints()).expect("a checkpoint");
    let set = training.checkpoints().join(format!("step-{step}"));
    let mut files: Vec<_> = set.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    (set, files)
}

fn found(training: &RunDir) -> Found {
    let hash = training.read_record().unwrap().expect("a record").hash;
    checkpoint::newest(&training.checkpoints(), &hash, stein_record::file::ARRAYS).unwrap()
}

/// Damages a file, by a bit that is flipped or by a length that is not its own.
fn damage(bytes: &[u8], place: usize, bit: Option<usize>) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    match bit {
        Some(bit) => damaged[place] ^= 1 << bit,
        None => damaged.truncate(place),
    }
    damaged
}

/// A damaged set is passed over and named, and the one before it taken.
#[track_caller]
fn is_detected(training: &RunDir, set: &Path, what: &str) {
    let found = found(training);
    assert_eq!(found.skipped.len(), 1, "{what} is not seen");
    assert!(found.skipped[0].0 == set && !found.skipped[0].1.is_empty(), "{what}: {:?}", found.skipped);
    assert!(found.set.is_some_and(|older| older.path != set), "{what}: the older set is not taken");
}

#[test]
fn damage_anywhere_in_a_checkpoint_is_detected() {
    let (mut flips, mut cuts) = (Tally::of("bit flipped in a checkpoint file"), Tally::of("checkpoint file cut short"));
    let mut random = Random::of(6);
    let folder = killed();
    let training = folder.training();
    let (set, files) = newest(&training);
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let all = ["average.safetensors", "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"];
    assert_eq!(names, all);
    assert!(found(&training).skipped.is_empty(), "a kill damages nothing");
    for (file, name) in files.iter().zip(names) {
        let bytes = std::fs::read(file).unwrap();
        let spoil = |tally: &mut Tally, place: usize, bit: Option<usize>| {
            std::fs::write(file, damage(&bytes, place, bit)).unwrap();
            tally.injected();
            is_detected(&training, &set, &format!("{name}, byte {place}, bit {bit:?}"));
            tally.survived();
        };
        // The length of a safetensors header, the header, the first numbers and the last.
        let header = match name.ends_with(".safetensors") {
            true => 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize,
            false => bytes.len() / 2,
        };
        for place in [0, 7, 8, header - 1, header, bytes.len() - 1] {
            spoil(&mut flips, place, Some(place % 8));
            spoil(&mut cuts, place, None);
        }
        for _ in 0..repetitions(100, 1000) {
            let (place, bit) = (random.below(bytes.len()), random.below(8));
            spoil(&mut flips, place, Some(bit));
            spoil(&mut cuts, place, None);
        }
        std::fs::remove_file(file).unwrap();
        cuts.injected();
        is_detected(&training, &set, &format!("{name}, which is gone,"));
        cuts.survived();
        std::fs::write(file, bytes).unwrap();
    }
    assert!(found(&training).skipped.is_empty(), "all is as it was");
}

/// What a manifest says is what counts, not how: blanks and keys that this version does not know are no damage.
#[test]
fn a_manifest_that_says_the_same_is_no_damage() {
    let folder = killed();
    let training = folder.training();
    let (set, _) = newest(&training);
    let path = set.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let further = text.replacen('{', "{ \"from a later version\": [1, 2],", 1);
    for same in [format!("\n {text}\n\n"), value.to_string(), further] {
        std::fs::write(&path, same).unwrap();
        let found = found(&training);
        assert!(found.skipped.is_empty() && found.set.is_some_and(|newest| newest.path == set));
    }
}

#[test]
fn with_a_damaged_checkpoint_a_run_ends_as_if_it_were_whole() {
    let (mut tally, mut random) = (Tally::of("run on a damaged checkpoint"), Random::of(7));
    for _ in 0..repetitions(3, 20) {
        let folder = killed();
        let (_, files) = newest(&folder.training());
        let file = &files[random.below(files.len())];
        let bytes = std::fs::read(file).unwrap();
        let bit = if random.below(2) == 0 { Some(random.below(8)) } else { None };
        std::fs::write(file, damage(&bytes, random.below(bytes.len()), bit)).unwrap();
        tally.injected();
        let said = LONG.ends_alike(&folder);
        assert!(said.err().contains("skipping the checkpoint"), "{}", said.err());
        tally.survived();
    }
}

#[test]
fn with_no_checkpoint_left_whole_a_run_says_so_and_touches_nothing() {
    let mut tally = Tally::of("every checkpoint damaged");
    let folder = killed();
    let sets = run_dir::directories(&folder.training().checkpoints()).unwrap();
    let files: Vec<PathBuf> = sets.iter().map(|set| set.join("model.safetensors")).filter(|f| f.is_file()).collect();
    let whole: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    for (file, bytes) in files.iter().zip(&whole) {
        std::fs::write(file, damage(bytes, bytes.len() / 2, Some(3))).unwrap();
    }
    tally.injected();
    let said = LONG.run(&folder).exits(6);
    assert!(said.err().contains("no checkpoint can be used") && said.err().contains("step-"), "{}", said.err());
    // Who puts back what was lost goes on.
    for (file, bytes) in files.iter().zip(whole) {
        std::fs::write(file, bytes).unwrap();
    }
    LONG.ends_alike(&folder);
    tally.survived();
}
