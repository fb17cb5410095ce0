//! vᵀ J v + ½(vᵀ s)², or + ½‖s‖².

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};
use stein_jet::Jet;

use crate::Probe;
use crate::implicit::{along, check_probes, half_square};

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
    /// vᵀ(s₊ − s₋)‖v‖/(2ε), with ½(…)² of the mean score (s₊ + s₋)/2 (Pang et al. 2020, arXiv 2007.03317).
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
    /// ½(vᵀs)² or ½‖s‖², `[B]`.
    fn square(&self, score: &Tensor<2>, v: &Tensor<2>) -> Tensor<1> {
        if self.variance_reduced {
            return half_square(score.clone());
        }
        (score.clone() * v.clone()).sum_dim(1).square().squeeze_dim::<1>(1) * 0.5
    }

    /// The score at x and vᵀ J v for each direction, `[M, B]`, in one pass.
    fn forward(&self, network: &dyn ScoreNetwork, batch: &Perturbed, directions: &[Tensor<2>]) -> Tensor<1> {
        let jet = network.jet(Jet::seed(batch.noisy.clone(), directions.to_vec()), &batch.condition);
        let curvature = along(&jet, directions).sum_dim(0).squeeze_dim::<1>(0);
        let score = jet.value();
        directions.iter().fold(curvature, |sum, v| sum + self.square(&score, v))
    }

    /// The same for one direction from the scores at x ± ε v/‖v‖.
    fn difference(&self, network: &dyn ScoreNetwork, batch: &Perturbed, v: &Tensor<2>) -> Tensor<1> {
        let length = v.clone().square().sum_dim(1).sqrt();
        let step = v.clone() / length.clone() * self.epsilon;
        let plus = network.score(batch.noisy.clone() + step.clone(), &batch.condition);
        let minus = network.score(batch.noisy.clone() - step, &batch.condition);
        let slope = (v.clone() * (plus.clone() - minus.clone())).sum_dim(1) * length / (2.0 * self.epsilon);
        slope.squeeze_dim::<1>(1) + self.square(&((plus + minus) * 0.5), v)
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

    fn probes(&self) -> usize {
        self.projections
    }
}
