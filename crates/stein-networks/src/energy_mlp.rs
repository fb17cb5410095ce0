//! A fully connected network with one output.

use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    AnyNetwork, Component, Condition, Energy, Invalid, Network, NetworkContext, NetworkPart, score_of_energy,
};
use stein_jet::{Activation, Jet};

use crate::mlp::{ActivationName, unless_smooth};
use crate::{Embedding, Mlp, MlpConfig};

/// A fully connected network with one output Φ(x, σ), whose score is minus a gradient: an energy.
///
/// In each parameterization −∇Φ stands where the output F of a free network stands. With `score` the energy is Φ itself. Samples
/// follow e^{−E}, which `mala` and `hmc` can accept and reject by. With `denoiser` and `edm` the energy grows like ‖x‖²
/// far out; with `score`, `scaled` and `noise` at most linearly, and nothing sees to it that e^{−E} can be normalised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EnergyMlpConfig {
    /// The widths of the hidden layers, one or more.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
    /// The activation after each hidden layer; not `elu`, whose second derivative jumps.
    #[schemars(with = "ActivationName")]
    pub activation: Activation,
    /// What the network is told of σ.
    pub embedding: Embedding,
    /// Whether it is told the class of an example, or that none is meant (the null token of classifier-free guidance: Ho &
    /// Salimans 2022, arXiv 2207.12598): one network for the law of each class and for that of all.
    pub classes: bool,
}

impl Default for EnergyMlpConfig {
    fn default() -> Self {
        let MlpConfig { hidden, activation, embedding, classes } = MlpConfig::default();
        Self { hidden, activation, embedding, classes }
    }
}

impl EnergyMlpConfig {
    /// A free network of the same size.
    fn free(&self) -> MlpConfig {
        let Self { hidden, activation, embedding, classes } = self.clone();
        MlpConfig { hidden, activation, embedding, classes }
    }
}

impl Component<NetworkPart> for EnergyMlpConfig {
    const KIND: &'static str = "energy-mlp";
    const PAPER: &'static str = "Hyvärinen 2005, JMLR 6; Song et al. 2019, arXiv 1905.07088; Salimans & Ho 2021";

    fn check(&self) -> Result<(), Invalid> {
        unless_smooth(self.activation)?;
        self.free().check()
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        Ok(AnyNetwork::new(EnergyMlp { potential: self.free().network(1, context)? }))
    }
}

/// The network of [`EnergyMlpConfig`].
#[derive(Module, Debug)]
pub struct EnergyMlp {
    potential: Mlp,
}

impl Energy for EnergyMlp {
    fn evaluate(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.potential.forward(x, condition)
    }
}

impl Network for EnergyMlp {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        score_of_energy(&self.valid(), &x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Some(-self.evaluate(Jet::plain(x), condition).into_value().squeeze_dim::<1>(1))
    }

    fn energy(&self) -> Option<&dyn Energy> {
        Some(self)
    }

    fn classes(&self) -> Option<usize> {
        Network::classes(&self.potential)
    }
}
