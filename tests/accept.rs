//! The experiments that ship, as a user runs them, against the numbers that they promise; and stein with other programs.
//! `cargo xtask accept` brings these, and runs what is here; `cargo test` alone does not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stein_record::{Evaluation, RunDir, RunRecord};

#[path = "accept/chromium.rs"]
mod chromium;
#[path = "accept/claims.rs"]
mod claims;
#[path = "accept/exports.rs"]
mod exports;
#[path = "accept/foreign.rs"]
mod foreign;
#[path = "accept/inception.rs"]
mod inception;
#[path = "needs.rs"]
mod needs;
#[path = "accept/pages.rs"]
mod pages;
#[path = "accept/python.rs"]
mod python;
#[path = "accept/score_sde.rs"]
mod score_sde;
#[cfg(target_os = "linux")]
#[path = "accept/slurm.rs"]
mod slurm;

/// An experiment that ships.
fn experiment(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments").join(format!("{name}.toml"))
}

/// The program, to be run in a folder.
fn stein(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stein"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a shipped experiment in a fresh folder.
fn run(name: &str) -> (Evaluation, RunRecord, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = stein(folder.path(), &["run", "--set", "device=cpu"]);
    let output = command.arg(experiment(name)).output().expect("stein starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    let runs = stein_record::run_dir::list(&folder.path().join("runs")).expect("runs");
    let [run]: [RunDir; 1] = runs.try_into().expect("one run");
    let page = std::fs::read_to_string(folder.path().join(format!("reports/{name}/index.html"))).expect("a page");
    (
        run.read_evaluation().expect("readable").expect("there"),
        run.read_record().expect("readable").expect("there"),
        page,
    )
}

fn value(evaluation: &Evaluation, metric: &str) -> f64 {
    evaluation.metric(metric).unwrap_or_else(|| panic!("no metric {metric}")).estimate.value
}

#[test]
fn digits_look_like_digits() {
    let (evaluation, record, page) = run("digits");
    assert_eq!(evaluation.samples, 360);
    let (precision, recall) = (value(&evaluation, "precision"), value(&evaluation, "recall"));
    assert!(precision >= 0.75 && recall >= 0.75, "precision {precision}, recall {recall}");
    let accuracy = value(&evaluation, "1-nn-accuracy");
    assert!(accuracy <= 0.62, "1-NN accuracy {accuracy}");
    let mmd = evaluation.metric("mmd2-third-median").expect("measured");
    let gaussian = mmd.baseline.expect("a baseline").value;
    assert!(mmd.estimate.value <= gaussian / 4.0, "MMD² {}, Gaussian's {gaussian}", mmd.estimate.value);
    let nearest = value(&evaluation, "nearest-training");
    assert!(nearest >= 0.95, "distance to training {nearest}");
    // The metrics tell real digits and a Gaussian apart: else the bounds above would mean nothing.
    let precision = evaluation.metric("precision").expect("measured");
    let (floor, baseline) = (precision.floor.expect("a floor").value, precision.baseline.expect("a baseline").value);
    assert!(floor > 0.85 && baseline < 0.6, "precision of real digits {floor}, of a Gaussian {baseline}");
    let accuracy = evaluation.metric("1-nn-accuracy").expect("measured").baseline.expect("a baseline").value;
    assert!(accuracy > 0.75, "1-NN accuracy of a Gaussian {accuracy}");
    // The empirical optimum memorises: best on training digits, worst on held-out ones.
    let last = evaluation.levels.last().expect("levels");
    let (on_train, on_held_out) = (last.memorising_train.expect("known"), last.memorising_held_out.expect("known"));
    assert!(on_train.value < last.train.value && on_held_out.value > 10.0 * last.held_out.value);
    assert!(record.peak_memory.is_none_or(|bytes| bytes < 1_500_000_000), "{:?}", record.peak_memory);
    for words in ["Nearest training images", "Held-out data", "memoris", "data:image/gif"] {
        assert!(page.contains(words), "the page says nothing of {words:?}");
    }
}

#[test]
fn the_mixture_is_learned_and_sampled() {
    let (evaluation, _, page) = run("mixture");
    let fisher = value(&evaluation, "sigma2-fisher");
    assert!(fisher <= 0.02, "mean σ²F {fisher}");
    let weights = evaluation.mode_weights.expect("modes are known");
    for (weight, truth) in weights.iter().zip([0.5, 0.3, 0.2]) {
        assert!((weight - truth).abs() <= 0.05, "{weights:?}");
    }
    assert!(evaluation.levels.iter().all(|l| l.fisher.is_some() && l.floor.is_some()), "shown per σ");
    for words in ["Score field", "Where the score is wrong", "Mode weights"] {
        assert!(page.contains(words), "the page says nothing of {words:?}");
    }
}
