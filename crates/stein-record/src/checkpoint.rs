//! Checkpoint sets: `checkpoints/step-N/`, complete or absent.
//!
//! A set is written into a directory beside its place, each file synced; `manifest.json`, with every file's SHA-256, is
//! written last; then the directory is renamed and its parent synced. A set without a manifest, or with a file that does
//! not match it, does not count: the newest set that verifies wins.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{RecordError, atomic, file, hash};

const MANIFEST: &str = "manifest.json";
const SCHEMA: u32 = 1;

/// The manifest of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    schema: u32,
    /// Training steps done.
    pub step: u64,
    /// The hash of the resolved configuration that it belongs to.
    pub configuration: String,
    /// SHA-256 of each file by name.
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the bytes of a manifest.
    ///
    /// # Errors
    /// If it is none, of another schema, or names what does not lie beside it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| format!("{MANIFEST} is not what stein writes there: {e}"))?;
        if manifest.schema != SCHEMA {
            return Err(format!("its schema is {}, this program reads {SCHEMA}", manifest.schema));
        }
        match manifest.files.keys().find(|name| !file::is_name(name)) {
            Some(name) => Err(format!("its manifest names {name:?}, which is not a file beside it")),
            None => Ok(manifest),
        }
    }
}

/// A set that was read and verified.
#[derive(Debug, Clone)]
pub struct CheckpointSet {
    /// Training steps done.
    pub step: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// The bytes of each file by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What [`newest`] found.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest set that verifies.
    pub set: Option<CheckpointSet>,
    /// Newer sets that do not, with what is wrong.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Writes a set and removes old ones, so that `keep` (at least one) remain. Returns where it lies.
pub fn save(
    checkpoints: &Path,
    step: u64,
    configuration: &str,
    files: &BTreeMap<String, Vec<u8>>,
    keep: usize,
) -> Result<PathBuf, RecordError> {
    file::refuse_unless_folder(checkpoints)?;
    fs::create_dir_all(checkpoints).map_err(|e| RecordError::io(checkpoints, "create the directory", e))?;
    remove_partial(checkpoints)?;
    let partial = checkpoints.join(format!(".partial-step-{step}"));
    fs::create_dir(&partial).map_err(|e| RecordError::io(&partial, "create the directory", e))?;
    let mut sums = BTreeMap::new();
    for (name, bytes) in files {
        atomic::write_synced(&partial.join(name), bytes)?;
        sums.insert(name.clone(), hash::sha256(bytes));
    }
    let manifest = Manifest { schema: SCHEMA, step, configuration: configuration.to_owned(), files: sums };
    let path = partial.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|e| RecordError::damaged(&path, e.to_string()))?;
    atomic::write_synced(&path, &text)?;
    atomic::sync_directory(&partial)?;

    // Sets of this step or later were found damaged, or this run would have gone on from them.
    for (_, path) in sets(checkpoints)?.into_iter().filter(|(other, _)| *other >= step) {
        fs::remove_dir_all(&path).map_err(|e| RecordError::io(&path, "replace", e))?;
    }
    let place = checkpoints.join(format!("step-{step}"));
    fs::rename(&partial, &place).map_err(|e| RecordError::io(&place, "rename to", e))?;
    atomic::sync_directory(checkpoints)?;
    remove_old(checkpoints, keep.max(1))?;
    Ok(place)
}

/// Whether there is any set, whole or not.
pub fn exist(checkpoints: &Path) -> Result<bool, RecordError> {
    count(checkpoints).map(|sets| sets > 0)
}

/// How many sets there are, whole or not.
pub fn count(checkpoints: &Path) -> Result<usize, RecordError> {
    sets(checkpoints).map(|sets| sets.len())
}

/// Reads the newest set that verifies and belongs to that configuration, of files of at most `most` bytes.
pub fn newest(checkpoints: &Path, configuration: &str, most: u64) -> Result<Found, RecordError> {
    let mut found = Found::default();
    for (step, path) in sets(checkpoints)?.into_iter().rev() {
        match read(&path, step, configuration, most) {
            Ok(set) => {
                found.set = Some(set);
                break;
            }
            Err(problem) => found.skipped.push((path, problem)),
        }
    }
    Ok(found)
}

fn read(path: &Path, step: u64, configuration: &str, most: u64) -> Result<CheckpointSet, String> {
    let manifest = file::read(&path.join(MANIFEST), file::RECORD).map_err(|e| e.to_string())?;
    let manifest = Manifest::parse(&manifest.ok_or("it has no manifest.json")?)?;
    if manifest.step != step {
        return Err(format!("its manifest is of step {}", manifest.step));
    }
    if manifest.configuration != configuration {
        return Err("it belongs to another configuration".into());
    }
    let mut files = BTreeMap::new();
    for (name, sum) in manifest.files {
        let bytes = file::read(&path.join(&name), most).map_err(|e| e.to_string())?;
        let bytes = bytes.ok_or_else(|| format!("{name}, which its manifest names, is not there"))?;
        if hash::sha256(&bytes) != sum {
            return Err(format!("{name} does not match its checksum"));
        }
        files.insert(name, bytes);
    }
    Ok(CheckpointSet { step, path: path.to_owned(), files })
}

