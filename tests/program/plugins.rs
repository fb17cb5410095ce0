//! Programs that add components of their own, as the examples do.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::harness::{Folder, SMALL, Said};

/// An example, built with the tests.
fn example(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_BIN_EXE_stein")).with_file_name("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is built by: cargo test --release --workspace", program.display());
    program
}

fn run(folder: &Folder, program: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(example(program));
    Said(command.args(arguments).current_dir(folder.path()).stdin(Stdio::null()).output().expect("the example starts"))
}

/// An example's component is listed, in the schema, refused by the plain program, and runs from a file into a page.
fn plugs_in(program: &str, what: &str, kind: &str, text: &str, on_the_page: &str) {
    let folder = Folder::with(text);
    let listed = run(&folder, program, &["list", what, kind]).exits(0);
    assert!(listed.out().starts_with(kind), "{}", listed.out());
    assert!(run(&folder, program, &["schema"]).exits(0).out().contains(kind));
    assert!(!folder.stein(&["schema"]).exits(0).out().contains(kind));
    let refused = folder.stein(&["check", "small.toml"]).exits(2);
    assert!(refused.err().contains(kind), "{}", refused.err());
    run(&folder, program, &["check", "small.toml"]).exits(0);
    run(&folder, program, &["run", "small.toml", "--set", "training.steps=300"]).exits(0);
    let page = std::fs::read_to_string(folder.path().join("reports/small/index.html")).unwrap();
    assert!(page.contains(on_the_page), "the page says nothing of {on_the_page}");
    // It learns: the held-out loss falls.
    let losses: Vec<f64> = folder
        .cell()
        .read_metrics()
        .unwrap()
        .into_iter()
        .filter(|m| m.split == stein_record::Split::HeldOut)
        .map(|m| m.value)
        .collect();
    assert!(losses.last() < losses.first(), "{losses:?}");
}

#[test]
fn an_objective_of_ones_own() {
    let text = format!("{SMALL}\n[objective]\nkind = \"huber-denoising\"\ndelta = 3.0\n");
    plugs_in("own_objective", "objectives", "huber-denoising", &text, "huber-denoising");
}

#[test]
fn a_network_of_ones_own() {
    let text = SMALL.replace("kind = \"mlp\"\nhidden = [32, 32]", "kind = \"sine-mlp\"\nwidth = 32");
    plugs_in("own_network", "networks", "sine-mlp", &text, "sine-mlp");
}

#[test]
fn a_metric_of_ones_own() {
    let text = SMALL.replace("[evaluation]", "[evaluation]\nmetrics = [\"mean-error\", \"mode-weights\"]");
    plugs_in("own_metric", "metrics", "mean-error", &text, "error of the mean");
}

#[test]
fn the_readme_shows_the_example_that_is_tested() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("../../README.md")).unwrap();
    let code = std::fs::read_to_string(root.join("examples/own_objective.rs")).unwrap();
    assert!(readme.contains(&code), "README's *Your own objective* is not crates/stein/examples/own_objective.rs");
}
