//! stein itself, started as users start it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::cargo;

/// The program, built, and a folder for what it writes that is gone in the end.
pub(crate) struct Program {
    stein: PathBuf,
    folder: PathBuf,
}

impl Program {
    /// Builds it.
    pub(crate) fn build() -> Result<Self, String> {
        if !cargo(&["build", "--release", "--workspace", "--bins"]).status().is_ok_and(|status| status.success()) {
            return Err("stein does not build".into());
        }
        let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let stein = program.with_file_name(format!("stein{}", std::env::consts::EXE_SUFFIX));
        let folder = std::env::temp_dir().join(format!("stein-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { stein, folder })
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes an experiment there.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }

    /// Removes what it wrote to `runs` and `reports` of its folder.
    pub(crate) fn forget(&self) {
        for name in ["runs", "reports"] {
            let _ = std::fs::remove_dir_all(self.path(name));
        }
    }

    /// Seconds of `stein` with these words.
    pub(crate) fn seconds<W: AsRef<Path>>(&self, words: &[W]) -> Result<f64, String> {
        let mut command = Command::new(&self.stein);
        command.args(words.iter().map(AsRef::as_ref)).stdin(Stdio::null()).stdout(Stdio::null());
        let begun = Instant::now();
        let status = command.status().map_err(|e| format!("cannot start {}: {e}", self.stein.display()))?;
        let seconds = begun.elapsed().as_secs_f64();
        if status.success() { Ok(seconds) } else { Err(format!("{command:?}: {status}")) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
