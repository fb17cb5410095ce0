//! Checkpoints of the score SDE's own networks, in and out again.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exports::{read, stein, succeeds};
use crate::foreign::error;
use crate::{needs, python};

const VARIABLE: &str = "STEIN_SCORE_SDE";

/// A network, as JSON and one key of a table a line, and the σ that it is asked at; and the same experiment with a key that is wrong, where
/// no name or shape would tell.
struct Case {
    network: &'static [&'static str],
    sigmas: [f64; 3],
    wrong: &'static [&'static str],
}

/// Any will do for those that are told σ or a time.
const ANY: [f64; 3] = [5.0, 0.5, 0.05];

/// NCSN++ of CIFAR-10, with the paper's frequencies.
const NCSNPP: Case = Case {
    network: &["\"channels\": 16", "\"multipliers\": [1, 2]"],
    sigmas: [30.0, 0.8, 0.02],
    wrong: &["scale-skips = false", "rescale = false"],
};

/// DDPM++ of CIFAR-10.
const DDPMPP: Case = Case {
    network: &[
        "\"channels\": 16",
        "\"multipliers\": [1, 2]",
        "\"resampling\": \"naive\"",
        "\"progressive-input\": \"none\"",
        "\"embedding\": \"positional\"",
        "\"sde\": \"vp\"",
        "\"parameterization\": \"noise\"",
    ],
    sigmas: ANY,
    wrong: &["sde = \"sub-vp\"", "resampling = \"fir\"", "rescale = false"],
};

/// NCSN++ of the sub-VP SDE.
const SUB_VP: Case = Case {
    network: &[
        "\"channels\": 16",
        "\"multipliers\": [1, 2]",
        "\"embedding\": \"positional\"",
        "\"sde\": \"sub-vp\"",
        "\"parameterization\": \"noise\"",
    ],
    sigmas: ANY,
    wrong: &["sde = \"vp\"", "scale-skips = false"],
};

/// NCSN++ of 256 pixels.
const SKIPS: Case = Case {
    network: &[
        "\"channels\": 24",
        "\"multipliers\": [1, 1, 2]",
        "\"progressive\": \"output-skip\"",
        "\"progressive-input\": \"input-skip\"",
    ],
    sigmas: [30.0, 0.8, 0.02],
    wrong: &["resampling = \"naive\"", "scale-skips = false"],
};

/// Levels by number, DDPM's blocks, and what no configuration of theirs has.
const RESIDUAL: Case = Case {
    network: &[
        "\"channels\": 16",
        "\"multipliers\": [1, 2]",
        "\"block\": \"ddpm\"",
        "\"resampling\": \"naive\"",
        "\"progressive\": \"residual\"",
        "\"progressive-input\": \"input-skip\"",
        "\"combine\": \"cat\"",
        "\"embedding\": \"positional\"",
        "\"continuous\": false",
    ],
    sigmas: [50.0, 0.480_120_226_127_281_34, 0.01],
    wrong: &["scale-skips = false", "rescale = false"],
};

/// DDPM itself, `models/ddpm.py`, with levels that it was trained at.
const DDPM: Case = Case {
    network: &[
        "\"channels\": 128",
        "\"multipliers\": [1, 1]",
        "\"block\": \"ddpm\"",
        "\"resampling\": \"naive\"",
        "\"progressive-input\": \"none\"",
        "\"embedding\": \"positional\"",
        "\"scale-skips\": false",
        "\"sde\": \"vp\"",
        "\"parameterization\": \"noise\"",
        "\"continuous\": false",
    ],
    sigmas: [12.867_989_841_166_326, 1.721_483_556_262_911_4, 0.171_129_849_506_515_8],
    wrong: &["scale-skips = true", "rescale = false"],
};

/// What all have in common.
const COMMON: [&str; 3] = ["\"kind\": \"ncsnpp\"", "\"blocks\": 1", "\"attention\": [4]"];

/// A checkout; a test that goes without is left out.
fn checkout() -> Option<PathBuf> {
    let path = std::env::var_os(VARIABLE).map(PathBuf::from).filter(|path| path.join("models").is_dir());
    if path.is_none() {
        let why = format!("{VARIABLE} names no checkout of github.com/yang-song/score_sde_pytorch");
        needs::leave_out("score-sde", &why);
    }
    path
}

