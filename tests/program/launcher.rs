//! Cells that something else runs: commands a line, and Slurm's job arrays with programs in Slurm's place that write down what they
//! are told. `tests/accept/slurm.rs` has Slurm itself.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use stein_record::{RunDir, State};

use crate::harness::{Folder, SMALL, Said};
use crate::resume::{LONG, same_as_undisturbed, signal};
use crate::sweep::{TWO_BY_TWO, page, plan, runs, states, tiny};

/// Runs each line by a shell, in the folder.
fn run_lines(folder: &Folder, lines: &str) {
    for line in lines.lines() {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(folder.path()).stdin(Stdio::null());
        Said(shell.output().unwrap()).exits(0);
    }
}

#[test]
fn printed_lines_are_commands_and_names_survive_the_shell() {
    let folder = Folder::new();
    folder.write("it's a $file.toml", &format!("name = \"small\"\n{}", tiny(TWO_BY_TWO)));
    let strange = "sweep.objective=[{ kind = \"sliced\", name = \"it's $HOME `id`\" }, { kind = \"denoising\" }]";
    let steps = "sweep.sampler.steps-per-level=[2, 3]";
    let set = ["--set", strange, "--set", "sweep.seed=[0]", "--set", steps];
    let launch = [&["run", "it's a $file.toml", "--runs", "my runs", "--launcher", "print"][..], &set].concat();
    let said = folder.stein(&launch).exits(0);
    let lines: Vec<String> = said.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{}", said.out());
    // One of each training first. Nothing makes the others wait until it has ended, so they may try again what has diverged.
    assert!(!said.out().contains("--keep-diverged"), "{lines:?}");
    assert!(lines[1].contains("--cell denoising-") && !lines[0].contains("--cell denoising-"), "{lines:?}");
    assert!(said.err().contains("4 cells, 4 to launch"), "{}", said.err());
    assert!(stein_record::run_dir::list(&folder.path().join("my runs")).unwrap().is_empty(), "nothing is run");
    let record = stein_record::SweepRecord::read(&folder.path().join("my runs/small")).unwrap().expect("recorded");
    assert_eq!(record.cells.len(), 4);

    run_lines(&folder, &lines[..1].join("\n"));
    let left = folder.stein(&launch).exits(0);
    assert_eq!(left.out().lines().count(), 3, "what is finished is not launched again: {}", left.out());
    run_lines(&folder, &left.out());
    let cells = stein_record::run_dir::list(&folder.path().join("my runs")).unwrap();
    assert_eq!(cells.len(), 4);
    assert!(cells.iter().all(|cell| cell.read_record().unwrap().unwrap().state == State::Finished));
    assert!(!page(&folder).exists(), "the page is left to a last command");
    let nothing = folder.stein(&launch).exits(0);
    assert!(nothing.out().is_empty(), "{}", nothing.out());
    let last = nothing.err().lines().find_map(|line| line.strip_prefix("then    ").map(str::to_owned)).unwrap();
    run_lines(&folder, &last);
    assert!(page(&folder).is_file());
}

#[test]
fn a_file_without_a_sweep_is_one_line() {
    let folder = Folder::with(&SMALL.replace("steps = 600", "steps = 40"));
    let said = folder.stein(&["run", "small.toml", "--launcher", "print"]).exits(0);
    assert_eq!(said.out().lines().count(), 1, "{}", said.out());
    run_lines(&folder, &said.out());
    assert!(page(&folder).is_file());
    for wrong in [
        &["--launcher", "print", "--jobs", "2"][..],
        &["--launcher", "print", "--devices", "cpu"],
        &["--launcher", "print", "--tui"],
        &["--launcher", "pbs"],
        &["--dry-run"],
    ] {
        let said = folder.stein(&[&["run", "small.toml"], wrong].concat()).exits(2);
        assert!(said.err().contains("--launcher"), "{}", said.err());
    }
}

