//! tr ∇s + ½‖s‖².

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};
use stein_jet::Jet;

use crate::Probe;

/// Implicit score matching: the explicit objective minus a constant, without the true score.
///
/// How is the trace computed? The score's directional derivatives J v are carried forward with it (jets), so an ordinary
/// backward pass gives the exact gradient in the parameters. `exact` takes the D unit directions, which costs about 1 + D
/// evaluations of the batch at once; `hutchinson` takes `probes` random ones, unbiased, for about 1 + `probes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Implicit {
    /// How the trace is computed.
    pub trace: Trace,
    /// The law of random directions, for `hutchinson`.
    pub probe: Probe,
    /// Random directions of each example, for `hutchinson`.
    #[schemars(range(min = 1, max = 4096))]
    pub probes: usize,
}

/// How the trace of the score's Jacobian is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trace {
    /// Σ_i e_iᵀ J e_i.
    #[default]
    Exact,
    /// The mean of vᵀ J v over random directions (Hutchinson 1990).
    Hutchinson,
}

impl Default for Implicit {
    fn default() -> Self {
        Self { trace: Trace::Exact, probe: Probe::Rademacher, probes: 1 }
    }
}

impl Component<ObjectivePart> for Implicit {
    const KIND: &'static str = "implicit";
    const PAPER: &'static str = "Hyvärinen 2005, JMLR 6; Hutchinson 1990";

    fn check(&self) -> Result<(), Invalid> {
        check_probes("probes", self.probes)
    }

    fn build(&self, (): ()) -> Result<Arc<dyn Objective>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

/// Refuses no directions, or more than are sensible.
pub(crate) fn check_probes(key: &str, count: usize) -> Result<(), Invalid> {
    if (1..=4096).contains(&count) {
        return Ok(());
    }
    Err(Invalid::key(key, format!("`{key}` is {count}; it must be from 1 to 4096")))
}

impl Implicit {
    fn directions(&self, x: &Tensor<2>, noise: &mut Noise) -> Vec<Tensor<2>> {
        match self.trace {
            Trace::Exact => unit_directions(x),
            Trace::Hutchinson => (0..self.probes).map(|_| self.probe.draw(x, noise)).collect(),
        }
    }
}

impl Objective for Implicit {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Tensor<1> {
        let directions = self.directions(&batch.noisy, noise);
        let jet = network.jet(Jet::seed(batch.noisy.clone(), directions.clone()), &batch.condition);
        let curvature = along(&jet, &directions).sum_dim(0);
        let trace = match self.trace {
            Trace::Exact => curvature,
            Trace::Hutchinson => curvature / self.probes as f64,
        };
        trace.squeeze_dim::<1>(0) + half_square(jet.value())
    }
}

/// e_1, …, e_D for each row of `like` `[B, D]`.
fn unit_directions(like: &Tensor<2>) -> Vec<Tensor<2>> {
    let [_, d] = like.dims();
    let zeros = like.zeros_like();
    (0..d)
        .map(|i| {
            let one = zeros.clone().narrow(1, i, 1) + 1.0;
            let parts = [(i > 0).then(|| zeros.clone().narrow(1, 0, i)), Some(one)];
            let rest = (i + 1 < d).then(|| zeros.clone().narrow(1, i + 1, d - i - 1));
            Tensor::cat(parts.into_iter().flatten().chain(rest).collect(), 1)
        })
        .collect()
}

/// vᵀ J v for each direction and example, `[K, B]`.
pub(crate) fn along(jet: &Jet<2>, directions: &[Tensor<2>]) -> Tensor<2> {
    let (batch, k) = (jet.batch(), directions.len());
    let products = jet.tangents() * Tensor::cat(directions.to_vec(), 0);
    products.sum_dim(1).reshape([k, batch])
}

/// ½‖row‖² of each row, `[B]`.
pub(crate) fn half_square(rows: Tensor<2>) -> Tensor<1> {
    rows.square().sum_dim(1).squeeze_dim::<1>(1) * 0.5
}
