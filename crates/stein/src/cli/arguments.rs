//! What the command line takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use stein_device::DeviceRequest;

use super::say;

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
    #[command(flatten)]
    pub(crate) voice: Voice,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Voice {
    /// No progress and no notes; errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// More of what is going on
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

impl Voice {
    /// Says a line, unless told to be quiet.
    pub(crate) fn say(self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }

    /// Says a line if told to say more.
    pub(crate) fn more(self, line: &str) {
        if self.verbose {
            say(line);
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train, sample, measure and report; goes on where an earlier run stopped
    Run(Run),
    /// Read an experiment and say what it would do
    Check(Check),
    /// Say where the time of a training step goes
    Profile(Profile),
    /// Do again what diverged in a run, and show where the first number is that is not finite
    Replay(Replay),
    /// List the cells of an experiment with a [sweep], how far they are and what they cost
    Plan(Plan),
    /// How far the cells of an experiment are, from the run directories alone
    Status(Status),
    /// List what experiments can name, or the runs there are
    List(List),
    /// Bring data that come as files
    #[command(subcommand)]
    Data(Data),
    /// List the devices and say which one `auto` takes
    Devices(Devices),
    /// Draw more samples of a finished run
    Sample(Sample),
    /// Hold runs against each other: what they were told differently, and what came of it
    Compare(Compare),
    /// Evaluate the score of a trained run at given points
    Score(Score),
    /// Write what a run has learned and measured for other programs: weights, event files for TensorBoard, CSV
    Export(Export),
    /// Make a run directory of weights that another program has trained: a PyTorch checkpoint, or safetensors
    Import(Import),
    /// Write report pages again, from the run directories alone
    Report(Report),
    /// Check losses, gradients, samples and networks' outputs against another implementation's
    Verify(Verify),
    /// Print the levels of a noise schedule: σ and α of each
    Sigmas(Sigmas),
    /// Suggest levels and step sizes for annealed Langevin dynamics (NCSNv2, techniques 2 and 4)
    Suggest(Suggest),
    /// Begin an experiment file, with a comment for every key
    Init(Init),
    /// Print the JSON schema of experiment files
    Schema,
    /// Print completions for a shell: stein completions bash > ~/.local/share/bash-completion/completions/stein
    Completions(Completions),
    /// Write man pages
    Man(Man),
}

/// Which experiment, and what is different in it.
#[derive(Debug, Args)]
pub(crate) struct Experiment {
    /// The experiment file
    pub(crate) file: PathBuf,
    /// Change a value: --set schedule.levels=10 (any number of times; values as in TOML); another `kind` drops its table's other keys
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

/// What cells can be handed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Launcher {
    /// stdout: one command a line, for GNU parallel, HyperQueue and the like
    Print,
    /// Slurm: job arrays, with the options of [launcher.slurm]
    Slurm,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein run experiments/digits.toml
  stein run experiments/digits.toml --set seed=1
  stein run experiments/mixture.toml --set 'objective.weighting={ power = 1.5 }'
  stein run experiments/mixture.toml --set 'sweep.seed=[0, 1, 2]' --jobs 2
  stein run experiments/mixture.toml --devices wgpu:discrete:0,wgpu:discrete:1 --timeout 30m
  stein run experiments/objectives.toml --launcher print | parallel --jobs 4
  stein run experiments/objectives.toml --launcher slurm --set launcher.slurm.time=2h --dry-run

A finished run is left alone, an unfinished one goes on from its checkpoint. Ctrl-C saves and stops; twice stops at once. Runs of an
experiment that differ in nothing that training reads share one trained network.

With a [sweep], each cell runs in a process of its own, which writes to log.txt in the cell's folder; one that fails, or takes
longer than --timeout, does not stop the others.

--launcher hands the cells that are not finished to something else. `print` writes a command a line, one cell of each training first.
`slurm` submits job arrays with the options of [launcher.slurm], as the file is now: a first one, one of the cells that share its
trainings, then the report. `stein status FILE` says how far they are.")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// One cell of a [sweep] only: its name, as `stein plan` lists it
    #[arg(long, value_name = "NAME")]
    pub(crate) cell: Option<String>,
    /// Cells of a [sweep] that run at a time; they share the cores [default: 1, or the number of --devices]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Devices that cells of a [sweep] are dealt to, in place of `auto`, one cell at a time each; a run stays the same run. One
    /// that is named twice takes two cells at a time
    #[arg(long, value_name = "DEVICE,…", value_delimiter = ',', value_parser = device)]
    pub(crate) devices: Vec<DeviceRequest>,
    /// Stop a run, or each cell of a [sweep], that takes longer (90s, 30m, 2h); the same command goes on from its checkpoint
    #[arg(long, value_name = "DURATION", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// What a cell has to save and end before it is killed, once its time is over
    #[arg(long, value_name = "DURATION", default_value = "30s", requires = "timeout", value_parser = time)]
    pub(crate) grace: Duration,
    /// Hand the cells to this in place of running them here
    #[arg(long, value_name = "LAUNCHER", conflicts_with_all = ["jobs", "devices", "tui", "attended"])]
    pub(crate) launcher: Option<Launcher>,
    /// Print the scripts and commands of --launcher slurm; submit nothing
    #[arg(long, requires = "launcher")]
    pub(crate) dry_run: bool,
    /// Leave the report page to a later `stein report FILE`
    #[arg(long)]
    pub(crate) no_report: bool,
    /// A training that has diverged is not tried again for this cell
    #[arg(long, requires = "cell", conflicts_with = "launcher")]
    pub(crate) keep_diverged: bool,
    /// Started by a scheduler's script: all signals that come are one request to save and stop
    #[arg(long, hide = true, requires = "cell", conflicts_with_all = ["launcher", "attended"])]
    pub(crate) scheduled: bool,
    /// Started by a sweep: stop when stdin ends, and leave the report to whoever started this
    #[arg(long, hide = true, requires = "cell")]
    pub(crate) attended: bool,
    /// burn-train's full-screen interface in place of the progress line
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) tui: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein check experiments/digits.toml
  stein check experiments/digits.toml --set network.channels=64 --json")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// The cell of a [sweep] to write out; the first if left out
    #[arg(long, value_name = "NAME")]
    pub(crate) cell: Option<String>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein profile experiments/digits.toml
  stein profile experiments/mixture.toml --set device=cpu --set training.batch-size=1024 --json

Steps are taken and thrown away. The device is waited for after each part, so on a GPU the parts add up to more than a step.")]
pub(crate) struct Profile {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    /// The cell of a [sweep]; the first if left out
    #[arg(long, value_name = "NAME")]
    pub(crate) cell: Option<String>,
    /// Seconds for whole steps, and as many for steps part by part
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein replay runs/digits/seed-0-1a2b3c4d
  stein replay runs/digits/trained/5e6f708192a3b4c5 --json

A run that ends with exit code 5 keeps what it needs to do that step again in the folder `diverged` of the training, or, if samples
diverged, of the run: the state before it, its batches with their noise, the positions of the noise streams; or which chains it
was. A later session that passes removes it. Nothing is written.

A step is looked at from its batch and the state before it over each layer's output, the score and the losses to the gradient of each
parameter and what the optimiser makes of them; samples step by step. A stage whose numbers are all finite is one line.

Exits 0 if it diverges again, 1 if not, 2 if nothing is kept, 6 if what is kept is damaged.")]
pub(crate) struct Replay {
    /// The directory of a run, or of a training that runs share
    pub(crate) run: PathBuf,
    /// Every array of a step, and every step of the chains
    #[arg(long)]
    pub(crate) all: bool,
    /// As JSON: {reason, reproduced, step, what, first, tallies}, or for samples {reason, reproduced, chains, ended, steps}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein plan experiments/mixture.toml --set 'sweep.seed=[0, 1, 2]'
  stein plan experiments/mixture.toml --json --no-measure

A few steps of a handful of cells are timed; what the others cost is scaled from these.")]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// Time nothing
    #[arg(long)]
    pub(crate) no_measure: bool,
    /// Cells, hashes and what each changes as JSON; nothing is timed
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein status experiments/mixture.toml
  stein status runs/mixture --json
  watch stein status runs/mixture

Works while cells run, and on any machine that sees the run directories. A cell whose record says that it is running, but whose
process is gone, is interrupted: stein run goes on with it.

Exits 0 if all cells are finished, 1 if any has failed, diverged or is damaged, 4 if the others are not done yet.")]
pub(crate) struct Status {
    /// The experiment file, or a folder of runs such as runs/mixture
    pub(crate) of: PathBuf,
    /// Change a value, as for the run: --set 'sweep.seed=[0, 1, 2]'
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where run directories are
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// As JSON: {counts, cells}
    #[arg(long)]
    pub(crate) json: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    Objectives,
    Schedules,
    Samplers,
    Inverse,
    Networks,
    Data,
    Metrics,
    Runs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein list
  stein list samplers annealed-langevin
  stein list runs --json")]
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
#[command(after_help = "\
Examples:
  stein sample runs/digits/seed-0-1a2b3c4d
  stein sample runs/digits/seed-0-1a2b3c4d -n 1000 --seed 7 --out more --set sampler.steps-per-level=20")]
pub(crate) struct Sample {
    /// The run directory
    pub(crate) run: PathBuf,
    /// How many samples
    #[arg(long, short = 'n', default_value_t = 64)]
    pub(crate) count: usize,
    /// So many steps from each sample to another, for samplers that draw no noise; --count is the number of pairs
    #[arg(long, value_name = "STEPS")]
    pub(crate) interpolate: Option<usize>,
    /// The noise's seed; if left out, further chains of the run's own noise
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Where samples.npy and samples.png go; a folder in the run's `drawn` if left out
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Change a value of the experiment: --set sampler.steps-per-level=20
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Say where the files are as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein compare runs/mixture/denoising-seed-* runs/mixture/ssm-seed-*
  stein compare runs/mixture --out comparison.html
  stein compare old/runs/digits runs/digits --json

Runs of one folder whose configurations differ in their seed alone are repetitions: means, standard errors and differences are
over them. Differences are from the first that is named, seed by seed.")]
pub(crate) struct Compare {
    /// Run directories, folders of runs such as runs/mixture, or experiment files
    #[arg(required = true, value_name = "RUN")]
    pub(crate) of: Vec<PathBuf>,
    /// Where the run directories of experiment files are
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// A page of the same, self-contained HTML; its tables lie beside it as CSV and JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// As JSON: {sides, differing, lines, notes}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein score runs/mixture/seed-0-1a2b3c4d --at points.npy --sigma 0.5
  stein score runs/digits/seed-0-1a2b3c4d --at images.npy --sigma 0.02 --out scores.npy

points.npy is what numpy.save writes of an array [N, …] with as many numbers a row as the data have, float32 or float64; scores.npy
is float32 of the same shape. The network is the averaged one, which samples are drawn with.")]
pub(crate) struct Score {
    /// The run directory
    pub(crate) run: PathBuf,
    /// The points, a .npy file
    #[arg(long, value_name = "FILE")]
    pub(crate) at: PathBuf,
    /// σ, the standard deviation of the noise; for runs with noise
    #[arg(long, value_name = "SIGMA", value_parser = positive)]
    pub(crate) sigma: Option<f64>,
    /// The class, for networks that know classes; the score of the whole law if left out
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<u32>,
    /// Where the scores go, a .npy file that may be there already
    #[arg(long, value_name = "FILE", default_value = "scores.npy")]
    pub(crate) out: PathBuf,
    /// Say where the scores are, and at which level they were taken, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein export runs/digits/seed-0-1a2b3c4d --out digits.safetensors
  stein export runs/mixture --tensorboard events && tensorboard --logdir events
  stein export runs/digits/seed-0-1a2b3c4d --csv > metrics.csv

Weights are a safetensors file in PyTorch's names and layout; crates/stein/README.md has the Python that loads them. Of metrics
all series of metrics.jsonl are written, and to TensorBoard the final metrics too; CSV has a line a step and a column a series.")]
pub(crate) struct Export {
    /// The run directory; for metrics any number, and folders of runs such as runs/digits
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Where the file goes; <RUN's name>.safetensors here, or for --csv stdout, if left out
    #[arg(long, value_name = "FILE", conflicts_with = "tensorboard")]
    pub(crate) out: Option<PathBuf>,
    /// The weights of the last step, from its checkpoint, in place of the averaged ones
    #[arg(long, conflicts_with_all = ["tensorboard", "csv"])]
    pub(crate) raw: bool,
    /// Event files for TensorBoard, in a folder for each run
    #[arg(long, value_name = "DIR", conflicts_with = "csv")]
    pub(crate) tensorboard: Option<PathBuf>,
    /// The series of metrics.jsonl as CSV; of several runs with a column `run`
    #[arg(long)]
    pub(crate) csv: bool,
    /// Write over files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// Say where the files are as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein import experiments/ncsnv2-cifar10.toml checkpoint_300000.pth
  stein import experiments/ncsn-cifar10.toml checkpoint.pth --raw --out runs/ncsn-cifar10/original
  stein import mine.toml mine.safetensors

Checkpoints are those of torch.save, old and new; what is pickled in them is read, never executed. The tensors' names and shapes
must be those of the experiment's network, as stein export writes them and the original PyTorch modules have them; `module.` in
front of all of them may be there. A buffer `sigmas` must hold the schedule's levels. Of a list as NCSNv2 saves it, the last entry
is the averaged weights and the first the others.

The new run can be sampled at once; stein run draws and measures what the experiment asks for, and trains nothing. It looks for
it among the experiment's runs: not where --out put it. The experiment's data must be there.")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) experiment: Experiment,
    /// The file of weights
    pub(crate) checkpoint: PathBuf,
    /// The run directory to make; that of the experiment under --runs if left out
    #[arg(long, value_name = "RUN")]
    pub(crate) out: Option<PathBuf>,
    /// The averaged weights; if nothing is said, they are taken if they are there
    #[arg(long, conflicts_with_all = ["raw", "key"])]
    pub(crate) ema: bool,
    /// The weights of the last step
    #[arg(long, conflicts_with = "key")]
    pub(crate) raw: bool,
    /// The weights at a place in the checkpoint: keys and numbers joined by slashes
    #[arg(long, value_name = "PATH")]
    pub(crate) key: Option<String>,
    /// Of a sweep, the cell by its name
    #[arg(long)]
    pub(crate) cell: Option<String>,
    /// Where run directories are
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Say what was imported as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein report
  stein report experiments/digits.toml
  stein report runs/digits --reports /var/www/stein")]
pub(crate) struct Report {
    /// Experiment files, or folders of runs such as runs/digits; all under --runs if left out
    pub(crate) of: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) folders: Folders,
    /// Say where the pages are as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein verify tests/vectors/*.safetensors
  stein verify tests/parity/*.safetensors
  stein verify --tolerance 1e-5 --json mine.safetensors

A vector is a safetensors file of f32 tensors: x [B, D]; noise [B, D] and sigma [B], or neither; probes [M, B, D] where directions
are needed; network.N.weight [out, in] and network.N.bias [out] of the linear layers in order; loss [1]; grad.N.weight and
grad.N.bias. Its metadata: experiment, TOML with [network] and [objective]; source, free text. What these leave out is the
plainest: no weighting, no embedding of σ, s = F. What is judged is computed in double precision, so that only formulae can
differ; the errors in single precision, as training computes, stand beside it.

A sampler's vector holds x [B, D], where the chains start; noise [K, B, D], standard normals in the order in which the
algorithm's published form draws them (rows beyond what it draws are ignored; edm draws one a step whatever its churn); and
expected [B, D], where the chains end. Its experiment has [data], [network] kind = \"exact\", [schedule] and [sampler]. Samplers
that accept and reject, or choose their own steps, have no such vectors.

A parity file tells what a network puts out: x [B, C, H, W], or [B, D]; sigma [B], or label [B], the numbers of levels; a state
dict under network., as PyTorch has it; output, the score at x; output.10 and the like, that of all weights times 10. Its metadata:
network, the [network] table of an experiment as JSON; sigmas, the levels' σ as a JSON list; source. These too are
judged in double precision, and the errors in single precision stand beside them.

Exits 1 if any vector is above the tolerance, 3 if a file is no vector.")]
pub(crate) struct Verify {
    /// The vectors
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The largest relative error: of a loss, and of a whole gradient in norm [default: 1e-4]; of samples, max |x - expected|
    /// over max |expected| [default: 1e-3]; of outputs the same over the examples of each σ [default: 1e-4]
    #[arg(long, value_name = "ERROR", value_parser = positive)]
    pub(crate) tolerance: Option<f64>,
    /// As JSON: an array of {file, loss, loss_error, gradient_error, pass}, {file, sample_error, pass} or
    /// {file, output_error, errors, pass}
    #[arg(long)]
    pub(crate) json: bool,
}

fn device(text: &str) -> Result<DeviceRequest, String> {
    text.trim().parse().map_err(|e: stein_device::ParseRequestError| e.to_string())
}

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be above 0".into()),
        Err(e) => Err(format!("{e}; write it as 90s, 30m or 2h")),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("it must be a number above 0".into()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein sigmas --schedule '{kind = \"karras\", levels = 40}'
  stein sigmas --schedule '{kind = \"variance-preserving\"}' --json")]
pub(crate) struct Sigmas {
    /// The schedule, as [schedule] in an experiment
    #[arg(long, value_name = "TABLE")]
    pub(crate) schedule: String,
    /// As JSON: {sigmas, alphas}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein suggest experiments/digits.toml
  stein suggest --dim 3072 --sigma-max 50 --sigma-min 0.01
  stein suggest --dim 3072 --sigma-max 50 --sigma-min 0.01 --levels 232 --json")]
pub(crate) struct Suggest {
    /// An experiment file, whose data, smallest σ and steps per level are taken
    pub(crate) file: Option<PathBuf>,
    /// D, how many numbers a row of the data has
    #[arg(long, value_name = "D", value_parser = count(1, 1 << 40), conflicts_with = "file", required_unless_present = "file")]
    pub(crate) dim: Option<usize>,
    /// σ₁; if left out, the largest distance between rows of the experiment's data
    #[arg(long, value_name = "SIGMA", value_parser = positive, required_unless_present = "file")]
    pub(crate) sigma_max: Option<f64>,
    /// σ_L; if left out, the experiment's
    #[arg(long, value_name = "SIGMA", value_parser = positive, required_unless_present = "file")]
    pub(crate) sigma_min: Option<f64>,
    /// L; if left out, as many as the overlap asks for
    #[arg(long, value_name = "L", value_parser = count(2, 100_000))]
    pub(crate) levels: Option<usize>,
    /// T, Langevin steps at each level; if left out, the experiment's, else 5
    #[arg(long, value_name = "T", value_parser = count(1, 1_000_000))]
    pub(crate) steps_per_level: Option<usize>,
    /// C, how much neighbouring levels overlap
    #[arg(long, value_name = "C", default_value_t = 0.5, value_parser = positive)]
    pub(crate) overlap: f64,
    /// As JSON: {levels, levels_exact, gamma, overlap, step_size, variance_ratio, per_level, step_size_accumulated, convention},
    /// and for an experiment {dim, sigma_max, sigma_min, steps_per_level}
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Download the files of a set or its archive, each checked against its SHA-256; what is there is left alone, what was begun is gone on with
    Fetch(Fetch),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein data fetch mnist
  stein data fetch fashion-mnist --from ~/Downloads
  stein data fetch mnist --to /scratch/mnist      # and in the experiment: folder = \"/scratch/mnist\"")]
pub(crate) struct Fetch {
    /// Its name, as experiments have it: mnist, fashion-mnist, cifar10 or cifar100
    pub(crate) name: String,
    /// The folder that they are put into; if left out, where experiments look for them: data/NAME
    #[arg(long, value_name = "FOLDER")]
    pub(crate) to: Option<PathBuf>,
    /// Take them from this folder, and from nowhere else
    #[arg(long, value_name = "FOLDER")]
    pub(crate) from: Option<PathBuf>,
}

/// A count within bounds.
fn count(least: u64, most: u64) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(least..=most).map(|n| n as usize)
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stein init mine.toml
  stein init mine.toml --data gaussian-mixture --sampler langevin
  stein init | less")]
pub(crate) struct Init {
    /// Where to write it; stdout if left out. A file that is there is not overwritten
    pub(crate) file: Option<PathBuf>,
    /// The data source
    #[arg(long, value_name = "KIND")]
    pub(crate) data: Option<String>,
    /// The network
    #[arg(long, value_name = "KIND")]
    pub(crate) network: Option<String>,
    /// The objective
    #[arg(long, value_name = "KIND")]
    pub(crate) objective: Option<String>,
    /// The noise schedule
    #[arg(long, value_name = "KIND")]
    pub(crate) schedule: Option<String>,
    /// The sampler
    #[arg(long, value_name = "KIND")]
    pub(crate) sampler: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder that they go to
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}
