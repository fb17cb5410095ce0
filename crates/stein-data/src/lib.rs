//! Data sources, one file each, and densities that know their own score.
//!
//! | kind | what it is |
//! |---|---|
//! | `digits` | 1797 handwritten digits of 8×8 pixels, embedded |
//! | `mnist`, `fashion-mnist` | 70,000 grey pictures of 28×28 pixels in ten classes, from files ([`files`] says where they are had) |
//! | `cifar10`, `cifar100` | 60,000 colour pictures of 32×32 pixels, from files likewise |
//! | `images` | pictures of one's own: a folder, a zip archive, a sheet |
//! | `table` | rows of numbers of one's own: `.npy`, `.csv`, `.parquet` |
//! | `gaussian-mixture` | K isotropic Gaussians; exact score and density at every σ |
//! | `gaussian` | N(0, s² I) in any dimension, or any N(m, C), likewise |
//! | `eight-gaussians` | eight modes on a circle, likewise |
//! | `point-masses` | a law without a density; exact score and density wherever σ > 0 |
//! | `funnel` | Neal's funnel; exact score and density without noise only |
//! | `two-moons`, `checkerboard`, `spirals`, `swiss-roll`, `rings`, `pinwheel` | the usual sets in the plane; exact wherever σ > 0, for a sample of them |
//!
//! [`IsotropicMixture`] is the density behind `gaussian-mixture`, and with a component a training row it is the Gaussian-smoothed
//! empirical distribution, whose score is what a network that memorises would learn.

#![forbid(unsafe_code)]

mod cifar;
mod digits;
mod eight_gaussians;
pub mod files;
mod full_gaussian;
mod funnel;
mod gaussian;
mod gaussian_mixture;
mod images;
mod isotropic_mixture;
mod mnist;
mod pixels;
mod plane;
mod point_masses;
mod split;
mod symmetric;
mod table;

pub use cifar::{Cifar10, Cifar100, Label};
pub use digits::Digits;
pub use eight_gaussians::EightGaussians;
pub use full_gaussian::FullGaussian;
pub use funnel::{Funnel, FunnelDensity};
pub use gaussian::Gaussian;
pub use gaussian_mixture::GaussianMixture;
pub use images::{Channels, Images};
pub use isotropic_mixture::IsotropicMixture;
pub use mnist::{FashionMnist, Mnist};
pub use plane::{Checkerboard, Pinwheel, Rings, Spirals, SwissRoll, TwoMoons};
pub use point_masses::PointMasses;
pub use table::Table;

use stein_core::{Catalogue, DataPart};

/// Makes the data sources of this crate known.
pub fn register(catalogue: &mut Catalogue<DataPart>) {
    catalogue
        .add::<Digits>()
        .add::<Mnist>()
        .add::<FashionMnist>()
        .add::<Cifar10>()
        .add::<Cifar100>()
        .add::<Images>()
        .add::<Table>()
        .add::<GaussianMixture>()
        .add::<Gaussian>()
        .add::<EightGaussians>()
        .add::<PointMasses>()
        .add::<Funnel>()
        .add::<TwoMoons>()
        .add::<Checkerboard>()
        .add::<Spirals>()
        .add::<SwissRoll>()
        .add::<Rings>()
        .add::<Pinwheel>();
}
