//! What must hold, step by step.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::faults;
use crate::needs::{self, Need};

/// One command of a task.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

impl Step {
    const fn new(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, arguments, environment: &[] }
    }
}

/// One profile throughout: a second one would build burn twice.
const TEST: [Step; 7] = [
    Step::new("formatting", &["fmt", "--all", "--check"]),
    Step::new("lints", &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    // No test of `cargo test`, so not among all targets.
    Step::new(
        "lints of acceptance",
        &["clippy", "--release", "--workspace", "--test", "accept", "--", "-D", "warnings"],
    ),
    Step {
        name: "documentation",
        arguments: &["doc", "--release", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")],
    },
    // A workspace of their own, which the other steps don't see.
    Step::new("lock of the fuzz targets", &["fetch", "--locked", "--manifest-path", "tests/fuzz/Cargo.toml"]),
    Step::new("programs", &["build", "--release", "--workspace"]),
    Step::new("tests", &["test", "--release", "--workspace", "--no-fail-fast"]),
];

const ACCEPT: [Step; 1] = [Step::new("acceptance", &["test", "--release", "--workspace", "--test", "accept"])];

/// The fault suite.
const FAULTS: [Step; 1] = [Step::new("faults", &["test", "--release", "--workspace", "--test", "faults"])];

/// Everything that must hold before a change lands.
pub(crate) fn test() -> Result<(), String> {
    let lists = Lists::of("test")?;
    let result = take(&TEST, &[needs::ADAPTER, needs::STRACE], &[], &lists);
    lists.tell()?;
    result?;
    schema()?;
    println!("\nall is well");
    Ok(())
}

/// What the experiments that ship promise, and what other programs make of stein.
pub(crate) fn accept(torch: bool) -> Result<(), String> {
    let mut environment = Vec::new();
    if torch {
        environment.push(("PYTHON", needs::torch()?));
    }
    let wanted = [
        needs::ADAPTER,
        needs::PYTHON,
        needs::TORCH,
        needs::FID,
        needs::NCSN,
        needs::NCSNV2,
        needs::SCORE_SDE,
        needs::CHROMIUM,
        needs::SLURM,
    ];
    let lists = Lists::of("accept")?;
    let result = take(&ACCEPT, &wanted, &environment, &lists);
    lists.tell()?;
    result?;
    println!("\nall is well");
    Ok(())
}

/// The whole fault suite so many times, each time with faults at other moments and places.
pub(crate) fn faults(times: u32) -> Result<(), String> {
    let lists = Lists::of("faults")?;
    let once = |seed: u32| {
        let environment = [("STEIN_FAULTS", "full".to_owned()), ("STEIN_FAULTS_SEED", seed.to_string())];
        take(&FAULTS, &[needs::STRACE], &environment, &lists)
    };
    let result = (0..times).try_for_each(once);
    lists.tell()?;
    result?;
    println!("\nall is well");
    Ok(())
}

/// Brings what a task wants and takes its steps.
fn take(steps: &[Step], wanted: &[Need], environment: &[(&str, String)], lists: &Lists) -> Result<(), String> {
    let there: Vec<&str> = wanted.iter().filter(|need| need.bring(environment)).map(|need| need.word).collect();
    for step in steps {
        println!("\n==> {}: cargo {}", step.name, step.arguments.join(" "));
        let begun = Instant::now();
        let mut cargo = cargo(step.arguments);
        cargo.envs(step.environment.iter().copied()).envs(environment.iter().map(|(name, value)| (name, value)));
        // What is there must be used: else a test that finds no way to it would pass in silence.
        cargo.env("STEIN_REQUIRE", there.join(","));
        cargo.env("STEIN_LEFT_OUT", &lists.left_out).env("STEIN_FAULTS_COUNTED", &lists.faults);
        let status = cargo.status().map_err(|e| format!("cannot start cargo: {e}"))?;
        if !status.success() {
            return Err(format!("{} failed", step.name));
        }
        println!("    {} took {:.0} s", step.name, begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// What the tests of a task write down, a line each.
struct Lists {
    /// Tests that were left out.
    left_out: PathBuf,
    /// Faults by their kind.
    faults: PathBuf,
}

impl Lists {
    /// Empty ones.
    fn of(task: &str) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let empty = |name: &str| {
            let path = program.parent().unwrap_or(Path::new(".")).join(format!("{name}-{task}.txt"));
            std::fs::write(&path, "").map_err(|e| format!("{}: {e}", path.display())).map(|()| path)
        };
        Ok(Self { left_out: empty("left-out")?, faults: empty("faults")? })
    }

    /// Prints them.
    fn tell(&self) -> Result<(), String> {
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let faults = read(&self.faults)?;
        if !faults.is_empty() {
            println!("\n{}", faults::table(&faults));
        }
        let lines = read(&self.left_out)?;
        println!("\n{} tests were left out{}", lines.lines().count(), if lines.is_empty() { "" } else { ":" });
        lines.lines().for_each(|line| println!("  {line}"));
        Ok(())
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// Validates the experiments that ship, with somebody else's validator.
fn schema() -> Result<(), String> {
    let mut files: Vec<String> = std::fs::read_dir("experiments")
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path().to_str()?.to_owned())).collect())
        .unwrap_or_default();
    files.retain(|file| file.ends_with(".toml"));
    files.sort();
    println!("\n==> schema: {} experiments", files.len());
    let manifest = ["run", "--quiet", "--release", "--locked", "--manifest-path", "tests/schema/Cargo.toml", "--"];
    let status = cargo(&manifest).arg("experiments/schema.json").args(files).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err("schema failed".into()) }
}
