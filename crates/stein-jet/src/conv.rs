//! Convolutions.

use burn::nn::conv::{Conv2d, ConvTranspose2d};

use crate::jet::Jet;
use crate::linear::in_type;
use crate::watch::seen;

/// A 2D convolution: `[B, channels_in, H, W]` to `[B, channels_out, H', W']`, with the layer's own stride, dilation, groups
/// and padding.
///
/// # Panics
///
/// If the channels of `x` are not the layer's.
pub fn conv2d(layer: &Conv2d, x: Jet<4>) -> Jet<4> {
    seen("conv2d", layer.weight.id, convolved(layer, x))
}

fn convolved(layer: &Conv2d, x: Jet<4>) -> Jet<4> {
    let weight = layer.weight.val().dtype();
    let bias = match &layer.bias {
        Some(bias) if x.directions() > 0 || weight != x.data.dtype() => bias.val(),
        _ => return x.linear_map(|rows| in_type(weight, rows, |rows| stein_kernels::conv2d(layer, rows))),
    };
    // Cloning a parameter copies no numbers; going through the layer keeps its rule for padding.
    let without_bias = Conv2d { bias: None, ..layer.clone() };
    let channels = bias.dims()[0];
    let product = |rows| in_type(weight, rows, |rows| stein_kernels::conv2d(&without_bias, rows));
    x.affine(product, bias.reshape([1, channels, 1, 1]))
}

/// A transposed 2D convolution: `[B, channels_in, H, W]` to `[B, channels_out, H', W']`, with the layer's own stride,
/// dilation, groups and padding.
///
/// # Panics
///
/// If the channels of `x` are not the layer's.
pub fn conv_transpose2d(layer: &ConvTranspose2d, x: Jet<4>) -> Jet<4> {
    seen("conv_transpose2d", layer.weight.id, convolved_back(layer, x))
}

fn convolved_back(layer: &ConvTranspose2d, x: Jet<4>) -> Jet<4> {
    let bias = match &layer.bias {
        Some(bias) if x.directions() > 0 => bias.val(),
        _ => return x.linear_map(|rows| layer.forward(rows)),
    };
    let without_bias = ConvTranspose2d { bias: None, ..layer.clone() };
    let channels = bias.dims()[0];
    x.affine(|rows| without_bias.forward(rows), bias.reshape([1, channels, 1, 1]))
}
