//! Which runs are repetitions of one another, and what the others were told differently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stein_record::{RunDir, configuration, file, hash};

use super::Side;
use crate::run::Run;
use crate::sweep::{Cell, Found};

/// What repetitions may differ in: the seed, and what the experiment is called.
const FREE: [&str; 2] = ["seed", "name"];
/// What a side has where it has no such key.
const NONE: &str = "–";

/// A side with what was read of it.
pub(super) struct Gathered {
    pub(super) side: Side,
    pub(super) read: Vec<Run>,
    /// Its resolved experiment and what it was run by, but for what is free.
    configuration: Vec<(String, String)>,
    /// The folder that its runs lie in: the same configuration elsewhere is another side.
    folder: PathBuf,
    /// The digest of each run's weights, where there are any.
    weights: BTreeMap<u64, String>,
}

/// The runs by their configurations, in the order of their first.
pub(super) fn gather(runs: &[RunDir]) -> Vec<Gathered> {
    let mut sides: Vec<Gathered> = Vec::new();
    for dir in runs {
        let run = Run::read(dir);
        let (configuration, seed) = configuration_of(&run);
        let folder = dir.path().canonicalize().unwrap_or_default().parent().map(Path::to_owned).unwrap_or_default();
        let same = |side: &&mut Gathered| {
            side.configuration == configuration && side.folder == folder && !side.side.seeds.contains(&seed)
        };
        let at = match sides.iter_mut().find(same) {
            Some(side) => side,
            None => {
                let name = name(&run.cell, run.name());
                let side = Side {
                    letter: letter(sides.len()),
                    name,
                    runs: Vec::new(),
                    seeds: Vec::new(),
                    finished: 0,
                    missing: Vec::new(),
                };
                let (read, weights) = (Vec::new(), BTreeMap::new());
                sides.push(Gathered { side, read, configuration, folder, weights });
                let last = sides.len() - 1;
                &mut sides[last]
            }
        };
        match Cell::of(&run, Vec::new(), "").found {
            Found::Numbers(_) => at.side.finished += 1,
            Found::Short { state, why, .. } => {
                let state = state.map(|state| format!("{state}, ")).unwrap_or_default();
                at.side.missing.push(format!("{}: {state}{why}", run.cell));
            }
            Found::Nothing => {}
        }
        if run.is_trained()
            && let Ok(Some((file, _))) = file::open_at_most(&dir.network(), file::ARRAYS)
            && let Ok(digest) = hash::sha256_of(file)
        {
            at.weights.insert(seed, digest);
        }
        at.side.runs.push(dir.path().to_owned());
        at.side.seeds.push(seed);
        at.read.push(run);
    }
    sides
}

/// What a run was told and by what it was run, and its seed.
fn configuration_of(run: &Run) -> (Vec<(String, String)>, u64) {
    let flat = run.toml.as_deref().map(|text| configuration::flat(text).unwrap_or_default()).unwrap_or_default();
    let value = |key: &str| flat.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let seed = value("seed").and_then(|v| v.parse().ok()).or(run.record.as_ref().map(|r| r.seed)).unwrap_or(0);
    (flat.into_iter().filter(|(key, _)| !FREE.contains(&key.as_str())).collect(), seed)
}

/// A run's name without its seed and hash; the experiment's if nothing is left.
fn name(cell: &str, experiment: &str) -> String {
    let is_hash = |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let slug = match cell.rsplit_once('-') {
        Some((slug, hash)) if is_hash(hash) => slug,
        _ => cell,
    };
    let parts: Vec<&str> = slug.split('-').collect();
    let seed = parts.windows(2).position(|w| w[0] == "seed" && w[1].bytes().all(|b| b.is_ascii_digit()));
    let kept = parts.iter().enumerate().filter(|(i, _)| seed.is_none_or(|at| *i != at && *i != at + 1)).map(|p| *p.1);
    let kept = kept.collect::<Vec<_>>().join("-");
    if kept.is_empty() { experiment.to_owned() } else { kept }
}

