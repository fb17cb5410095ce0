//! What is done with bytes that somebody else wrote, a function for each kind of file. None may panic, however they are; what
//! is read without an error must hold what its type promises.
//!
//! The fuzz targets call these, and so does `crates/stein-report/tests/hostile/` in the ordinary tests.

use std::io::Cursor;
use std::path::Path;

use stein_files::cifar::{Layout, Records};
use stein_files::table::{self, Choice};
use stein_files::tar::{self, Member};
use stein_files::zip::Zip;
use stein_record::arrays::ArrayFile;
use stein_record::checkpoint::Manifest;
use stein_record::series::{self, Series};
use stein_record::source::{Diagnostic, Source, Span, list_of, nearest};
use stein_record::torch::Checkpoint;
use stein_record::{
    Array, DivergedRecord, Evaluation, Idx, RunDir, RunRecord, SweepRecord, configuration, metrics_log, tensorboard,
};
use toml::de::{DeTable, DeValue};

/// A kind of file, and what is done with the bytes of one.
pub type Target = (&'static str, fn(&[u8]));

/// All of them by their names.
pub const TARGETS: [Target; 10] = [
    ("experiment", experiment),
    ("record", record),
    ("metrics", metrics),
    ("safetensors", safetensors),
    ("npy", npy),
    ("idx", idx),
    ("data", data),
    ("checkpoint", checkpoint),
    ("torch", torch),
    ("page", page),
];

/// What stands before the name of each part of an input that is several files.
const PART: &[u8] = b"\n--- ";

/// Spans that are shown of one file.
const SHOWN: usize = 6;

/// An experiment file, and behind each NUL an assignment.
pub fn experiment(bytes: &[u8]) {
    let mut parts = bytes.split(|&b| b == 0);
    let Ok(mut source) = Source::new("fuzz.toml", parts.next().unwrap_or_default()) else { return };
    for assignment in parts.filter_map(|part| std::str::from_utf8(part).ok()).take(8) {
        let _ = source.set(assignment);
    }
    let _ = configuration::flat(source.text());
    match source.parse(&["denoise"]) {
        Ok(root) => {
            let mut problems = Vec::new();
            look(root.get_ref(), &source, &mut problems);
            assert!(!source.render(&problems, true).contains("panicked"));
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            assert!(!source.render(&problems, false).is_empty());
        }
    }
}

/// A diagnostic at every value of a table, as if all were wrong.
fn look(table: &DeTable<'_>, source: &Source, problems: &mut Vec<Diagnostic>) {
    for (key, value) in table {
        if problems.len() >= SHOWN {
            return;
        }
        let name = key.get_ref().as_ref();
        let near = nearest(name, ["schedule", "sigma-max", "training"]).unwrap_or("none");
        assert!(!source.place(&value.span()).is_empty());
        let wrong =
            Diagnostic::new(format!("`{name}` is wrong")).at(Some(value.span()), name).related(Some(key.span()), near);
        problems.push(wrong.help(list_of([near, name])));
        problems.extend(
            source.is_assigned(&key.span()).then(|| Diagnostic::new("assigned").at(Some(behind(value.span())), "")),
        );
        match value.get_ref() {
            DeValue::Table(table) => look(table, source, problems),
            DeValue::Array(values) => {
                let tables = values.iter().filter_map(|value| value.get_ref().as_table());
                tables.for_each(|table| look(table, source, problems));
            }
            _ => {}
        }
    }
}

fn behind(span: Span) -> Span {
    span.end..span.end
}

/// `run.json`, `evaluation.json`, `sweep.json` or `diverged.json`.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<RunRecord>(bytes) {
        let text = serde_json::to_vec(&record).expect("what was read can be written");
        serde_json::from_slice::<RunRecord>(&text).expect("what was written can be read");
        let _ = (record.is_training(), tensorboard::file_name(&record), tensorboard::event_file(&record, &[], None));
    }
    if let Ok(evaluation) = serde_json::from_slice::<Evaluation>(bytes) {
        serde_json::to_vec(&evaluation).expect("what was read can be written");
    }
    if let Ok(diverged) = serde_json::from_slice::<DivergedRecord>(bytes) {
        let text = serde_json::to_vec(&diverged).expect("what was read can be written");
        serde_json::from_slice::<DivergedRecord>(&text).expect("what was written can be read");
    }
    if let Ok(sweep) = serde_json::from_slice::<SweepRecord>(bytes) {
        assert!(
            sweep.cells.iter().all(|cell| is_name(&cell.cell)),
            "a cell that is no folder beside the sweep's record"
        );
        serde_json::to_vec(&sweep).expect("what was read can be written");
    }
}

/// `metrics.jsonl`.
pub fn metrics(bytes: &[u8]) {
    let Ok(lines) = metrics_log::parse(bytes) else { return };
    let series = Series::of(&lines);
    assert!(series.names.len() <= series::MAX_SERIES);
    let table = series::csv(&[("a".into(), series.clone()), ("b".into(), series)]);
    assert!(table.ends_with("\r\n"));
}

