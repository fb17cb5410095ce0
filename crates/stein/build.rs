//! Records the source that the program is built from.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=..");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    for file in ["HEAD", "index"] {
        let path = format!("../../.git/{file}");
        if std::path::Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    println!("cargo:rustc-env=STEIN_BURN_VERSION={}", burn_version().unwrap_or_default());
    // Without git, or outside a checkout, a run record simply has no commit.
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        println!("cargo:rustc-env=STEIN_GIT_COMMIT={commit}");
        let dirty = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])
            .is_some_and(|s| !s.is_empty());
        println!("cargo:rustc-env=STEIN_GIT_DIRTY={dirty}");
    }
}

/// The version of burn that Cargo.lock pins.
fn burn_version() -> Option<String> {
    let lock = std::fs::read_to_string("../../Cargo.lock").ok()?;
    let (_, after) = lock.split_once("name = \"burn\"\nversion = \"")?;
    after.split_once('"').map(|(version, _)| version.to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
