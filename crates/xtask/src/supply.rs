//! What is built upon: licences, sources, known flaws (cargo-deny), and dependencies that nobody uses (cargo-machete).

use std::process::Command;

use crate::needs;

/// The workspaces: what tests alone want is not among what stein is built upon.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "tests/schema/Cargo.toml", "tests/fuzz/Cargo.toml"];

const CONFIG: &str = ".cargo/deny.toml";

/// Holds `Cargo.lock` against `.cargo/deny.toml`, and manifests against what is used.
pub(crate) fn run() -> Result<(), String> {
    needs::supply()?;
    let mut failed = Vec::new();
    let mut step = |name: String, arguments: &[&str]| {
        println!("\n==> {name}: cargo {}", arguments.join(" "));
        if !succeeds(arguments) {
            failed.push(name);
        }
    };
    for manifest in MANIFESTS {
        let deny = ["deny", "--locked", "--manifest-path", manifest, "--config", CONFIG, "check"];
        step(format!("licences and sources, {manifest}"), &[&deny[..], &["bans", "licenses", "sources"]].concat());
    }
    step("unused dependencies".into(), &["machete", "--with-metadata"]);
    let advisories = ["deny", "--locked", "--config", CONFIG, "check", "advisories"];
    if succeeds(&["deny", "fetch", "db"]) {
        step("known flaws".into(), &advisories);
    } else {
        println!("\nleft out: known flaws: their database cannot be had from here");
    }
    if failed.is_empty() {
        println!("\nall is well");
        Ok(())
    } else {
        Err(format!("{} failed", failed.join(", ")))
    }
}

fn succeeds(arguments: &[&str]) -> bool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo).args(arguments).status().is_ok_and(|status| status.success())
}
