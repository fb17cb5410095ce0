//! ½‖s(x̃, σ) + z/σ‖², x̃ = α x + σ z.

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Condition, Invalid, Levels, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};

use crate::along::{products, slopes};
use crate::implicit::check_probes;
use crate::{Probe, half_square_error};

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
    /// M: the square is taken along so many random directions, ½(vᵀs + vᵀz/σ)², their mean; left out, as a whole. Unbiased, since
    /// `E[vvᵀ] = I`, with a variance that grows with D; of an energy, M = 1 saves a third of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub projections: Option<usize>,
    /// The law of these directions.
    pub probe: Probe,
}

impl Component<ObjectivePart> for Denoising {
    const KIND: &'static str = "denoising";
    const PAPER: &'static str =
        "Vincent 2011; Song & Ermon 2019, arXiv 1907.05600; Song & Kingma 2021, arXiv 2101.03288";

    fn check(&self) -> Result<(), Invalid> {
        match self.projections {
            Some(count) => check_probes("projections", count),
            None if self.probe != Probe::default() => Err(Invalid::key(
                "probe",
                "`probe` is the law of random directions, and there are none without `projections`",
            )),
            None => Ok(()),
        }
    }

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl Objective for Denoising {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Tensor<1> {
        let z = batch.noise.clone().expect("the trainer gives noise to an objective that needs it");
        let levels = batch.condition.levels.clone().expect("noise has a level");
        let Levels { alpha, sigma } = levels;
        let (alpha, sigma) = (alpha.unsqueeze_dim::<2>(1), sigma.unsqueeze_dim::<2>(1));
        let column = |numbers: Tensor<2>| numbers.squeeze_dim::<1>(1);
        let directions = self.projections.map(|count| self.probe.directions(count, batch, noise));
        // ½‖s(x) + z/σ‖², or its mean along the directions.
        let error = |x: Tensor<2>, z: Tensor<2>| {
            let target = -z / sigma.clone();
            match &directions {
                None => half_square_error(network, x, Some(target), &batch.condition),
                Some(directions) => half_square_along(network, x, &target, directions, &batch.condition),
            }
        };
        let centre = batch.clean.clone() * alpha;

        let mut loss = error(batch.noisy.clone(), z.clone());
        if self.antithetic {
            let mirrored = centre.clone() - z.clone() * sigma.clone();
            loss = (loss + error(mirrored, -z.clone())) * 0.5;
        }
        if self.control_variate {
            let d = z.dims()[1] as f64;
            loss = loss - column((z.clone().square().sum_dim(1) - d) / (sigma.clone().square() * 2.0));
            // Between z and −z this part cancels by itself.
            if !self.antithetic {
                let slope = slopes(network, centre, &[z], &batch.condition).squeeze_dim::<1>(0);
                loss = loss - slope / column(sigma);
            }
        }
        loss
    }

    fn needs_noise(&self) -> bool {
        true
    }

    fn directions(&self, batch: &Perturbed, noise: &mut Noise) -> Option<Vec<Tensor<2>>> {
        Some(self.probe.directions(self.projections.unwrap_or(0), batch, noise))
    }

    fn takes_energies(&self) -> bool {
        true
    }

    fn probes(&self) -> usize {
        self.projections.unwrap_or(0)
    }
}

/// ½(vᵀ(s − target))², mean over the directions, `[B]`.
fn half_square_along(
    network: &dyn ScoreNetwork,
    x: Tensor<2>,
    target: &Tensor<2>,
    directions: &[Tensor<2>],
    condition: &Condition,
) -> Tensor<1> {
    let errors = slopes(network, x, directions, condition) - products(target, directions);
    errors.square().mean_dim(0).squeeze_dim::<1>(0) * 0.5
}
