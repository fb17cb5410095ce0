//! Score-matching objectives: numbers that are least when s is the score, one file each.
//!
//! | kind | loss of an example | minimiser |
//! |---|---|---|
//! | `explicit` | ½‖s − ∇log p_σ‖² | ∇ log p_σ |
//! | `implicit` | tr ∇s + ½‖s‖² | the same |
//! | `sliced` | vᵀ ∇s v + ½(vᵀs)², or + ½‖s‖² | the same |
//! | `denoising` | ½‖s(x̃) + z/σ‖² | the same |
//!
//! The minimiser of `sliced` by finite differences is the score only as ε goes to 0. ½ is kept, dimensions are summed; the
//! trainer weighs each example by λ(σ) ([`Weighting`]) and takes the mean. In expectation the four differ by constants only:
//! explicit = implicit + ½E‖∇log p_σ‖² = denoising − its floor. What differs is what they need (the true score; derivatives of
//! the network; noise), what they cost, and the variance of their gradients.
//!
//! All can be taken on energies, s = −∇E, without differentiating a gradient: [`Along`] and [`half_square_error`] say how.

#![forbid(unsafe_code)]

mod along;
mod denoising;
mod explicit;
mod hutch_plus_plus;
mod implicit;
mod probe;
mod sliced;
mod weighting;

pub use along::{Along, half_square_error, slopes};
pub use denoising::Denoising;
pub use explicit::Explicit;
pub use implicit::{Implicit, Trace};
pub use probe::Probe;
pub use sliced::{Derivative, Sliced};
pub use weighting::{WeightAt, Weighting};

use stein_core::{Catalogue, ObjectivePart};

/// Makes the objectives of this crate known.
pub fn register(catalogue: &mut Catalogue<ObjectivePart>) {
    catalogue.add::<Denoising>().add::<Explicit>().add::<Implicit>().add::<Sliced>();
}
