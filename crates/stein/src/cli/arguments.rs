//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A workbench for score-based generative modelling.
///
/// An experiment is a TOML file. `stein run` trains the score network that it describes, draws samples, measures them and
/// writes a report page.
#[derive(Debug, Parser)]
#[command(
    name = "stein",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  stein run experiments/digits.toml
  stein run experiments/mixture.toml --set seed=1 --set schedule.levels=10
  stein check experiments/digits.toml
  stein list samplers
  stein sample runs/digits/seed-0-1a2b3c4d --count 100"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train, sample, measure and report; goes on where an earlier run stopped
    Run(Run),
    /// Read an experiment and say what it would do
    Check(Check),
    /// List what experiments can name, or the runs there are
    List(List),
    /// List the devices and say which one `auto` takes
    Devices(Devices),
    /// Draw more samples of a finished run
    Sample(Sample),
    /// Write report pages again, from the run directories alone
    Report(Report),
}

/// Which experiment, and what is different in it.
#[derive(Debug, Args)]
pub(crate) struct Experiment {
    /// The experiment file
    pub(crate) file: PathBuf,
    /// Change a value: --set schedule.levels=10 (any number of times; values as in TOML)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Where things are.
#[derive(Debug, Args)]
pub(crate) struct Folders {
    /// Where run directories are
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Where report pages go
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(crate) reports: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// No progress and no notes
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// burn-train's full-screen interface in place of the progress line
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) tui: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    Objectives,
    Schedules,
    Samplers,
    Networks,
    Data,
    Metrics,
    Runs,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// What to list; every kind of component if left out
    pub(crate) what: Option<What>,
    /// One component, with its parameters
    pub(crate) name: Option<String>,
    /// Where run directories are
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sample {
    /// The run directory
    pub(crate) run: PathBuf,
    /// How many samples
    #[arg(long, short = 'n', default_value_t = 64)]
    pub(crate) count: usize,
    /// The noise's seed; if left out, further chains of the run's own noise
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Where samples.npy and samples.png go; a folder in the run's `drawn` if left out
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Change a value of the experiment: --set sampler.steps-per-level=20
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// No progress and no notes
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Say where the files are as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Experiment files, or folders of runs such as runs/digits; all under --runs if left out
    pub(crate) of: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// Say where the pages are as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
