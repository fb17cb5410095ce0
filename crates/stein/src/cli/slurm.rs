//! `--launcher slurm`: the cells as job arrays.
//!
//! ```text
//! runs/<experiment>/slurm/<number>/
//!   experiment.toml   the file as it was: editing it later changes nothing that waits
//!   cell.sh           runs the cell that a line of a list names
//!   first.txt         cells that need not wait for another; one of each training
//!   behind.txt        one of each training that a job in the queue may do
//!   then.txt          the cells that share these trainings
//!   report.sh         writes the page
//!   jobs.json         which jobs are for which cells
//!   *.log             what the scripts said; a cell's own words are in its log.txt
//! ```

mod queue;
mod script;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use stein_experiment::{Slurm, Sweep};
use stein_record::{RecordError, RunDir, atomic, file, run_dir};

use super::arguments::{Run, Voice};
use super::cells::Cells;
use super::launch::Task;
use super::pool::is_trained;
use super::{Failure, Outcome, command, print, say};
use queue::{Job, Queue};
use script::Scripts;

/// Submits what is neither finished nor in the queue already.
pub(crate) fn submit(arguments: &Run, cells: &Cells, sweep: &Sweep<'_>, tasks: Vec<Task<'_>>, voice: Voice) -> Outcome {
    let options = sweep.launcher().map(|launcher| launcher.slurm.clone()).unwrap_or_default();
    let queue = Queue::new(format!("stein-{}", cells.experiment));
    let all = absolute(&cells.folder.join("slurm"))?;
    let queued = queued(&all, &queue, voice)?;
    if !queued.is_empty() {
        let jobs: BTreeSet<&String> = queued.values().collect();
        let jobs: Vec<&str> = jobs.into_iter().map(String::as_str).collect();
        voice.say(&format!("queued  {} cells already, as jobs {}; left alone", queued.len(), jobs.join(", ")));
    }
    let wanted = Wanted::of(&tasks, &queued);
    if wanted.lists().iter().all(|(_, names)| names.is_empty()) {
        print("nothing to submit");
        return Ok(());
    }
    let number = match run_dir::directories(&all)?.iter().filter_map(|path| number(path)).max() {
        Some(last) => last + 1,
        None => 1,
    };
    let mut submission = Submission {
        folder: all.join(number.to_string()),
        options: &options,
        queue: &queue,
        dry: arguments.dry_run,
        after: queued.values().cloned().collect(),
        jobs: Vec::new(),
    };
    let scripts = Scripts::write(arguments, cells, &options, &submission.folder, queue.name(), voice)?;
    submission.prepare(sweep, &scripts, &wanted)?;
    if let Err(failure) = submission.all(&wanted, !arguments.no_report) {
        submission.clear();
        return Err(failure);
    }
    if !arguments.dry_run {
        let file = arguments.experiment.file.as_os_str();
        print(&format!(
            "logs      {}/<cell>/log.txt, and Slurm's in {}",
            cells.folder.display(),
            submission.folder.display()
        ));
        print(&format!("follow    {}", command::line(["stein".as_ref(), "status".as_ref(), file])?));
    }
    Ok(())
}

/// The cells that are in the queue already, by their [`digits`], and the jobs that they are of.
fn queued(all: &Path, queue: &Queue, voice: Voice) -> Result<BTreeMap<String, String>, Failure> {
    let mut before = Vec::new();
    for folder in run_dir::directories(all)? {
        match queue::read(&folder) {
            Ok(jobs) => before.extend(jobs),
            Err(error) => say(format_args!("warning: {error}")),
        }
    }
    if before.is_empty() {
        return Ok(BTreeMap::new());
    }
    match queue.waiting() {
        Ok(waiting) => {
            let cells = before.iter().flat_map(|job| job.cells_of(&waiting));
            Ok(cells.map(|(cell, job)| (digits(&cell).to_owned(), job)).collect())
        }
        Err(why) => {
            voice.say(&format!(
                "note    {why}: a cell that is queued already may be queued twice; the second job of it does nothing"
            ));
            Ok(BTreeMap::new())
        }
    }
}

