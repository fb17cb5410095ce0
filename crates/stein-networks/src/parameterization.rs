//! From a raw network F to a score.

use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Condition, Levels, Network};
use stein_jet::Jet;

/// How a raw network F(x, σ) becomes a score s(x, σ); a key of every network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Parameterization {
    /// s = F.
    Score,
    /// s = F/σ (Song & Ermon 2020, NCSNv2, technique 3).
    #[default]
    Scaled,
    /// s = −F/σ: F predicts the noise z (Ho et al. 2020).
    Noise,
    /// s = (α F − x)/σ²: F predicts the clean example (Vincent 2011; Karras et al. 2022).
    Denoiser,
}

impl Parameterization {
    /// Whether it divides by σ, and so has no meaning without noise.
    pub fn needs_sigma(self) -> bool {
        self != Self::Score
    }

    /// The score from the raw output `f` at `x`, both `[B, D]`.
    ///
    /// # Panics
    /// If it [needs σ](Self::needs_sigma) and there is none; an experiment is checked for that.
    pub fn score(self, f: Jet<2>, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let column = |t: Tensor<1>| t.unsqueeze_dim::<2>(1);
        let levels = || -> Levels { condition.levels.clone().expect("this parameterization needs σ") };
        match self {
            Self::Score => f,
            Self::Scaled => f.scale(column(levels().sigma.recip())),
            Self::Noise => f.scale(column(levels().sigma.recip().neg())),
            Self::Denoiser => {
                let Levels { alpha, sigma } = levels();
                (f.scale(column(alpha)) - x).scale(column(sigma.square().recip()))
            }
        }
    }
}

/// A network with its parameterisation: a score.
#[derive(Module, Debug)]
pub struct Parameterized {
    network: AnyNetwork,
    #[module(skip)]
    parameterization: Parameterization,
}

impl Parameterized {
    /// Makes a score of a raw network.
    pub fn new(network: AnyNetwork, parameterization: Parameterization) -> Self {
        Self { network, parameterization }
    }
}

impl Network for Parameterized {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let f = self.network.forward(x.clone(), condition);
        self.parameterization.score(f, x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Network::log_density(&self.network, x, condition)
    }
}
