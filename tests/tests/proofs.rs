//! Objectives, schedules, samplers and targets against closed forms.

#[path = "proofs/annealed_importance.rs"]
mod annealed_importance;
#[path = "proofs/cells.rs"]
mod cells;
#[path = "proofs/classes.rs"]
mod classes;
#[path = "proofs/classifier.rs"]
mod classifier;
#[path = "proofs/common.rs"]
mod common;
#[path = "proofs/conditioning.rs"]
mod conditioning;
#[path = "proofs/curl.rs"]
mod curl;
#[path = "proofs/energies.rs"]
mod energies;
#[path = "proofs/hostile.rs"]
mod hostile;
#[path = "proofs/levels.rs"]
mod levels;
#[path = "proofs/likelihood.rs"]
mod likelihood;
#[path = "proofs/metropolis.rs"]
mod metropolis;
#[path = "proofs/ncsnpp.rs"]
mod ncsnpp;
#[path = "proofs/networks.rs"]
mod networks;
#[path = "proofs/objectives.rs"]
mod objectives;
#[path = "proofs/parity.rs"]
mod parity;
#[path = "proofs/refinenet.rs"]
mod refinenet;
#[path = "proofs/samplers.rs"]
mod samplers;
#[path = "proofs/schedules.rs"]
mod schedules;
#[path = "proofs/steps.rs"]
mod steps;
#[path = "proofs/targets.rs"]
mod targets;
#[path = "proofs/training.rs"]
mod training;
#[path = "proofs/weights.rs"]
mod weights;