/// The digits of its hash that a cell's folder ends in: another axis would make the rest of the name another.
fn digits(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}

/// What is to be submitted.
struct Wanted {
    /// Folders of cells that need not wait.
    first: Vec<String>,
    /// Folders of cells that would train what one that is queued may train.
    behind: Vec<String>,
    /// Folders of those that share a training with one of these.
    then: Vec<String>,
    /// Jobs in the queue that train what is shared.
    trainers: BTreeSet<String>,
}

impl Wanted {
    fn of(tasks: &[Task<'_>], queued: &BTreeMap<String, String>) -> Self {
        let job = |task: &Task<'_>| queued.get(digits(&task.job.directory.name()));
        let mut trainers: HashMap<&RunDir, BTreeSet<&String>> = HashMap::new();
        for task in tasks {
            if let (Some(training), Some(job)) = (&task.job.training, job(task)) {
                trainers.entry(training).or_default().insert(job);
            }
        }
        let mut wanted = Self { first: Vec::new(), behind: Vec::new(), then: Vec::new(), trainers: BTreeSet::new() };
        for task in tasks.iter().filter(|task| job(task).is_none()) {
            let training = task.job.training.as_ref().filter(|training| trainers.contains_key(training));
            let training = training.filter(|training| !is_trained(training));
            let list = match (task.follows, training) {
                (true, _) => &mut wanted.then,
                (false, Some(_)) => &mut wanted.behind,
                (false, None) => &mut wanted.first,
            };
            list.push(task.job.directory.name());
            wanted.trainers.extend(training.into_iter().flat_map(|training| &trainers[training]).copied().cloned());
        }
        wanted
    }

    fn lists(&self) -> [(&'static str, &[String]); 3] {
        [(script::FIRST, &self.first), (script::BEHIND, &self.behind), (script::THEN, &self.then)]
    }
}

/// One call of `stein run --launcher slurm`.
struct Submission<'a> {
    folder: PathBuf,
    options: &'a Slurm,
    queue: &'a Queue,
    dry: bool,
    /// Jobs that are queued already: the report waits for them too.
    after: BTreeSet<String>,
    jobs: Vec<Job>,
}

impl Submission<'_> {
    /// Writes what is submitted, or shows it.
    fn prepare(&self, sweep: &Sweep<'_>, scripts: &Scripts, wanted: &Wanted) -> Outcome {
        let list = |names: &[String]| names.iter().map(|name| format!("{name}\n")).collect::<String>();
        let mut files = vec![(script::EXPERIMENT, sweep.text().to_owned()), (script::CELL, scripts.cell.clone())];
        let lists = wanted.lists().into_iter().filter(|(_, names)| !names.is_empty());
        files.extend(lists.map(|(name, names)| (name, list(names))));
        files.push((script::REPORT, scripts.report.clone()));
        if self.dry {
            for (name, text) in files.iter().filter(|(name, _)| *name != script::EXPERIMENT) {
                print(&format!("### {}\n{text}", self.folder.join(name).display()));
            }
            return Ok(());
        }
        // Two that are submitted at once do not share a folder.
        let parent = self.folder.parent().unwrap_or(Path::new(""));
        file::refuse_unless_folder(parent)?;
        std::fs::create_dir_all(parent).map_err(|e| RecordError::io(parent, "create the directory", e))?;
        std::fs::create_dir(&self.folder).map_err(|e| RecordError::io(&self.folder, "create the directory", e))?;
        for (name, text) in files {
            atomic::write(&self.folder.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// Submits the arrays, and the report.
    fn all(&mut self, wanted: &Wanted, report: bool) -> Outcome {
        let most = self.queue.most_tasks();
        let first = self.arrays(script::FIRST, &wanted.first, BTreeSet::new(), most)?;
        // As within `arrays`: two at once would each have the limit for itself.
        let limited = if self.options.concurrency.is_some() { first.clone() } else { BTreeSet::new() };
        let behind = self.arrays(script::BEHIND, &wanted.behind, &limited | &wanted.trainers, most)?;
        let trained = &(&first | &behind) | &wanted.trainers;
        let then = self.arrays(script::THEN, &wanted.then, trained, most)?;
        if report {
            let after = &(&(&first | &behind) | &then) | &self.after;
            let log = self.log("report");
            let script = self.folder.join(script::REPORT);
            let words = [log, after_any(&after), script.display().to_string()];
            let id = self.submit(&words)?;
            self.said("the report", &id, &after);
        }
        Ok(())
    }

    /// Submits a list of cells as one array, or several if it is longer than Slurm takes; gives their jobs.
    fn arrays(
        &mut self,
        list: &str,
        names: &[String],
        after: BTreeSet<String>,
        most: usize,
    ) -> Result<BTreeSet<String>, Failure> {
        let mut jobs = BTreeSet::new();
        let mut after = after;
        for (i, part) in names.chunks(most).enumerate() {
            let at_a_time = self.options.concurrency.map(|n| format!("%{n}")).unwrap_or_default();
            let mut words = vec![self.log("%A_%a"), format!("--array=0-{}{at_a_time}", part.len() - 1)];
            if !after.is_empty() {
                words.push(after_any(&after));
            }
            words.extend([script::CELL, list].map(|name| self.folder.join(name).display().to_string()));
            words.push((i * most).to_string());
            words.extend((list == script::THEN).then(|| "--keep-diverged".to_owned()));
            let id = self.submit(&words)?;
            let noun = if part.len() == 1 { "cell" } else { "cells" };
            self.said(&format!("{} {noun}", part.len()), &id, &after);
            self.jobs.push(Job { id: id.clone(), cells: part.to_vec() });
            if !self.dry {
                queue::write(&self.folder, &self.jobs)?;
            }
            // Each array has the limit for itself: one after another, they keep it.
            if self.options.concurrency.is_some() {
                after.insert(id.clone());
            }
            jobs.insert(id);
        }
        Ok(jobs)
    }

    fn submit(&self, words: &[String]) -> Result<String, Failure> {
        let here = std::env::current_dir().map_err(|e| RecordError::io(".", "find", e))?;
        let mut all = vec!["--parsable".to_owned(), format!("--chdir={}", here.display())];
        all.extend_from_slice(words);
        if self.dry {
            print(&command::line(["sbatch".to_owned()].iter().chain(&all))?);
            return Ok(format!("JOB{}", self.jobs.len() + 1));
        }
        self.queue.submit(&all)
    }

    fn said(&self, what: &str, id: &str, after: &BTreeSet<String>) {
        if !self.dry {
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            let after = if after.is_empty() { String::new() } else { format!(", after {}", after.join(", ")) };
            print(&format!("submitted {what} as job {id}{after}"));
        }
    }

    /// Where a job's log goes; Slurm reads `%` as the beginning of a name of its own.
    fn log(&self, name: &str) -> String {
        format!("--output={}/{name}.log", self.folder.display().to_string().replace('%', "%%"))
    }

    /// Takes the folder away again if nothing of it was submitted.
    fn clear(&self) {
        if self.jobs.is_empty() && !self.dry {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A failure, too, lets the next begin: it finds the training as it is.
fn after_any(jobs: &BTreeSet<String>) -> String {
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    format!("--dependency=afterany:{}", jobs.join(":"))
}

fn number(folder: &Path) -> Option<u64> {
    folder.file_name()?.to_str()?.parse().ok()
}

fn absolute(path: &Path) -> Result<PathBuf, RecordError> {
    std::path::absolute(path).map_err(|e| RecordError::io(path, "find", e))
}
