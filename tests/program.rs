//! The `stein` command: real files, real processes, real signals.

#[path = "program/errors.rs"]
mod errors;
#[path = "program/harness.rs"]
mod harness;
#[path = "program/resume.rs"]
mod resume;
#[path = "program/runs.rs"]
mod runs;
