//! What the pages of sixty cells cost, written first and again.

use std::path::Path;

use super::peers::threads;
use super::program::Program;
use super::table::{Row, tell};

/// Times that the pages are written again.
const ROUNDS: usize = 5;
pub(crate) const OUT: &str = "reports/bench-report.json";

/// Twelve samplers of each of five small networks.
const SIXTY: &str = "\
[sweep]
\"sampler.steps-per-level\" = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
seed = [0, 1, 2, 3, 4]

[data]
kind = \"gaussian-mixture\"
means = [[-2.0, 0.0], [2.0, 0.0]]
std = 0.5

[network]
hidden = [32, 32]

[schedule]
sigma-max = 4.0
sigma-min = 0.1
levels = 5

[training]
steps = 500
log-every = 1

[sampler]
kind = \"annealed-langevin\"

[evaluation]
samples = 2000
";

pub(crate) fn run(program: &Program) -> Result<(), String> {
    println!("report: sixty cells are run first");
    let (experiment, runs, reports) =
        (program.write("sixty.toml", SIXTY)?, program.path("runs"), program.path("reports"));
    let jobs = threads().to_string();
    let folders = [Path::new("--runs"), &runs, Path::new("--reports"), &reports];
    let run = [Path::new("run"), &experiment];
    let how = ["--quiet", "--set", "device=cpu", "--jobs", &jobs].map(Path::new);
    program.seconds(&[&run[..], &how, &folders].concat())?;
    let cells = runs.join("sixty");
    let report = [Path::new("report"), &cells, Path::new("--reports"), &reports];
    let mut rows = ["first", "again"].map(|name| Row::new("stein report, 60 cells", name));
    std::fs::remove_dir_all(&reports).map_err(|e| format!("{}: {e}", reports.display()))?;
    rows[0].ours.push(program.seconds(&report)?);
    for _ in 0..ROUNDS {
        rows[1].ours.push(program.seconds(&report)?);
    }
    program.forget();
    tell(OUT, "seconds of a report", &rows)
}
