//! Data sources, one file each, and densities that know their own score.
//!
//! | kind | what it is |
//! |---|---|
//! | `digits` | 1797 handwritten digits of 8×8 pixels, embedded |
//! | `gaussian-mixture` | K isotropic Gaussians; exact score and density at every σ |
//! | `gaussian` | N(0, s² I) in any dimension, likewise |
//!
//! [`IsotropicMixture`] is the density behind `gaussian-mixture`, and with a component a training row it is the Gaussian-smoothed
//! empirical distribution, whose score is what a network that memorises would learn.

mod digits;
mod gaussian;
mod gaussian_mixture;
mod isotropic_mixture;

pub use digits::Digits;
pub use gaussian::Gaussian;
pub use gaussian_mixture::GaussianMixture;
pub use isotropic_mixture::IsotropicMixture;

use stein_core::{Catalogue, DataPart};

/// Makes the data sources of this crate known.
pub fn register(catalogue: &mut Catalogue<DataPart>) {
    catalogue.add::<Digits>().add::<GaussianMixture>().add::<Gaussian>();
}
