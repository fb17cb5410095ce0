//! The processes of a sweep's cells: so many at a time, each watched until it ends.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stein_device::DeviceRequest;
use stein_record::{RecordError, RunDir, State, file};
use stein_train::{RunError, Stop};

use super::arguments::{Run, Voice};
use super::check::duration;
use super::command::{self, option};
use super::{say, signals};

/// Between looks at the processes.
const TICK: Duration = Duration::from_millis(20);
/// What is read of a log to tell why its process failed, in bytes.
const LOG_END: u64 = 1 << 16;
/// How many threads rayon has.
const THREADS: &str = "RAYON_NUM_THREADS";
/// What a process answers with when something was no longer finite.
const DIVERGED: i32 = 5;
/// What a process whose time is over answers with.
const TIMED_OUT: i32 = 124;

/// A cell to run.
pub(crate) struct Job<'a> {
    pub(crate) cell: usize,
    pub(crate) name: &'a str,
    pub(crate) directory: &'a RunDir,
    /// The training that its network is of, if it has one.
    pub(crate) training: Option<RunDir>,
}

/// A cell that runs.
struct Running<'a> {
    job: Job<'a>,
    /// Its stdin is how it is asked to stop; the pipe breaks if this process dies.
    process: Child,
    started: Instant,
    /// Where this process's part of the log begins.
    log_from: u64,
    /// The one of --devices that it has.
    device: Option<DeviceRequest>,
    /// It did not end by itself in time.
    killed: bool,
}

