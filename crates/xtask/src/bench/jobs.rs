//! What a second process gives a sweep: the same cells, one at a time and as many as there are cores, in turn.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::spread::Spread;
use super::{cargo, write};

/// Times that each is run.
const ROUNDS: usize = 3;
const SWEEP: &str = "experiments/ablation-objectives.toml";
const OUT: &str = "reports/bench-jobs.json";

pub(crate) fn run() -> Result<(), String> {
    if !cargo(&["build", "--release", "--workspace", "--bins"]).status().is_ok_and(|status| status.success()) {
        return Err("stein does not build".into());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = if cores > 1 { vec![1, cores] } else { vec![1, 2] };
    let mut seconds = vec![Vec::new(); jobs.len()];
    for round in 1..=ROUNDS {
        println!("jobs: round {round} of {ROUNDS}");
        for (jobs, seconds) in jobs.iter().zip(&mut seconds) {
            seconds.push(sweep(*jobs)?);
        }
    }
    let spreads: Vec<Spread> = seconds.iter().map(|seconds| Spread::of(seconds)).collect();
    println!("\nseconds of {SWEEP} on {cores} cores: median (least to most)");
    let mut json = Vec::new();
    for (jobs, spread) in jobs.iter().zip(&spreads) {
        let gain = spreads[0].median / spread.median;
        println!("  --jobs {jobs:<4}{:>26}{gain:>8.2}", spread.range_text());
        json.push(format!("{{\"jobs\": {jobs}, \"seconds\": {}, \"speed-up\": {gain}}}", spread.json()));
    }
    write(OUT, &json)?;
    println!("\nlast, the speed over that of one at a time; all of it in {OUT}\n");
    Ok(())
}

/// Runs the sweep from nothing, and gives the seconds that it took.
fn sweep(jobs: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let stein = program.with_file_name(format!("stein{}", std::env::consts::EXE_SUFFIX));
    let folder = std::env::temp_dir().join(format!("stein-bench-jobs-{}", std::process::id()));
    let begun = Instant::now();
    let status = Command::new(stein)
        .args(["run", SWEEP, "--quiet", "--set", "device=cpu", "--jobs", &jobs.to_string()])
        .args([Path::new("--runs"), &folder.join("runs"), Path::new("--reports"), &folder.join("reports")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let seconds = begun.elapsed().as_secs_f64();
    let _ = std::fs::remove_dir_all(&folder);
    match status {
        Ok(status) if status.success() => Ok(seconds),
        Ok(status) => Err(format!("stein run {SWEEP}: {status}")),
        Err(e) => Err(format!("cannot start stein: {e}")),
    }
}
