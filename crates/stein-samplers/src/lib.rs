//! Samplers: from noise to samples along the score, one flat file each, like the algorithm's box.
//!
//! | kind | a step |
//! |---|---|
//! | `langevin` | x ← x + (α/2) s(x) + √α z |
//! | `annealed-langevin` | the same, level after level, α_i = ε σ_i²/σ_L² |
//!
//! [`draw()`] runs a sampler for any number of chains in chunks; a chain's noise is its own, so samples do not depend on the
//! chunk. The last step can replace x by its Tweedie mean ([`denoise()`]).

mod annealed_langevin;
mod convention;
mod denoise;
mod draw;
mod langevin;
mod step_size;

pub use annealed_langevin::AnnealedLangevin;
pub use convention::Convention;
pub use denoise::denoise;
pub use draw::{Draw, draw};
pub use langevin::Langevin;
pub use step_size::{Auto, StepSize};

use stein_core::{Catalogue, SamplerPart};

/// Makes the samplers of this crate known.
pub fn register(catalogue: &mut Catalogue<SamplerPart>) {
    catalogue.add::<Langevin>().add::<AnnealedLangevin>();
}
