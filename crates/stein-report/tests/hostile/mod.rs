//! Bytes that somebody else wrote: what the fuzz targets call, on mutations of the targets' seeds.
//!
//! The seeds lie in `tests/fuzz/seeds/`, made here by stein's own writers. After a change of a format:
//! `STEIN_BLESS=1 cargo test --release --workspace --test page -- hostile`.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stein_record::arrays::{Array, ArrayFile};
use stein_record::{AxisRole, Idx, MetricLine, RunDir, Split, SweepRecord, checkpoint};

use super::synthetic::{Noise, TOML, axis, field, mixture_run, record, swept};

#[path = "../../../../tests/fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the targets' crate is a library")]
mod targets;

/// How long each target is tried, and how often at most.
const TIME: Duration = Duration::from_secs(1);
const TRIES: usize = 4000;
/// A single one takes milliseconds.
const HANGS: Duration = Duration::from_secs(5);

/// A text that must be escaped wherever it is shown.
const MARK: &str = "<fuzz>";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds")
}

fn npy(array: &Array) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("array.npy");
    array.write_npy(&path).unwrap();
    std::fs::read(path).unwrap()
}

fn metrics() -> Vec<u8> {
    let lines = (1..=6u64).flat_map(|step| {
        let value = [1.0 / step as f64, f64::NAN][usize::from(step == 5)];
        let line = |split, name: &str| MetricLine { step: 10 * step, split, name: name.into(), value };
        [line(Split::Train, "loss"), line(Split::HeldOut, "loss"), line(Split::Train, MARK)]
    });
    lines.flat_map(|line| serde_json::to_vec(&line).unwrap().into_iter().chain(*b"\n")).collect()
}

/// An IDX file of the bytes 0, 1, 2, …
fn idx(shape: &[usize]) -> Vec<u8> {
    Idx { shape: shape.into(), data: (0..shape.iter().product::<usize>() as u8).collect() }.to_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A checkpoint of small files as one input: the manifest, then each file.
fn checkpoint_set() -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let mut file = ArrayFile::default();
    file.arrays.insert("parameters".into(), Array::new([6], vec![0.5; 6]));
    file.metadata.insert("layout".into(), "[[\"layers.0.weight\",[2,3]]]".into());
    let files = ["average", "model"].map(|name| (format!("{name}.safetensors"), file.to_bytes()));
    let set = checkpoint::save(place.path(), 10, "hash", &BTreeMap::from(files), 1).unwrap();
    let parts = ["manifest.json", "average.safetensors", "model.safetensors"]
        .map(|name| std::fs::read(set.join(name)).unwrap());
    parts.join(&b"\n--- "[..])
}

/// A run of points in the plane, its texts hostile.
fn run() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let place = tempfile::tempdir().unwrap();
    let dir = RunDir::new(mixture_run(place.path(), "fuzz", "cell-00000000", 1).join("cell-00000000"));
    let mut about = record(MARK, "cell-00000000");
    about.data.image = None;
    about.data.dimension = 2;
    about.reason = Some(MARK.into());
    about.argv = vec![MARK.into()];
    about.conventions.insert(MARK.into(), MARK.into());
    let mut evaluation = dir.read_evaluation().unwrap().unwrap();
    for metric in &mut evaluation.metrics {
        (metric.label, metric.about) = (MARK.into(), MARK.into());
    }
    evaluation.metrics.truncate(3);
    evaluation.levels.truncate(2);
    let json = |value: serde_json::Result<Vec<u8>>| value.unwrap();
    let (about, evaluation) = (json(serde_json::to_vec(&about)), json(serde_json::to_vec(&evaluation)));
    let rows = |n: usize, shape: &[usize]| npy(&Array::new(shape, (0..n).map(|i| (i as f32 * 0.7).sin()).collect()));
    let toml = format!("{TOML}# {MARK}\n").into_bytes();
    let parts: [(&str, Vec<u8>); 7] = [
        ("run.json", about.clone()),
        ("evaluation.json", evaluation.clone()),
        ("metrics.jsonl", metrics()),
        ("experiment.toml", toml),
        ("samples/final.npy", rows(16, &[8, 2])),
        ("samples/held-out.npy", rows(16, &[8, 2])),
        ("evaluation/field.safetensors", field(&[1.0, 0.1], 4).to_bytes()),
    ];
    let page = parts.iter().flat_map(|(name, bytes)| [format!("\n--- {name}\n").into_bytes(), bytes.clone()].concat());
    (about, evaluation, page.collect())
}