#[test]
fn how_cells_are_launched_is_no_part_of_them() {
    let folder = Folder::with(&tiny("seed = [0, 1]"));
    let hashes = || plan(&folder, &[]).iter().map(|cell| cell["hash"].clone()).collect::<Vec<_>>();
    let check = || folder.stein(&["check", "small.toml"]).exits(0).out();
    let before = hashes();
    assert!(!check().contains("launcher"));
    folder.write("small.toml", &format!("{}\n[launcher.slurm]\ntime = \"2h\"\ngpus = 1\n", tiny("seed = [0, 1]")));
    assert_eq!(hashes(), before);
    assert!(check().contains("[launcher.slurm]\ntime = \"2h\"\ngpus = 1"), "{}", check());
    folder.stein(&["run", "small.toml", "--cell", "seed-0", "--no-report"]).exits(0);
    let resolved = std::fs::read_to_string(folder.cell().experiment()).unwrap();
    assert!(!resolved.contains("launcher"), "{resolved}");
    let swept = folder.stein(&["check", "small.toml", "--set", "sweep.launcher.slurm.gpus=[1, 2]"]).exits(2);
    assert!(swept.err().contains("[sweep] varies `launcher`"), "{}", swept.err());
}

#[test]
fn what_slurm_is_asked_for_is_checked_where_it_stands() {
    let wrong = |line: &str| {
        let folder = Folder::with(&format!("{}\n[launcher.slurm]\n{line}\n", tiny("seed = [0]")));
        folder.stein(&["run", "small.toml", "--launcher", "slurm"]).exits(2).err()
    };
    let at = tiny("seed = [0]").lines().count() + 3;
    for (line, what) in [
        ("partition = \"gpu\\n#SBATCH --exclusive\"", "letters, digits"),
        ("partition = \"$(id)\"", "letters, digits"),
        ("time = \"120\"", "2h or 1day"),
        ("time = \"1m\"", "a minute longer than `grace`"),
        ("gpus = \"two\"", "a100:1"),
        ("gpus = 0", "gpus"),
        ("memory = \"lots\"", "16G"),
        ("cpus = -1", "cpus"),
        ("directives = [\"--array=0-9\"]", "stein's own"),
        ("directives = [\"--exclusive --no-req\"]", "`--no-req` in `directives` is stein's own"),
        ("directives = [\"exclusive\"]", "no option of sbatch"),
        ("setup = [\"module load x\\nrm -rf /\"]", "not one line"),
        ("partitoin = \"gpu\"", "did you mean `partition`?"),
    ] {
        let said = wrong(line);
        assert!(said.contains(what) && said.contains(&format!("small.toml:{at}:")), "{line}: {said}");
    }
}

/// Programs in Slurm's place.
struct Fake<'f> {
    folder: &'f Folder,
    /// How often a task was started before, as Slurm tells it.
    restarts: Cell<u32>,
}