/// `A` to `Z`, `AA`, …
fn letter(mut i: usize) -> String {
    let mut out = String::new();
    loop {
        out.insert(0, char::from(b'A' + (i % 26) as u8));
        match i / 26 {
            0 => return out,
            more => i = more - 1,
        }
    }
}

/// The keys that sides differ in, in the order of the files, then what they were run by.
pub(super) fn differing(sides: &[Gathered]) -> Vec<(String, Vec<String>)> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in sides.iter().flat_map(|side| &side.configuration) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let value = |side: &Gathered, key: &str| {
        side.configuration.iter().find(|(k, _)| k == key).map_or_else(|| NONE.into(), |(_, v)| v.clone())
    };
    let configured = keys.iter().map(|key| ((*key).to_owned(), sides.iter().map(|side| value(side, key)).collect()));
    let run_by = ["run by stein", "from commit", "run on"]
        .iter()
        .map(|what| ((*what).to_owned(), sides.iter().map(|side| run_by(side, what)).collect()));
    configured
        .chain(run_by)
        .filter(|(_, values): &(String, Vec<String>)| values.iter().any(|v| *v != values[0]))
        .collect()
}

/// What the runs of a side were run by: each different answer once.
fn run_by(side: &Gathered, what: &str) -> String {
    let records = side.read.iter().filter_map(|run| run.record.as_ref());
    let answers: BTreeSet<String> = records
        .filter_map(|record| match what {
            "run by stein" => Some(record.versions.stein.clone()),
            "from commit" => {
                record.git.as_ref().map(|git| git.commit.chars().take(10).chain(git.dirty.then_some('+')).collect())
            }
            _ => Some(record.device.description.clone()),
        })
        .collect();
    if answers.is_empty() { NONE.into() } else { answers.into_iter().collect::<Vec<_>>().join(", ") }
}

/// What to be wary of.
pub(super) fn notes(sides: &[Gathered], differing: &[(String, Vec<String>)]) -> Vec<String> {
    let mut out = Vec::new();
    if differing.iter().any(|(key, _)| key.starts_with("data.")) {
        out.push("Sides on different data are not compared with each other.".to_owned());
    }
    for (i, side) in sides.iter().enumerate() {
        let others: Vec<&str> =
            sides[i + 1..].iter().filter(|other| share(side, other)).map(|other| other.side.letter.as_str()).collect();
        if !others.is_empty() {
            out.push(format!(
                "{} has the very same trained networks as {}: differences between them are not of training.",
                side.side.letter,
                others.join(", ")
            ));
        }
        let networks: BTreeSet<&String> = side.weights.values().collect();
        if networks.len() < side.weights.len() {
            out.push(format!(
                "{} has {} runs, but only {} different trained networks: runs that share one are not independent.",
                side.side.letter,
                side.weights.len(),
                networks.len()
            ));
        }
    }
    out
}

/// Whether two sides have the same weights at every seed that both have.
fn share(a: &Gathered, b: &Gathered) -> bool {
    let mut pairs = a.weights.iter().filter_map(|(seed, own)| Some((own, b.weights.get(seed)?))).peekable();
    pairs.peek().is_some() && pairs.all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_without_seed_and_hash() {
        assert_eq!(name("ssm-levels-10-seed-3-1a2b3c4d", "x"), "ssm-levels-10");
        assert_eq!(name("seed-0-karras-1a2b3c4d", "x"), "karras");
        assert_eq!(name("seed-0-1a2b3c4d", "mixture"), "mixture");
        assert_eq!(name("by hand", "mixture"), "by hand");
    }

    #[test]
    fn letters_go_on_after_z() {
        assert_eq!([0, 25, 26, 27, 52, 702].map(letter), ["A", "Z", "AA", "AB", "BA", "AAA"]);
    }
}
