//! ½‖s(x̃, σ) + z/σ‖², x̃ = α x + σ z.

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Invalid, Levels, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};

use crate::implicit::half_square;

/// Denoising score matching: regression on −z/σ, the score of the perturbation kernel.
///
/// Its mean is the explicit objective at σ plus a constant that no network can remove, so its minimiser is the score of the
/// perturbed density p_σ. Costs one evaluation. Over a ladder of levels with weight σ² it is the objective of NCSN. Its
/// gradient's variance grows as σ falls; `control-variate` and `antithetic` take noise out of it that says nothing of s.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Denoising {
    /// Subtracts s(αx, σ)ᵀz/σ + (‖z‖² − D)/(2σ²), which is zero in the mean and nearly all of the variance at small σ
    /// (Song & Kingma 2021, after Wang et al. 2020). One more evaluation of the network.
    pub control_variate: bool,
    /// The mean over z and −z: what is odd in z cancels. One more evaluation of the network.
    pub antithetic: bool,
}

impl Component<ObjectivePart> for Denoising {
    const KIND: &'static str = "denoising";
    const PAPER: &'static str =
        "Vincent 2011; Song & Ermon 2019, arXiv 1907.05600; Song & Kingma 2021, arXiv 2101.03288";

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl Objective for Denoising {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, _: &mut Noise) -> Tensor<1> {
        let z = batch.noise.clone().expect("the trainer gives noise to an objective that needs it");
        let levels = batch.condition.levels.clone().expect("noise has a level");
        let Levels { alpha, sigma } = levels;
        let (alpha, sigma) = (alpha.unsqueeze_dim::<2>(1), sigma.unsqueeze_dim::<2>(1));
        let column = |numbers: Tensor<2>| numbers.squeeze_dim::<1>(1);
        let at = |x: Tensor<2>| network.score(x, &batch.condition);
        let centre = batch.clean.clone() * alpha;

        let mut loss = half_square(at(batch.noisy.clone()) + z.clone() / sigma.clone());
        if self.antithetic {
            let mirrored = centre.clone() - z.clone() * sigma.clone();
            loss = (loss + half_square(at(mirrored) - z.clone() / sigma.clone())) * 0.5;
        }
        if self.control_variate {
            let d = z.dims()[1] as f64;
            loss = loss - column((z.clone().square().sum_dim(1) - d) / (sigma.clone().square() * 2.0));
            // Between z and −z this part cancels by itself.
            if !self.antithetic {
                loss = loss - column((at(centre) * z).sum_dim(1) / sigma);
            }
        }
        loss
    }

    fn needs_noise(&self) -> bool {
        true
    }
}
