//! A command that is disturbed, and what it ends with if it is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use stein_record::RunDir;

use crate::harness::{Folder, SMALL, Said, newest_step};

/// A `stein run` of [`SMALL`] with settings of its own.
pub(crate) struct Scenario {
    settings: &'static [&'static str],
    undisturbed: OnceLock<(Contents, Duration)>,
}

/// The files of a run by name; what tells of time is left out.
type Contents = BTreeMap<String, Vec<u8>>;

/// Most of its time goes into checkpoints and measurements.
pub(crate) static BUSY: Scenario =
    Scenario::new(&["training.steps=300", "training.checkpoint-every=15", "training.log-every=2"]);

/// Long enough to be met in the middle, with checkpoints now and then.
pub(crate) static LONG: Scenario = Scenario::new(&["training.steps=3000", "training.checkpoint-every=100"]);

impl Scenario {
    pub(crate) const fn new(settings: &'static [&'static str]) -> Self {
        Self { settings, undisturbed: OnceLock::new() }
    }

    /// The command line.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        let set = self.settings.iter().flat_map(|setting| ["--set", setting]);
        ["run", "small.toml", "--set", "device=cpu"].into_iter().chain(set).collect()
    }

    /// A folder where nothing has been done.
    pub(crate) fn folder(&self) -> Folder {
        Folder::with(SMALL)
    }

    pub(crate) fn start(&self, folder: &Folder) -> Child {
        folder.start(&self.arguments())
    }

    pub(crate) fn run(&self, folder: &Folder) -> Said {
        folder.stein(&self.arguments())
    }

    fn whole(&self) -> &(Contents, Duration) {
        self.undisturbed.get_or_init(|| {
            let (folder, begun) = (self.folder(), Instant::now());
            self.run(&folder).exits(0);
            let took = begun.elapsed();
            (contents(&folder), took)
        })
    }

    /// What it takes if nobody disturbs it, start and report included.
    pub(crate) fn time(&self) -> Duration {
        self.whole().1
    }

    /// The same command goes on, to the end, and the run is what it would have been.
    #[track_caller]
    pub(crate) fn ends_alike(&self, folder: &Folder) -> Said {
        let said = self.run(folder).exits(0);
        self.is_alike(folder);
        said
    }

    /// A run that has ended is what it would have been.
    #[track_caller]
    pub(crate) fn is_alike(&self, folder: &Folder) {
        let (ours, theirs) = (contents(folder), &self.whole().0);
        let (names, expected): (Vec<_>, Vec<_>) = (ours.keys().collect(), theirs.keys().collect());
        assert_eq!(names, expected, "other files");
        for (name, bytes) in &ours {
            assert!(bytes == &theirs[name], "{name} differs");
        }
    }
}

/// All that two runs of one configuration must have alike: every file of the cell and the newest checkpoint of its training, but
/// for records of times and processes.
fn contents(folder: &Folder) -> Contents {
    let (cell, training) = (folder.cell(), folder.training());
    let mut found = Contents::new();
    read_into(&mut found, cell.path(), "");
    for name in ["run.json", ".lock", "log.txt"] {
        found.remove(name);
    }
    let mut evaluation = cell.read_evaluation().unwrap().expect("an evaluation");
    evaluation.sampling_seconds = 0.0;
    found.insert("evaluation.json".into(), serde_json::to_vec(&evaluation).unwrap());
    let newest = newest_step(&training.checkpoints()).expect("a checkpoint");
    read_into(&mut found, &training.checkpoints().join(format!("step-{newest}")), "checkpoint/");
    found.insert("checkpoint".into(), newest.to_string().into_bytes());
    found
}

fn read_into(found: &mut Contents, folder: &Path, prefix: &str) {
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Whoever reports may draw there too, and be killed while it does.
        if prefix == "samples/" && name.starts_with(".stein-") {
            continue;
        }
        match entry.path().is_dir() {
            true => read_into(found, &entry.path(), &format!("{prefix}{name}/")),
            false => drop(found.insert(format!("{prefix}{name}"), std::fs::read(entry.path()).unwrap())),
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// Kills a process and waits until it is gone. Gives how it ended: it may have done so before.
pub(crate) fn kill(mut child: Child) -> ExitStatus {
    child.kill().unwrap();
    child.wait().unwrap()
}

/// The sessions that worked on a run, and on its training.
pub(crate) fn sessions(folder: &Folder) -> (u32, u32) {
    let of = |run: &RunDir| run.read_record().unwrap().expect("a record").sessions;
    (of(&folder.cell()), of(&folder.training()))
}
