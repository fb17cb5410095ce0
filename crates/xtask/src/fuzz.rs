//! The fuzz targets of `tests/fuzz/`: each is given hostile bytes for some time.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::needs;

/// Where the targets lie; a workspace of its own.
const FOLDER: &str = "tests/fuzz";
const SECONDS: u64 = 60;
/// Lines of a fuzzer that are kept.
const LAST: usize = 40;

/// What the targets are run with: one allocation, one input's time and the whole process are limited.
const LIMITS: [&str; 5] =
    ["-malloc_limit_mb=256", "-timeout=1", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fuzz {
    seconds: u64,
    target: Option<String>,
}

/// What one target's run told.
#[derive(Debug, Default)]
struct Told {
    executions: u64,
    coverage: u64,
    crashes: Vec<String>,
    /// The last lines, of which the crash's are some.
    last: Vec<String>,
}

impl Fuzz {
    /// What the words of the command line ask for; `None` if they are not understood.
    pub(crate) fn of(words: &[&str]) -> Option<Self> {
        let mut fuzz = Self { seconds: SECONDS, target: None };
        for pair in words.chunks(2) {
            match pair {
                ["--seconds", n] => fuzz.seconds = n.parse().ok().filter(|&n| n > 0)?,
                ["--target", name] => fuzz.target = Some((*name).to_owned()),
                _ => return None,
            }
        }
        Some(fuzz)
    }

    /// Runs the targets one after another.
    pub(crate) fn run(&self) -> Result<(), String> {
        needs::fuzzing()?;
        let all = targets()?;
        let chosen: Vec<&String> = all.iter().filter(|t| self.target.as_ref().is_none_or(|name| name == *t)).collect();
        if chosen.is_empty() {
            let name = self.target.as_deref().unwrap_or_default();
            return Err(format!("there is no target {name:?}; there are {}", all.join(", ")));
        }
        println!("the targets are built first, which takes minutes once");
        let mut failed = Vec::new();
        let mut sum = 0;
        println!("{:12} {:>12} {:>9} {:>8}", "target", "executions", "coverage", "crashes");
        for target in chosen {
            // One that cannot be run is no reason to forget what others found.
            match self.one(target) {
                Ok(told) => {
                    println!("{target:12} {:>12} {:>9} {:>8}", told.executions, told.coverage, told.crashes.len());
                    sum += told.executions;
                    failed.extend(told.crashes.iter().map(|path| told.crash(target, path)));
                }
                Err(problem) => failed.push(problem),
            }
        }
        println!("{:12} {sum:>12}", "all");
        if failed.is_empty() { Ok(()) } else { Err(failed.join("\n\n")) }
    }

    fn one(&self, target: &str) -> Result<Told, String> {
        // What is found goes to the first folder; the seeds are only read.
        let grown = PathBuf::from(FOLDER).join("grown").join(target);
        std::fs::create_dir_all(&grown).map_err(|e| format!("{}: {e}", grown.display()))?;
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", "--fuzz-dir", FOLDER, target]);
        command.arg(&grown).arg(Path::new(FOLDER).join("seeds").join(target));
        command.arg("--").args(LIMITS).arg(format!("-max_total_time={}", self.seconds));
        let words = Path::new(FOLDER).join("dictionaries").join(target);
        command.args(words.is_file().then(|| format!("-dict={}", words.display())));
        // The outer cargo's choices are for another compiler, and what it builds is not to be replaced.
        for variable in ["RUSTUP_TOOLCHAIN", "CARGO", "CARGO_TARGET_DIR"] {
            command.env_remove(variable);
        }
        command.stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|e| format!("cannot start cargo fuzz: {e}"))?;
        let Some(said) = process.stderr.take() else { return Err("cargo fuzz says nothing".into()) };
        let mut told = Told::default();
        for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
            told.hear(&String::from_utf8_lossy(&line));
        }
        let ended = process.wait().map_err(|e| format!("cargo fuzz: {e}"))?;
        if !ended.success() && told.crashes.is_empty() {
            return Err(format!("{target}: cargo fuzz failed:\n{}", told.last.join("\n")));
        }
        if told.executions == 0 && told.crashes.is_empty() {
            return Err(format!("{target}: nothing was executed:\n{}", told.last.join("\n")));
        }
        Ok(told)
    }
}

impl Told {
    /// Takes what a line of libFuzzer's tells.
    fn hear(&mut self, line: &str) {
        let number = |text: &str| text.split_whitespace().next()?.parse::<u64>().ok();
        if let Some(n) = line.strip_prefix("stat::number_of_executed_units:").and_then(number) {
            self.executions = n;
        } else if let Some(n) = line.strip_prefix('#').and_then(number) {
            self.executions = self.executions.max(n);
        }
        if let Some(n) = line.split_once(" cov: ").and_then(|(_, rest)| number(rest)) {
            self.coverage = n;
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.crashes.push(path.trim().to_owned());
        }
        self.last.push(line.to_owned());
        if self.last.len() > LAST {
            self.last.remove(0);
        }
    }

    /// What is said of a crash, and how it is seen again.
    fn crash(&self, target: &str, path: &str) -> String {
        let again = format!("cargo +nightly fuzz run --fuzz-dir {FOLDER} {target} {path}");
        format!("{target}: {path} must not crash, and does:\n{}\nagain: {again}", self.last.join("\n"))
    }
}

/// The targets' names, in their order.
fn targets() -> Result<Vec<String>, String> {
    let path = Path::new(FOLDER).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let binaries = text.split("[[bin]]").skip(1);
    let name = |part: &str| Some(part.split_once("name = \"")?.1.split_once('"')?.0.to_owned());
    Ok(binaries.filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        assert_eq!(Fuzz::of(&[]), Some(Fuzz { seconds: 60, target: None }));
        let both = Fuzz::of(&["--target", "npy", "--seconds", "5"]);
        assert_eq!(both, Some(Fuzz { seconds: 5, target: Some("npy".into()) }));
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["npy"]] {
            assert_eq!(Fuzz::of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_the_fuzzer_tells_is_heard() {
        let mut told = Told::default();
        told.hear("#4096\tpulse  cov: 210 ft: 502 corp: 45/1023b lim: 68 exec/s: 2048 rss: 60Mb");
        assert_eq!((told.executions, told.coverage, told.crashes.len()), (4096, 210, 0));
        told.hear("artifact_prefix='tests/fuzz/artifacts/npy/'; Test unit written to tests/fuzz/artifacts/npy/crash-1");
        told.hear("stat::number_of_executed_units: 9000");
        assert_eq!((told.executions, told.coverage), (9000, 210));
        assert_eq!(told.crashes, ["tests/fuzz/artifacts/npy/crash-1"]);
        let said = told.crash("npy", &told.crashes[0]);
        assert!(said.contains("pulse  cov") && said.ends_with("fuzz npy tests/fuzz/artifacts/npy/crash-1"), "{said}");
        for i in 0..2 * LAST {
            told.hear(&i.to_string());
        }
        assert_eq!((told.last.len(), told.last[0].as_str()), (LAST, "40"));
    }
}
