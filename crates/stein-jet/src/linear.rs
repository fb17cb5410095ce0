//! Dense layers.

use burn::nn::Linear;
use burn::tensor::{DType, Tensor};

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
    let weight = layer.weight.val().dtype();
    let bias = match &layer.bias {
        Some(bias) if x.directions() > 0 || weight != x.data.dtype() => bias.val(),
        _ => return x.linear_map(|rows| in_type(weight, rows, |rows| layer.forward(rows))),
    };
    let without_bias = Linear { weight: layer.weight.clone(), bias: None };
    x.affine(|rows| in_type(weight, rows, |rows| without_bias.forward(rows)), bias.unsqueeze())
}

/// [`linear`] of a plain tensor, by burn's own operations.
///
/// # Panics
///
/// If the last dimension of `x` is not the layer's `d_input`.
pub fn dense<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    let weight = layer.weight.val().dtype();
    if weight == x.dtype() {
        return layer.forward(x);
    }
    let without_bias = Linear { weight: layer.weight.clone(), bias: None };
    let y = in_type(weight, x, |x| without_bias.forward(x));
    match &layer.bias {
        Some(bias) => y + bias.val().unsqueeze(),
        None => y,
    }
}

/// A product with weights of a number type: where `x` has another, it and the result are converted, and what is summed afterwards has the
/// type of `x` again (mixed precision: Micikevicius et al. 2018, arXiv 1710.03740).
pub(crate) fn in_type<const D: usize, const E: usize>(
    weight: DType,
    x: Tensor<D>,
    product: impl FnOnce(Tensor<D>) -> Tensor<E>,
) -> Tensor<E> {
    let own = x.dtype();
    if weight == own { product(x) } else { product(x.cast(weight)).cast(own) }
}
