//! Dense layers.

use burn::nn::Linear;

use crate::jet::Jet;
use crate::watch::seen;

/// A dense layer: `[B, ..., d_input]` to `[B, ..., d_output]`.
///
/// # Panics
///
/// If the last dimension of `x` is not the layer's `d_input`.
pub fn linear<const D: usize>(layer: &Linear, x: Jet<D>) -> Jet<D> {
    seen("linear", layer.weight.id, taken(layer, x))
}

fn taken<const D: usize>(layer: &Linear, x: Jet<D>) -> Jet<D> {
    if let Some(data) = stein_kernels::linear(layer, &x.data, x.batch) {
        return Jet { data, batch: x.batch, k: x.k, order: x.order };
    }
    let bias = match &layer.bias {
        Some(bias) if x.directions() > 0 => bias.val(),
        _ => return x.linear_map(|rows| layer.forward(rows)),
    };
    let without_bias = Linear { weight: layer.weight.clone(), bias: None };
    x.affine(|rows| without_bias.forward(rows), bias.unsqueeze())
}