// The sets by step, ascending.
fn sets(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>, RecordError> {
    let entries = match fs::read_dir(checkpoints) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(RecordError::io(checkpoints, "list", e)),
    };
    let mut out: Vec<(u64, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|e| Some((e.file_name().to_str()?.strip_prefix("step-")?.parse().ok()?, e.path())))
        .collect();
    out.sort();
    Ok(out)
}

fn remove_old(checkpoints: &Path, keep: usize) -> Result<(), RecordError> {
    let sets = sets(checkpoints)?;
    for (_, path) in &sets[..sets.len().saturating_sub(keep)] {
        fs::remove_dir_all(path).map_err(|e| RecordError::io(path, "remove", e))?;
    }
    Ok(())
}

/// Removes sets that were begun and not ended. For whoever alone writes there: nothing if there is no such folder.
pub fn remove_partial(checkpoints: &Path) -> Result<(), RecordError> {
    for path in partial(checkpoints)? {
        let remove = if path.is_dir() { fs::remove_dir_all } else { fs::remove_file };
        remove(&path).map_err(|e| RecordError::io(&path, "remove", e))?;
    }
    Ok(())
}

/// Whether there are sets that were begun and not ended.
pub fn has_partial(checkpoints: &Path) -> Result<bool, RecordError> {
    Ok(!partial(checkpoints)?.is_empty())
}

fn partial(checkpoints: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let entries = match fs::read_dir(checkpoints) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(RecordError::io(checkpoints, "list", e)),
    };
    let is_partial = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with(".partial-");
    Ok(entries.filter_map(Result::ok).filter(is_partial).map(|e| e.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(content: &[u8]) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([("model".to_owned(), content.to_vec()), ("optimizer".to_owned(), vec![7; 1000])])
    }

    #[test]
    fn the_newest_set_that_verifies_wins() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("checkpoints");
        assert!(newest(&at, "c", 9000).unwrap().set.is_none());
        for step in [10, 20, 30] {
            save(&at, step, "c", &files(&[step as u8]), 2).unwrap();
        }
        assert_eq!(newest(&at, "c", 9000).unwrap().set.unwrap().files["model"], [30]);
        assert!(!at.join("step-10").exists(), "two are kept");

        let mut bytes = fs::read(at.join("step-30/optimizer")).unwrap();
        bytes[500] ^= 1;
        fs::write(at.join("step-30/optimizer"), bytes).unwrap();
        let found = newest(&at, "c", 9000).unwrap();
        assert_eq!(found.set.unwrap().step, 20);
        assert!(found.skipped[0].1.contains("checksum"));

        assert!(newest(&at, "c", 999).unwrap().skipped[1].1.contains("at most 999"));

        fs::remove_file(at.join("step-20/manifest.json")).unwrap();
        assert!(newest(&at, "c", 9000).unwrap().set.is_none());
        save(&at, 30, "c", &files(b"again"), 2).unwrap();
        assert_eq!(newest(&at, "c", 9000).unwrap().set.unwrap().step, 30);
        assert!(newest(&at, "other", 9000).unwrap().skipped[0].1.contains("another configuration"));
        let manifest = fs::read_to_string(at.join("step-30/manifest.json")).unwrap();
        for name in ["../../run.json", "/etc/passwd", "..", "c:model", ""] {
            fs::write(at.join("step-30/manifest.json"), manifest.replace("model", name)).unwrap();
            assert!(newest(&at, "c", 9000).unwrap().skipped[0].1.contains("not a file beside it"), "{name}");
        }
        fs::write(at.join("step-30/manifest.json"), manifest).unwrap();

        // A file is no set.
        fs::write(at.join("step-98"), "").unwrap();
        assert_eq!(count(&at).unwrap(), 2);
        // A damaged later set must not push out the good one that is saved after it.
        fs::create_dir(at.join("step-99")).unwrap();
        save(&at, 40, "c", &files(b"good"), 1).unwrap();
        assert_eq!(newest(&at, "c", 9000).unwrap().set.unwrap().step, 40);
    }

    #[test]
    fn a_half_written_set_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("checkpoints");
        save(&at, 10, "c", &files(b"x"), 3).unwrap();
        fs::create_dir(at.join(".partial-step-20")).unwrap();
        fs::write(at.join(".partial-step-20/model"), b"half").unwrap();
        assert!(has_partial(&at).unwrap() && !has_partial(&dir.path().join("absent")).unwrap());
        assert_eq!(newest(&at, "c", 9000).unwrap().set.unwrap().step, 10);
        save(&at, 20, "c", &files(b"y"), 3).unwrap();
        assert_eq!(newest(&at, "c", 9000).unwrap().set.unwrap().step, 20);
    }
}
