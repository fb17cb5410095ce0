//! Training on burn-train, checkpoints, resume, and everything else that happens to one cell of an experiment.
//!
//! [`run()`] takes a [`Plan`](stein_experiment::Plan) and a run directory from wherever they are to finished: it locks the
//! directory, restores the newest checkpoint that verifies, trains, draws samples, measures them and writes every record. Cells
//! that agree in all that training reads share one training, in a directory of its own.
//! Metrics, event store, renderer, interrupter and early stopping are burn-train's; the loop over steps, the optimiser, the
//! learning rate, the averaged weights and the checkpoints are here, inside a burn-train strategy. Batches are made on a thread
//! ahead of the steps, and checkpoints are written on one beside them; where the system gives no thread, in their turn. Neither changes a bit of what comes out.

#![forbid(unsafe_code)]

mod adam;
mod ahead;
mod batches;
mod completions;
mod diverged;
mod error;
mod estimators;
mod evaluate;
mod field;
mod flat;
mod foreign;
mod import;
mod levels;
mod likelihood;
mod loader;
mod lock;
mod log_z;
mod measure;
mod metric_log;
mod objective_loss;
mod parts;
mod profile;
mod progress;
mod quadrature;
mod replay;
mod replay_samples;
mod run;
mod sampling;
mod saves;
mod score;
mod session;
mod shared;
mod solver_error;
mod space;
mod state;
mod state_dict;
mod status;
mod step;
mod strategy;
mod trainee;
mod training;
#[cfg(feature = "tui")]
mod tui;
mod verify;
mod verify_outputs;
mod verify_samples;
mod weights;

pub use batches::{Batches, TrainingBatch};
pub use error::RunError;
pub use flat::Layout;
pub use foreign::{Chosen, Foreign, Which};
pub use import::import;
pub use levels::level_losses;
pub use likelihood::log_likelihoods;
pub use log_z::log_z;
pub use measure::{StepCost, measure};
pub use profile::{Part, Profile, profile};
pub use replay::{Replay, StepReplay, Tally, replay};
pub use replay_samples::{Norms, SampleStep, SamplesReplay};
pub use run::{Outcome, RunOptions, record_timeout, run};
pub use sampling::{More, draw_from_run};
pub use score::{level_at, score_of_run};
pub use session::Stop;
pub use state::TrainingState;
pub use status::{Standing, Status};
pub use stein_kernels::memory;
pub use step::training_step;
pub use trainee::Trainee;
pub use verify::{VectorError, Verdict, Verified, verify};
pub use verify_outputs::{OutputError, VerifiedOutputs, holds_outputs, verify_outputs};
pub use verify_samples::{VerifiedSamples, holds_samples, verify_samples};
pub use weights::{WhichWeights, export_weights, load_network, network_file};
