//! From an experiment file to a checked plan.
//!
//! ```text
//! TOML text ──parse──▶ Experiment ──build──▶ Plan
//!            every key     values in range,     data loaded, schedule, objective and
//!            has a place   components known     sampler built, tables agree
//! ```
//!
//! A file with a `[sweep]` is several experiments: [`Sweep`] reads it and makes the table of each.
//!
//! Everything that can be known before a run is found out here, and told with file, line and column.

#![forbid(unsafe_code)]

mod cell;
mod experiment;
mod inverse;
mod launcher;
mod names;
mod output_vector;
mod plan;
mod preset;
mod sample_vector;
mod schedule;
mod schema;
mod section;
mod settings;
mod sweep;
mod template;
mod vector;
mod weights;

pub use cell::{Cell, TrainingId};
pub use experiment::{Estimator, Experiment};
pub use inverse::{Conditioning, Inverse};
pub use launcher::{Gpus, Launcher, Slurm};
pub use names::checked_name;
pub use output_vector::network_of;
pub use plan::{NamedMetric, NamedObjective, Plan};
pub use sample_vector::SampleParts;
pub use schedule::schedule;
pub use schema::{common_keys, schema};
pub use settings::{
    Evaluation, LEAST_ROWS, LearningRateSchedule, Likelihood, LogZ, MOST_SAMPLES, Optimizer, OptimizerKind, Precision,
    Runtime, Terminal, Training, WhereNoise,
};
pub use sweep::{Axis, CellPlan, DEFAULT_MOST_CELLS, MOST_CELLS, Sweep};
pub use template::{Choice, template};
pub use vector::{VectorParts, VectorTables};
pub use weights::Weights;

use stein_core::Registry;

/// Everything that comes with stein.
pub fn builtin() -> Registry {
    let mut registry = Registry::default();
    stein_objectives::register(&mut registry.objectives);
    stein_schedules::register(&mut registry.schedules);
    stein_samplers::register(&mut registry.samplers);
    stein_networks::register(&mut registry.networks);
    stein_data::register(&mut registry.data);
    stein_samplers::inverse::register(&mut registry.inverse);
    stein_metrics::register(&mut registry.metrics);
    registry
}
