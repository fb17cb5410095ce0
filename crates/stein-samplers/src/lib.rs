//! Samplers: from noise to samples along the score, one flat file each, like the algorithm's box.
//!
//! | kind | a step |
//! |---|---|
//! | `langevin` | x ← x + (α/2) s(x) + √α z |
//! | `annealed-langevin` | the same, level after level, α_i = ε σ_i²/σ_L² |
//! | `consistent-annealed` | x ← x + η σ_i² s + σ_{i+1} β z, so that point masses have std σ_i at each level |
//! | `ddim` | x ← α' x̂ + σ' ẑ with x̂ = (x + σ² s)/α, ẑ = −σ s |
//! | `edm` | churn, then Heun on dx/dσ = −σ s |
//! | `dpm-solver-pp-2m` | the same flow by a multistep method on x̂ |
//! | `probability-flow` | Heun on dy/dρ = −σ s, y = x/α, ρ = σ/α |
//! | `euler-maruyama` | x ← x + Δ s + √Δ z, Δ = σ_i² − σ_{i+1}² |
//! | `predictor-corrector` | a step of the reverse SDE, and Langevin steps with ε = 2 (snr ‖z‖/‖s‖)² |
//!
//! Chains begin where [`Start`] says. [`draw()`] runs a sampler for any number of chains in chunks; a chain's noise is its own, so samples do not depend on the
//! chunk. [`inverse`] is about samples that agree with a measurement. The last step can replace x by its Tweedie mean ([`denoise()`]).

mod annealed_langevin;
mod consistent_annealed;
mod convention;
mod ddim;
mod denoise;
mod dpm_solver_pp_2m;
mod draw;
mod edm;
mod euler_maruyama;
mod interpolate;
pub mod inverse;
mod langevin;
mod predictor_corrector;
mod probability_flow;
mod start;
mod step_size;
mod walk;

pub use annealed_langevin::AnnealedLangevin;
pub use consistent_annealed::ConsistentAnnealed;
pub use convention::Convention;
pub use ddim::Ddim;
pub use denoise::denoise;
pub use dpm_solver_pp_2m::DpmSolverPp2m;
pub use draw::{Draw, Drawn, draw};
pub use edm::Edm;
pub use euler_maruyama::EulerMaruyama;
pub use interpolate::{interpolate, interpolates};
pub use langevin::Langevin;
pub use predictor_corrector::{Corrector, Norms, Order, Predictor, PredictorCorrector};
pub use probability_flow::ProbabilityFlow;
pub use start::{Normal, Start, Starts};
pub use step_size::{Auto, StepSize};

use stein_core::{Catalogue, SamplerPart};

/// Makes the samplers of this crate known.
pub fn register(catalogue: &mut Catalogue<SamplerPart>) {
    catalogue.add::<Langevin>().add::<AnnealedLangevin>().add::<ConsistentAnnealed>();
    catalogue.add::<Ddim>().add::<Edm>().add::<DpmSolverPp2m>();
    catalogue.add::<ProbabilityFlow>().add::<EulerMaruyama>().add::<PredictorCorrector>();
}
