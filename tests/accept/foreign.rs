//! Weights of the authors' own modules, in and out again.

use std::path::{Path, PathBuf};
use std::process::Command;

use stein_record::Array;

use crate::exports::{read, stein, succeeds};
use crate::{needs, python};

/// A repository, the variable that names a checkout of it, and stein's experiment on images as small.
struct Original {
    repository: &'static str,
    variable: &'static str,
    schedule: &'static str,
    /// Numbers of levels, and their σ.
    levels: [(usize, f64); 3],
}

const NCSN: Original = Original {
    repository: "ncsn",
    variable: "STEIN_NCSN",
    schedule: "sigma-max = 1.0\nsigma-min = 0.01\nlevels = 10",
    levels: [(0, 1.0), (5, 0.07742636826811275), (9, 0.01)],
};

const NCSNV2: Original = Original {
    repository: "ncsnv2",
    variable: "STEIN_NCSNV2",
    schedule: "sigma-max = 50.0\nsigma-min = 0.01\nlevels = 12",
    levels: [(0, 50.0), (6, 0.48012022612728134), (11, 0.01)],
};

/// A checkout; a test that goes without is left out.
fn checkout(original: &Original) -> Option<PathBuf> {
    let Original { repository, variable, .. } = original;
    let path = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.join("models").is_dir());
    if path.is_none() {
        let why = format!("{variable} names no checkout of github.com/ermongroup/{repository}");
        needs::leave_out(repository, &why);
    }
    path
}

fn experiment(original: &Original) -> String {
    let Original { repository, schedule, .. } = original;
    format!(
        "name = \"original\"\n[data]\nkind = \"digits\"\n[network]\nkind = \"{repository}\"\nchannels = 4\n[schedule]\n{schedule}\n\
         [sampler]\nkind = \"annealed-langevin\"\nsteps-per-level = 1\n[evaluation]\nsamples = 20\n"
    )
}

/// The largest error of ours, of the largest of theirs.
pub(crate) fn error(ours: &Array, theirs: &Array) -> f32 {
    assert_eq!(ours.shape, theirs.shape);
    let largest = theirs.data.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    ours.data.iter().zip(&theirs.data).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

fn goes_round(original: &Original) {
    let Some(torch) = python::or_skip(&["torch", "numpy", "safetensors"]) else { return };
    let Some(checkout) = checkout(original) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/accept/foreign.py");
    let python = |folder: &Path, task: &str, file: &[&str]| {
        let mut command: Command = torch.command();
        succeeds(command.arg(&script).arg(task).arg(original.repository).arg(&checkout).args(file), folder)
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    python(folder, "make", &[]);
    std::fs::write(folder.join("original.toml"), experiment(original)).expect("written");
    for (file, which, expected) in [
        ("states.pth", &[][..], "average"),
        ("legacy.pth", &[], "average"),
        ("states.pth", &["--raw"], "last"),
        ("legacy.pth", &["--key", "0"], "last"),
    ] {
        let run = format!("{file}-{expected}");
        stein(folder, &[&["import", "original.toml", file, "--out", &run], which].concat());
        for (label, sigma) in original.levels {
            let sigma = sigma.to_string();
            stein(folder, &["score", &run, "--at", "points.npy", "--sigma", &sigma, "--out", "ours.npy", "--quiet"]);
            let ours = read(&folder.join("ours.npy"));
            let error_of = |name: &str| error(&ours, &read(&folder.join(format!("{name}-{label}.npy"))));
            assert!(error_of(expected) <= 1e-4, "{run}, σ = {sigma}: off by {}", error_of(expected));
            if original.repository == "ncsnv2" {
                let other = if expected == "last" { "average" } else { "last" };
                assert!(error_of(other) > 1e-2, "the average and the last weights are told apart");
            }
        }
    }
    stein(folder, &["export", "states.pth-average", "--out", "back.safetensors"]);
    python(folder, "load", &["back.safetensors"]);
    stein(folder, &["sample", "states.pth-average", "-n", "4", "--quiet"]);
}

#[test]
fn an_original_ncsn_is_imported_and_exported_again() {
    goes_round(&NCSN);
}

#[test]
fn an_original_ncsnv2_is_imported_and_exported_again() {
    goes_round(&NCSNV2);
}
