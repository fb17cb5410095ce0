//! A fully connected network.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Component, Condition, Invalid, Network, NetworkContext, NetworkPart, init};
use stein_jet::{Activation, Jet, linear};

use crate::{LogSigma, OneHot, SineCosine};

/// A fully connected network on (x, embedding of σ), for tables and toys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MlpConfig {
    /// The widths of the hidden layers, one or more.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1, max = 65536)))]
    pub hidden: Vec<usize>,
    /// The activation after each hidden layer.
    #[schemars(with = "ActivationName")]
    pub activation: Activation,
    /// What the network is told of σ.
    pub embedding: Embedding,
    /// Whether it is told the class of an example, or that none is meant (the null token of classifier-free guidance: Ho &
    /// Salimans 2022, arXiv 2207.12598): one network for the law of each class and for that of all.
    pub classes: bool,
}

/// The activations, for the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "stands in for stein_jet::Activation, which knows no schema")]
pub(crate) enum ActivationName {
    /// x σ(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// tanh x.
    Tanh,
    /// x above 0, eˣ − 1 below.
    Elu,
    /// x Φ(x).
    Gelu,
}

/// What a network is told of σ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Embedding {
    /// Nothing: the network sees x alone.
    None,
    /// ln(σ/α), beside x.
    #[default]
    LogSigma,
    /// 16 sine and cosine pairs of ln(σ/α), beside x.
    SineCosine,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { hidden: vec![128, 128], activation: Activation::Silu, embedding: Embedding::LogSigma, classes: false }
    }
}

const PAIRS: usize = 16;

impl Component<NetworkPart> for MlpConfig {
    const KIND: &'static str = "mlp";

    fn check(&self) -> Result<(), Invalid> {
        if self.hidden.is_empty() || self.hidden.len() > 64 {
            let n = self.hidden.len();
            return Err(Invalid::key("hidden", format!("`hidden` has {n} layers; it must have 1 to 64")));
        }
        match self.hidden.iter().find(|&&h| h == 0 || h > 65536) {
            Some(h) => Err(Invalid::key("hidden", format!("`hidden` has a width of {h}; widths are 1 to 65536"))),
            None => Ok(()),
        }
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        if context.conservative {
            unless_smooth(self.activation)?;
        }
        let outputs = context.dataset.dimension();
        Ok(AnyNetwork::new(self.network(outputs, context)?))
    }
}

/// Refuses an activation that an energy must not have.
pub(crate) fn unless_smooth(activation: Activation) -> Result<(), Invalid> {
    if activation.is_smooth() {
        return Ok(());
    }
    let message = "`elu` is not smooth enough for an energy: its second derivative jumps at 0, and the losses' gradients would be \
                   wrong; take \"silu\", \"softplus\", \"tanh\" or \"gelu\"";
    Err(Invalid::key("activation", message))
}

impl MlpConfig {
    /// The network with so many outputs.
    pub(crate) fn network(&self, outputs: usize, context: NetworkContext<'_>) -> Result<Mlp, Invalid> {
        let NetworkContext { dataset, schedule, device, noise, .. } = context;
        if self.embedding != Embedding::None && schedule.first().is_clean() {
            return Err(Invalid::key("embedding", "there is no noise to embed; set network.embedding = \"none\""));
        }
        let (d, classes) = (dataset.dimension(), OneHot::of(self.classes, dataset)?);
        let sines = (self.embedding == Embedding::SineCosine).then(|| SineCosine::new(PAIRS, device));
        let features = match self.embedding {
            Embedding::None => 0,
            Embedding::LogSigma => 1,
            Embedding::SineCosine => 2 * PAIRS,
        };
        let mut widths = vec![d + features + classes.map_or(0, OneHot::width)];
        widths.extend(&self.hidden);
        widths.push(outputs);
        let count = |w: &[usize]| w[0].checked_add(1)?.checked_mul(w[1]);
        let parameters = widths.windows(2).try_fold(0usize, |sum, w| sum.checked_add(count(w)?));
        Invalid::unless_buildable("hidden", parameters)?;
        let layers = widths.windows(2).map(|w| init::linear(w[0], w[1], noise, device)).collect();
        Ok(Mlp { layers, sines, activation: self.activation, embedding: self.embedding, classes })
    }
}

/// The network of [`MlpConfig`].
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    sines: Option<SineCosine>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    embedding: Embedding,
    #[module(skip)]
    classes: Option<OneHot>,
}

impl Mlp {
    fn features(&self, condition: &Condition) -> Option<Tensor<2>> {
        let levels = || condition.levels.as_ref().expect("an embedding of σ needs σ; experiments are checked for it");
        match (self.embedding, &self.sines) {
            (Embedding::LogSigma, _) => Some(LogSigma::features(levels())),
            (Embedding::SineCosine, Some(sines)) => Some(sines.features(levels())),
            _ => None,
        }
    }
}

impl Mlp {
    /// x with what the network is told beside it.
    fn input(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let classes = self.classes.map(|classes| classes.features(condition, &x));
        let beside = self.features(condition).into_iter().chain(classes);
        beside.fold(x, |h, features| h.cat_constant(features, 1))
    }

    /// φ(z) and φ′(z) of hidden numbers z `[B, H]`.
    fn slope(&self, z: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let ones = z.ones_like();
        let jet = self.activation.apply(Jet::seed(z, vec![ones]));
        (jet.value(), jet.tangents())
    }
}

impl Network for Mlp {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let mut h = self.input(x, condition);
        let (last, hidden) = self.layers.split_last().expect("an MLP has layers");
        for layer in hidden {
            h = self.activation.apply(linear(layer, h));
        }
        linear(last, h)
    }

    /// For one and two hidden layers the trace takes no derivative by direction: of F = φ(φ(x W₁) W₂) W₃ it is
    /// φ′₁ᵀ (W₂ ∘ (W₃ W₁)ᵀ) φ′₂, where the products of weights are the same for all examples, and of φ(x W₁) W₂ it is
    /// φ′₁ᵀ diag(W₂ W₁).
    fn divergence(&self, x: Tensor<2>, condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        let plain = |layer: &Linear, x: Tensor<2>| linear(layer, Jet::plain(x)).into_value();
        // Weights of another number type are those of training in mixed precision.
        let (d, float) = (x.dims()[1], x.dtype());
        let (first, rest) = self.layers.split_first()?;
        let from_x = || first.weight.val().cast(float).narrow(0, 0, d);
        let last = rest.last().map(|last| last.weight.val().cast(float))?;
        let z = plain(first, self.input(Jet::plain(x), condition).into_value());
        match rest {
            [output] => {
                let (h, slope) = self.slope(z);
                let diagonal = (from_x() * last.transpose()).sum_dim(0);
                Some((plain(output, h), (slope * diagonal).sum_dim(1).squeeze_dim::<1>(1)))
            }
            [middle, output] => {
                let (h, slope) = self.slope(z);
                let (h, slope_2) = self.slope(plain(middle, h));
                let around = middle.weight.val().cast(float) * last.matmul(from_x()).transpose();
                let trace = (slope.matmul(around) * slope_2).sum_dim(1).squeeze_dim::<1>(1);
                Some((plain(output, h), trace))
            }
            _ => None,
        }
    }

    fn classes(&self) -> Option<usize> {
        self.classes.map(|of| of.classes)
    }
}
