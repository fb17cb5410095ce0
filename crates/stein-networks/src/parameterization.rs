//! From a raw network F to a score.

use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Component, Condition, Energy, Invalid, Levels, Network, NetworkPart, score_of_energy};
use stein_jet::{Jet, square};

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
    /// s = (α D − x)/σ² with EDM's preconditioned denoiser D = c_skip y + c_out F(c_in y) at y = x/α and noise σ/α: c_skip =
    /// σ_d²/(σ² + σ_d²), c_out = σ σ_d/√(σ² + σ_d²), c_in = 1/√(σ² + σ_d²), with σ_d the key `sigma-data` (Karras et al.
    /// 2022, table 1). F is told of σ by its own embedding.
    Edm,
}

/// σ_d of EDM where none is given: the paper's.
pub const SIGMA_DATA: f64 = 0.5;

impl Parameterization {
    /// What a network of this kind is taken for where nobody says: [`Exact`](crate::ExactConfig) is a score already, and so is the
    /// output of [`NcsnConfig`](crate::NcsnConfig)'s.
    pub fn default_of(kind: &str) -> Self {
        use crate::{ExactConfig, NcsnConfig};
        let scores = [<ExactConfig as Component<NetworkPart>>::KIND, <NcsnConfig as Component<NetworkPart>>::KIND];
        if scores.contains(&kind) { Self::Score } else { Self::default() }
    }

    /// Whether it divides by σ, and so has no meaning without noise.
    pub fn needs_sigma(self) -> bool {
        self != Self::Score
    }

    /// The score from the raw output F at `x`, both `[B, D]`; for [`Edm`](Self::Edm) see [`Preconditioning`].
    ///
    /// # Panics
    /// If it [needs σ](Self::needs_sigma) and there is none, which an experiment is checked for; if it is [`Edm`](Self::Edm).
    fn score(self, f: Jet<2>, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let levels = || levels_of(condition);
        match self {
            Self::Score => f,
            Self::Scaled => f.scale(column(levels().sigma.recip())),
            Self::Noise => f.scale(column(levels().sigma.recip().neg())),
            Self::Denoiser => {
                let Levels { alpha, sigma } = levels();
                (f.scale(column(alpha)) - x).scale(column(sigma.square().recip()))
            }
            Self::Edm => unreachable!("preconditioned"),
        }
    }

    /// The energy of which [`score`](Self::score) with F = −∇Φ is minus the gradient, `[B, 1]`: Φ, Φ/σ, −Φ/σ, and for a denoiser
    /// (α Φ + ½‖x‖²)/σ². `phi` is Φ, `[B, 1]`.
    fn energy(self, phi: Jet<2>, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let levels = || levels_of(condition);
        match self {
            Self::Score => phi,
            Self::Scaled => phi.scale(column(levels().sigma.recip())),
            Self::Noise => phi.scale(column(levels().sigma.recip().neg())),
            Self::Denoiser => {
                let Levels { alpha, sigma } = levels();
                (phi.scale(column(alpha)) + half_square(x)).scale(column(sigma.square().recip()))
            }
            Self::Edm => unreachable!("preconditioned"),
        }
    }
}

fn column(of: Tensor<1>) -> Tensor<2> {
    of.unsqueeze_dim::<2>(1)
}

/// ½‖x‖², `[B, 1]`.
fn half_square(x: Jet<2>) -> Jet<2> {
    square(x).sum_dim(1).scale_by(0.5)
}

fn levels_of(condition: &Condition) -> Levels {
    condition.levels.clone().expect("this parameterization needs σ")
}

/// EDM's preconditioning, as columns `[B, 1]`.
///
/// With D from c_skip, c_out and c_in at y = x/α and noise σ/α, (α D − x)/σ² is (σ_d c_in/σ) F(u) − a u with a = c_in/α and u = a x:
/// no difference of two large numbers is divided by σ². Of an energy, F = −∇Φ, that is minus the gradient of
/// (α σ_d/σ) Φ(u) + ½‖u‖².
struct Preconditioning {
    /// a.
    input: Tensor<2>,
    /// σ_d c_in/σ.
    output: Tensor<2>,
    /// α σ_d/σ.
    potential: Tensor<2>,
}

impl Preconditioning {
    fn new(levels: Levels, sigma_data: f64) -> Self {
        let Levels { alpha, sigma } = levels;
        let ratio = sigma.clone() / alpha.clone();
        let c_in = (ratio.clone().square() + sigma_data * sigma_data).sqrt().recip();
        Self {
            input: column(c_in.clone() / alpha),
            output: column(c_in / sigma * sigma_data),
            potential: column(ratio.recip() * sigma_data),
        }
    }

    fn score(self, x: Jet<2>, f: impl FnOnce(Jet<2>) -> Jet<2>) -> Jet<2> {
        let u = x.scale(self.input.clone());
        f(u.clone()).scale(self.output) - u.scale(self.input)
    }