/// A file of named arrays.
pub fn safetensors(bytes: &[u8]) {
    let Ok(file) = ArrayFile::from_bytes(bytes) else { return };
    file.arrays.values().for_each(whole);
    let again = ArrayFile::from_bytes(&file.to_bytes()).expect("what was written can be read");
    assert!(again.arrays.keys().eq(file.arrays.keys()) && again.metadata == file.metadata);
}

/// An array.
pub fn npy(bytes: &[u8]) {
    if let Ok(array) = Array::from_npy(bytes) {
        whole(&array);
    }
}

/// An IDX file, compressed or not.
pub fn idx(bytes: &[u8]) {
    match Idx::parse(bytes.to_vec()) {
        Ok(idx) => assert_eq!(idx.shape.iter().product::<usize>(), idx.data.len()),
        Err(problem) => assert!(!problem.is_empty()),
    }
}

/// Data of one's own, or of those who have them: an archive, pictures' records, a table.
pub fn data(bytes: &[u8]) {
    let wanted = [Member { name: "one.bin", bytes: 3 }, Member { name: "two.bin", bytes: 600 }];
    let _ = tar::members(bytes, &wanted, |i, found| {
        assert_eq!(found.len() as u64, wanted[i].bytes);
        Ok::<_, String>(())
    });
    if let Ok(records) = Records::parse(bytes.to_vec(), Layout { labels: 2, label: 1, classes: 100 }) {
        assert!((0..records.count()).all(|i| records.label(i) < 100 && records.picture(i).len() == 3072));
    }
    if let Ok(zip) = Zip::parse(bytes.to_vec()) {
        for entry in zip.entries.iter().take(SHOWN) {
            assert!(zip.read(entry).is_ok_and(|found| found.len() as u64 == entry.bytes) || zip.read(entry).is_err());
        }
    }
    for header in [true, false] {
        match table::from_csv(bytes, Choice { columns: None, header, delimiter: b',' }) {
            Ok(table) => assert!(
                table.rows() * table.names.len() == table.values.len() && table.values.iter().all(|x| x.is_finite())
            ),
            Err(problem) => assert!(!problem.is_empty()),
        }
    }
}

/// A checkpoint of PyTorch in either of its containers: all its tables, and the numbers of small tensors.
pub fn torch(bytes: &[u8]) {
    let mut checkpoint = match Checkpoint::read(Cursor::new(bytes.to_vec())) {
        Ok(checkpoint) => checkpoint,
        Err(problem) => return assert!(!problem.is_empty()),
    };
    assert!(!checkpoint.kind().is_empty());
    for (_, tensor) in checkpoint.tables().into_iter().flat_map(|table| table.tensors) {
        if let Ok(array) = checkpoint.array(&tensor, 1 << 10) {
            assert_eq!(array.shape, tensor.shape());
            whole(&array);
        }
    }
}

/// As many values as the shape says, and rows that can be had.
fn whole(array: &Array) {
    assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
    let rows = array.rows();
    assert!(rows <= array.data.len().max(1 << 20), "{rows} rows of nothing");
    assert_eq!((0..rows).map(|i| array.row(i).len()).sum::<usize>(), array.data.len());
}

/// A checkpoint's manifest and, behind [`PART`], its files: read whether their checksums hold or not.
pub fn checkpoint(bytes: &[u8]) {
    let mut parts = split(bytes, PART);
    if let Ok(manifest) = Manifest::parse(parts.next().unwrap_or_default()) {
        assert!(manifest.files.keys().all(|name| is_name(name)), "{:?}", manifest.files.keys());
    }
    parts.for_each(safetensors);
}

fn is_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(std::path::Component::Normal(_)), None))
}

/// A run directory and its page: behind each [`PART`] a file's name, a line end and what is in it.
pub fn page(bytes: &[u8]) {
    const FILES: [&str; 10] = [
        "run.json",
        "evaluation.json",
        "metrics.jsonl",
        "experiment.toml",
        "samples/final.npy",
        "samples/held-out.npy",
        "samples/nearest.npy",
        "samples/trajectory.npy",
        "samples/trajectory.gif",
        "evaluation/field.safetensors",
    ];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = RunDir::new(folder.path().join("fuzz/cell-00000000"));
    for name in ["samples", "evaluation"] {
        std::fs::create_dir_all(dir.path().join(name)).expect("a folder");
    }
    for part in split(bytes, PART) {
        let Some(end) = part.iter().position(|&b| b == b'\n') else { continue };
        if let Some(name) = FILES.iter().find(|name| name.as_bytes() == &part[..end]) {
            std::fs::write(dir.path().join(name), &part[end + 1..]).expect("a file");
        }
    }
    let page = stein_report::page_of(&dir);
    assert!(page.contains("Content-Security-Policy") && page.trim_end().ends_with("</html>"));
    // Seeds have it in every text.
    assert!(!page.contains("<fuzz"), "text that is not escaped");
}

fn split<'a>(bytes: &'a [u8], separator: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let whole = rest?;
        match whole.windows(separator.len()).position(|window| window == separator) {
            Some(at) => {
                rest = Some(&whole[at + separator.len()..]);
                Some(&whole[..at])
            }
            None => rest.take(),
        }
    })
}
