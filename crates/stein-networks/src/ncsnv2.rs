//! The score network of NCSNv2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{AnyNetwork, Component, ImageShape, Invalid, NetworkContext, NetworkPart};
use stein_jet::Activation;

use crate::mlp::{ActivationName, unless_smooth};
use crate::ncsn::check_channels;
use crate::refinenet::{Depth, Plan, Pooling, images};

/// The score network of NCSNv2: a RefineNet with dilated residual blocks that is not told σ. Its output over σ is the score
/// (`parameterization = "scaled"`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Ncsnv2Config {
    /// Channels of the first stage (`ngf`); the others have two or four times as many. The paper's networks have 128.
    #[schemars(range(min = 2, max = 4096))]
    pub channels: usize,
    /// How many stages there are: the authors' `NCSNv2`, `NCSNv2Deeper` or `NCSNv2Deepest`. `auto` goes by the images' larger side, as
    /// the authors do: up to 64 pixels, up to 128, and above.
    pub depth: Ncsnv2Depth,
    /// The activation.
    #[schemars(with = "ActivationName")]
    pub activation: Activation,
    /// How chained residual pooling pools. The paper's `max` is for `denoising`: objectives that differentiate the score (`sliced`,
    /// `implicit`) miss the jumps of its derivative, and want `average`.
    pub pooling: Pooling,
    /// Whether the network sees 2 x − 1: for data in [0, 1]. σ stays in the data's unit.
    pub rescale: bool,
    /// Whether it is told the class of an example, or that none is meant (the null token of classifier-free guidance: Ho &
    /// Salimans 2022, arXiv 2207.12598): one network for the law of each class and for that of all.
    pub classes: bool,
}

/// How many stages an `ncsnv2` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ncsnv2Depth {
    /// By the images' size.
    #[default]
    Auto,
    /// Four stages, one halving.
    Standard,
    /// Five stages, two halvings.
    Deeper,
    /// Six stages, three halvings.
    Deepest,
}

impl Ncsnv2Depth {
    fn of(self, image: ImageShape) -> Depth {
        match (self, image.height.max(image.width)) {
            (Self::Standard, _) | (Self::Auto, ..=64) => Depth::Standard,
            (Self::Deeper, _) | (Self::Auto, ..=128) => Depth::Deeper,
            (Self::Deepest | Self::Auto, _) => Depth::Deepest,
        }
    }
}

impl Default for Ncsnv2Config {
    fn default() -> Self {
        Self {
            channels: 128,
            depth: Ncsnv2Depth::Auto,
            activation: Activation::Elu,
            pooling: Pooling::Max,
            rescale: true,
            classes: false,
        }
    }
}

impl Component<NetworkPart> for Ncsnv2Config {
    const KIND: &'static str = "ncsnv2";
    const PAPER: &'static str = "Song & Ermon 2020, arXiv 2006.09011";

    fn check(&self) -> Result<(), Invalid> {
        check_channels(self.channels)
    }

    fn build(&self, context: NetworkContext<'_>) -> Result<AnyNetwork, Invalid> {
        let Self { channels, depth, activation, pooling, rescale, classes } = *self;
        if context.conservative {
            unless_smooth(activation)?;
            if pooling == Pooling::Max {
                let message = "`max` is not smooth enough for an energy: its derivative jumps where another pixel becomes the \
                               largest, and the losses' gradients would be wrong; take \"average\"";
                return Err(Invalid::key("pooling", message));
            }
        }
        let image = images(Self::KIND, context.dataset)?;
        let depth = depth.of(image);
        let plan = Plan { channels, activation, depth, pooling, rescale, classes, conditional: false };
        Invalid::unless_buildable("channels", plan.about_parameters(0))?;
        depth.check(image).map_err(|problem| Invalid::key("depth", problem))?;
        Ok(AnyNetwork::new(plan.build(image, context)?))
    }
}
