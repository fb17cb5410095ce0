//! Samplers: from noise to samples along the score, one flat file each, like the algorithm's box.
//!
//! | kind | a step |
//! |---|---|
//! | `langevin` | x ← x + (α/2) s(x) + √α z |
//! | `mala` | the same as a proposal, accepted with probability min(1, p(x') q(x \| x')/(p(x) q(x' \| x))) |
//! | `hmc` | leapfrog trajectories of H = −log p(x) + ½‖p‖², accepted with probability min(1, e^{H − H'}) |
//! | `annealed-langevin` | Langevin steps, level after level, α_i = ε σ_i²/σ_L² |
//! | `consistent-annealed` | x ← x + η σ_i² s + σ_{i+1} β z, so that point masses have std σ_i at each level |
//! | `ddim` | x ← α' x̂ + σ' ẑ with x̂ = (x + σ² s)/α, ẑ = −σ s |
//! | `edm` | churn, then Heun on dy/dρ = −σ s |
//! | `dpm-solver-pp-2m` | the same flow by a multistep method on x̂ |
//! | `probability-flow` | Heun, or Dormand–Prince, on dy/dρ = −σ s, y = x/α, ρ = σ/α |
//! | `euler-maruyama` | x ← x + ½(1 − a²) x + v s + √v z, the reverse SDE |
//! | `predictor-corrector` | a step of the reverse SDE, and Langevin steps with ε = 2 a² (snr ‖z‖/‖s‖)² |
//!
//! a = α_i/α_{i+1} and v = σ_i² − a² σ_{i+1}² are those of the forward chain's step. The levels are the time grid of the SDE and
//! of its flow: more of them are finer steps of the same continuous time.
//!
//! Chains begin where [`Start`] says. [`draw()`] runs a sampler for any number of chains in chunks; a chain's noise is its own,
//! so samples do not depend on the chunk. The last step can replace x by its Tweedie mean ([`denoise()`]). [`inverse`] is about
//! samples that agree with a measurement, [`Guided`] about those of one class.
//!
//! [`log_likelihood()`] follows the probability flow the other way, for the density that it makes;
//! [`likelihood_bound()`] bounds that of the reverse SDE. [`annealed_importance()`] estimates log Z of a density that is known
//! up to a constant.

#![forbid(unsafe_code)]

mod annealed_importance;
mod annealed_langevin;
mod consistent_annealed;
mod convention;
mod ddim;
mod denoise;
pub mod dormand_prince;
mod dpm_solver_pp_2m;
mod draw;
mod edm;
mod euler_maruyama;
mod flow;
mod guided;
mod hmc;
mod interpolate;
pub mod inverse;
mod langevin;
mod likelihood;
mod likelihood_bound;
mod mala;
mod metropolis;
mod predictor_corrector;
mod probability_flow;
mod start;
mod step_size;
mod technique_4;
mod transition;
mod walk;

pub use annealed_importance::{AnnealedImportance, Factor, LogZ, Reference, annealed_importance};
pub use annealed_langevin::AnnealedLangevin;
pub use consistent_annealed::ConsistentAnnealed;
pub use convention::Convention;
pub use ddim::Ddim;
pub use denoise::denoise;
pub use dormand_prince::Tolerance;
pub use dpm_solver_pp_2m::DpmSolverPp2m;
pub use draw::{Draw, Drawn, draw};
pub use edm::Edm;
pub use euler_maruyama::EulerMaruyama;
pub use guided::{Guidance, Guided, draw_classes};
pub use hmc::{Hmc, Phase, leapfrog};
pub use interpolate::{interpolate, interpolates};
pub use langevin::Langevin;
pub use likelihood::{Likelihood, LogLikelihood, MOST_EXACT, Terminal, Trace, log_likelihood};
pub use likelihood_bound::{LikelihoodBound, likelihood_bound, with_last_noise};
pub use mala::Mala;
pub use predictor_corrector::{Corrector, Norms, Order, Predictor, PredictorCorrector};
pub use probability_flow::{Method, ProbabilityFlow};
pub use start::{Normal, Start, Starts};
pub use step_size::{Annealing, Auto, StepSize, Word};
pub use technique_4::Technique4;

use stein_core::{Catalogue, SamplerPart};

/// Makes the samplers of this crate known.
pub fn register(catalogue: &mut Catalogue<SamplerPart>) {
    catalogue.add::<Langevin>().add::<Mala>().add::<Hmc>();
    catalogue.add::<AnnealedLangevin>().add::<ConsistentAnnealed>();
    catalogue.add::<Ddim>().add::<Edm>().add::<DpmSolverPp2m>();
    catalogue.add::<ProbabilityFlow>().add::<EulerMaruyama>().add::<PredictorCorrector>();
}