/// The experiment, `other` in the place of the network's own key.
fn experiment(keys: &[&str], other: Option<&str>) -> String {
    let own = |line: &&String| other.is_none_or(|other| line.split(' ').next() != other.split(' ').next());
    let lines: Vec<String> = keys.iter().map(|key| key.replacen('"', "", 2).replacen(": ", " = ", 1)).collect();
    let lines: Vec<&str> = lines.iter().filter(own).map(String::as_str).chain(other).collect();
    format!(
        "name = \"original\"\n[data]\nkind = \"digits\"\n[network]\n{}\n[schedule]\nkind = \"geometric\"\nsigma-max = 50.0\nsigma-min = 0.01\n\
         levels = 12\n[sampler]\nkind = \"annealed-langevin\"\nsteps-per-level = 1\n[evaluation]\nsamples = 20\n",
        lines.join("\n")
    )
}

fn goes_round(case: &Case) {
    let Some(torch) = python::or_skip(&["torch", "numpy", "safetensors", "setuptools"]) else { return };
    let Some(checkout) = checkout() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/accept/score_sde.py");
    let keys = [&COMMON[..], case.network].concat();
    let (network, sigmas) = (format!("{{{}}}", keys.join(", ")), format!("{:?}", case.sigmas));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let python = |task: &str, file: &[&str]| {
        let mut command: Command = torch.command();
        succeeds(command.arg(&script).arg(task).arg(&checkout).arg(&network).arg(&sigmas).args(file), folder)
    };
    python("make", &[]);
    std::fs::write(folder.join("original.toml"), experiment(&keys, None)).expect("written");
    // The largest error at each σ, of a run against scores of theirs.
    let errors = |run: &str, expected: &str| -> Vec<f32> {
        let of_sigma = |(i, sigma): (usize, &f64)| {
            let (points, sigma) = (format!("points-{i}.npy"), sigma.to_string());
            stein(folder, &["score", run, "--at", &points, "--sigma", &sigma, "--out", "ours.npy", "--quiet"]);
            error(&read(&folder.join("ours.npy")), &read(&folder.join(format!("{expected}-{i}.npy"))))
        };
        case.sigmas.iter().enumerate().map(of_sigma).collect()
    };
    for scale in ["1", "3", "0.1"] {
        let file = format!("states-{scale}.pth");
        for (which, expected, other) in [(&[][..], "average", "last"), (&["--raw"], "last", "average")] {
            let run = format!("{expected}-{scale}");
            stein(folder, &[&["import", "original.toml", &file, "--out", &run], which].concat());
            let worst = errors(&run, &run).into_iter().fold(0.0, f32::max);
            println!("{network}, times {scale}, {expected}: {worst:.1e}");
            assert!(worst <= 1e-4, "{run}: off by {worst}");
            let least = errors(&run, &format!("{other}-{scale}")).into_iter().fold(f32::INFINITY, f32::min);
            assert!(least > 1e-2, "{run}: the average and the last weights are told apart, {least}");
        }
    }
    for (i, key) in case.wrong.iter().enumerate() {
        let (file, run) = (format!("wrong-{i}.toml"), format!("wrong-{i}"));
        std::fs::write(folder.join(&file), experiment(&keys, Some(key))).expect("written");
        stein(folder, &["import", &file, "states-1.pth", "--out", &run]);
        let worst = errors(&run, "average-1").into_iter().fold(0.0, f32::max);
        assert!(worst > 1e-2, "{key} is told apart: {worst}");
    }
    stein(folder, &["export", "average-1", "--out", "back.safetensors"]);
    python("load", &["back.safetensors"]);
    stein(folder, &["sample", "average-1", "-n", "4", "--quiet"]);
}

#[test]
fn an_original_ncsnpp_is_imported_and_exported_again() {
    goes_round(&NCSNPP);
}

#[test]
fn an_original_ddpmpp_is_imported_and_exported_again() {
    goes_round(&DDPMPP);
}

#[test]
fn an_original_of_the_sub_vp_sde_is_imported_and_exported_again() {
    goes_round(&SUB_VP);
}

#[test]
fn an_original_with_skips_is_imported_and_exported_again() {
    goes_round(&SKIPS);
}

#[test]
fn an_original_with_residual_pyramids_is_imported_and_exported_again() {
    goes_round(&RESIDUAL);
}

#[test]
fn an_original_ddpm_is_imported_and_exported_again() {
    goes_round(&DDPM);
}
