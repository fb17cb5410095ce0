//! The target's own score in a network's place.

use burn::module::Module;
use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    AnyNetwork, Component, Condition, ExactScore, Invalid, Network, NetworkContext, NetworkPart, ScoreNetwork,
};
use stein_jet::Jet;

/// The true score of data that know theirs, at every σ: samplers are studied without training. It is a score already
/// (`parameterization = "score"`), and there is nothing to train (`training.steps = 0`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExactConfig {}

impl Component<NetworkPart> for ExactConfig {
    const KIND: &'static str = "exact";

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let target = context.dataset.target.clone().ok_or_else(|| {
            Invalid::key("kind", "`exact` is the data's own score, and these data know none; `gaussian-mixture` does, and `digits` with `empirical = true`")
        })?;
        let levels = context.schedule.levels();
        if let Some(level) = levels.iter().find(|&&level| !target.knows(level)) {
            let message = if level.is_clean() {
                "these data know their score only with noise, and there is none; take a `[schedule]` with σ > 0"
                    .to_owned()
            } else {
                let sigma = level.sigma;
                format!(
                    "these data do not know their score at σ = {sigma}; `[schedule] kind = \"none\"` is without noise"
                )
            };
            return Err(Invalid::key("kind", message));
        }
        Ok(AnyNetwork::new(Exact { score: ExactScore::new(target) }))
    }
}

/// The network of [`ExactConfig`].
#[derive(Module, Debug)]
pub struct Exact {
    #[module(skip)]
    score: ExactScore,
}

impl Network for Exact {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.score.jet(x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        self.score.log_density(x, condition)
    }
}
