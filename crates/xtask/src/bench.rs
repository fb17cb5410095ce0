//! `cargo xtask bench`: what things cost, and what the same costs elsewhere, alternating in one run.

mod jobs;
mod sampling;
mod side;
mod spread;
mod steps;

use std::process::{Command, ExitCode};

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Bench {
    sampling: bool,
    steps: bool,
    /// What a sweep gains from several processes.
    jobs: bool,
    /// Every shape of training steps, not the short table alone.
    all: bool,
    /// PyTorch beside it.
    peers: bool,
}

impl Bench {
    /// The words after `bench`; `None` if they make no sense.
    pub(crate) fn of(words: &[&str]) -> Option<Self> {
        let has = |word| words.contains(&word);
        let all = !["sampling", "steps", "jobs"].into_iter().any(has);
        words.iter().all(|word| ["sampling", "steps", "jobs", "--all", "--peers"].contains(word)).then_some(Self {
            sampling: all || has("sampling"),
            steps: all || has("steps"),
            jobs: all || has("jobs"),
            all: has("--all"),
            peers: has("--peers"),
        })
    }

    pub(crate) fn run(self) -> ExitCode {
        match self.measure() {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("error: {problem}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(self) -> Result<(), String> {
        let build = ["bench", "--workspace", "--bench", "sampling", "--bench", "steps", "--no-run"];
        if !cargo(&build).status().map_err(|e| format!("cannot start cargo: {e}"))?.success() {
            return Err("the benchmarks do not build".into());
        }
        if self.sampling {
            sampling::run(self.peers)?;
        }
        if self.steps {
            steps::run(self.peers, self.all)?;
        }
        if self.jobs {
            jobs::run()?;
        }
        Ok(())
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// A benchmark of ours, built before.
fn ours(bench: &str) -> Command {
    cargo(&["bench", "--quiet", "--workspace", "--bench", bench])
}

/// A script of `tests/benches`.
fn peer(script: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(format!("tests/benches/{script}"));
    command
}

fn python() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".into())
}

/// A problem with a peer, and what to do.
fn wanted(problem: String) -> String {
    let python = python();
    format!(
        "{problem}\nPyTorch and JAX are wanted: {python} -m pip install -r tests/benches/requirements.txt; PYTHON names another Python"
    )
}

/// Writes what was measured, an object a line.
fn write(path: &str, objects: &[String]) -> Result<(), String> {
    std::fs::create_dir_all("reports").map_err(|e| format!("reports: {e}"))?;
    std::fs::write(path, format!("[\n  {}\n]\n", objects.join(",\n  "))).map_err(|e| format!("{path}: {e}"))
}
