//! Score-matching objectives: numbers that are least when s is the score, one file each.
//!
//! | kind | loss of an example | minimiser |
//! |---|---|---|
//! | `denoising` | ½‖s(x̃) + z/σ‖² | ∇ log p_σ |
//!
//! ½ is kept, dimensions are summed; the trainer weighs each example by λ(σ) ([`Weighting`]) and takes the mean.

mod denoising;
mod weighting;

pub use denoising::Denoising;
pub use weighting::Weighting;

use stein_core::{Catalogue, ObjectivePart};

/// Makes the objectives of this crate known.
pub fn register(catalogue: &mut Catalogue<ObjectivePart>) {
    catalogue.add::<Denoising>();
}