    fn energy(self, x: Jet<2>, phi: impl FnOnce(Jet<2>) -> Jet<2>) -> Jet<2> {
        let u = x.scale(self.input);
        phi(u.clone()).scale(self.potential) + half_square(u)
    }
}

/// A network with its parameterisation: a score.
///
/// It is an energy's if the raw network has one, or if one is [made of it](Self::conservative).
#[derive(Module, Debug)]
pub struct Parameterized {
    network: AnyNetwork,
    #[module(skip)]
    parameterization: Parameterization,
    #[module(skip)]
    sigma_data: f64,
    #[module(skip)]
    conservative: bool,
}

impl Parameterized {
    /// Makes a score of a raw network; σ_d is [`SIGMA_DATA`].
    pub fn new(network: AnyNetwork, parameterization: Parameterization) -> Self {
        Self { network, parameterization, sigma_data: SIGMA_DATA, conservative: false }
    }

    /// The same with another σ_d, for [`Parameterization::Edm`].
    pub fn with_sigma_data(self, sigma_data: f64) -> Self {
        Self { sigma_data, ..self }
    }

    /// The same, or an energy made of it: −∇Φ with Φ = −½ xᵀF(x) takes the place of the raw output F, and is the same where F is
    /// linear and symmetric (an inner product of input and output: Du et al. 2023, arXiv 2302.11552).
    ///
    /// # Errors
    /// If the raw network is an energy already.
    pub fn conservative(self, conservative: bool) -> Result<Self, Invalid> {
        if conservative && Network::energy(&self.network).is_some() {
            return Err(Invalid::key("conservative", "the network is an energy already: leave `conservative` out"));
        }
        Ok(Self { conservative, ..self })
    }

    /// Φ at `x`, `[B, 1]`.
    fn potential(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        match Network::energy(&self.network) {
            Some(energy) => energy.evaluate(x, condition),
            None => (self.network.forward(x.clone(), condition) * x).sum_dim(1).scale_by(-0.5),
        }
    }
}

impl Energy for Parameterized {
    fn evaluate(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let phi = |x| self.potential(x, condition);
        if self.parameterization == Parameterization::Edm {
            return Preconditioning::new(levels_of(condition), self.sigma_data).energy(x, phi);
        }
        self.parameterization.energy(phi(x.clone()), x, condition)
    }
}

impl Network for Parameterized {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        if Network::energy(self).is_some() {
            return score_of_energy(&self.valid(), &x, condition);
        }
        let f = |x| self.network.forward(x, condition);
        if self.parameterization == Parameterization::Edm {
            return Preconditioning::new(levels_of(condition), self.sigma_data).score(x, f);
        }
        self.parameterization.score(f(x.clone()), x, condition)
    }

    /// The score is affine in F and x: its trace is that of F's, by the same factors.
    fn divergence(&self, x: Tensor<2>, condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        if Network::energy(self).is_some() {
            return None;
        }
        let d = x.dims()[1] as f64;
        if self.parameterization == Parameterization::Edm {
            let Preconditioning { input, output, .. } = Preconditioning::new(levels_of(condition), self.sigma_data);
            let u = x * input.clone();
            let (f, trace) = Network::divergence(&self.network, u.clone(), condition)?;
            let rows = |column: Tensor<2>| column.squeeze_dim::<1>(1);
            let trace = trace * rows(output.clone() * input.clone()) - rows(input.clone().square()) * d;
            return Some((f * output - u * input, trace));
        }
        let (f, trace) = Network::divergence(&self.network, x.clone(), condition)?;
        let score = self.parameterization.score(Jet::plain(f), Jet::plain(x), condition).into_value();
        let trace = match self.parameterization {
            Parameterization::Score => trace,
            Parameterization::Scaled => trace / levels_of(condition).sigma,
            Parameterization::Noise => -trace / levels_of(condition).sigma,
            Parameterization::Denoiser => {
                let Levels { alpha, sigma } = levels_of(condition);
                (trace * alpha - d) / sigma.square()
            }
            Parameterization::Edm => unreachable!("preconditioned"),
        };
        Some((score, trace))
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        match Network::energy(self) {
            Some(energy) => Some(-energy.evaluate(Jet::plain(x), condition).into_value().squeeze_dim::<1>(1)),
            // Of a raw density's score only itself is left by the other parameterisations.
            None if self.parameterization == Parameterization::Score => {
                Network::log_density(&self.network, x, condition)
            }
            None => None,
        }
    }

    fn energy(&self) -> Option<&dyn Energy> {
        (self.conservative || Network::energy(&self.network).is_some()).then_some(self)
    }

    fn classes(&self) -> Option<usize> {
        self.network.classes()
    }
}