/// What Python's `zipfile` makes of `a/b.png`, "abc", as it is, and `c`, 300 times 7, deflated.
const ZIP: &[u8] = b"PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x00\xc2A$5\x03\x00\x00\x00\x03\x00\x00\x00\x07\x00\x00\x00a/b.pngabcPK\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00!\x00\xe8\x12\xa1z\x07\x00\x00\x00,\x01\x00\x00\x01\x00\x00\x00ccg\x1f\x05\xc4\x02\x00PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00\x00\x00!\x00\xc2A$5\x03\x00\x00\x00\x03\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00a/b.pngPK\x01\x02\x14\x03\x14\x00\x00\x00\x08\x00\x00\x00!\x00\xe8\x12\xa1z\x07\x00\x00\x00,\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01(\x00\x00\x00cPK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00d\x00\x00\x00N\x00\x00\x00\x00\x00";

fn sweep() -> Vec<u8> {
    let record = SweepRecord {
        schema: 1,
        experiment: "fuzz".into(),
        measures: vec!["precision".into()],
        axes: vec![axis("seed", AxisRole::Repeat, &["0", "1"])],
        cells: vec![swept("seed-0-00000000", &[("seed", "0")]), swept("seed-1-00000001", &[("seed", "1")])],
    };
    serde_json::to_vec(&record).unwrap()
}

fn seeds() -> BTreeMap<String, Vec<u8>> {
    let mut arrays = field(&[1.0], 2);
    arrays.metadata.insert("network".into(), "kind = \"mlp\"".into());
    let (about, evaluation, page) = run();
    let assigned = [TOML.as_bytes(), b"\0seed=1\0sampler.kind=langevin\0schedule.sigma-max=auto"].concat();
    let seeds: [(&str, Vec<u8>); 17] = [
        ("experiment/plain", TOML.into()),
        ("experiment/assigned", assigned),
        ("record/run", about),
        ("record/evaluation", evaluation),
        ("record/sweep", sweep()),
        ("metrics/plain", metrics()),
        ("safetensors/field", arrays.to_bytes()),
        ("npy/matrix", npy(&Array::new([2, 3], vec![1.0, f32::NAN, -0.0, 4.0, 5.0, 6.0]))),
        ("npy/empty", npy(&Array::new([0, 3], vec![]))),
        ("idx/images", idx(&[2, 2, 3])),
        ("idx/compressed", gzip(&idx(&[2, 2, 3]))),
        ("idx/labels", idx(&[9])),
        ("data/table", b"x,\"y z\"\r\n1,-2.5e3\n 3 ,4\n".into()),
        ("data/records", [vec![3, 77], vec![5; 3072]].concat()),
        ("data/zip", ZIP.into()),
        ("checkpoint/set", checkpoint_set()),
        ("page/run", page),
    ];
    seeds.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

#[test]
fn seeds_are_what_stein_writes() {
    for (name, bytes) in seeds() {
        let path = folder().join(&name);
        if std::env::var_os("STEIN_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(std::fs::read(&path).is_ok_and(|there| there == bytes), "{name} is not what stein writes now");
        assert!(bytes.len() < 1 << 16, "{name} has {} bytes", bytes.len());
    }
}

/// What lies in a target's folder: the seeds, and what once crashed it.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder().join(target)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no seeds");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Bytes that readers stumble over.
const ODD: [&[u8]; 14] = [
    b"\0",
    b"\xff\xfe",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"18446744073709551615",
    b"1152921504606846976",
    b"-1",
    b"1e999",
    b"\"NaN\"",
    b"null",
    b"[[[[[[[[[[",
    b"\n--- ",
    b"<fuzz>",
    b"../../",
    "\u{202e}\u{feff}é".as_bytes(),
];

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], noise: &mut Noise) {
    let mut below = |n: usize| (noise.uniform() * n as f64) as usize;
    for _ in 0..1 + below(4) {
        let at = below(bytes.len() + 1);
        let end = (at + 1 + below(32)).min(bytes.len());
        match below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
            1 if at < bytes.len() => bytes[at] = below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => drop(bytes.splice(at..at, ODD[below(ODD.len())].iter().copied())),
            5 => drop(bytes.splice(at..end, ODD[below(ODD.len())].iter().copied())),
            _ => {
                let other = &others[below(others.len())];
                let from = below(other.len() + 1);
                bytes.splice(at..end, other[from..].iter().copied());
            }
        }
    }
}

#[test]
fn no_bytes_are_too_hostile() {
    for (t, (name, target)) in targets::TARGETS.into_iter().enumerate() {
        let (corpus, mut noise) = (corpus(name), Noise::new(t as u64));
        let begun = Instant::now();
        for (i, seed) in corpus.iter().cycle().enumerate().take(TRIES) {
            let mut bytes = seed.clone();
            // First the seeds as they are.
            if i >= corpus.len() {
                mutate(&mut bytes, &corpus, &mut noise);
            }
            let one = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(ended.is_ok(), "{name}, try {i}: {:?}", String::from_utf8_lossy(&bytes));
            assert!(one.elapsed() < HANGS, "{name}, try {i}, takes {:?}", one.elapsed());
            if i >= corpus.len() && begun.elapsed() > TIME {
                break;
            }
        }
    }
}
