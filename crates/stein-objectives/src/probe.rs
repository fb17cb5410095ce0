//! Random directions v with `E[vvᵀ] = I`.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Noise, Perturbed, matrix};

/// The law of random directions; each has `E[vvᵀ] = I`, so that vᵀ J v is unbiased for tr J.
///
/// The variance of vᵀ J v, with A the symmetric part of J: Gaussian 2‖A‖²; Rademacher 2(‖A‖² − Σ A_ii²); sphere
/// 2D/(D + 2)·(‖A‖² − tr²A/D).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Signs: ±1 with equal probability (Hutchinson 1990).
    #[default]
    Rademacher,
    /// Standard normals.
    Gaussian,
    /// Uniform on the sphere of radius √D.
    Sphere,
}

impl Probe {
    /// `count` directions for each noisy example of a batch, `[B, D]` each: those that the batch brings, else random ones.
    pub fn directions(self, count: usize, batch: &Perturbed, noise: &mut Noise) -> Vec<Tensor<2>> {
        match &batch.probes {
            Some(given) => given.iter().take(count).cloned().collect(),
            None => (0..count).map(|_| self.draw(&batch.noisy, noise)).collect(),
        }
    }

    /// One direction for each row of `like` `[B, D]`, `[B, D]`.
    pub fn draw(self, like: &Tensor<2>, noise: &mut Noise) -> Tensor<2> {
        let ([batch, d], device) = (like.dims(), like.device());
        let values = match self {
            Self::Rademacher => {
                noise.uniforms(batch * d).into_iter().map(|u| if u < 0.5 { -1.0 } else { 1.0 }).collect()
            }
            Self::Gaussian => noise.normals(batch * d),
            Self::Sphere => {
                let mut z = noise.normals(batch * d);
                for row in z.chunks_mut(d) {
                    let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                    let scale = (d as f64).sqrt() / norm;
                    row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
                }
                z
            }
        };
        matrix(values, d, &device)
    }
}
