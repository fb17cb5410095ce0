//! A folder to run `stein` in.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use stein_record::RunDir;

/// A small experiment on a mixture: seconds, not minutes.
pub(crate) const SMALL: &str = r#"
[data]
kind = "gaussian-mixture"
means = [[-2.0, 0.0], [2.0, 0.0]]
std = 0.5
train = 400
held-out = 200

[network]
kind = "mlp"
hidden = [32, 32]

[schedule]
sigma-max = 4.0
sigma-min = 0.1
levels = 5

[training]
steps = 600
batch-size = 64
checkpoint-every = 50
log-every = 20
keep-checkpoints = 2

[sampler]
kind = "annealed-langevin"
steps-per-level = 3

[evaluation]
samples = 100
level-rows = 100
trajectories = 10
frames = 5
"#;

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn with(text: &str) -> Self {
        let folder = Self::new();
        folder.write("small.toml", text);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a file in a temporary folder");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stein"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn stein(&self, arguments: &[&str]) -> Said {
        Said(self.command(arguments).output().expect("stein starts"))
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("stein starts")
    }

    /// The same, and the file that its stderr goes to.
    pub(crate) fn start_telling(&self, arguments: &[&str]) -> (Child, std::path::PathBuf) {
        let (file, path) =
            tempfile::Builder::new().suffix(".err").tempfile_in(self.path()).expect("a file").keep().expect("kept");
        let mut command = self.command(arguments);
        (command.stdout(Stdio::null()).stderr(file).spawn().expect("stein starts"), path)
    }

    /// The only cell of the experiment `small`.
    pub(crate) fn cell(&self) -> RunDir {
        let runs = stein_record::run_dir::list(&self.path().join("runs")).expect("runs");
        assert_eq!(runs.len(), 1, "one run: {runs:?}");
        runs.into_iter().next().expect("one")
    }

    /// The trainings of the experiment `small`.
    pub(crate) fn trainings(&self) -> Vec<RunDir> {
        let trained = stein_record::run_dir::directories(&self.path().join("runs/small/trained")).expect("a folder");
        trained.into_iter().map(RunDir::new).collect()
    }

    /// The only one.
    pub(crate) fn training(&self) -> RunDir {
        let trainings = self.trainings();
        assert_eq!(trainings.len(), 1, "one training: {trainings:?}");
        trainings.into_iter().next().expect("one")
    }

    /// Waits until a training has a checkpoint of at least `step`.
    pub(crate) fn wait_for_checkpoint(&self, step: u64) {
        let what = format!("checkpoint of step {step}");
        let newest = |training: RunDir| newest_step(&training.checkpoints());
        self.wait_for(&what, |_| self.trainings().into_iter().filter_map(newest).any(|newest| newest >= step));
    }

    /// Waits until the cell is as wanted.
    pub(crate) fn wait_for(&self, what: &str, ready: impl Fn(&RunDir) -> bool) {
        let begun = Instant::now();
        loop {
            let found = stein_record::run_dir::list(&self.path().join("runs")).unwrap_or_default();
            if found.first().is_some_and(&ready) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no {what} within a minute");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub(crate) fn newest_step(checkpoints: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(checkpoints).ok()?;
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix("step-")?.parse().ok()).max()
}

/// What a process said.
pub(crate) struct Said(pub(crate) Output);

impl Said {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(code), "stdout:\n{}\nstderr:\n{}", self.out(), self.err());
        assert!(!self.err().contains("panicked"), "{}", self.err());
        self
    }
}

/// Hides every Vulkan and EGL driver from a process.
pub(crate) fn hide_drivers(command: &mut Command) {
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"] {
        command.env(variable, "/nonexistent");
    }
}
