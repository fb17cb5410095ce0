//! stein, a workbench for score-based generative modelling: the library facade and the command line.
//!
//! A score model learns s(x, σ) ≈ ∇ₓ log p_σ(x) from samples and draws new ones by Langevin dynamics. An experiment is a
//! TOML file; `stein run FILE` trains, samples, measures and writes a report page.
//!
//! - the traits that make everything pluggable: [`core`]
//! - forward-mode derivatives: [`jet`]
//! - components: [`objectives`], [`schedules`], [`samplers`], [`networks`], [`data`], [`metrics`]
//! - from file to plan to finished run: [`experiment`], [`train`], [`report`]
//! - what is on disk: [`record`]; what it runs on: [`device`]
//!
//! A program of your own that adds components and keeps the whole command line is one call of [`cli::main`].

#![forbid(unsafe_code)]

pub mod cli;

pub use stein_core as core;
pub use stein_data as data;
pub use stein_device as device;
pub use stein_experiment as experiment;
pub use stein_jet as jet;
pub use stein_metrics as metrics;
pub use stein_networks as networks;
pub use stein_objectives as objectives;
pub use stein_record as record;
pub use stein_report as report;
pub use stein_samplers as samplers;
pub use stein_schedules as schedules;
pub use stein_train as train;
