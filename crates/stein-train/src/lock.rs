//! One writer a cell.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use stein_record::{RecordError, RunDir, file};

use crate::{RunError, Stop};

/// The most bytes of the line that tells who has a run directory.
const MAX_LENGTH: u64 = 4096;
/// How often a lock that is held is asked for again, and after how long: whoever looks whether it is held holds it for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// An exclusive lock on a run directory, held until it is dropped or the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock as soon as whoever has it lets go of it.
    ///
    /// # Errors
    /// As [`Lock::take`], if that takes longer than `patience`; or that somebody asks to stop.
    pub(crate) fn wait(directory: &Path, patience: Duration, stop: &Stop) -> Result<Self, RunError> {
        let begun = Instant::now();
        loop {
            match Self::take(directory) {
                Err(RunError::Locked { .. }) if begun.elapsed() < patience => {}
                ended => return ended,
            }
            if let Some(asked) = stop.requested() {
                return Err(asked);
            }
        }
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// [`RunError::Locked`] with host and process if somebody else has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, RunError> {
        // Before the first byte is written, and once for all that follow.
        RunDir::new(directory).check_for_writing()?;
        std::fs::create_dir_all(directory).map_err(|e| RecordError::io(directory, "create the directory", e))?;
        let path = RunDir::new(directory).lock();
        let mut file = file::open_or_make(&path, OpenOptions::new().read(true).write(true))?;
        let mut taken = file.try_lock();
        for _ in 1..TRIES {
            if matches!(taken, Err(TryLockError::WouldBlock)) {
                std::thread::sleep(PAUSE);
                taken = file.try_lock();
            }
        }
        match taken {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(file).unwrap_or_else(|| "unknown".into());
                return Err(RunError::Locked { path: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(e)) => return Err(RecordError::io(&path, "lock", e).into()),
        }
        let write = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "process {} on {}", std::process::id(), host())
        };
        write(&mut file).map_err(|e| RecordError::io(&path, "write", e))?;
        Ok(Self { _file: file })
    }
}

/// Whether a process holds the lock of a run directory, as far as its file system tells; `false` if it cannot be asked.
pub(crate) fn is_held(directory: &Path) -> bool {
    let Ok(Some(file)) = file::open(&RunDir::new(directory).lock()) else { return false };
    // Shared: several may look at once.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The host of the process that took the lock last.
pub(crate) fn last_host(directory: &Path) -> Option<String> {
    let file = file::open(&RunDir::new(directory).lock()).ok()??;
    Some(holder(file)?.split_once(" on ")?.1.to_owned())
}

/// What a lock says of who took it.
fn holder(file: File) -> Option<String> {
    let mut line = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut line).ok()?;
    let line: String = String::from_utf8_lossy(&line).trim().chars().filter(|c| !c.is_control()).collect();
    (!line.is_empty()).then_some(line)
}

/// The name of this machine.
pub(crate) fn host() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown host".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let path = RunDir::new(folder.path()).lock();
        let said = || match Lock::take(folder.path()) {
            Err(RunError::Locked { holder, .. }) => holder,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(), format!("process {} on {}", std::process::id(), host()));
        std::fs::write(&path, "process 1 on \x1b[2Jhere\nand there").unwrap();
        assert_eq!(said(), "process 1 on [2Jhereand there");
        // A terabyte that is not there.
        OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(said().len() < 100 && last_host(folder.path()).unwrap().len() < 100);
        drop(lock);
    }

    #[test]
    fn who_looks_does_not_disturb() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()) && last_host(folder.path()).is_none());
        let lock = Lock::take(folder.path()).unwrap();
        assert!(is_held(folder.path()));
        assert_eq!(last_host(folder.path()), Some(host()));
        assert!(matches!(Lock::take(folder.path()), Err(RunError::Locked { .. })));
        drop(lock);
        assert!(!is_held(folder.path()));
        // For a moment it is held by someone who looks.
        let looking = File::open(RunDir::new(folder.path()).lock()).unwrap();
        looking.try_lock_shared().unwrap();
        let waiting = std::thread::spawn({
            let path = folder.path().to_owned();
            move || Lock::take(&path).is_ok()
        });
        std::thread::sleep(PAUSE);
        drop(looking);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn who_has_patience_waits_and_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let (stop, wait) = (Stop::new(), |seconds| Duration::from_secs(seconds));
        assert!(matches!(Lock::wait(folder.path(), wait(0), &stop), Err(RunError::Locked { .. })));
        let waiting = std::thread::spawn({
            let (path, stop) = (folder.path().to_owned(), stop.clone());
            move || Lock::wait(&path, wait(600), &stop).is_ok()
        });
        std::thread::sleep(TRIES * PAUSE);
        drop(lock);
        assert!(waiting.join().unwrap());
        let _lock = Lock::take(folder.path()).unwrap();
        stop.interrupt();
        assert!(matches!(Lock::wait(folder.path(), wait(600), &stop), Err(RunError::Interrupted { .. })));
    }
}
