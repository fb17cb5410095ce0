//! Tests of the whole:
//!
//! - `proofs`: objectives, schedules, samplers and targets against closed forms, each with a twin that is wrong by a sign or
//!   a factor and must be caught;
//! - `adapters`: wgpu on whatever adapter there is, software included, against the CPU backend;
//! - `accept` (a test of the package `stein`, run by `cargo xtask accept`): the experiments that ship, against the numbers that
//!   they promise, and what other programs make of stein's files: Python, Chromium, Slurm;
//! - `program` (a test of the package `stein`, which builds the program first): the `stein` command with real files, real
//!   processes and real signals.
