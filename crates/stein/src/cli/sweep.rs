//! `stein run` of a file with a `[sweep]`: each cell in a process of its own.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stein_core::Registry;
use stein_experiment::Sweep;
use stein_record::source::Source;
use stein_record::{RecordError, RunDir, State};
use stein_train::{RunError, Stop};

use super::arguments::{Run, Voice};
use super::check::duration;
use super::{Failure, Outcome, cells, pictures, print, signals};

/// Between looks at the processes.
const TICK: Duration = Duration::from_millis(20);
/// What is read of a log to tell why its process failed, in bytes.
const LOG_END: u64 = 1 << 16;
/// Failures that are listed again at the end.
const LISTED: usize = 20;
/// How many threads rayon has.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Runs every cell that is not finished.
pub(crate) fn run(arguments: &Run, source: &Source, sweep: &Sweep<'_>, registry: &Registry, voice: Voice) -> Outcome {
    let file = arguments.experiment.file.display();
    if arguments.tui {
        return Err(Failure::usage("--tui shows one run; name one cell of the [sweep] with --cell"));
    }
    if !arguments.experiment.file.is_file() {
        return Err(Failure::usage(format!("{file} is no file that can be read again by the process of each cell")));
    }
    let cells = cells::find(source, sweep, registry, &arguments.folders.runs)?;
    let stop = signals::watch().map_err(|e| Failure::Message(format!("cannot handle signals: {e}"), 1))?;
    cells.record(sweep)?;
    let directories: Vec<&RunDir> = cells.all.iter().map(|(_, directory)| directory).collect();
    let mut left = VecDeque::new();
    for (cell, (plan, directory)) in cells.all.iter().enumerate() {
        // A record that cannot be read is its own process's to complain of, and does not stop the others.
        let finished = directory.read_record().ok().flatten().is_some_and(|record| record.state == State::Finished);
        if !finished {
            left.push_back(Job { cell, name: &plan.cell.name, directory });
        }
    }
    // Repetitions one after another: what drifts meanwhile, the machine's load say, then falls on all rows alike.
    left.make_contiguous().sort_by_key(|job| sweep.repetition(job.cell));
    let (all, before) = (directories.len(), directories.len() - left.len());
    voice.say(&format!("sweep   {} ({all} cells, {before} finished)", cells.folder.display()));

    let mut pool =
        Pool { arguments, voice, all, left, running: Vec::new(), finished: 0, interrupted: 0, failed: Vec::new() };
    if let Some(asked) = pool.work(&stop) {
        return Err(asked.into());
    }
    for directory in directories {
        if let Some(asked) = stop.requested() {
            return Err(asked.into());
        }
        // Each process draws its own; one that was killed may not have come to it.
        if !directory.sample("final.png").is_file()
            && let Err(error) = pictures::draw(directory)
        {
            eprintln!("warning: {error}");
        }
    }
    let page = stein_report::write(&cells.folder, &arguments.folders.reports)?;
    let (finished, failed) = (pool.finished, pool.failed);
    print(&format!("cells   {finished} finished, {before} skipped, {} failed", failed.len()));
    print(&format!("report  {}", page.display()));
    if failed.is_empty() {
        return Ok(());
    }
    let more = match failed.len().saturating_sub(LISTED) {
        0 => String::new(),
        n => format!("\n  and {n} more"),
    };
    let shown = failed[..failed.len().min(LISTED)].join("\n");
    Err(Failure::Message(format!("{} of {all} cells failed:\n{shown}{more}", failed.len()), 1))
}

/// A cell to run.
struct Job<'a> {
    cell: usize,
    name: &'a str,
    directory: &'a RunDir,
}

/// A cell that runs.
struct Running<'a> {
    job: Job<'a>,
    /// Its stdin is how it is asked to stop; the pipe breaks if this process dies.
    process: Child,
    started: Instant,
    /// Where this process's part of the log begins.
    log_from: u64,
}

struct Pool<'a> {
    arguments: &'a Run,
    voice: Voice,
    all: usize,
    left: VecDeque<Job<'a>>,
    running: Vec<Running<'a>>,
    finished: usize,
    interrupted: usize,
    /// A line for each.
    failed: Vec<String>,
}

impl<'a> Pool<'a> {
    /// Works until nothing is left. Gives the signal by which that was not reached.
    fn work(&mut self, stop: &Stop) -> Option<RunError> {
        let mut asked = None;
        loop {
            if let Some(signal) = stop.requested() {
                stop.cell().store(0, Ordering::SeqCst);
                if asked.is_none() {
                    self.ask_to_stop(&signal)
                } else {
                    self.kill()
                }
                asked = Some(signal);
            }
            self.collect(asked.is_some());
            while asked.is_none()
                && self.running.len() < usize::from(self.arguments.jobs)
                && let Some(job) = self.left.pop_front()
            {
                self.start(job);
            }
            if self.running.is_empty() && (asked.is_some() || self.left.is_empty()) {
                return asked.filter(|_| self.interrupted + self.left.len() > 0);
            }
            std::thread::sleep(TICK);
        }
    }

