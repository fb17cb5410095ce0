//! Python, with the packages that a test wants.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::needs;

/// A Python, and where the packages are that were brought for it.
pub(crate) struct Python {
    program: String,
    packages: PathBuf,
}

/// PyTorch and what cannot be without it.
const OF_TORCH: [&str; 3] = ["torch", "torchvision", "pytorch_fid"];

impl Python {
    /// One that can import `modules`. What is missing is installed for these tests alone, but PyTorch, which others bring with them, is too
    /// large for that.
    ///
    /// # Errors
    /// Why there is none; the test has to be left out.
    fn with(modules: &[&str]) -> Result<Self, String> {
        // One installation at a time.
        static BUSY: Mutex<()> = Mutex::new(());
        let _alone = BUSY.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let program = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let tag = said(Command::new(&program).args(["-c", "import sys; print(sys.implementation.cache_tag)"]))
            .ok_or_else(|| format!("{program} is no Python; PYTHON names another"))?;
        let packages = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{tag}"));
        let python = Self { program, packages };
        let imports = |module: &str| said(python.command().args(["-c", &format!("import {module}")])).is_some();
        for module in modules.iter().filter(|module| !imports(module)) {
            if OF_TORCH.contains(module) {
                return Err(format!("{} has no {module}; PYTHON names a Python that has it", python.program));
            }
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
            said(python.command().args(pip).arg(&python.packages).arg(module));
            if !imports(module) {
                return Err(format!("{} has no {module}, and pip cannot install it", python.program));
            }
        }
        Ok(python)
    }

    /// A command to give arguments to.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PYTHONPATH", &self.packages).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
        command
    }
}

/// A Python that can import `modules`; a test that goes without is left out.
pub(crate) fn or_skip(modules: &[&str]) -> Option<Python> {
    match Python::with(modules) {
        Ok(python) => Some(python),
        Err(why) => {
            let words = [("pytorch_fid", "fid"), ("torch", "torch")];
            let word =
                words.into_iter().find(|(module, _)| modules.contains(module)).map_or("python", |(_, word)| word);
            needs::leave_out(word, &why);
            None
        }
    }
}

/// What a command that succeeds says.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
