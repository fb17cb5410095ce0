//! Disks that are full, small or not to be written to.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{Folder, SMALL, Said};
use crate::needs;
use crate::scenario::{BUSY, LONG, Scenario, kill};
use crate::tally::{Tally, repetitions};

/// A small file system in memory, mounted at a folder until this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None` where nothing may be mounted: the test is left out.
    #[track_caller]
    fn at(folder: &Path, kilobytes: u32) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        let size = format!("size={kilobytes}k");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "stein-faults"]).arg(folder).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        needs::leave_out("mount", "a small disk in memory cannot be mounted: only root may, outside of containers");
        None
    }

    /// That of a folder's runs.
    #[track_caller]
    fn of_runs(folder: &Folder, kilobytes: u32) -> Option<Self> {
        Self::at(&folder.path().join("runs"), kilobytes)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("ballast");
        while ballast.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    /// Leaves no byte free as long as a process runs: what it frees itself is gone too.
    fn fill_under(&self, mut child: Child) -> Output {
        while child.try_wait().unwrap().is_none() {
            self.fill();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait_with_output().unwrap()
    }

    fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("ballast");
    }

    /// Forbids writing, or allows it again.
    fn read_only(&self, yes: bool) {
        let option = if yes { "remount,ro" } else { "remount,rw" };
        assert!(Command::new("mount").args(["-o", option]).arg(&self.0).status().expect("mount").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still at work there goes on with a disk that nobody else sees.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The disk is full: the exit code is 8, and a file on it is named.
fn is_full(ended: Output, names: &str) -> Said {
    let said = Said(ended).exits(8);
    assert!(said.err().contains(names) && said.err().contains("No space left"), "{}", said.err());
    said
}

#[test]
fn a_disk_that_is_full_at_a_checkpoint_ends_a_run_that_goes_on_later() {
    let mut tally = Tally::of("disk full during checkpoints");
    for i in 0..repetitions(2, 10) {
        let folder = LONG.folder();
        let Some(disk) = Disk::of_runs(&folder, 4096) else { return };
        let child = LONG.start(&folder);
        folder.wait_for_checkpoint(50 + 150 * i as u64);
        let ended = disk.fill_under(child);
        tally.injected();
        is_full(ended, "runs/small/");
        assert!(!folder.cell().network().exists());
        disk.make_room();
        LONG.ends_alike(&folder);
        tally.survived();
    }
}

/// Measurements at each step, and a checkpoint at the end alone.
static TALKATIVE: Scenario =
    Scenario::new(&["training.steps=3000", "training.checkpoint-every=0", "training.log-every=1"]);

#[test]
fn a_disk_that_is_full_for_metrics_ends_a_run_that_goes_on_later() {
    let mut tally = Tally::of("disk full during metrics");
    for i in 0..repetitions(2, 10) {
        let folder = TALKATIVE.folder();
        let Some(disk) = Disk::of_runs(&folder, 4096) else { return };
        let child = TALKATIVE.start(&folder);
        let lines = |run: &stein_record::RunDir| run.metrics().metadata().map_or(0, |about| about.len());
        folder.wait_for("metrics", |run| lines(run) > 5000 * (1 + i as u64));
        let ended = disk.fill_under(child);
        tally.injected();
        is_full(ended, "metrics.jsonl");
        disk.make_room();
        TALKATIVE.ends_alike(&folder);
        tally.survived();
    }
}

/// Checkpoints between measurements: what was written on a full disk, and what after it, are of one file.
static BOTH: Scenario =
    Scenario::new(&["training.steps=3000", "training.checkpoint-every=400", "training.log-every=1"]);

#[test]
fn a_disk_that_has_room_again_soon_does_not_spoil_metrics() {
    let mut tally = Tally::of("disk full for a moment");
    let (wanted, mut unnoticed) = (repetitions(2, 10), 0u32);
    for i in 0..5 * wanted as u64 {
        let folder = BOTH.folder();
        let Some(disk) = Disk::of_runs(&folder, 4096) else { return };
        let child = BOTH.start(&folder);
        folder.wait_for_checkpoint(400 * (1 + i % 5));
        disk.fill();
        std::thread::sleep(std::time::Duration::from_millis((10 * (1 + i % 10)) << unnoticed));
        disk.make_room();
        let ended = child.wait_with_output().unwrap();
        if ended.status.success() {
            // The moment has passed unnoticed: the next is longer.
            unnoticed = (unnoticed + 1).min(5);
            BOTH.ends_alike(&folder);
            continue;
        }
        unnoticed = 0;
        tally.injected();
        is_full(ended, "runs/small/");
        BOTH.ends_alike(&folder);
        tally.survived();
        if tally.injected == wanted {
            break;
        }
    }
    assert!(tally.injected > 0, "none of {} runs noticed that its disk was full for a moment", 5 * wanted);
}

#[test]
fn a_disk_that_is_full_for_a_report_leaves_the_old_one() {
    let mut tally = Tally::of("disk full during a report");
    let folder = BUSY.folder();
    let reports = folder.path().join("reports");
    let Some(disk) = Disk::at(&reports, 4096) else { return };
    BUSY.run(&folder).exits(0);
    let page = reports.join("small/index.html");
    let before = std::fs::read(&page).unwrap();
    // Another run makes it another page.
    folder.stein(&["run", "small.toml", "--set", "device=cpu", "--set", "training.steps=10", "--no-report"]).exits(0);
    disk.fill();
    for arguments in [&["report"][..], &["report", "small.toml"]] {
        tally.injected();
        is_full(folder.command(arguments).output().unwrap(), "reports/small");
        assert!(std::fs::read(&page).unwrap() == before, "the page is half another");
        tally.survived();
    }
    disk.make_room();
    folder.stein(&["report"]).exits(0);
    let after = std::fs::read_to_string(&page).unwrap();
    assert!(after.as_bytes() != before && after.trim_end().ends_with("</html>"));
    let left = std::fs::read_dir(reports.join("small")).unwrap();
    let partial = left.map(|e| e.unwrap().file_name()).find(|name| name.to_string_lossy().contains(".partial"));
    assert_eq!(partial, None);
}

#[test]
fn a_full_disk_ends_the_cells_of_a_sweep_which_go_on_later() {
    let mut tally = Tally::of("disk full under a sweep");
    let text = format!("[sweep]\nseed = [0, 1]\n{SMALL}");
    let folder = Folder::with(&text);
    let Some(disk) = Disk::of_runs(&folder, 4096) else { return };
    let arguments = [LONG.arguments(), vec!["--jobs", "2"]].concat();
    let child = folder.start(&arguments);
    folder.wait_for_checkpoint(200);
    let said = Said(disk.fill_under(child)).exits(1);
    tally.injected();
    assert!(said.out().contains("2 failed"), "{}", said.out());
    // The reason is what a cell's log says last, if there was room for it.
    let (told, coded) = (said.err().matches("No space left").count(), said.err().matches("exit status: 8").count());
    assert!(told + coded >= 2 && !said.err().contains("panicked"), "{}", said.err());
    disk.make_room();
    folder.stein(&arguments).exits(0);
    let whole = Folder::with(&text);
    whole.stein(&arguments).exits(0);
    let weights = |folder: &Folder| {
        let runs = stein_record::run_dir::list(&folder.path().join("runs")).unwrap();
        runs.iter().map(|run| std::fs::read(run.network()).unwrap()).collect::<Vec<_>>()
    };
    assert!(weights(&folder) == weights(&whole), "the weights differ");
    tally.survived();
}

#[cfg(target_os = "linux")]
#[test]
fn words_that_nobody_can_hear_end_nothing() {
    let mut tally = Tally::of("disk full under what is said");
    let folder = LONG.folder();
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full");
    let deaf = |arguments: &[&str]| {
        let mut command = folder.command(arguments);
        command.stdout(full()).stderr(full()).status().expect("stein starts").code()
    };
    for (arguments, code) in [
        (&LONG.arguments()[..], 0),
        (&LONG.arguments(), 0),
        (&["report", "runs/small"], 0),
        (&["run", "absent.toml"], 2),
    ] {
        tally.injected();
        assert_eq!(deaf(arguments), Some(code), "{arguments:?}");
        tally.survived();
    }
    LONG.is_alike(&folder);
}

#[test]
fn a_run_that_has_no_room_does_not_begin() {
    let mut tally = Tally::of("no room at the start");
    let folder = Folder::with(SMALL);
    let Some(disk) = Disk::of_runs(&folder, 2048) else { return };
    let large = ["run", "small.toml", "--set", "device=cpu", "--set", "network.hidden=[512, 512]"];
    tally.injected();
    let said = folder.stein(&large).exits(8);
    let cell = folder.path().join("runs/small").read_dir().unwrap().next().unwrap().unwrap().path();
    assert!(said.err().contains(&format!("runs/small/{}", cell.file_name().unwrap().display())), "{}", said.err());
    assert!(said.err().contains("the run is to write 1") && said.err().contains(" MB there"), "{}", said.err());
    assert!(said.err().contains("has 2 MB free"), "{}", said.err());
    let left: Vec<_> = cell.read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"], "nothing is begun");
    std::fs::remove_dir_all(cell).unwrap();
    // What is small has room there.
    LONG.ends_alike(&folder);
    drop(disk);
    tally.survived();
}

#[test]
fn a_folder_that_cannot_be_written_to_is_left_as_it_is() {
    let mut tally = Tally::of("read-only directory");
    let folder = LONG.folder();
    let Some(disk) = Disk::of_runs(&folder, 4096) else { return };
    let child = LONG.start(&folder);
    folder.wait_for_checkpoint(500);
    kill(child);
    disk.read_only(true);
    tally.injected();
    let said = LONG.run(&folder).exits(8);
    assert!(said.err().contains("runs/small/") && said.err().contains("Read-only file system"), "{}", said.err());
    // Who only looks is not kept out.
    folder.stein(&["list", "runs"]).exits(0);
    folder.stein(&["report"]).exits(0);
    let said = folder.stein(&["status", "runs/small"]).exits(4);
    assert!(said.out().contains("interrupted"), "{}", said.out());
    disk.read_only(false);
    LONG.ends_alike(&folder);
    tally.survived();
}

#[test]
fn a_limit_to_the_size_of_files_ends_a_run_that_goes_on_without_it() {
    let mut tally = Tally::of("limit to the size of files");
    // The shell's blocks: 512 bytes in most, 1024 in some.
    let limits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
    for limit in limits.into_iter().step_by(repetitions(2, 1)) {
        let folder = BUSY.folder();
        let stein = folder.command(&BUSY.arguments());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {limit} && exec \"$@\""), "sh"]).arg(stein.get_program());
        shell.args(stein.get_args()).current_dir(folder.path()).stdin(Stdio::null());
        let ended = shell.output().expect("sh");
        if ended.status.success() {
            // All its files are smaller.
            BUSY.ends_alike(&folder);
            continue;
        }
        tally.injected();
        let said = Said(ended).exits(8);
        assert!(said.err().contains("File too large"), "{}", said.err());
        assert!(said.err().contains("runs/small/") || said.err().contains("reports/"), "{}", said.err());
        BUSY.ends_alike(&folder);
        tally.survived();
    }
    assert!(tally.injected > 2, "the limits were hardly ever met");
}