    fn start(&mut self, job: Job<'a>) {
        let started = Instant::now();
        match spawn(self.arguments, self.voice, &job) {
            Ok((process, log_from)) => {
                self.say(&job, "begins");
                self.running.push(Running { job, process, started, log_from });
            }
            Err(error) => self.fail(&job, &error.to_string()),
        }
    }

    /// Takes leave of the processes that have ended.
    fn collect(&mut self, stopping: bool) {
        for mut cell in std::mem::take(&mut self.running) {
            match cell.process.try_wait() {
                Ok(None) => self.running.push(cell),
                Ok(Some(status)) => self.settle(&cell, status, stopping),
                Err(error) => self.fail(&cell.job, &format!("its process was lost: {error}")),
            }
        }
    }

    fn settle(&mut self, cell: &Running<'_>, status: ExitStatus, stopping: bool) {
        let took = duration(cell.started.elapsed().as_secs_f64());
        match status.code() {
            Some(0) => {
                self.finished += 1;
                self.say(&cell.job, &format!("finished in {took}"));
            }
            None | Some(130 | 143) if stopping => {
                self.interrupted += 1;
                self.say(&cell.job, &format!("stopped after {took}"));
            }
            _ => self.fail(&cell.job, &reason(cell, status)),
        }
    }

    fn fail(&mut self, job: &Job<'_>, reason: &str) {
        self.say(job, &format!("failed: {reason}"));
        self.failed.push(format!("  {}: {reason} ({})", job.directory.name(), job.directory.log().display()));
    }

    fn say(&self, job: &Job<'_>, what: &str) {
        let (all, number) = (self.all, job.cell + 1);
        let width = all.to_string().len();
        self.voice.say(&format!("[{number:>width$}/{all}] {}  {what}", job.directory.name()));
    }

    /// Each running cell saves a checkpoint and ends.
    fn ask_to_stop(&mut self, signal: &RunError) {
        self.voice.say("stopping when each running cell has saved a checkpoint; the same signal again stops at once");
        for cell in &mut self.running {
            if let Some(mut stdin) = cell.process.stdin.take() {
                // One that has just ended does not listen.
                let _ = stdin.write_all(&[signal.exit_code() - 128]);
            }
        }
    }

    fn kill(&mut self) {
        for cell in &mut self.running {
            let _ = cell.process.kill();
        }
    }
}

/// Starts the process of a cell. Gives the length of its log before.
fn spawn(arguments: &Run, voice: Voice, job: &Job<'_>) -> Result<(Child, u64), RecordError> {
    let (folder, log) = (job.directory.path(), job.directory.log());
    std::fs::create_dir_all(folder).map_err(|e| RecordError::io(folder, "create the directory", e))?;
    let open = || -> std::io::Result<(File, File, u64)> {
        let file = File::options().create(true).append(true).open(&log)?;
        let length = file.metadata()?.len();
        Ok((file.try_clone()?, file, length))
    };
    let (out, err, length) = open().map_err(|e| RecordError::io(&log, "open", e))?;
    let program = std::env::current_exe().map_err(|e| RecordError::io("the program itself", "find", e))?;
    let mut command = Command::new(&program);
    command.arg("run").args(["--cell", job.name, "--attended"]);
    command.arg(option("--runs", arguments.folders.runs.as_os_str()));
    command.arg(option("--reports", arguments.folders.reports.as_os_str()));
    command.args(arguments.experiment.set.iter().map(|set| option("--set", set.as_ref())));
    if voice.verbose {
        command.arg("--verbose");
    }
    command.arg("--").arg(&arguments.experiment.file);
    if arguments.jobs > 1 {
        command.env(THREADS, threads(arguments.jobs.into()).to_string());
    }
    let child = command.stdin(Stdio::piped()).stdout(out).stderr(err).spawn();
    Ok((child.map_err(|e| RecordError::io(program, "start", e))?, length))
}

fn option(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    option
}

/// The threads of one of several processes. Burn's CPU backend works on rayon's threads, which heed this variable.
fn threads(jobs: usize) -> usize {
    let given = std::env::var(THREADS).ok().and_then(|text| text.parse().ok()).filter(|&n: &usize| n > 0);
    let all = given.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    (all.unwrap_or(1) / jobs).max(1)
}

/// Why a process failed: what it was ended by, or what it said last.
fn reason(cell: &Running<'_>, status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("killed by signal {signal}");
    }
    if status.code() == Some(101) {
        return "it panicked".into();
    }
    let said = said(cell).unwrap_or_default();
    let error = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.map_or_else(|| status.to_string(), str::to_owned)
}

/// The end of what a process wrote to its log.
fn said(cell: &Running<'_>) -> std::io::Result<String> {
    let mut file = File::open(cell.job.directory.log())?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(cell.log_from.max(length.saturating_sub(LOG_END))))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
