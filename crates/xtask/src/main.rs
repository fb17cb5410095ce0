//! Development tasks: `cargo xtask test`, `cargo xtask bench`.
//!
//! `test` runs everything that must hold before a change lands: formatting, lints, all tests, documentation. On a bare machine
//! it brings what the tests need; where it cannot, it says what to install.

mod bench;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

const USAGE: &str = "\
cargo xtask TASK

  test   formatting, lints, tests and documentation; installs a software Vulkan driver where it may
  ci     the same, as continuous integration runs it
  bench  what sampling and training steps cost [sampling | steps: one of them] [--all: steps of every shape] [--peers: beside
         PyTorch]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's alias works from any folder of the workspace; the paths below are the root's.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    if let Err(e) = std::env::set_current_dir(root) {
        eprintln!("error: {root}: {e}");
        return ExitCode::FAILURE;
    }
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test" | "ci"] => test(),
        ["bench", ref words @ ..] if let Some(bench) = bench::Bench::of(words) => bench.run(),
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

/// One command of a task.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// One profile throughout: a second one would build burn twice.
const STEPS: [Step; 5] = [
    Step { name: "formatting", arguments: &["fmt", "--all", "--check"], environment: &[] },
    Step {
        name: "lints",
        arguments: &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"],
        environment: &[],
    },
    Step {
        name: "documentation",
        arguments: &["doc", "--release", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")],
    },
    Step { name: "programs", arguments: &["build", "--release", "--workspace"], environment: &[] },
    Step { name: "tests", arguments: &["test", "--release", "--workspace", "--no-fail-fast"], environment: &[] },
];

fn test() -> ExitCode {
    let adapter = software_vulkan();
    for step in STEPS {
        println!("\n==> {}: cargo {}", step.name, step.arguments.join(" "));
        let begun = Instant::now();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(step.arguments).envs(step.environment.iter().copied());
        if adapter {
            cargo.env("STEIN_REQUIRE_ADAPTER", "1");
        }
        let status = match cargo.status() {
            Ok(status) => status,
            Err(e) => {
                eprintln!("error: cannot start cargo: {e}");
                return ExitCode::FAILURE;
            }
        };
        if !status.success() {
            eprintln!("\nerror: {} failed", step.name);
            return ExitCode::FAILURE;
        }
        println!("    {} took {:.0} s", step.name, begun.elapsed().as_secs_f64());
    }
    if !schema() {
        eprintln!("\nerror: schema failed");
        return ExitCode::FAILURE;
    }
    println!("\nall is well");
    ExitCode::SUCCESS
}

/// Validates the experiments that ship, with somebody else's validator.
fn schema() -> bool {
    let mut files: Vec<String> = std::fs::read_dir("experiments")
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path().to_str()?.to_owned())).collect())
        .unwrap_or_default();
    files.retain(|file| file.ends_with(".toml"));
    files.sort();
    println!("\n==> schema: {} experiments", files.len());
    let manifest = ["run", "--quiet", "--release", "--locked", "--manifest-path", "tests/schema/Cargo.toml", "--"];
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = cargo.args(manifest).arg("experiments/schema.json").args(files).status();
    status.is_ok_and(|status| status.success())
}

/// Whether there is a software Vulkan driver; installs one on Debian and Ubuntu as root.
fn software_vulkan() -> bool {
    if !cfg!(target_os = "linux") {
        println!("no software adapter is installed here; the wgpu tests use whatever adapter there is");
        return false;
    }
    if has_lavapipe() {
        return true;
    }
    println!("==> the wgpu tests want a Vulkan driver; Mesa's works on any CPU");
    let apt = Path::new("/usr/bin/apt-get").exists();
    if apt && is_root() {
        let install = ["install", "-y", "--no-install-recommends", "mesa-vulkan-drivers", "libvulkan1"];
        // Package lists may be missing or old on a bare machine.
        let done = run_quietly("apt-get", &install)
            || (run_quietly("apt-get", &["update"]) && run_quietly("apt-get", &install));
        if done && has_lavapipe() {
            return true;
        }
        println!("    apt-get could not install mesa-vulkan-drivers");
    } else if apt {
        println!("    install it with: sudo apt-get install mesa-vulkan-drivers libvulkan1");
    } else {
        println!("    install Mesa's Vulkan drivers (lavapipe) and the Vulkan loader with your package manager");
    }
    println!("    without one the wgpu tests are skipped");
    false
}

fn has_lavapipe() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].iter().any(|folder| {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.filter_map(Result::ok).any(|e| e.file_name().to_string_lossy().starts_with("lvp_icd"))
        })
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

fn run_quietly(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
    output.is_ok_and(|output| output.status.success())
}
