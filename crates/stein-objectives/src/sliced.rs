//! vᵀ J v + ½(vᵀ s)², or + ½‖s‖².

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Energy, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};
use stein_jet::Jet;

use crate::along::half_square;
use crate::implicit::check_probes;
use crate::{Along, Probe, half_square_error};

/// Sliced score matching: the implicit objective along random directions.
///
/// vᵀ J v is one directional derivative, whatever the dimension: by jets exactly, or by central differences of the score
/// (`derivative = "finite-difference"`, Pang et al. 2020). The variance-reduced form knows that E(vᵀs)² = ‖s‖².
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Sliced {
    /// Whether ½‖s‖² stands in place of ½(vᵀs)².
    pub variance_reduced: bool,
    /// M, directions of each example.
    #[schemars(range(min = 1, max = 4096))]
    pub projections: usize,
    /// The law of directions.
    pub probe: Probe,
    /// How vᵀ J v is computed.
    pub derivative: Derivative,
    /// ε of `finite-difference`: scores are taken at x ± ε v/‖v‖. It must be well below the smallest σ (without noise, the
    /// finest scale of the data): what varies as fast as ε is not seen, and the true score is then no minimiser.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
}

/// How a directional derivative is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Derivative {
    /// Carried forward with the score: exact.
    #[default]
    Forward,
    /// vᵀ(s₊ − s₋)‖v‖/(2ε), with ½(…)² of the mean score (s₊ + s₋)/2; of energies (2E − E₊ − E₋)‖v‖²/ε², with ½(vᵀs)² by their
    /// difference too (Pang et al. 2020, arXiv 2007.03317).
    FiniteDifference,
}

impl Default for Sliced {
    fn default() -> Self {
        Self {
            variance_reduced: true,
            projections: 1,
            probe: Probe::Rademacher,
            derivative: Derivative::Forward,
            epsilon: 0.1,
        }
    }
}

impl Component<ObjectivePart> for Sliced {
    const KIND: &'static str = "sliced";
    const PAPER: &'static str = "Song et al. 2019, arXiv 1905.07088";

    fn check(&self) -> Result<(), Invalid> {
        check_probes("projections", self.projections)?;
        Invalid::unless_positive("epsilon", self.epsilon)
    }

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl Sliced {
    /// vᵀ J v + ½(vᵀs)², or + ½‖s‖², summed over the directions, `[B]`: for an energy −vᵀ∇²E v + ½(vᵀ∇E)², out of one jet.
    fn forward(&self, network: &dyn ScoreNetwork, batch: &Perturbed, directions: &[Tensor<2>]) -> Tensor<1> {
        let along = Along::directions(network, batch, directions);
        if self.variance_reduced {
            along.curvature() + along.half_square_score(network, batch) * directions.len() as f64
        } else {
            along.curvature() + along.half_square_slopes()
        }
    }

    /// The same for one direction from the scores at x ± ε v/‖v‖.
    fn difference(&self, network: &dyn ScoreNetwork, batch: &Perturbed, v: &Tensor<2>) -> Tensor<1> {
        let length = v.clone().square().sum_dim(1).sqrt();
        let step = v.clone() / length.clone() * self.epsilon;
        let (plus, minus) = (batch.noisy.clone() + step.clone(), batch.noisy.clone() - step);
        if let Some(energy) = network.energy() {
            return self.energy_difference(network, energy, batch, [plus, minus], length.squeeze_dim::<1>(1));
        }
        let plus = network.score(plus, &batch.condition);
        let minus = network.score(minus, &batch.condition);
        let slope = (v.clone() * (plus.clone() - minus.clone())).sum_dim(1) * length / (2.0 * self.epsilon);
        let mean = (plus + minus) * 0.5;
        let square = if self.variance_reduced {
            half_square(mean)
        } else {
            (mean * v.clone()).sum_dim(1).square().squeeze_dim::<1>(1) * 0.5
        };
        slope.squeeze_dim::<1>(1) + square
    }

    /// The same from three energies: ‖v‖²/ε² · (2E − E₊ − E₋ + (E₊ − E₋)²/8), of which the last is ½(vᵀ∇E)² (Pang et al. 2020).
    fn energy_difference(
        &self,
        network: &dyn ScoreNetwork,
        energy: &dyn Energy,
        batch: &Perturbed,
        sides: [Tensor<2>; 2],
        length: Tensor<1>,
    ) -> Tensor<1> {
        let at = |x: Tensor<2>| energy.evaluate(Jet::plain(x), &batch.condition).into_value().squeeze_dim::<1>(1);
        let (here, [plus, minus]) = (at(batch.noisy.clone()), sides.map(at));
        let bend = here * 2.0 - plus.clone() - minus.clone();
        let scale = length.square() / (self.epsilon * self.epsilon);
        if self.variance_reduced {
            return bend * scale + half_square_error(network, batch.noisy.clone(), None, &batch.condition);
        }
        (bend + (plus - minus).square() / 8.0) * scale
    }
}

impl Objective for Sliced {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Tensor<1> {
        let directions = self.probe.directions(self.projections, batch, noise);
        let sum = match self.derivative {
            Derivative::Forward => self.forward(network, batch, &directions),
            Derivative::FiniteDifference => directions
                .iter()
                .map(|v| self.difference(network, batch, v))
                .reduce(|a, b| a + b)
                .expect("at least one direction is checked for"),
        };
        sum / self.projections as f64
    }

    fn directions(&self, batch: &Perturbed, noise: &mut Noise) -> Option<Vec<Tensor<2>>> {
        Some(self.probe.directions(self.projections, batch, noise))
    }

    fn takes_energies(&self) -> bool {
        true
    }

    fn probes(&self) -> usize {
        self.projections
    }
}
