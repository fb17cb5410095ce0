//! Score networks, one file each, their forward pass written once against jets.
//!
//! | kind | what it is |
//! |---|---|
//! | `mlp` | fully connected, for tables and toys |
//! | `energy-mlp` | the same with one output, of which the score is minus a gradient |
//! | `ncsn` | the RefineNet of NCSN, for images; it knows levels by their number |
//! | `ncsnv2` | the RefineNet of NCSNv2, for images; it is not told σ |
//! | `ncsnpp` | the U-Nets of the score SDE, NCSN++, DDPM++ and DDPM, as their authors' checkpoints have them |
//! | `unet` | convolutional with two or more resolutions, for images |
//! | `exact` | the data's own score, where they know it: nothing is trained |
//!
//! A component gives a raw network F(x, ln σ/α); [`Parameterized`] makes a score of it ([`Parameterization`], a key of every
//! network). With `conservative = true` an energy is made of any of them. With `classes = true` it is told the class of an example too, or the null token. Initial weights come from the run's noise streams, so a run starts alike on every backend.

#![forbid(unsafe_code)]

mod embedding;
mod energy_mlp;
mod exact;
mod mlp;
mod ncsn;
mod ncsnpp;
mod ncsnv2;
mod parameterization;
mod refinenet;
mod unet;

pub use embedding::{LogSigma, OneHot, SineCosine};
pub use energy_mlp::{EnergyMlp, EnergyMlpConfig};
pub use exact::{Exact, ExactConfig};
pub use mlp::{Embedding, Mlp, MlpConfig};
pub use ncsn::NcsnConfig;
pub use ncsnpp::{
    BlockKind, Combination, Ncsnpp, NcsnppConfig, NoiseEmbedding, ProgressiveInput, ProgressiveOutput, Resampler, Sde,
};
pub use ncsnv2::{Ncsnv2Config, Ncsnv2Depth};
pub use parameterization::{Parameterization, Parameterized, SIGMA_DATA};
pub use refinenet::{Pooling, RefineNet};
pub use unet::{Resampling, SigmaEmbedding, Skips, Unet, UnetConfig};

use stein_core::{Catalogue, NetworkPart};

/// Makes the networks of this crate known.
pub fn register(catalogue: &mut Catalogue<NetworkPart>) {
    catalogue
        .add::<MlpConfig>()
        .add::<EnergyMlpConfig>()
        .add::<UnetConfig>()
        .add::<NcsnConfig>()
        .add::<Ncsnv2Config>()
        .add::<NcsnppConfig>()
        .add::<ExactConfig>();
}
