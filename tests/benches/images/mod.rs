//! Convolutional networks for square images.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::Device;
use stein_core::{
    AnyNetwork, Component, Condition, Dataset, ImageShape, Invalid, Network, NetworkContext, NetworkPart, Streams, init,
};
use stein_jet::{Jet, conv2d, group_norm_silu};
use stein_networks::{NcsnConfig, UnetConfig};
use stein_record::Array;
use stein_schedules::Geometric;

const BLOCKS: usize = 8;
const GROUPS: usize = 8;

/// A stack of residual blocks x + conv(silu(norm(x))) between two convolutions, told nothing of σ.
#[derive(Module, Debug)]
struct Residual {
    conv_in: Conv2d,
    norms: Vec<GroupNorm>,
    convs: Vec<Conv2d>,
    conv_out: Conv2d,
    #[module(skip)]
    side: usize,
}

impl Residual {
    fn new(side: usize, channels: usize, device: &Device) -> Self {
        let mut noise = Streams::new(0).at("network", 0);
        let mut conv = |inputs, outputs| init::conv3x3(inputs, outputs, &mut noise, device);
        Self {
            conv_in: conv(1, channels),
            norms: (0..BLOCKS).map(|_| GroupNormConfig::new(GROUPS, channels).init(device)).collect(),
            convs: (0..BLOCKS).map(|_| conv(channels, channels)).collect(),
            conv_out: conv(channels, 1),
            side,
        }
    }
}

impl Network for Residual {
    fn forward(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let (batch, side) = (x.batch(), self.side);
        let mut h = conv2d(&self.conv_in, x.reshape([batch, 1, side, side]));
        for (norm, conv) in self.norms.iter().zip(&self.convs) {
            h = h.clone() + conv2d(conv, group_norm_silu(norm, None, h));
        }
        conv2d(&self.conv_out, h).reshape([batch, side * side])
    }
}

/// The numbers in an image of a network's; `None` if it is for none. `ncsn` is that of CIFAR-10.
pub(crate) fn dimension(kind: &str, side: usize) -> Option<usize> {
    match kind {
        "residual" | "unet" => Some(side * side),
        "ncsn" => Some(3 * side * side),
        _ => None,
    }
}

/// The activation that such a network has.
pub(crate) fn activation(kind: &str) -> &'static str {
    if kind == "ncsn" { "elu" } else { "silu" }
}

/// The network `residual`, `unet` or `ncsn`; `None` if it is none of them.
pub(crate) fn network(kind: &str, side: usize, channels: usize, device: &Device) -> Option<Result<AnyNetwork, String>> {
    match kind {
        "residual" => Some(Ok(AnyNetwork::new(Residual::new(side, channels, device)))),
        // That of the digits, and that of MNIST.
        "unet" => {
            let patch = if side > 16 { 2 } else { 1 };
            Some(build(UnetConfig { channels, patch, ..UnetConfig::default() }, [1, side], 1, device))
        }
        "ncsn" => Some(build(NcsnConfig { channels, ..NcsnConfig::default() }, [3, side], 10, device)),
        _ => None,
    }
}

/// For images of so many channels and pixels a side, and a ladder from 1 to 0.01.
fn build(
    config: impl Component<NetworkPart>,
    [channels, side]: [usize; 2],
    levels: usize,
    device: &Device,
) -> Result<AnyNetwork, String> {
    let image = ImageShape { height: side, width: side, channels };
    let rows = Array::new([1, image.dimension()], vec![0.0; image.dimension()]);
    let dataset = Dataset { train: rows.clone(), held_out: rows, image: Some(image), ..Dataset::default() };
    let said = |problem: Invalid| problem.to_string();
    let ladder = Geometric { sigma_max: 1.0.into(), sigma_min: 0.01, levels: levels.into(), ..Geometric::default() };
    let schedule = ladder.build(&dataset).map_err(said)?;
    let noise = &mut Streams::new(0).at("network", 0);
    let context = NetworkContext { dataset: &dataset, schedule: &*schedule, device, noise, conservative: false };
    config.build(context).map_err(said)
}
