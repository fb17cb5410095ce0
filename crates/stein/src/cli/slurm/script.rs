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

        let mut run: Vec<OsString> = vec!["--scheduled".into(), "--no-report".into()];
        run.extend(command::of_cell(arguments, &runs, voice));
        // The frozen file has another stem than the one that it is a copy of.
        run.push(command::option("--set", OsStr::new(&format!("name=\"{}\"", cells.experiment))));
        let run = format!(
            "{} run --cell \"$cell\" {} \"$@\" -- {}",
            quoted(&program)?,
            command::line(run)?,
            quoted(&frozen)?
        );
        let report: Vec<OsString> = vec![
            program.into_os_string(),
            "report".into(),
            command::option("--runs", runs.as_os_str()),
            command::option("--reports", reports.as_os_str()),
            "--".into(),
            runs.join(&cells.experiment).into_os_string(),
        ];
        let setup: String = options.setup.iter().map(|line| format!("{line}\n")).collect();
        let folder = quoted(&runs.join(&cells.experiment))?;
        let experiment = &cells.experiment;
        let of_cell = directives(options, name, true);
        let of_report = directives(options, name, false);
        let requeues = options.requeues;
        Ok(Self {
            cell: format!(
                "#!/bin/bash\n# A cell of {experiment}; a task of an array. Arguments: a list of cells, and the line before the first task's.\n\
                 {of_cell}\n\
                 list=$1 line=$((${{SLURM_ARRAY_TASK_ID:?sbatch --array sets it}} + $2 + 1))\nshift 2\n\
                 cell=$(sed -n \"${{line}}p\" \"$list\")\n\
                 if [ -z \"$cell\" ]; then\n    echo \"$list has no line $line\" >&2\n    exit 1\nfi\n\
                 log={folder}/$cell/log.txt\nmkdir -p \"${{log%/*}}\"\necho \"cell $cell: $log\"\n\
                 {setup}\
                 : \"${{RAYON_NUM_THREADS:=${{SLURM_CPUS_PER_TASK:-${{SLURM_CPUS_ON_NODE:-1}}}}}}\"\nexport RAYON_NUM_THREADS\n\
                 {WATCH}\
                 {run} >>\"$log\" 2>&1 </dev/null &\nstein=$!\n\
                 {WAIT}\
                 if [ -n \"$limit\" ] && [ \"$code\" -gt 128 ] && [ \"${{SLURM_RESTART_COUNT:-0}}\" -lt {requeues} ]; then\n    \
                 echo \"cell $cell: its time was over; it is queued again\"\n    \
                 scontrol requeue \"$SLURM_JOB_ID\"\nfi\n\
                 exit \"$code\"\n"
            ),
            report: format!(
                "#!/bin/bash\n# The report page of {experiment}, once its cells are done.\n{of_report}\n{setup}exec {}\n",
                command::line(report)?
            ),
        })
    }
}

/// Slurm signals the script, which must outlive its own `wait`: a trap ends that early.
const WATCH: &str = "\
limit= stein=
ask() {
    again=1
    [ -n \"$stein\" ] || exit 143
    kill -s \"$1\" \"$stein\" 2>/dev/null
}
trap 'limit=1; ask USR1' USR1
trap 'ask TERM' TERM
";
const WAIT: &str = "\
again=1
while [ -n \"$again\" ]; do
    again=
    wait \"$stein\"
    code=$?
done
";

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
    fn times_are_written_as_slurm_reads_them() {
        assert_eq!(clock(Duration::from_secs(131_461)), "1-12:31:01");
        assert_eq!(clock(Duration::from_secs(5400)), "0-01:30:00");
    }
}