impl<'f> Fake<'f> {
    fn new(folder: &'f Folder) -> Self {
        let fake = Self { folder, restarts: Cell::new(0) };
        std::fs::create_dir(fake.path("")).unwrap();
        fake.program(
            "sbatch",
            "[ ! -f \"$here/refusal\" ] || { cat \"$here/refusal\" >&2; exit 1; }\n\
             job=$(cat \"$here/last\" 2>/dev/null || echo 100)\njob=$((job + 1))\necho $job > \"$here/last\"\n\
             for word; do printf '%s\\n' \"$word\"; done > \"$here/job-$job\"\necho \"$job;cluster\"",
        );
        fake.program("squeue", "printf '%s\\n' \"$*\" >> \"$here/asked\"\ncat \"$here/queue\"");
        fake.program(
            "scontrol",
            "case $1-$2 in\nshow-config) echo 'MaxArraySize            = 3' ;;\nshow-job) cat \"$here/state\" ;;\n\
             *) echo \"$*\" >> \"$here/asked\" ;;\nesac",
        );
        fake.write("state", "   JobState=RUNNING Reason=None Dependency=(null)\n");
        fake.write("queue", "");
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("bin").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        self.write(name, &format!("#!/bin/sh\nhere=${{0%/*}}\n{script}\n"));
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn on_path(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("").display()));
    }

    fn launch(&self, arguments: &[&str]) -> Said {
        let words = [&["run", "small.toml", "--launcher", "slurm"], arguments].concat();
        let mut command = self.folder.command(&words);
        self.on_path(&mut command);
        Said(command.output().unwrap())
    }

    /// What sbatch was told for a job.
    fn job(&self, job: u32) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(&format!("job-{job}"))).unwrap_or_else(|e| panic!("{job}: {e}"));
        text.lines().map(str::to_owned).collect()
    }

    fn has(&self, job: u32, word: &str) {
        assert!(self.job(job).iter().any(|w| w == word), "{job} has no {word}: {:?}", self.job(job));
    }

    /// What was submitted, by its number.
    fn submission(&self, number: u32, name: &str) -> String {
        let path = self.folder.path().join(format!("runs/small/slurm/{number}/{name}"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// A task of a job, as Slurm would start it.
    fn task(&self, job: u32, task: u32) -> Child {
        let words = self.job(job);
        let script = words.iter().position(|word| word.ends_with("cell.sh")).expect("a script");
        let mut bash = Command::new("bash");
        bash.args(&words[script..]).current_dir(self.folder.path()).stdin(Stdio::null());
        bash.env("SLURM_ARRAY_TASK_ID", task.to_string()).env("SLURM_JOB_ID", "777").env("SLURM_CPUS_PER_TASK", "1");
        bash.env("SLURM_ARRAY_JOB_ID", job.to_string()).env("SLURM_RESTART_COUNT", self.restarts.get().to_string());
        self.on_path(&mut bash);
        bash.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

const OPTIONS: &str = "
[launcher.slurm]
partition = \"gpu,long\"
account = \"lab\"
time = \"90m\"
gpus = \"a100:1\"
cpus = 4
memory = \"16G\"
concurrency = 2
grace = \"3m\"
directives = [\"--constraint=a|b\"]
setup = [\"true # it's \\\"ready\\\"\"]
";

#[test]
fn an_array_trains_and_another_shares() {
    let text = format!("{}{OPTIONS}", tiny(&format!("{TWO_BY_TWO}\nsampler.steps-per-level = [2, 3]")));
    let folder = Folder::with(&text);
    let fake = Fake::new(&folder);

    let dry = fake.launch(&["--dry-run"]).exits(0);
    assert!(
        dry.out().contains("#SBATCH --partition=gpu,long") && dry.out().contains("afterany:JOB1:JOB2"),
        "{}",
        dry.out()
    );
    assert!(!folder.path().join("runs").exists() && !fake.path("last").exists(), "nothing is submitted");

    let said = fake.launch(&["--set", "evaluation.samples=50"]).exits(0);
    // Slurm takes three tasks an array here; two at a time, so one array after another.
    for line in [
        "submitted 3 cells as job 101\n",
        "submitted 1 cell as job 102, after 101\n",
        "submitted 3 cells as job 103, after 101, 102\n",
        "submitted 1 cell as job 104, after 101, 102, 103\n",
        "submitted the report as job 105, after 101, 102, 103, 104\n",
        "follow    stein status small.toml",
    ] {
        assert!(said.out().contains(line), "{line}: {}", said.out());
    }
    for (job, array, offset) in [(101, "--array=0-2%2", "0"), (102, "--array=0-0%2", "3"), (104, "--array=0-0%2", "3")]
    {
        fake.has(job, array);
        fake.has(job, offset);
        fake.has(job, "--parsable");
        fake.has(job, &format!("--chdir={}", folder.path().canonicalize().unwrap().display()));
        assert_eq!(fake.job(job).contains(&"--keep-diverged".to_owned()), job > 102);
    }
    fake.has(103, "--dependency=afterany:101:102");
    fake.has(105, "--dependency=afterany:101:102:103:104");

    let script = fake.submission(1, "cell.sh");
    for line in [
        "--job-name=stein-small",
        "--partition=gpu,long",
        "--account=lab",
        "--time=0-01:30:00",
        "--gres=gpu:a100:1",
        "--cpus-per-task=4",
        "--mem=16G",
        "--signal=B:USR1@180",
        "--requeue",
        "--open-mode=append",
        "--constraint=a|b",
    ] {
        assert!(script.lines().any(|l| l == format!("#SBATCH {line}")), "{line}: {script}");
    }
    assert!(script.contains("\ntrue # it's \"ready\"\n"), "{script}");
    let report = fake.submission(1, "report.sh");
    assert!(report.contains("--partition=gpu,long") && !report.contains("--gres"), "{report}");
    let list = |name: &str| fake.submission(1, name).lines().map(str::to_owned).collect::<Vec<_>>();
    let (first, then) = (list("first.txt"), list("then.txt"));
    assert_eq!((first.len(), then.len()), (4, 4));
    assert_eq!(fake.submission(1, "experiment.toml"), text);

    // Later changes of the file are not what was submitted.
    folder.write("small.toml", "broken");
    for (i, _) in first.iter().enumerate() {
        let (job, task) = if i < 3 { (101, i as u32) } else { (102, 0) };
        let said = Said(fake.task(job, task).wait_with_output().unwrap()).exits(0);
        assert!(said.out().contains(&format!("cell {}", first[i])), "{}", said.out());
    }
    assert_eq!(states(&folder), [State::Finished; 4]);
    let names: BTreeSet<String> = runs(&folder).iter().map(RunDir::name).collect();
    assert_eq!(names, first.iter().cloned().collect());
    let trained: BTreeSet<Option<String>> =
        runs(&folder).iter().map(|r| r.read_record().unwrap().unwrap().trained).collect();
    assert_eq!(trained.len(), 4, "one of each training");
    let log = std::fs::read_to_string(runs(&folder)[0].log()).unwrap();
    assert!(log.contains("device  "), "{log}");
    assert!(!page(&folder).exists());
    assert_eq!(runs(&folder)[0].read_evaluation().unwrap().unwrap().samples, 50);

    // Three of the other four are in the queue still; the file is itself again.
    folder.write("small.toml", &text);
    fake.write("queue", "103_0\n103_1\n103_2\n999_0\nnonsense\n");
    let again = fake.launch(&["--set", "evaluation.samples=50"]).exits(0);
    assert!(again.err().contains("queued  3 cells already, as jobs 103"), "{}", again.err());
    assert!(again.out().contains("submitted 1 cell as job 106\n"), "trained already: {}", again.out());
    assert!(again.out().contains("submitted the report as job 107, after 103, 106"), "{}", again.out());
    assert_eq!(fake.submission(2, "first.txt").trim(), then[3]);
    let asked = std::fs::read_to_string(fake.path("asked")).unwrap();
    assert!(asked.contains("--name=stein-small"), "{asked}");
    fake.write("queue", "103_0\n103_1\n103_2\n106_0\n");
    let none = fake.launch(&["--set", "evaluation.samples=50"]).exits(0);
    assert!(none.out().contains("nothing to submit"), "{}", none.out());
}

#[test]
fn who_shares_a_training_that_is_queued_waits_for_it() {
    let folder = Folder::with(&tiny("sampler.steps-per-level = [2, 3]"));
    let fake = Fake::new(&folder);
    fake.launch(&[]).exits(0);
    fake.has(102, "--dependency=afterany:101");
    fake.write("queue", "101_0\n");
    let again = fake.launch(&["--no-report"]).exits(0);
    assert!(again.out().contains("submitted 1 cell as job 104, after 101\n"), "{}", again.out());
    assert!(!again.out().contains("the report"), "{}", again.out());

    // The one that was to train is gone; another may do that. It goes behind, and tries again what has diverged.
    fake.write("queue", "102_0\n");
    let again = fake.launch(&["--no-report"]).exits(0);
    assert!(again.out().contains("submitted 1 cell as job 105, after 102\n"), "{}", again.out());
    assert_eq!(fake.submission(3, "behind.txt"), fake.submission(1, "first.txt"));
    assert!(!fake.job(105).contains(&"--keep-diverged".to_owned()), "{:?}", fake.job(105));
}

#[test]
fn another_axis_makes_no_cell_another() {
    let folder = Folder::with(&tiny("seed = [0]"));
    let fake = Fake::new(&folder);
    fake.launch(&["--no-report"]).exits(0);
    fake.write("queue", "101_0\n");
    folder.write("small.toml", &tiny("seed = [0]\nsampler.steps-per-level = [2, 3]"));
    let names: Vec<String> = plan(&folder, &[]).iter().map(|cell| cell["cell"].as_str().unwrap().to_owned()).collect();
    let again = fake.launch(&["--no-report"]).exits(0);
    let queued = fake.submission(1, "first.txt");
    let digits = queued.trim().rsplit('-').next().unwrap();
    let same: Vec<&String> = names.iter().filter(|name| name.ends_with(digits)).collect();
    assert!(same.len() == 1 && *same[0] != queued.trim(), "{names:?} {queued}");
    assert!(again.err().contains("queued  1 cells already"), "{}", again.err());
    assert!(again.out().contains("submitted 1 cell as job 102, after 101\n"), "{}", again.out());
    // Begun under its new name, it stays there.
    std::fs::create_dir_all(folder.path().join("runs/small").join(same[0])).unwrap();
    wait_for_end(fake.task(101, 0)).exits(0);
    assert_eq!(folder.cell().name(), *same[0]);
    assert!(folder.cell().log().is_file() && !folder.path().join("runs/small").join(queued.trim()).exists());
}

#[test]
fn slurms_refusal_is_told_in_its_words() {
    let folder = Folder::with(&tiny("seed = [0, 1]"));
    let fake = Fake::new(&folder);
    fake.write("refusal", "sbatch: error: invalid partition specified: gpu\n");
    let said = fake.launch(&[]).exits(1);
    assert!(said.err().contains("invalid partition specified: gpu"), "{}", said.err());
    assert!(!folder.path().join("runs/small/slurm/1").exists());
    std::fs::remove_file(fake.path("refusal")).unwrap();
    fake.program("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    fake.launch(&[]).exits(0);
    let blind = fake.launch(&[]).exits(0);
    assert!(blind.err().contains("Unable to contact") && blind.err().contains("queued twice"), "{}", blind.err());
    let mut nowhere = folder.command(&["run", "small.toml", "--launcher", "slurm"]);
    let none = Said(nowhere.env("PATH", folder.path()).output().unwrap()).exits(1);
    assert!(none.err().contains("there is no sbatch here"), "{}", none.err());
}

fn wait_for_end(child: Child) -> Said {
    Said(child.wait_with_output().unwrap())
}

#[test]
fn a_task_at_its_time_limit_is_queued_again_and_goes_on() {
    // What a cell's script may not be ended by.
    let folder = Folder::with(&format!("{SMALL}\n[launcher.slurm]\nsetup = [\"set -euo pipefail\"]\n"));
    let fake = Fake::new(&folder);
    fake.launch(&["--set", "training.steps=3000"]).exits(0);
    let task = fake.task(101, 0);
    folder.wait_for_checkpoint(200);
    // The limit's notice, and soon after it the end of what was granted.
    signal(&task, "USR1");
    signal(&task, "TERM");
    let said = wait_for_end(task);
    let code = said.0.status.code();
    assert!(matches!(code, Some(138 | 143)), "{code:?}: {}", said.err());
    assert!(said.out().contains("it is queued again"), "{}", said.out());
    let asked = std::fs::read_to_string(fake.path("asked")).unwrap();
    assert!(asked.lines().any(|line| line == "requeue 101_0"), "{asked}");
    // The script may be ended before the run that it started.
    let interrupted = |run: &RunDir| run.read_record().is_ok_and(|r| r.is_some_and(|r| r.state == State::Interrupted));
    folder.wait_for("the end of the session", |run| interrupted(run));

    // Ended by SIGTERM alone, however often it comes: what scancel ends stays away, and what Slurm preempts it queues again itself.
    fake.write("state", "   JobState=COMPLETING Reason=None Dependency=(null)\n");
    std::fs::remove_file(fake.path("asked")).unwrap();
    let task = fake.task(101, 0);
    folder.wait_for("second session", |run| run.read_record().is_ok_and(|r| r.is_some_and(|r| r.sessions == 2)));
    folder.wait_for_checkpoint(1000);
    for _ in 0..3 {
        signal(&task, "TERM");
    }
    wait_for_end(task).exits(143);
    assert!(!fake.path("asked").exists());
    assert_eq!(folder.cell().read_record().unwrap().unwrap().state, State::Interrupted);

    // Given a GraceTime that it does not use up, it runs still as far as Slurm knows.
    fake.write("state", "   JobState=RUNNING Reason=None Dependency=(null)\n");
    let task = fake.task(101, 0);
    folder.wait_for("third session", |run| run.read_record().is_ok_and(|r| r.is_some_and(|r| r.sessions == 3)));
    folder.wait_for_checkpoint(1800);
    signal(&task, "TERM");
    let said = wait_for_end(task).exits(143);
    assert!(said.out().contains("stopped by SIGTERM; it is queued again"), "{}", said.out());
    assert!(std::fs::read_to_string(fake.path("asked")).unwrap().contains("requeue 101_0"));

    let said = wait_for_end(fake.task(101, 0)).exits(0);
    assert!(!said.out().contains("queued again"), "{}", said.out());
    assert_eq!(folder.cell().read_record().unwrap().unwrap().sessions, 4);
    let log = std::fs::read_to_string(folder.cell().log()).unwrap();
    assert_eq!(log.matches("resuming at step").count(), 3, "{log}");
    same_as_undisturbed(&folder);
    // A line that is not in the list is no cell.
    let beyond = wait_for_end(fake.task(101, 5)).exits(1);
    assert!(beyond.err().contains("has no line 6"), "{}", beyond.err());
}

#[test]
fn what_is_not_queued_again_says_so() {
    let folder = Folder::with(&format!("{SMALL}\n[launcher.slurm]\nrequeues = 1\n"));
    let fake = Fake::new(&folder);
    fake.launch(&["--set", "training.steps=3000"]).exits(0);
    let stopped = |step| {
        let task = fake.task(101, 0);
        folder.wait_for_checkpoint(step);
        signal(&task, "USR1");
        wait_for_end(task).exits(138)
    };
    fake.restarts.set(1);
    let said = stopped(200);
    assert!(said.err().contains("not queued again: requeues = 1 are spent"), "{}", said.err());
    assert!(!fake.path("asked").exists());

    fake.restarts.set(0);
    fake.program("scontrol", "echo \"$*\" >> \"$here/asked\"\n[ $1 = show ] && cat \"$here/state\"");
    let said = stopped(1200);
    assert!(said.err().contains("could not be queued again") && !said.out().contains("queued"), "{}", said.err());
    let asked = std::fs::read_to_string(fake.path("asked")).unwrap();
    assert_eq!(asked, "show job 101_0\nrequeue 101_0\nrequeue 101_0\nrequeue 101_0\n");
}

#[test]
fn different_signals_are_one_request() {
    let folder = Folder::with(SMALL);
    let child = folder.start(LONG);
    folder.wait_for_checkpoint(200);
    for name in ["USR1", "TERM", "USR1"] {
        signal(&child, name);
    }
    let said = wait_for_end(child);
    assert!(matches!(said.0.status.code(), Some(138 | 143)), "{}", said.err());
    assert!(said.err().contains("the same command goes on"), "{}", said.err());
    let record = folder.cell().read_record().unwrap().unwrap();
    assert_eq!(record.state, State::Interrupted);

    let child = folder.start(LONG);
    folder.wait_for("second session", |run| run.read_record().is_ok_and(|r| r.is_some_and(|r| r.sessions == 2)));
    folder.wait_for_checkpoint(1000);
    signal(&child, "USR1");
    let said = wait_for_end(child).exits(138);
    assert!(said.err().contains("stopped by SIGUSR1"), "{}", said.err());
    folder.stein(LONG).exits(0);
    same_as_undisturbed(&folder);
}
