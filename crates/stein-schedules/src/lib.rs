//! Noise schedules: the levels σ₁ > … > σ_L of the kernel x̃ = α x + σ z, one file each.
//!
//! A schedule is chosen by `kind` in `[schedule]`. Training draws levels from it, samplers walk down it. All schedules here
//! are variance-exploding (α = 1).

mod density;
mod explicit;
mod geometric;
mod karras;
mod ladder;
mod none;
mod uniform;

pub use density::{Density, LogNormal};
pub use explicit::Explicit;
pub use geometric::{Geometric, geometric};
pub use karras::{Karras, karras};
pub use none::NoNoise;
pub use uniform::{Uniform, uniform};

use stein_core::Catalogue;
use stein_core::SchedulePart;

/// Makes the schedules of this crate known.
pub fn register(catalogue: &mut Catalogue<SchedulePart>) {
    catalogue.add::<Geometric>().add::<Uniform>().add::<Karras>().add::<Explicit>().add::<NoNoise>();
}
