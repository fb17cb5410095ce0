//! A network of one's own: a layer of sines before an MLP, with a derivative rule of one's own.
//!
//! ```console
//! $ cargo run --release --example own_network -- run my.toml      # [network] kind = "sine-mlp"
//! ```

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein::core::{AnyNetwork, Component, Condition, Invalid, Network, NetworkContext, NetworkPart, init};
use stein::jet::{Jet, linear, silu};
use stein::networks::LogSigma;

/// sin(W x + b), then a hidden layer: oscillating features for data with fine structure.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct SineMlp {
    /// Width of both layers.
    #[schemars(range(min = 1))]
    width: usize,
}

impl Default for SineMlp {
    fn default() -> Self {
        Self { width: 64 }
    }
}

impl Component<NetworkPart> for SineMlp {
    const KIND: &'static str = "sine-mlp";
    const PAPER: &'static str = "Sitzmann et al. 2020, arXiv 2006.09661";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_some("width", self.width)
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let NetworkContext { dataset, device, noise, .. } = context;
        let (d, width) = (dataset.dimension(), self.width);
        Ok(AnyNetwork::new(SineNet {
            sines: init::linear(d + 1, width, noise, device),
            hidden: init::linear(width, width, noise, device),
            out: init::linear(width, d, noise, device),
        }))
    }
}

#[derive(Module, Debug)]
struct SineNet {
    sines: Linear,
    hidden: Linear,
    out: Linear,
}

impl Network for SineNet {
    /// Written once, against jets: a jet of order 0 is a plain tensor, one of order 1 carries derivatives along.
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let levels = condition.levels.as_ref().expect("schedules have σ");
        let h = linear(&self.sines, x.cat_constant(LogSigma::features(levels), 1));
        // The rule of a function that stein does not have: its value, and its value with its derivative.
        let h = h.map(Tensor::sin, |x| (x.clone().sin(), x.cos()));
        linear(&self.out, silu(linear(&self.hidden, h)))
    }
}

fn main() -> std::process::ExitCode {
    stein::cli::main(|registry| {
        registry.networks.add::<SineMlp>();
    })
}
