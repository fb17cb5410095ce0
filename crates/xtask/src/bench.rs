//! `cargo xtask bench`: what things cost, and what the same costs elsewhere, alternating in one run.

mod jobs;
mod json;
mod memory;
mod page;
mod peers;
mod program;
mod report;
mod sampling;
mod side;
mod spread;
mod start_up;
mod steps;
mod table;

use std::process::{Command, ExitCode};

use program::Program;

/// What can be measured, by its word: a subject each.
const SUBJECTS: [&str; 6] = ["sampling", "steps", "memory", "start-up", "report", "jobs"];

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bench {
    /// Of [`SUBJECTS`]; none if the page alone is to be written.
    subjects: Vec<&'static str>,
    /// Every shape, not the short table alone.
    all: bool,
    /// PyTorch and JAX beside it.
    peers: bool,
}

impl Bench {
    /// The words after `bench`; `None` if they make no sense.
    pub(crate) fn of(words: &[&str]) -> Option<Self> {
        let has = |word: &str| words.contains(&word);
        let known = |word: &&str| SUBJECTS.contains(word) || ["page", "--all", "--peers"].contains(word);
        let named: Vec<&str> = SUBJECTS.into_iter().filter(|subject| has(subject)).collect();
        let subjects = if named.is_empty() && !has("page") { SUBJECTS.to_vec() } else { named };
        words.iter().all(known).then_some(Self { subjects, all: has("--all"), peers: has("--peers") })
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
        let needs = |of: &[&str]| self.subjects.iter().any(|subject| of.contains(subject));
        if needs(&["sampling", "steps", "memory"]) {
            let build = ["bench", "--workspace", "--bench", "sampling", "--bench", "steps", "--no-run"];
            if !cargo(&build).status().map_err(|e| format!("cannot start cargo: {e}"))?.success() {
                return Err("the benchmarks do not build".into());
            }
        }
        let program = if needs(&["start-up", "report", "jobs"]) { Some(Program::build()?) } else { None };
        for subject in &self.subjects {
            match (*subject, &program) {
                ("sampling", _) => sampling::run(self.peers, self.all)?,
                ("steps", _) => steps::run(self.peers, self.all)?,
                ("memory", _) => memory::run(self.peers, self.all)?,
                ("start-up", Some(program)) => start_up::run(program)?,
                ("report", Some(program)) => report::run(program)?,
                (_, Some(program)) => jobs::run(program)?,
                (_, None) => return Err("stein was not built".into()),
            }
        }
        page::write()
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
    command.arg(format!("tests/benches/{script}")).env("PYTHONDONTWRITEBYTECODE", "1");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_measured() {
        let of = |words: &[&str]| Bench::of(words).map(|bench| (bench.subjects, bench.all, bench.peers));
        assert_eq!(of(&[]), Some((SUBJECTS.to_vec(), false, false)));
        assert_eq!(of(&["--peers", "--all"]), Some((SUBJECTS.to_vec(), true, true)));
        assert_eq!(of(&["memory", "start-up", "--peers"]), Some((vec!["memory", "start-up"], false, true)));
        assert_eq!(of(&["page"]), Some((vec![], false, false)));
        assert_eq!(of(&["page", "jobs"]), Some((vec!["jobs"], false, false)));
        for wrong in [&["step"][..], &["--peer"], &["sampling", "all"], &[""]] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