pub(crate) struct Pool<'a> {
    arguments: &'a Run,
    voice: Voice,
    jobs: usize,
    all: usize,
    left: VecDeque<Job<'a>>,
    running: Vec<Running<'a>>,
    /// Those of --devices that no cell has.
    free: VecDeque<DeviceRequest>,
    /// Trainings that have diverged since this began.
    diverged: Vec<RunDir>,
    pub(crate) finished: usize,
    interrupted: usize,
    /// A line for each.
    pub(crate) failed: Vec<String>,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(arguments: &'a Run, voice: Voice, jobs: usize, all: usize, left: VecDeque<Job<'a>>) -> Self {
        Self {
            arguments,
            voice,
            jobs,
            all,
            left,
            running: Vec::new(),
            free: arguments.devices.iter().copied().collect(),
            diverged: Vec::new(),
            finished: 0,
            interrupted: 0,
            failed: Vec::new(),
        }
    }

    /// Works until nothing is left. Gives the signal by which that was not reached.
    pub(crate) fn work(&mut self, stop: &Stop) -> Option<RunError> {
        let mut asked = None;
        loop {
            if let Some(signal) = stop.requested() {
                stop.cell().store(0, Ordering::SeqCst);
                match &asked {
                    None => self.ask_to_stop(&signal),
                    // A scheduler sends several kinds, and means one request.
                    Some(before) if signals::insists(before, &signal) => self.kill(),
                    Some(_) => {}
                }
                asked = Some(signal);
            }
            self.collect(asked.is_some());
            self.kill_overdue();
            while asked.is_none()
                && self.running.len() < self.jobs
                && let Some(job) = self.next()
            {
                self.start(job);
            }
            if self.running.is_empty() && (asked.is_some() || self.left.is_empty()) {
                return asked.filter(|_| self.interrupted + self.left.len() > 0);
            }
            std::thread::sleep(TICK);
        }
    }

    /// The first job that need not wait for the training of one that runs. There is one as long as none runs.
    fn next(&mut self) -> Option<Job<'a>> {
        let waits = |job: &Job<'_>| {
            let training = job.training.as_ref();
            training.is_some_and(|training| {
                self.running.iter().any(|cell| cell.job.training.as_ref() == Some(training)) && !is_trained(training)
            })
        };
        let ready = self.left.iter().position(|job| !waits(job))?;
        self.left.remove(ready)
    }

    fn start(&mut self, job: Job<'a>) {
        let (started, device) = (Instant::now(), self.free.pop_front());
        match self.spawn(&job, device) {
            Ok((process, log_from)) => {
                let on = device.map(|device| format!(" on {device}")).unwrap_or_default();
                self.say(&job, &format!("begins{on}"));
                self.running.push(Running { job, process, started, log_from, device, killed: false });
            }
            Err(error) => {
                self.free.extend(device);
                self.fail(&job, &error.to_string());
            }
        }
    }

    /// Takes leave of the processes that have ended.
    fn collect(&mut self, stopping: bool) {
        for mut cell in std::mem::take(&mut self.running) {
            match cell.process.try_wait() {
                Ok(None) => {
                    self.running.push(cell);
                    continue;
                }
                Ok(Some(status)) => self.settle(&cell, status, stopping),
                Err(error) => self.fail(&cell.job, &format!("its process was lost: {error}")),
            }
            self.free.extend(cell.device);
        }
    }

    fn settle(&mut self, cell: &Running<'_>, status: ExitStatus, stopping: bool) {
        let took = duration(cell.started.elapsed().as_secs_f64());
        match status.code() {
            Some(0) => {
                self.finished += 1;
                self.say(&cell.job, &format!("finished in {took}"));
            }
            Some(TIMED_OUT) => self.fail(&cell.job, &format!("timed out after {took}")),
            _ if cell.killed => {
                let reason = format!("timed out and was killed after {took}");
                if let Err(error) = stein_train::record_timeout(cell.job.directory, &reason) {
                    say(format_args!("warning: {error}"));
                }
                self.fail(&cell.job, &reason);
            }
            // 128 and a signal.
            None | Some(129..160) if stopping => {
                self.interrupted += 1;
                self.say(&cell.job, &format!("stopped after {took}"));
            }
            code => {
                let training = cell.job.training.iter().filter(|_| code == Some(DIVERGED));
                self.diverged.extend(training.filter(|t| state(t) == Some(State::Diverged)).cloned());
                self.fail(&cell.job, &reason(cell, status));
            }
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

    /// Kills what has not stopped although its time is over: each process has its own clock, and some grace.
    fn kill_overdue(&mut self) {
        let Some(time) = self.arguments.timeout else { return };
        let most = time.saturating_add(self.arguments.grace);
        for cell in self.running.iter_mut().filter(|cell| cell.started.elapsed() > most) {
            cell.killed = true;
            let _ = cell.process.kill();
        }
    }

    /// Starts the process of a cell. Gives the length of its log before.
    fn spawn(&self, job: &Job<'_>, device: Option<DeviceRequest>) -> Result<(Child, u64), RecordError> {
        let arguments = self.arguments;
        let (folder, log) = (job.directory.path(), job.directory.log());
        job.directory.check_for_writing()?;
        std::fs::create_dir_all(folder).map_err(|e| RecordError::io(folder, "create the directory", e))?;
        let out = file::open_or_make(&log, File::options().append(true))?;
        let both = || -> std::io::Result<(File, u64)> { Ok((out.try_clone()?, out.metadata()?.len())) };
        let (err, length) = both().map_err(|e| RecordError::io(&log, "open", e))?;
        let program = std::env::current_exe().map_err(|e| RecordError::io("the program itself", "find", e))?;
        let mut command = Command::new(&program);
        command.arg("run").args(["--cell", job.name, "--attended"]);
        command.args(command::of_cell(arguments, &arguments.folders.runs, self.voice));
        command.arg(option("--reports", arguments.folders.reports.as_os_str()));
        command.args(device.map(|device| option("--devices", device.to_string().as_ref())));
        if job.training.as_ref().is_some_and(|training| self.diverged.contains(training)) {
            command.arg("--keep-diverged");
        }
        command.arg("--").arg(&arguments.experiment.file);
        if self.jobs > 1 {
            command.env(THREADS, threads(self.jobs).to_string());
        }
        let child = command.stdin(Stdio::piped()).stdout(out).stderr(err).spawn();
        Ok((child.map_err(|e| RecordError::io(program, "start", e))?, length))
    }
}

/// Where a training stands, as far as its record tells.
fn state(training: &RunDir) -> Option<State> {
    training.read_record().ok().flatten().map(|record| record.state)
}

pub(crate) fn is_trained(training: &RunDir) -> bool {
    state(training) == Some(State::Finished)
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
    let said = said(cell).ok().flatten().unwrap_or_default();
    let error = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
    error.map_or_else(|| status.to_string(), str::to_owned)
}

/// The end of what a process wrote to its log.
fn said(cell: &Running<'_>) -> std::io::Result<Option<String>> {
    let Ok(Some(mut file)) = file::open(&cell.job.directory.log()) else { return Ok(None) };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(cell.log_from.max(length.saturating_sub(LOG_END))))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
