//! What a second process gives a sweep: the same cells, one at a time and as many as there are cores, in turn.

use std::path::Path;

use super::peers::threads;
use super::program::Program;
use super::spread::Spread;
use super::table::{Row, tell};

/// Times that each is run.
const ROUNDS: usize = 3;
const SWEEP: &str = "experiments/ablation-objectives.toml";
pub(crate) const OUT: &str = "reports/bench-jobs.json";

pub(crate) fn run(program: &Program) -> Result<(), String> {
    let cores = threads();
    let jobs = if cores > 1 { [1, cores] } else { [1, 2] };
    let mut rows = jobs.map(|jobs| Row::new(SWEEP, format!("--jobs {jobs}")));
    for round in 1..=ROUNDS {
        println!("jobs: round {round} of {ROUNDS}");
        for (jobs, row) in jobs.iter().zip(&mut rows) {
            row.ours.push(sweep(program, *jobs)?);
        }
    }
    let medians = [0, 1].map(|row: usize| Spread::of(&rows[row].ours).median);
    for (row, median) in rows.iter_mut().zip(medians) {
        row.more = Some(("speed_to_one", medians[0] / median));
    }
    tell(OUT, &format!("seconds of a sweep on {cores} cores"), &rows)
}

/// Runs the sweep from nothing, and gives the seconds that it took.
fn sweep(program: &Program, jobs: usize) -> Result<f64, String> {
    let (jobs, runs, reports) = (jobs.to_string(), program.path("runs"), program.path("reports"));
    let words = ["run", SWEEP, "--quiet", "--set", "device=cpu", "--jobs", &jobs, "--runs"].map(Path::new);
    let seconds = program.seconds(&[&words[..], &[&runs, Path::new("--reports"), &reports]].concat());
    program.forget();
    seconds
}
