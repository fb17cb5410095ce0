//! A real Slurm on this machine: munge, a controller and a node of its own, in a temporary folder.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use stein_record::{RunDir, State};

use crate::{needs, stein};

/// What it takes, of Debian's `slurm-wlm`, `slurm-client` and `munge`.
const PROGRAMS: [&str; 7] = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel"];
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(240);

/// Two trainings, each of four cells; the first of them long enough to be stopped in the middle.
const EXPERIMENT: &str = r#"
name = "both"
device = "cpu"

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
batch-size = 64
checkpoint-every = 100

[evaluation]
samples = 100
level-rows = 100
trajectories = 10
frames = 5

[sweep]
training.steps = [20000, 50]
sampler.steps-per-level = [1, 2, 3, 4]

[launcher.slurm]
time = "30m"
memory = "1G"
cpus = 1
setup = ["export LC_ALL=C"]
"#;

/// The daemons, killed when this is dropped.
struct Slurm {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Starts them and waits until the node is there.
    ///
    /// # Errors
    /// Why there is none; the test has to be left out.
    fn start() -> Result<Self, String> {
        if std::fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
            return Err("slurmd wants to be root".into());
        }
        let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| program(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(format!("there is no {}: install slurm-wlm, slurm-client and munge", missing.join(", ")));
        }
        let mut slurm = Self { folder: tempfile::tempdir().expect("a temporary folder"), daemons: Vec::new() };
        slurm.configure()?;
        let at = |name: &str| slurm.path(name).display().to_string();
        let options = ["key", "socket", "pid", "log", "seed"].map(|what| match what {
            "socket" => format!("--socket={}", at("munge.socket")),
            "key" => format!("--key-file={}", at("munge.key")),
            what => format!("--{what}-file={}", at(&format!("munge.{what}"))),
        });
        let options: Vec<&str> =
            ["--foreground", "--force"].into_iter().chain(options.iter().map(String::as_str)).collect();
        slurm.daemon("munged", &options);
        slurm.wait("munge", |slurm| slurm.path("munge.socket").exists());
        slurm.daemon("slurmctld", &["-D", "-c"]);
        slurm.daemon("slurmd", &["-D"]);
        slurm.wait("idle node", |slurm| slurm.said("sinfo", &["--noheader", "--format=%T"]).trim() == "idle");
        Ok(slurm)
    }

    fn configure(&self) -> Result<(), String> {
        let node = said(Command::new(program("slurmd").expect("looked for")).arg("-C"))?;
        let node = node.lines().find(|line| line.starts_with("NodeName=")).ok_or("slurmd -C names no node")?;
        let name = node.split([' ', '=']).nth(1).unwrap_or_default();
        let here = self.folder.path().display();
        for folder in ["state", "spool"] {
            std::fs::create_dir(self.path(folder)).expect("a folder");
        }
        // munge wants nobody else to read its key, nor to write beside it.
        let key: Vec<u8> = (0..128u32).map(|i| (i * 89 + std::process::id()) as u8).collect();
        std::fs::write(self.path("munge.key"), key).expect("a key");
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        mode(&self.path("munge.key"), 0o400).expect("permissions");
        mode(self.folder.path(), 0o755).expect("permissions");
        let [controller, daemon] = ports();
        let text = format!(
            "ClusterName=stein\nSlurmctldHost={name}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmdPort={daemon}\n\
             SlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\nCredType=cred/munge\n\
             AuthInfo=socket={here}/munge.socket,cred_expire=5\n\
             CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             AccountingStorageType=accounting_storage/none\nJobCompType=jobcomp/filetxt\nJobCompLoc={here}/jobs.txt\n\
             MpiDefault=none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\n\
             SchedulerParameters=sched_interval=1,bf_interval=1\nKillWait=20\n\
             StateSaveLocation={here}/state\nSlurmdSpoolDir={here}/spool\n\
             SlurmctldPidFile={here}/slurmctld.pid\nSlurmdPidFile={here}/slurmd.pid\n\
             SlurmctldLogFile={here}/slurmctld.log\nSlurmdLogFile={here}/slurmd.log\n\
             {node} NodeAddr=127.0.0.1 State=UNKNOWN\n\
             PartitionName=all Nodes={name} Default=YES MaxTime=INFINITE State=UP\n"
        );
        std::fs::write(self.path("slurm.conf"), text).expect("a configuration");
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(program(name).unwrap_or_else(|| name.into()));
        command.env("SLURM_CONF", self.path("slurm.conf")).stdin(Stdio::null());
        command
    }

    fn daemon(&mut self, name: &str, arguments: &[&str]) {
        let log = std::fs::File::create(self.path(&format!("{name}.out"))).expect("a log");
        let mut command = self.command(name);
        command.args(arguments).stdout(log.try_clone().expect("a log")).stderr(log);
        self.daemons.push(command.spawn().unwrap_or_else(|e| panic!("{name}: {e}")));
    }

    /// What a command says, whether it fails or not.
    fn said(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.command(name).args(arguments).output().unwrap_or_else(|e| panic!("{name}: {e}"));
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    fn wait(&self, what: &str, ready: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !ready(self) {
            assert!(begun.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is to be known if anything goes wrong.
    fn logs(&self) -> String {
        let mut all = self.said("squeue", &["--array"]);
        for name in ["munged.out", "slurmctld.log", "slurmd.log", "slurmctld.out", "slurmd.out"] {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            all += &format!("{name}:\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        all
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // Jobs first: they are no children of ours.
        let _ = self.command("scancel").args(["--user=root", "--signal=KILL", "--full"]).output();
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// A program on PATH, or where daemons are.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ports that nobody has.
fn ports() -> [u16; 2] {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
    [listen(), listen()].map(|listener| listener.local_addr().expect("an address").port())
}

/// Slurm; a test that goes without is left out.
fn or_skip() -> Option<Slurm> {
    Slurm::start().map_err(|why| needs::leave_out("slurm", &why)).ok()
}

fn succeeds(output: Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cells(folder: &Path) -> Vec<RunDir> {
    stein_record::run_dir::list(&folder.join("runs")).expect("runs")
}

/// Weights, samples, curves and metrics of each cell; how long sampling took is no result.
fn results(folder: &Path) -> BTreeMap<String, (Vec<u8>, Vec<u8>, String, String)> {
    let of = |run: &RunDir| {
        let mut evaluation = run.read_evaluation().expect("readable").expect("there");
        evaluation.sampling_seconds = 0.0;
        (
            std::fs::read(run.network()).expect("weights"),
            std::fs::read(run.sample("final.npy")).expect("samples"),
            std::fs::read_to_string(run.metrics()).expect("curves"),
            serde_json::to_string(&evaluation).expect("JSON"),
        )
    };
    cells(folder).iter().map(|run| (run.name(), of(run))).collect()
}

/// The record of the long training and the number of its newest checkpoint, once there is one.
fn long_training(folder: &Path) -> Option<(stein_record::RunRecord, u64)> {
    let trained = stein_record::run_dir::directories(&folder.join("runs/both/trained")).ok()?;
    trained.into_iter().map(RunDir::new).find_map(|run| {
        let record = run.read_record().ok()??;
        let sets = stein_record::run_dir::directories(&run.checkpoints()).ok()?;
        let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok();
        let newest = sets.iter().filter_map(number).max()?;
        (record.progress.steps > 1000).then_some((record, newest))
    })
}

#[test]
fn a_requeued_array_ends_as_a_local_run_does() {
    let Some(slurm) = or_skip() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("both.toml"), EXPERIMENT).expect("an experiment");
    let mut launch = stein(folder.path(), &["run", "both.toml", "--launcher", "slurm"]);
    let said = succeeds(launch.env("SLURM_CONF", slurm.path("slurm.conf")).output().expect("stein starts"));
    print!("{said}");
    let job = |line: &str| -> Option<String> {
        let rest = said.lines().find(|l| l.contains(line))?.split(" as job ").nth(1)?;
        Some(rest.split(',').next()?.trim().to_owned())
    };
    // One of each training, then the six that share them.
    let (first, then) = (job("submitted 2 cells").expect("an array"), job("submitted 6 cells").expect("an array"));

    slurm.wait("training in its middle", |_| long_training(folder.path()).is_some_and(|(_, step)| step >= 1000));
    let list = std::fs::read_to_string(folder.path().join("runs/both/slurm/1/first.txt")).expect("a list");
    let long = list.lines().position(|cell| cell.contains("20000")).expect("the long cell");
    let answer = slurm.said("scontrol", &["requeue", &format!("{first}_{long}")]);
    assert!(answer.trim().is_empty(), "{answer}");
    slurm.wait("second session", |_| long_training(folder.path()).is_some_and(|(record, _)| record.sessions == 2));
    // The others wait for it still.
    assert_eq!(cells(folder.path()).len(), 2, "{}", slurm.logs());
    assert!(slurm.said("squeue", &["--noheader", "--format=%F"]).contains(&then));
    slurm.wait("end of all jobs", |slurm| slurm.said("squeue", &["--noheader"]).trim().is_empty());

    let all = cells(folder.path());
    assert_eq!(all.len(), 8);
    for run in &all {
        let record = run.read_record().expect("readable").expect("there");
        assert_eq!(record.state, State::Finished, "{}: {:?}\n{}", run.name(), record.reason, slurm.logs());
        let requeued = list.lines().nth(long) == Some(&run.name());
        assert_eq!(record.sessions, if requeued { 2 } else { 1 }, "{}", run.name());
        if requeued {
            let log = std::fs::read_to_string(run.log()).expect("a log");
            assert!(log.contains("stopped by SIGTERM") && log.contains("resuming at step"), "{log}");
        }
    }
    let status = succeeds(stein(folder.path(), &["status", "both.toml"]).output().expect("stein starts"));
    assert!(status.contains("8 cells: 8 finished"), "{status}");
    assert!(folder.path().join("reports/both/index.html").is_file(), "the last job writes the page");

    let local = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(local.path().join("both.toml"), EXPERIMENT).expect("an experiment");
    succeeds(stein(local.path(), &["run", "both.toml", "--quiet"]).output().expect("stein starts"));
    let (ours, theirs) = (results(folder.path()), results(local.path()));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, ours) in &ours {
        assert!(*ours == theirs[name], "{name} is not what it is locally");
    }
}

#[test]
fn a_cell_at_its_time_limit_is_queued_again_by_itself() {
    let Some(slurm) = or_skip() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("both.toml"), EXPERIMENT).expect("an experiment");
    let words = ["run", "both.toml", "--launcher", "slurm", "--cell", "steps-20000-steps-per-level-1"];
    let mut launch = stein(folder.path(), &words);
    succeeds(launch.env("SLURM_CONF", slurm.path("slurm.conf")).output().expect("stein starts"));
    slurm.wait("training in its middle", |_| long_training(folder.path()).is_some_and(|(_, step)| step >= 1000));
    // What Slurm does when the limit is near, without the minutes that its clock has to be waited for.
    let job = slurm.said("squeue", &["--noheader", "--array", "--states=RUNNING", "--format=%A"]);
    slurm.said("scancel", &["--batch", "--signal=USR1", job.trim()]);
    slurm.wait("second session", |_| long_training(folder.path()).is_some_and(|(record, _)| record.sessions == 2));
    slurm.wait("end of all jobs", |slurm| slurm.said("squeue", &["--noheader"]).trim().is_empty());
    let [run]: [RunDir; 1] = cells(folder.path()).try_into().expect("one run");
    let record = run.read_record().expect("readable").expect("there");
    assert_eq!((record.state, record.sessions), (State::Finished, 2), "{}", slurm.logs());
    let log = std::fs::read_to_string(run.log()).expect("a log");
    assert!(log.contains("stopped by SIGUSR1"), "{log}");
}
