//! The extension trait.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use crate::gradient::GradientStep;
use crate::slices::activation::Function;
use crate::slices::jet::Rows;

/// A group normalisation: its groups, ε and the function of its result.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm {
    pub(crate) groups: usize,
    pub(crate) epsilon: f32,
    pub(crate) function: Option<Function>,
}

/// Operations with a kernel of their own. Only reached on flex (see `tensor`).
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Kernels: Backend {
    fn stein_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: usize,
    ) -> FloatTensor<Self>;
    fn stein_conv_input_grad(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dilation: usize,
    ) -> FloatTensor<Self>;
    /// For a kernel of some side and dilation.
    fn stein_conv_weight_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kernel: [usize; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn stein_group_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self>;
    fn stein_group_norm_grad(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The bias goes to the first `biased` rows.
    fn stein_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        biased: usize,
    ) -> FloatTensor<Self>;
    fn stein_linear_input_grad(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
    fn stein_linear_weight_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        biased: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// θ, m, v and the average of θ after a step; `spare` is memory for θ.
    fn stein_adam(
        parameters: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        average: FloatTensor<Self>,
        spare: FloatTensor<Self>,
        step: GradientStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn stein_jet(x: FloatTensor<Self>, function: Function, rows: Rows) -> FloatTensor<Self>;
    fn stein_jet_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        function: Function,
        rows: Rows,
    ) -> FloatTensor<Self>;

    /// The means over windows of some side around each pixel of `[B, C, H, W]`; as gradient in x, of the gradient.
    fn stein_mean_pool(x: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self>;

    /// The maxima over such windows.
    fn stein_max_pool(x: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self>;
    fn stein_max_pool_grad(x: FloatTensor<Self>, gradient: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self>;

    /// Of two tensors of one shape. burn's own sum would be computed again under gradient checkpointing.
    fn stein_sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}
