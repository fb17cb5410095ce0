//! An objective of one's own: denoising score matching that does not square large errors.
//!
//! ```console
//! $ cargo run --release --example own_objective -- run my.toml      # [objective] kind = "huber-denoising"
//! ```

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein::core::{Component, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};

/// Denoising with the pseudo-Huber loss δ²(√(1 + ‖σs + z‖²/δ²) − 1)/σ²: ½‖s + z/σ‖² for small errors, linear in large ones.
///
/// Robust, at a price: its minimiser is the score only where z given x̃ is symmetric about its mean.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct HuberDenoising {
    /// δ, the size of error from which the loss grows linearly.
    delta: f64,
}

impl Default for HuberDenoising {
    fn default() -> Self {
        Self { delta: 5.0 }
    }
}

impl Component<ObjectivePart> for HuberDenoising {
    const KIND: &'static str = "huber-denoising";
    const PAPER: &'static str = "Charbonnier et al. 1997";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_positive("delta", self.delta)
    }

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl Objective for HuberDenoising {
    /// One number an example, `[B]`, unweighted: the trainer multiplies by λ(σ) and takes the mean.
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, _: &mut Noise) -> Tensor<1> {
        let (Some(z), Some(levels)) = (&batch.noise, &batch.condition.levels) else {
            panic!("experiments without noise are refused: see needs_noise");
        };
        let sigma = levels.sigma.clone().unsqueeze_dim::<2>(1);
        let score = network.score(batch.noisy.clone(), &batch.condition);
        let error = (score * sigma.clone() + z.clone()).square().sum_dim(1);
        let delta2 = self.delta * self.delta;
        let huber = ((error / delta2 + 1.0).sqrt() - 1.0) * delta2;
        (huber / sigma.square()).squeeze_dim(1)
    }

    fn needs_noise(&self) -> bool {
        true
    }
}

fn main() -> std::process::ExitCode {
    stein::cli::main(|registry| {
        registry.objectives.add::<HuberDenoising>();
    })
}
