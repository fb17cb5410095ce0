//! The noise-conditional score network of the first paper.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Component, Invalid, NetworkContext, NetworkPart, NoiseSchedule, Streams};
use stein_jet::Activation;

use crate::mlp::{ActivationName, unless_smooth};
use crate::refinenet::{Depth, Plan, Pooling, images};

/// The noise-conditional score network of NCSN: a RefineNet with dilated residual blocks, every norm of which has a row of numbers
/// for each level of the ladder, at the nearest level in ln(σ/α). Its output is the score (`parameterization = "score"`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NcsnConfig {
    /// Channels of the first stage (`ngf`); the others have twice as many. The paper's images of 32×32 have 128, MNIST has 64.
    #[schemars(range(min = 2, max = 4096))]
    pub channels: usize,
    /// The activation.
    #[schemars(with = "ActivationName")]
    pub activation: Activation,
    /// Whether the network sees 2 x − 1: for data in [0, 1]. σ stays in the data's unit.
    pub rescale: bool,
    /// Whether it is told the class of an example, or that none is meant (the null token of classifier-free guidance: Ho &
    /// Salimans 2022, arXiv 2207.12598): one network for the law of each class and for that of all.
    pub classes: bool,
}

impl Default for NcsnConfig {
    fn default() -> Self {
        Self { channels: 128, activation: Activation::Elu, rescale: true, classes: false }
    }
}

impl Component<NetworkPart> for NcsnConfig {
    const KIND: &'static str = "ncsn";
    const PAPER: &'static str = "Song & Ermon 2019, arXiv 1907.05600";

    fn check(&self) -> Result<(), Invalid> {
        check_channels(self.channels)
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let Self { channels, activation, rescale, classes } = *self;
        if context.conservative {
            unless_smooth(activation)?;
        }
        let (schedule, image) = (context.schedule, images(Self::KIND, context.dataset)?);
        unless_ladder(Self::KIND, schedule)?;
        let (depth, pooling) = (Depth::Standard, Pooling::Average);
        let plan = Plan { channels, activation, depth, pooling, rescale, classes, conditional: true };
        Invalid::unless_buildable("channels", plan.about_parameters(schedule.levels().len()))?;
        depth.check(image).map_err(|problem| Invalid::new(format!("`ncsn`: {problem}")))?;
        Ok(AnyNetwork::new(plan.build(image, context)?))
    }
}

/// Refuses channels out of range. Instance normalisation++ takes a variance over channels: one has none.
pub(crate) fn check_channels(channels: usize) -> Result<(), Invalid> {
    if (2..=4096).contains(&channels) {
        return Ok(());
    }
    Err(Invalid::key("channels", format!("`channels` is {channels}; it must be from 2 to 4096")))
}

/// Refuses schedules that train at σ between their levels, or at none.
pub(crate) fn unless_ladder(kind: &str, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
    let levels = schedule.levels();
    if schedule.first().is_clean() {
        let message = "is told the number of the noise level, and there is no noise; `ncsnv2` can do without";
        return Err(Invalid::new(format!("`{kind}` {message}")));
    }
    let drawn = schedule.draw(&mut Streams::new(0).at("ladder", 0), 256);
    if drawn.iter().all(|level| levels.contains(level)) {
        return Ok(());
    }
    let message = "is told the number of the noise level, and this schedule trains at σ between its levels; take `[schedule] kind = \
                   \"geometric\"` without `density`, or `ncsnv2`, which needs no number";
    Err(Invalid::new(format!("`{kind}` {message}")))
}
