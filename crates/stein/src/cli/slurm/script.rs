//! The scripts that Slurm runs.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use stein_experiment::Slurm;
use stein_record::RecordError;

use super::absolute;
use crate::cli::arguments::{Run, Voice};
use crate::cli::cells::Cells;
use crate::cli::{Failure, command};

/// The file as it was submitted.
pub(super) const EXPERIMENT: &str = "experiment.toml";
pub(super) const CELL: &str = "cell.sh";
pub(super) const REPORT: &str = "report.sh";
/// Lists of cells, a line each.
pub(super) const FIRST: &str = "first.txt";
pub(super) const BEHIND: &str = "behind.txt";
pub(super) const THEN: &str = "then.txt";

/// What is run.
pub(super) struct Scripts {
    pub(super) cell: String,
    pub(super) report: String,
}

impl Scripts {
    /// Writes both; nothing is put on the disk yet.
    pub(super) fn write(
        arguments: &Run,
        cells: &Cells,
        options: &Slurm,
        folder: &Path,
        name: &str,
        voice: Voice,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|e| RecordError::io("the program itself", "find", e))?;
        let (runs, reports) = (absolute(&arguments.folders.runs)?, absolute(&arguments.folders.reports)?);
        let frozen = folder.join(EXPERIMENT);
        let quoted = |path: &Path| command::quoted(path.as_os_str());

        let mut run: Vec<OsString> =
            vec![program.clone().into(), "run".into(), "--scheduled".into(), "--no-report".into()];
        run.extend(command::of_cell(arguments, &runs, voice));
        // The frozen file has another stem than the one that it is a copy of.
        run.push(command::option("--set", OsStr::new(&format!("name=\"{}\"", cells.experiment))));
        let report: Vec<OsString> = vec![
            program.into(),
            "report".into(),
            command::option("--runs", runs.as_os_str()),
            command::option("--reports", reports.as_os_str()),
            "--".into(),
            runs.join(&cells.experiment).into(),
        ];
        let values = [
            ("experiment", cells.experiment.clone()),
            ("folder", quoted(&runs.join(&cells.experiment))?),
            ("setup", options.setup.iter().map(|line| format!("{line}\n")).collect()),
            ("run", format!("{} --cell \"$cell\"", command::line(run)?)),
            ("file", quoted(&frozen)?),
            ("requeues", options.requeues.to_string()),
            ("report", command::line(report)?),
        ];
        let script = |template: &str, is_cell: bool| {
            let directives = ("directives", directives(options, name, is_cell));
            filled(template, &[&values[..], &[directives]].concat())
        };
        Ok(Self { cell: script(include_str!("cell.sh"), true), report: script(include_str!("report.sh"), false) })
    }
}

/// A template with `{{name}}` replaced; what is put there is not looked through again.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or_else(|| panic!("a template has {{{{ without }}}}: {part}"));
        let value = values.iter().find(|(known, _)| *known == name);
        out += &value.unwrap_or_else(|| panic!("a template names {name}")).1;
        out += rest;
    }
    out
}

/// `#SBATCH` lines; every value was checked when the file was read.
fn directives(options: &Slurm, name: &str, is_cell: bool) -> String {
    let mut lines = vec![format!("--job-name={name}"), "--nodes=1".into(), "--ntasks=1".into()];
    let named = [("partition", &options.partition), ("account", &options.account), ("qos", &options.qos)];
    lines.extend(named.into_iter().filter_map(|(key, value)| Some(format!("--{key}={}", value.as_ref()?))));
    lines.extend(options.time_limit().map(|time| format!("--time={}", clock(time))));
    lines.extend(options.memory.as_ref().map(|memory| format!("--mem={memory}")));
    if is_cell {
        lines.extend(options.cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
        lines.extend(options.gpus.as_ref().map(|gpus| format!("--gres=gpu:{gpus}")));
        // To the script alone, and before the limit; what has run goes on in the same log.
        lines.push(format!("--signal=B:USR1@{}", options.notice().as_secs()));
        lines.extend(["--requeue".into(), "--open-mode=append".into()]);
    }
    lines.extend(options.directives.iter().cloned());
    lines.into_iter().map(|line| format!("#SBATCH {line}\n")).collect()
}

/// Days, hours, minutes and seconds as Slurm writes them.
fn clock(time: Duration) -> String {
    let s = time.as_secs();
    format!("{}-{:02}:{:02}:{:02}", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_left_as_it_is() {
        let values = [("a", "{{b}} $x".to_owned()), ("b", "two".to_owned())];
        assert_eq!(filled("{{a}}-{{b}}-${c}}", &values), "{{b}} $x-two-${c}}");
    }

    #[test]
    fn times_are_written_as_slurm_reads_them() {
        assert_eq!(clock(Duration::from_secs(131_461)), "1-12:31:01");
        assert_eq!(clock(Duration::from_secs(5400)), "0-01:30:00");
    }
}
