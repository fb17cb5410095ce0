//! What tests need and a bare machine lacks: brought where that is allowed, named where it is not.

use std::path::Path;
use std::process::{Command, Stdio};

/// Something outside this repository.
pub(crate) struct Need {
    /// What `STEIN_REQUIRE` calls it.
    pub(crate) word: &'static str,
    /// What it is for.
    reason: &'static str,
    /// Debian's packages of it; none if it is not installed by itself.
    packages: &'static [&'static str],
    /// Where there is no apt-get.
    otherwise: &'static str,
    is_there: fn(&Python) -> bool,
}

/// The Python that tests use.
struct Python(String);

pub(crate) const ADAPTER: Need = Need {
    word: "adapter",
    reason: "the wgpu tests want a Vulkan driver; Mesa's works on any CPU",
    packages: &["mesa-vulkan-drivers", "libvulkan1"],
    otherwise: "install Mesa's Vulkan drivers (lavapipe) and the Vulkan loader with your package manager",
    is_there: |_| has_lavapipe(),
};

pub(crate) const PYTHON: Need = Need {
    word: "python",
    reason: "exported runs are read by Python, whose packages the tests install for themselves",
    packages: &["python3", "python3-pip"],
    otherwise: "install Python 3 with pip; PYTHON names one that is not called python3",
    is_there: |python| python.does(&["-m", "pip", "--version"]),
};

pub(crate) const TORCH: Need = Need {
    word: "torch",
    reason: "exported weights are loaded into PyTorch",
    packages: &[],
    otherwise: "cargo xtask accept --torch brings it, or PYTHON names a Python that has it",
    is_there: |python| python.does(&["-c", "import torch"]),
};

pub(crate) const FID: Need = Need {
    word: "fid",
    reason: "FIDs are compared with those of pytorch-fid",
    packages: &[],
    otherwise: "cargo xtask accept --torch brings it, or PYTHON names a Python that has torch, torchvision, scipy and pytorch-fid",
    is_there: |python| python.does(&["-c", FID_IMPORTS]),
};

/// What FIDs are compared by.
const FID_IMPORTS: &str = "import torch, torchvision, scipy, pytorch_fid";

pub(crate) const NCSN: Need = Need {
    word: "ncsn",
    reason: "weights go to the authors' own NCSN and back",
    packages: &[],
    otherwise: "clone github.com/ermongroup/ncsn and name the folder by STEIN_NCSN",
    is_there: |_| has_models("STEIN_NCSN"),
};

pub(crate) const NCSNV2: Need = Need {
    word: "ncsnv2",
    reason: "weights go to the authors' own NCSNv2 and back",
    packages: &[],
    otherwise: "clone github.com/ermongroup/ncsnv2 and name the folder by STEIN_NCSNV2",
    is_there: |_| has_models("STEIN_NCSNV2"),
};

pub(crate) const SCORE_SDE: Need = Need {
    word: "score-sde",
    reason: "weights go to the score SDE's own networks and back",
    packages: &[],
    otherwise: "clone github.com/yang-song/score_sde_pytorch and name the folder by STEIN_SCORE_SDE",
    is_there: |_| has_models("STEIN_SCORE_SDE"),
};

pub(crate) const CHROMIUM: Need = Need {
    word: "chromium",
    reason: "report pages are opened in Chromium",
    packages: &["chromium"],
    otherwise: "install Chromium; CHROMIUM names one that has another name",
    is_there: |_| {
        let named = std::env::var("CHROMIUM").ok();
        let usual = ["chromium", "chromium-browser", "google-chrome"];
        named.iter().map(String::as_str).chain(usual).any(|name| succeeds(name, &["--version"]))
    },
};

pub(crate) const SLURM: Need = Need {
    word: "slurm",
    reason: "a sweep is run as a job array by Slurm, started for it on this machine alone",
    packages: &["slurm-wlm", "slurm-client", "munge"],
    otherwise: "install Slurm's controller, daemon and commands, and munge; the test starts them as root",
    is_there: |_| {
        // Without a configuration, Slurm's own commands do not even tell their version.
        let programs = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel"];
        // Daemons lie where not every PATH goes; the test looks there too.
        let found = |name: &&str| {
            let folders = ["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(name).exists());
            folders.contains(&true) || succeeds("sh", &["-c", &format!("command -v {name}")])
        };
        is_root() && programs.iter().all(found)
    },
};

pub(crate) const STRACE: Need = Need {
    word: "strace",
    reason: "system calls of a save are met with signals and errors by strace",
    packages: &["strace"],
    otherwise: "on Linux, install strace, with your package manager; elsewhere there is none",
    // As the tests use it: it may be there and not be allowed to trace.
    is_there: |_| {
        let inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO"];
        succeeds("strace", &[&inject[..], &["true"]].concat())
    },
};

/// Whether a variable names the checkout of a repository whose networks lie in `models`.
fn has_models(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|folder| Path::new(&folder).join("models").is_dir())
}

