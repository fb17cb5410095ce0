//! tr ∇s + ½‖s‖².

use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Invalid, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork};
use stein_jet::Jet;

use crate::hutch_plus_plus::{orthonormal, project_out};
use crate::{Along, Probe};

/// Implicit score matching: the explicit objective minus a constant, without the true score.
///
/// How is the trace computed? The score's directional derivatives J v are carried forward with it (jets), so an ordinary
/// backward pass gives the exact gradient in the parameters; nothing is differentiated twice. An `mlp` of one or two hidden layers
/// has the trace in closed form.
///
/// | `trace` | what | cost, in evaluations of the batch | variance |
/// |---|---|---|---|
/// | `exact` | tr J in closed form where the network has one, else as `basis` | 1, else 1 + D | none |
/// | `basis` | Σ_i e_iᵀ J e_i | 1 + D | none |
/// | `hutchinson` | mean of vᵀ J v over M random v | 1 + M | of the probe's law, over M |
/// | `hutch++` | exact on the span of J's action on M/3 directions, Hutchinson with M/3 on the rest | 2 + M | small where J is near low rank |
///
/// All are unbiased, and so are their gradients. In a backward pass each evaluation costs about as much again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Implicit {
    /// How the trace is computed.
    pub trace: Trace,
    /// The law of random directions, for `hutchinson` and `hutch++`.
    pub probe: Probe,
    /// M, products with the Jacobian for each example: random directions of `hutchinson`; for `hutch++` a multiple of 3,
    /// below 3 D.
    #[schemars(range(min = 1, max = 4096))]
    pub probes: usize,
}

/// How the trace of the score's Jacobian is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trace {
    /// tr J, by the network's closed form if it has one, else Σ_i e_iᵀ J e_i.
    #[default]
    Exact,
    /// Σ_i e_iᵀ J e_i, whatever the network: what an exact trace costs in general.
    Basis,
    /// The mean of vᵀ J v over random directions (Hutchinson 1990).
    Hutchinson,
    /// tr Qᵀ J Q + Hutchinson on the complement of Q, with Q an orthonormal basis of J's action on random directions
    /// (Meyer et al. 2021, arXiv 2010.09649). Q is held constant in the gradient, which stays unbiased.
    #[serde(rename = "hutch++")]
    HutchPlusPlus,
}

impl Default for Implicit {
    fn default() -> Self {
        Self { trace: Trace::Exact, probe: Probe::Rademacher, probes: 1 }
    }
}

impl Component<ObjectivePart> for Implicit {
    const KIND: &'static str = "implicit";
    const PAPER: &'static str = "Hyvärinen 2005, JMLR 6; Hutchinson 1990; Meyer et al. 2021, arXiv 2010.09649";

    fn check(&self) -> Result<(), Invalid> {
        check_probes("probes", self.probes)?;
        if self.trace == Trace::HutchPlusPlus && !self.probes.is_multiple_of(3) {
            let m = self.probes;
            return Err(Invalid::key("probes", format!("`probes` is {m}; for `hutch++` it must be a multiple of 3")));
        }
        Ok(())
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

/// Directions of an exact trace at most: for each there is a row of D numbers an example.
const MOST_EXACT: usize = 1024;

impl Implicit {
    /// Derivatives along the directions of Hutch++: the trace estimate is the sum of their curvatures.
    fn hutch_plus_plus(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Along {
        let third = self.probes / 3;
        let mut sketch = self.probe.directions(2 * third, batch, noise);
        let rest = sketch.split_off(third);
        let range = network.jet(Jet::seed(batch.noisy.clone(), sketch), &batch.condition);
        let basis = orthonormal(&(0..third).map(|i| range.tangent(i).detach()).collect::<Vec<_>>());
        // The mean over the random directions: each is scaled by the root of its share.
        let share = (third as f64).sqrt().recip();
        let complement = rest.into_iter().map(|g| project_out(project_out(g, &basis), &basis) * share);
        let directions: Vec<_> = basis.iter().cloned().chain(complement).collect();
        Along::directions(network, batch, &directions)
    }
}

impl Objective for Implicit {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Tensor<1> {
        match self.trace {
            Trace::Exact => {
                Along::trace(network, batch).unwrap_or_else(|| Along::basis(network, batch)).over_the_basis()
            }
            Trace::Basis => Along::basis(network, batch).over_the_basis(),
            Trace::Hutchinson => {
                let directions = self.probe.directions(self.probes, batch, noise);
                let along = Along::directions(network, batch, &directions);
                along.curvature() / self.probes as f64 + along.half_square_score(network, batch)
            }
            Trace::HutchPlusPlus => {
                let along = self.hutch_plus_plus(network, batch, noise);
                along.curvature() + along.half_square_score(network, batch)
            }
        }
    }

    fn directions(&self, batch: &Perturbed, noise: &mut Noise) -> Option<Vec<Tensor<2>>> {
        Some(self.probe.directions(self.probes(), batch, noise))
    }

    fn takes_energies(&self) -> bool {
        true
    }

    fn probes(&self) -> usize {
        match self.trace {
            Trace::Exact | Trace::Basis => 0,
            Trace::Hutchinson => self.probes,
            Trace::HutchPlusPlus => self.probes / 3 * 2,
        }
    }

    /// Hutch++ is counted in products with J: of M, 2M/3 are with random directions. M may be brought, the last third unused.
    fn takes_probes(&self, count: usize) -> bool {
        count == self.probes() || self.trace == Trace::HutchPlusPlus && count == self.probes
    }

    fn accepts(&self, dimension: usize) -> Result<(), Invalid> {
        if self.probes() == 0 && dimension > MOST_EXACT {
            let what = format!(
                "an exact trace of {dimension} numbers takes as many directions; at most {MOST_EXACT} are sensible"
            );
            return Err(Invalid::key("trace", format!("{what}: take trace = \"hutchinson\"")));
        }
        let third = self.probes / 3;
        if self.trace == Trace::HutchPlusPlus && third >= dimension {
            let m = self.probes;
            return Err(Invalid::key(
                "probes",
                format!(
                    "`probes` is {m}, and `hutch++` would take {third} directions exactly of {dimension} there are; \
                     take fewer than {}, or trace = \"exact\"",
                    3 * dimension
                ),
            ));
        }
        Ok(())
    }
}
