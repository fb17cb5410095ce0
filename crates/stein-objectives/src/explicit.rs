//! ½‖s − ∇log p_σ‖².

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};

use crate::half_square_error;

/// Explicit score matching: regression on the true score.
///
/// Where the density is known, on its score at σ; for any other data, on the score of the training rows smoothed by σ, whose
/// minimiser memorises them. The yardstick that the other objectives do without.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Explicit {}

impl Component<ObjectivePart> for Explicit {
    const KIND: &'static str = "explicit";
    const PAPER: &'static str = "Hyvärinen 2005; Vincent 2011";

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl Objective for Explicit {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, _: &mut Noise) -> Tensor<1> {
        let exact = batch.exact_score.clone().expect("the trainer gives the exact score to an objective that needs it");
        half_square_error(network, batch.noisy.clone(), Some(exact), &batch.condition)
    }

    fn directions(&self, _: &Perturbed, _: &mut Noise) -> Option<Vec<Tensor<2>>> {
        Some(Vec::new())
    }

    fn takes_energies(&self) -> bool {
        true
    }

    fn needs_exact_score(&self) -> bool {
        true
    }
}
