//! Instance normalisation++, the same for all noise levels or of each its own.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{Device, Tensor, TensorData};
use stein_core::{Noise, init};
use stein_jet::{Jet, instance_norm_plus};

use super::Pass;

const EPSILON: f64 = 1e-5;
/// Mean and standard deviation of γ and α at the start.
const SCALES: [f64; 2] = [1.0, 0.02];

/// Instance normalisation++ of images, `[B, C, H, W]` to the same: see [`instance_norm_plus`].
#[derive(Module, Debug)]
pub(super) enum Norm {
    Plain(InstanceNormPlus),
    Conditional(ConditionalInstanceNormPlus),
}

/// γ, α and β `[C]`.
#[derive(Module, Debug)]
pub(super) struct InstanceNormPlus {
    alpha: Param<Tensor<1>>,
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
}

/// γ, α and β of each noise level, side by side: a table `[L, 3 C]`.
#[derive(Module, Debug)]
pub(super) struct ConditionalInstanceNormPlus {
    embed: Embedding,
}

impl Norm {
    /// Of `levels` noise levels, or the same for all.
    pub(super) fn new(channels: usize, levels: Option<usize>, noise: &mut Noise, device: &Device) -> Self {
        let Some(levels) = levels else {
            return Self::Plain(InstanceNormPlus {
                alpha: init::normal([channels], SCALES, noise, device),
                gamma: init::normal([channels], SCALES, noise, device),
                beta: init::zeros([channels], device),
            });
        };
        let [mean, std] = SCALES;
        let row = |noise: &mut Noise| {
            let scales = noise.normals(2 * channels).into_iter().map(|z| (mean + std * f64::from(z)) as f32);
            scales.chain(std::iter::repeat_n(0.0, channels)).collect::<Vec<_>>()
        };
        let table: Vec<f32> = (0..levels).flat_map(|_| row(noise)).collect();
        let mut embed = EmbeddingConfig::new(levels, 3 * channels).init(device);
        embed.weight = Param::from_data(TensorData::new(table, [levels, 3 * channels]), device);
        Self::Conditional(ConditionalInstanceNormPlus { embed })
    }

    pub(super) fn forward(&self, x: Jet<4>, pass: &Pass) -> Jet<4> {
        let affine = match self {
            Self::Plain(InstanceNormPlus { alpha, gamma, beta }) => {
                [gamma, alpha, beta].map(|part| part.val().unsqueeze::<2>())
            }
            Self::Conditional(ConditionalInstanceNormPlus { embed }) => {
                let level = pass.level.clone().expect("a table of levels is asked with their numbers");
                let rows = embed.weight.val().select(0, level);
                let channels = rows.dims()[1] / 3;
                [0, 1, 2].map(|i| rows.clone().narrow(1, i * channels, channels))
            }
        };
        instance_norm_plus(x, affine, EPSILON)
    }
}