impl Need {
    /// Whether it is there; installs it on Debian and Ubuntu as root. `environment` is what the tests have beside this process's.
    pub(crate) fn bring(&self, environment: &[(&str, String)]) -> bool {
        let told = environment.iter().find(|(name, _)| *name == "PYTHON").map(|(_, value)| value.clone());
        let python = Python(told.or_else(|| std::env::var("PYTHON").ok()).unwrap_or_else(|| "python3".into()));
        if (self.is_there)(&python) {
            return true;
        }
        println!("==> {}", self.reason);
        let packages = self.packages;
        if !cfg!(target_os = "linux") || packages.is_empty() || !Path::new("/usr/bin/apt-get").exists() {
            println!("    {}", self.otherwise);
        } else if !is_root() {
            println!("    install it with: sudo apt-get install {}", packages.join(" "));
        } else if install(packages) && (self.is_there)(&python) {
            return true;
        } else {
            println!("    apt-get could not install {}", packages.join(" "));
        }
        println!("    without it these tests are left out");
        false
    }
}

impl Python {
    fn does(&self, arguments: &[&str]) -> bool {
        succeeds(&self.0, arguments)
    }
}

/// A Python with PyTorch and pytorch-fid, in an environment of its own beside the builds. Gives its path.
pub(crate) fn torch() -> Result<String, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let folder = program.parent().unwrap_or(Path::new(".")).join("accept-python");
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    if succeeds(&python, &["-c", FID_IMPORTS]) {
        return Ok(python);
    }
    println!("==> PyTorch is installed, which takes some minutes and gigabytes");
    let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "tests/benches/requirements.txt"];
    let made = Command::new(base).args(["-m", "venv"]).arg(&folder).status().is_ok_and(|status| status.success());
    if !made || !Command::new(&python).args(pip).status().is_ok_and(|status| status.success()) {
        return Err(format!("PyTorch could not be installed in {}", folder.display()));
    }
    Ok(python)
}

/// What fuzzing needs of the Rust toolchain; the error says how to install what is missing.
pub(crate) fn fuzzing() -> Result<(), String> {
    let needs: [(&[&str], &str); 2] = [
        (&["+nightly", "--version"], "a nightly compiler: rustup toolchain install nightly --profile minimal"),
        (&["fuzz", "--version"], "cargo-fuzz: cargo install cargo-fuzz"),
    ];
    missing("fuzzing", &needs)
}

/// What looks at dependencies; the error says how to install what is missing.
pub(crate) fn supply() -> Result<(), String> {
    let needs: [(&[&str], &str); 2] = [
        (&["deny", "--version"], "cargo-deny: cargo install --locked cargo-deny"),
        (&["machete", "--version"], "cargo-machete: cargo install --locked cargo-machete"),
    ];
    missing("this", &needs)
}

fn missing(what: &str, needs: &[(&[&str], &str)]) -> Result<(), String> {
    let missing: Vec<&str> =
        needs.iter().filter(|(arguments, _)| !succeeds("cargo", arguments)).map(|(_, how)| *how).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{what} needs\n  {}", missing.join("\n  "))) }
}

fn install(packages: &[&str]) -> bool {
    let arguments = [&["install", "-y", "--no-install-recommends"], packages].concat();
    // Package lists may be missing or old on a bare machine.
    succeeds("apt-get", &arguments) || (succeeds("apt-get", &["update"]) && succeeds("apt-get", &arguments))
}

fn has_lavapipe() -> bool {
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].iter().any(|folder| {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries.filter_map(Result::ok).any(|e| e.file_name().to_string_lossy().starts_with("lvp_icd"))
        })
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

/// Whether a program is there and does what it is told; what it says is not shown.
fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
