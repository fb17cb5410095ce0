//! ½‖s(x̃, σ) + z/σ‖², x̃ = α x + σ z.

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};

/// Denoising score matching: regression on −z/σ, the score of the perturbation kernel.
///
/// Its mean is the explicit objective at σ plus a constant that no network can remove, so its minimiser is the score of the
/// perturbed density p_σ. Costs one evaluation. Over a ladder of levels with weight σ² it is the objective of NCSN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Denoising {}

impl Component<ObjectivePart> for Denoising {
    const KIND: &'static str = "denoising";
    const PAPER: &'static str = "Vincent 2011; Song & Ermon 2019, arXiv 1907.05600";

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl Objective for Denoising {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, _: &mut Noise) -> Tensor<1> {
        let (Some(z), Some(levels)) = (&batch.noise, &batch.condition.levels) else {
            panic!("denoising score matching needs noise; an experiment without is refused when it is checked");
        };
        let sigma = levels.sigma.clone().unsqueeze_dim::<2>(1);
        let residual = network.score(batch.noisy.clone(), &batch.condition) + z.clone() / sigma;
        residual.square().sum_dim(1).squeeze_dim::<1>(1) * 0.5
    }

    fn needs_noise(&self) -> bool {
        true
    }
}
