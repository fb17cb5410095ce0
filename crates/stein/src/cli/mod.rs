//! The command line.
//!
//! Results go to stdout; progress, notes and errors to stderr. Exit codes: 0 done, 1 anything else, 2 usage or
//! configuration, 3 data, 4 not done yet (`stein status`), 5 diverged, 6 damaged or refused, 7 locked by another process, 8 disk,
//! 124 timed out and 130, 138 and 143 interrupted with a checkpoint saved.

mod arguments;
mod cells;
mod check;
mod command;
mod compare;
mod data;
mod devices;
mod export;
mod import;
mod init;
mod launch;
mod list;
mod load;
mod pictures;
mod plan;
mod pool;
mod profile;
mod replay;
mod report;
mod run;
mod runs;
mod sample;
mod score;
mod shell;
mod sigmas;
mod signals;
mod slurm;
mod status;
mod suggest;
mod sweep;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use stein_core::Registry;
use stein_record::RecordError;
use stein_record::source::{Diagnostic, Source};
use stein_train::RunError;

use arguments::{Arguments, Command};

/// Runs the command line with the built-in components and those that `register` adds.
pub fn main(register: impl FnOnce(&mut Registry)) -> ExitCode {
    let arguments = Arguments::parse();
    signals::outlive_limits();
    let mut registry = stein_experiment::builtin();
    register(&mut registry);
    let voice = arguments.voice;
    let result = match arguments.command {
        Command::Run(run) => run::run(&run, &registry, voice),
        Command::Check(check) => check::check(&check, &registry, voice),
        Command::Profile(profile) => profile::profile(&profile, &registry, voice),
        Command::Replay(replay) => replay::replay(&replay, &registry, voice),
        Command::Plan(plan) => plan::plan(&plan, &registry, voice),
        Command::Status(status) => status::status(&status, &registry),
        Command::List(list) => list::list(&list, &registry),
        Command::Data(data) => data::data(&data, voice),
        Command::Devices(devices) => devices::devices(&devices),
        Command::Sample(sample) => sample::sample(&sample, &registry, voice),
        Command::Compare(compare) => compare::compare(&compare, &registry),
        Command::Score(score) => score::score(&score, &registry, voice),
        Command::Export(export) => export::export(&export, &registry),
        Command::Import(import) => import::import(&import, &registry, voice),
        Command::Report(report) => report::report(&report, &registry),
        Command::Verify(verify) => verify::verify(&verify, &registry),
        Command::Sigmas(sigmas) => sigmas::sigmas(&sigmas, &registry),
        Command::Suggest(suggest) => suggest::suggest(&suggest, &registry, voice),
        Command::Init(init) => init::init(&init, &registry, voice),
        Command::Schema => init::print_schema(&registry),
        Command::Completions(completions) => shell::completions(&completions),
        Command::Man(man) => shell::man(&man, voice),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Why a command failed.
pub(crate) enum Failure {
    /// The experiment is wrong.
    Experiment(Box<Source>, Vec<Diagnostic>),
    /// A run did not finish.
    Run(RunError),
    /// Anything that one line tells.
    Message(String, u8),
    /// Everything has been said.
    Silent(u8),
}

/// What a command gives.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Message(message.into(), 2)
    }

    fn tell(self) -> ExitCode {
        self.show();
        ExitCode::from(match &self {
            Self::Experiment(..) => 2,
            Self::Run(error) => error.exit_code(),
            Self::Message(_, code) | Self::Silent(code) => *code,
        })
    }

    /// Says on stderr what went wrong.
    pub(crate) fn show(&self) {
        let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        match self {
            Self::Experiment(source, diagnostics) => {
                say(source.render(diagnostics, color).trim_end_matches('\n'));
            }
            Self::Run(error) => say(format_args!("error: {error}")),
            Self::Message(message, _) => say(format_args!("error: {message}")),
            Self::Silent(_) => {}
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::Run(error.into())
    }
}

/// Somebody else's words, names of files say, without what would steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Prints to stdout. A reader that has gone away (`stein list | head`) is no error.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}

/// Says a line on stderr. One that cannot be written, to a log on a full disk say, is no reason to end.
pub(crate) fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&serde_json::to_string_pretty(value).unwrap_or_else(|e| panic!("JSON: {e}")));
}
