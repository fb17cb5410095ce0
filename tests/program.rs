//! The `stein` command: real files, real processes, real signals.

#[path = "program/broken.rs"]
mod broken;
#[path = "program/compare.rs"]
mod compare;
#[path = "program/conditioning.rs"]
mod conditioning;
#[path = "program/data.rs"]
mod data;
#[path = "program/diverged.rs"]
mod diverged;
#[path = "program/errors.rs"]
mod errors;
#[path = "program/export.rs"]
mod export;
#[path = "program/harness.rs"]
mod harness;
#[path = "program/hostile.rs"]
mod hostile;
#[path = "program/import.rs"]
mod import;
#[cfg(unix)]
#[path = "program/launcher.rs"]
mod launcher;
#[path = "program/manners.rs"]
mod manners;
#[path = "program/parity.rs"]
mod parity;
#[path = "program/plugins.rs"]
mod plugins;
#[path = "program/report.rs"]
mod report;
#[path = "program/resume.rs"]
mod resume;
#[path = "program/runs.rs"]
mod runs;
#[path = "program/schedules.rs"]
mod schedules;
#[path = "program/shared.rs"]
mod shared;
#[path = "program/status.rs"]
mod status;
#[path = "program/sweep.rs"]
mod sweep;
#[path = "program/time.rs"]
mod time;
#[path = "program/verify.rs"]
mod verify;
