//! Development tasks: `cargo xtask test`, `cargo xtask accept`, `cargo xtask bench`, `cargo xtask faults`,
//! `cargo xtask fuzz`.
//!
//! `test` runs everything that must hold before a change lands: formatting, lints, documentation, tests. `accept` runs the
//! experiments that ship against what they promise, and stein with other programs. On a bare machine both bring what they
//! need; where they cannot, they say what to install and count what was left out.

#![forbid(unsafe_code)]

mod bench;
mod checks;
mod faults;
mod fuzz;
mod needs;
mod supply;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask TASK

  test    formatting, lints, tests and documentation; installs a software Vulkan driver where it may
  accept  shipped experiments against what they promise, exports in Python, pages in Chromium, sweeps in Slurm; installs these
          where it may [--torch: PyTorch too, some gigabytes; else that of PYTHON, if it has one]
  ci      both, as continuous integration runs them
  bench   what things cost, each of [sampling | steps | memory | start-up | report | jobs] that is named, or all, with a page in
          reports/bench.html [--all: more shapes] [--peers: sampling, steps and memory beside PyTorch and JAX]; [page]: that alone
  faults  processes killed, disks full or failing, files damaged, clocks set back, each many times, with a table of what was survived
          [--repeat N: so many times, at other moments each time]; brings strace where it may
  fuzz    hostile bytes for what reads files, for some time each target [--seconds N: 60] [--target NAME]; wants cargo-fuzz and a
          nightly compiler
  supply  licences, sources and known flaws of what stein is built upon, and dependencies that nobody uses; wants cargo-deny and
          cargo-machete";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's alias works from any folder of the workspace; the paths below are the root's.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    if let Err(e) = std::env::set_current_dir(root) {
        eprintln!("error: {root}: {e}");
        return ExitCode::FAILURE;
    }
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => ended(checks::test()),
        ["accept"] => ended(checks::accept(false)),
        ["accept", "--torch"] => ended(checks::accept(true)),
        ["ci"] => ended(checks::test().and_then(|()| checks::accept(false))),
        ["faults", ref words @ ..] if let Some(times) = faults::times(words) => ended(checks::faults(times)),
        ["fuzz", ref words @ ..] if let Some(fuzz) = fuzz::Fuzz::of(words) => ended(fuzz.run()),
        ["bench", ref words @ ..] if let Some(bench) = bench::Bench::of(words) => bench.run(),
        ["supply"] => ended(supply::run()),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\nerror: {problem}");
            ExitCode::FAILURE
        }
    }
}
