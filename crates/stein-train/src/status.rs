//! How far a cell is, from its run directory alone: from any machine that sees it, while it runs or after.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use stein_record::{MetricLine, RunDir, RunRecord, State, file};

use crate::lock;

/// What is read of a log of metrics to know its last step, in bytes.
const TAIL: u64 = 1 << 14;
/// A file system may not carry locks from machine to machine: a run elsewhere whose lock seems free, but whose records are as
/// fresh as this, is running.
const FRESH: Duration = Duration::from_secs(60);

/// Where a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Trained, sampled and evaluated.
    Finished,
    /// A process works on it.
    Running,
    /// Stopped, or its process died: the same command goes on with it.
    Interrupted,
    /// Its weights were imported, and its samples are not drawn yet.
    Imported,
    /// Nobody has run it.
    NotBegun,
    /// Something was no longer finite.
    Diverged,
    /// It took longer than it was given.
    TimedOut,
    /// Stopped by an error.
    Failed,
    /// Its record cannot be read.
    Damaged,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Imported => "imported",
            Self::NotBegun => "not begun",
            Self::Diverged => "diverged",
            Self::TimedOut => "timed out",
            Self::Failed => "failed",
            Self::Damaged => "damaged",
        })
    }
}

/// How far a cell is.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where it stands.
    pub standing: Standing,
    /// Training steps done and to do.
    pub steps: Option<(u64, u64)>,
    /// Training steps a second, as of the last checkpoint.
    pub steps_per_second: Option<f64>,
    /// Seconds of training that are left, while it runs.
    pub seconds_left: Option<f64>,
    /// The machine of the last process that worked on it.
    pub host: Option<String>,
    /// How long ago anything was recorded.
    pub age: Option<Duration>,
    /// Why it did not end well.
    pub reason: Option<String>,
}

impl Status {
    /// Looks at a run directory. Never fails: what cannot be read is said to be damaged.
    pub fn of(run: &RunDir) -> Self {
        let nothing = Self {
            standing: Standing::NotBegun,
            steps: None,
            steps_per_second: None,
            seconds_left: None,
            host: None,
            age: None,
            reason: None,
        };
        match run.read_record() {
            Ok(None) => nothing,
            Ok(Some(record)) => Self::of_record(run, record),
            Err(error) => Self { standing: Standing::Damaged, reason: Some(error.to_string()), ..nothing },
        }
    }

    fn of_record(run: &RunDir, record: RunRecord) -> Self {
        let age = [run.record(), run.metrics()].iter().filter_map(|path| age(path)).min();
        let host = lock::last_host(run.path());
        let (mut step, steps) = (record.progress.step, record.progress.steps);
        let (mut standing, mut reason) = (standing(record.state), record.reason);
        if standing == Standing::Running && !is_alive(run, host.as_deref(), age) {
            standing = Standing::Interrupted;
            let on = host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
            reason = Some(format!("its process{on} died"));
        }
        if standing == Standing::Running {
            step = step.max(last_step(&run.metrics()).unwrap_or(0));
        }
        let steps_per_second = Some(record.timings.steps_per_second).filter(|rate| rate.is_finite() && *rate > 0.0);
        let left = steps.saturating_sub(step) as f64;
        let seconds_left = steps_per_second.filter(|_| standing == Standing::Running).map(|rate| left / rate);
        Self { standing, steps: Some((step, steps)), steps_per_second, seconds_left, host, age, reason }
    }
}

fn standing(state: State) -> Standing {
    match state {
        State::Running => Standing::Running,
        State::Interrupted => Standing::Interrupted,
        State::Imported => Standing::Imported,
        State::Diverged => Standing::Diverged,
        State::TimedOut => Standing::TimedOut,
        State::Failed => Standing::Failed,
        State::Finished => Standing::Finished,
    }
}

/// Whether the process that a record says is running still is.
fn is_alive(run: &RunDir, host: Option<&str>, age: Option<Duration>) -> bool {
    let elsewhere = host.is_some_and(|host| host != lock::host());
    lock::is_held(run.path()) || elsewhere && age.is_some_and(|age| age < FRESH)
}

/// How long ago a file was written; clocks of two machines may differ, so never less than nothing.
fn age(path: &Path) -> Option<Duration> {
    let written = path.metadata().ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(written).unwrap_or_default())
}

/// The step of the last whole line of a log of metrics.
fn last_step(path: &Path) -> Option<u64> {
    let mut file = file::open(path).ok()??;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|&b| b == b'\n')?;
    let line = bytes[..end].rsplit(|&b| b == b'\n').next()?;
    Some(serde_json::from_slice::<MetricLine>(line).ok()?.step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_tells_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(last_step(&path), None);
        let line = |step: u64| format!("{{\"step\":{step},\"split\":\"train\",\"name\":\"loss\",\"value\":1.5}}\n");
        std::fs::write(&path, line(7)).unwrap();
        assert_eq!(last_step(&path), Some(7));
        let mut many: String = (0..2000).map(line).collect();
        many.push_str("{\"step\":5000,\"sp");
        std::fs::write(&path, many).unwrap();
        assert_eq!(last_step(&path), Some(1999));
        std::fs::write(&path, "{\"step\":5000").unwrap();
        assert_eq!(last_step(&path), None);
    }

    #[test]
    fn where_there_is_nothing_nothing_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::new(folder.path());
        assert_eq!(Status::of(&run).standing, Standing::NotBegun);
        std::fs::write(run.record(), "{").unwrap();
        let damaged = Status::of(&run);
        assert_eq!(damaged.standing, Standing::Damaged);
        assert!(damaged.reason.unwrap().contains("run.json"));
    }
}
