//! How soon stein answers where nothing is computed.

use std::path::Path;

use super::program::Program;
use super::table::{Row, tell};

/// Times that each is run.
const ROUNDS: usize = 10;
/// The bound on start-up.
const MOST: f64 = 0.5;
pub(crate) const OUT: &str = "reports/bench-start-up.json";

pub(crate) fn run(program: &Program) -> Result<(), String> {
    let sweep = program.write("plan.toml", SWEEP)?;
    let questions = [
        ("stein list", vec![Path::new("list")]),
        ("stein check experiments/digits.toml", ["check", "experiments/digits.toml"].map(Path::new).to_vec()),
        ("stein plan, 1000 cells", vec![Path::new("plan"), &sweep]),
    ];
    let mut rows = questions.each_ref().map(|(name, _)| Row::new("start-up", *name));
    for _ in 0..ROUNDS {
        for ((_, words), row) in questions.iter().zip(&mut rows) {
            row.ours.push(program.seconds(words)?);
        }
    }
    tell(OUT, &format!("seconds of start-up; at most {MOST} are wanted of the first two"), &rows)
}

const SWEEP: &str = "[sweep]\n\
                     \"schedule.levels\" = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]\n\
                     \"sampler.steps-per-level\" = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n\
                     seed = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n\
                     [data]\nkind = \"eight-gaussians\"\n";
