//! Noise schedules: the levels σ₁ > … > σ_L of the kernel x̃ = α x + σ z, one file each.
//!
//! A schedule is chosen by `kind` in `[schedule]`. Training draws levels from it, samplers walk down it. Most are
//! variance-exploding (α = 1); `variance-preserving`, `sub-vp` and `cosine` shrink x as noise grows.
//!
//! | kind | the levels |
//! |---|---|
//! | `geometric`, `exponential` | σ_i/σ_{i+1} is the same throughout; `exponential` bends that by a power ρ |
//! | `uniform` | σ_i − σ_{i+1} is the same throughout |
//! | `karras` | σ_i^{1/ρ} is |
//! | `explicit` | as listed |
//! | `variance-preserving`, `sub-vp` | those of the score SDE at even times, by β(t) |
//! | `cosine` | those of improved DDPM |
//! | `none` | no noise |
//!
//! `sigma-max` and `levels` can be `"auto"`: NCSNv2's techniques 1 and 2. A schedule's `density` is how training draws σ.

#![forbid(unsafe_code)]

mod auto;
mod beta;
mod cosine;
mod density;
mod explicit;
mod exponential;
mod geometric;
mod karras;
mod ladder;
mod none;
mod sub_vp;
mod suggest;
mod uniform;
mod variance_preserving;

pub use auto::{Auto, LevelCount, SigmaMax};
pub use beta::Beta;
pub use cosine::Cosine;
pub use density::{Density, LogNormal};
pub use explicit::Explicit;
pub use exponential::{Exponential, exponential};
pub use geometric::{Geometric, geometric};
pub use karras::{Karras, karras};
pub use none::NoNoise;
pub use sub_vp::SubVp;
pub use suggest::{Ends, MOST_OVERLAP, MOST_ROWS, largest_distance};
pub use uniform::{Uniform, uniform};
pub use variance_preserving::VariancePreserving;

use stein_core::Catalogue;
use stein_core::SchedulePart;

/// Makes the schedules of this crate known.
pub fn register(catalogue: &mut Catalogue<SchedulePart>) {
    catalogue
        .add::<Geometric>()
        .add::<Uniform>()
        .add::<Karras>()
        .add::<Exponential>()
        .add::<Explicit>()
        .add::<VariancePreserving>()
        .add::<SubVp>()
        .add::<Cosine>()
        .add::<NoNoise>();
}
