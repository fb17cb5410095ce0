//! What Slurm is asked, and what was submitted before.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stein_record::{RecordError, run_dir};

use crate::cli::Failure;

/// Tasks of an array at most, if Slurm does not say: its own default.
const MOST_TASKS: usize = 1001;
/// Which jobs are for which cells, in a submission's folder.
const JOBS: &str = "jobs.json";

/// An array, its tasks' cells in their order.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) cells: Vec<String>,
}

impl Job {
    /// The cells whose tasks are in the queue, each with this job's number.
    pub(super) fn cells_of(&self, waiting: &HashSet<(String, usize)>) -> Vec<(String, String)> {
        let is_waiting = |(i, _): &(usize, &String)| waiting.contains(&(self.id.clone(), *i));
        self.cells.iter().enumerate().filter(is_waiting).map(|(_, cell)| (cell.clone(), self.id.clone())).collect()
    }
}

/// Reads the jobs of a submission; none if it has no record of any.
pub(super) fn read(folder: &Path) -> Result<Vec<Job>, RecordError> {
    let jobs: Option<Vec<Value>> = run_dir::read_json(&folder.join(JOBS))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let job = |value: &Value| Job {
        id: text(&value["id"]),
        cells: value["cells"].as_array().into_iter().flatten().map(text).collect(),
    };
    Ok(jobs.iter().flatten().map(job).collect())
}

/// Writes the jobs of a submission.
pub(super) fn write(folder: &Path, jobs: &[Job]) -> Result<(), RecordError> {
    let jobs: Vec<Value> = jobs.iter().map(|job| json!({ "id": job.id, "cells": job.cells })).collect();
    run_dir::write_json(&folder.join(JOBS), &jobs)
}

/// Slurm's queue, as far as it is an experiment's.
pub(super) struct Queue {
    name: String,
}

impl Queue {
    /// The queue of jobs of that name.
    pub(super) fn new(name: String) -> Self {
        Self { name }
    }

    /// What the jobs are called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Submits with these arguments. Gives the job's number.
    pub(super) fn submit(&self, arguments: &[String]) -> Result<String, Failure> {
        let said = said("sbatch", arguments).map_err(|why| Failure::Message(why, 1))?;
        // On a federation the cluster's name follows.
        let id = said.trim().lines().last().unwrap_or_default().split(';').next().unwrap_or_default();
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
            return Err(Failure::Message(format!("sbatch was to give a job's number, but said {said:?}"), 1));
        }
        Ok(id.to_owned())
    }

    /// The tasks that run or wait: the array's job, and the place in it.
    pub(super) fn waiting(&self) -> Result<HashSet<(String, usize)>, String> {
        let arguments = ["--noheader", "--array", "--format=%F_%K", &format!("--name={}", self.name)].map(String::from);
        let said = said("squeue", &arguments)?;
        let task = |line: &str| -> Option<(String, usize)> {
            let (id, task) = line.trim().split_once('_')?;
            Some((id.to_owned(), task.parse().ok()?))
        };
        Ok(said.lines().filter_map(task).collect())
    }

    /// Tasks that an array has at most.
    pub(super) fn most_tasks(&self) -> usize {
        let said = said("scontrol", &["show".into(), "config".into()]).unwrap_or_default();
        let value = said.lines().find_map(|line| line.trim_start().strip_prefix("MaxArraySize"));
        let number = value.and_then(|rest| rest.trim_start().strip_prefix('=')?.trim().parse().ok());
        number.filter(|&n: &usize| n > 0).unwrap_or(MOST_TASKS)
    }
}

/// What a program of Slurm's says; else why it says nothing.
fn said(program: &str, arguments: &[String]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {program} here: --launcher slurm needs Slurm's programs"),
        _ => format!("cannot start {program}: {e}"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if words.is_empty() { format!("{program}: {}", output.status) } else { format!("{program} refused: {words}") })
}
