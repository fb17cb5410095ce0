//! Linear inverse problems: samples of x given y = A x + σ_y n, with the score of x's law alone.
//!
//! | method | what it does |
//! |---|---|
//! | `projection` | any sampler; after each step what y says of x̃ is replaced by α y + σ A z |
//! | `posterior` | any sampler, on s(x̃) + ∇ log p(y ∣ x̃), where x given x̃ has the Tweedie mean x̂ and covariance r² I |
//! | `moment-matching` | the same with the covariance that follows from the score, (σ²/α) ∂x̂/∂x̃ |
//!
//! A problem, `[inverse]`, is the rows of A. They are turned so that they are orthogonal ([`Measurement`]): white noise stays
//! white, and all of the above is elementwise.

mod blur;
mod complete;
mod downsampling;
mod inpainting;
mod linear;
mod measurement;
mod posterior;
mod projection;

pub use blur::Blur;
pub use complete::{Given, complete};
pub use downsampling::Downsampling;
pub use inpainting::{Inpainting, Known};
pub use linear::Linear;
pub use measurement::Measurement;
pub use posterior::{Covariance, Posterior};
pub use projection::Projection;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Catalogue, Dataset, ImageShape, Invalid, InversePart};

/// How samples are made to agree with what was measured; a key of every inverse problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// After each step, to the level (α, σ), what was measured of x̃ is replaced by α y + σ A z, and at last by y (Song & Ermon
    /// 2019, arXiv 1907.05600, algorithm 2). It takes y as exact. The rest hears of y only through the next steps: with few
    /// of them a level it comes out as if y said less than it does.
    Projection,
    /// The score of p(y ∣ x̃) is added, with x given x̃ as N(x̂, r² I), r² = σ²τ²/(α²τ² + σ²) and τ the standard deviation of
    /// the data (ΠGDM: Song et al. 2023, Pseudoinverse-guided diffusion models; before it DPS: Chung et al. 2022, arXiv
    /// 2209.14687). Exact for data from N(m, τ² I).
    #[default]
    Posterior,
    /// The same with the covariance of x given x̃ that the score's derivative tells, by conjugate gradients (MMPS: Rozet et al.
    /// 2024, arXiv 2405.13712). Exact for data from any Gaussian, in enough iterations. It needs a derivative that can be trusted:
    /// where the noise hides the data, I + σ² ∇s is a small difference, and that of a network may be rough enough for chains
    /// to run away.
    MomentMatching,
}

/// Numbers that A may have.
const MOST: usize = 1 << 26;

/// Makes the inverse problems of this crate known.
pub fn register(catalogue: &mut Catalogue<InversePart>) {
    catalogue.add::<Inpainting>().add::<Downsampling>().add::<Blur>().add::<Linear>();
}

/// The images' shape, or that the problem needs one.
fn image_of(dataset: &Dataset, kind: &str) -> Result<ImageShape, Invalid> {
    dataset.image.ok_or_else(|| Invalid::new(format!("`{kind}` is about images, and these data are none")))
}

/// Refuses an A that nobody could hold.
fn unless_small(rows: usize, dimension: usize) -> Result<(), Invalid> {
    match rows.checked_mul(dimension) {
        Some(n) if n <= MOST => Ok(()),
        _ => {
            Err(Invalid::new(format!("{rows} measurements of {dimension} numbers: A may have at most {MOST} entries")))
        }
    }
}
