//! The kernels on tensors, with burn's own operations where there is none.

use burn::backend::{Dispatch, DispatchDevice};
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear, PaddingConfig2d};
use burn::tensor::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::backend::{Kernels, Norm};
use crate::slices::activation::Function;
use crate::slices::jet::Rows;
use crate::slices::matmul::beside;

/// Whether the kernels can take a tensor: flex, with or without autodiff, in f32.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && on_flex(&x.device())
}

/// Whether a device is the CPU backend without a tape: its numbers lie in host memory, and loops there may take them.
pub fn is_host(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

fn on_flex(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(_) => {
            matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
        }
        #[allow(unreachable_patterns, reason = "other backends are compiled in by cargo features")]
        _ => false,
    }
}

/// Does something on a thread of rayon's, if the CPU does it: an operation that is cut into tasks then hands its own thread a part
/// of them, where any other thread would go to sleep and be woken for each. On another device it is done where it is.
pub fn on_workers<T: Send>(device: &Device, work: impl FnOnce() -> T + Send) -> T {
    if on_flex(device) { rayon::scope(|_| work()) } else { work() }
}

/// Does something with each of the parts, on a CPU each on a thread for as long as there are threads, and gives what comes of them in
/// their order.
pub fn in_parts<T: Send, R: Send>(device: &Device, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if parts.len() < 2 || !on_flex(device) {
        return parts.into_iter().map(work).collect();
    }
    let count = parts.len();
    parts.into_par_iter().with_max_len(1).map(|part| beside(count, || work(part))).collect()
}

/// The dilation of a kernel that keeps the size of images: stride 1, odd and square, dilated alike along both sides, and padded by
/// half of what it spans on every side.
fn same_padded(layer: &Conv2d) -> Option<usize> {
    let [outputs, inputs, k, other] = layer.weight.dims();
    let [dilation, along] = layer.dilation;
    let pad = k / 2 * dilation;
    let padding = match &layer.padding {
        // burn's is of the kernel without its dilation.
        PaddingConfig2d::Same => dilation == 1 || k == 1,
        PaddingConfig2d::Valid => k == 1,
        PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right].iter().all(|&&p| p == pad),
    };
    let plain = layer.stride == [1, 1] && dilation == along && dilation > 0 && layer.groups == 1;
    (plain && padding && k == other && k % 2 == 1 && inputs * outputs > 0).then_some(dilation)
}

/// A convolution layer at `x` `[B, C, H, W]`.
pub fn conv2d(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let Some(dilation) = same_padded(layer).filter(|_| has_kernels(&x) && layer.weight.val().dtype() == DType::F32)
    else {
        return layer.forward(x);
    };
    let weight = layer.weight.val();
    let bias = match &layer.bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros([weight.dims()[0]], &weight.device()),
    };
    assert_eq!(x.dims()[1], weight.dims()[1], "the images must have as many channels as the layer takes");
    Tensor::from_dispatch(<Dispatch as Kernels>::stein_conv(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        dilation,
    ))
}

/// A group normalisation layer at `x` `[B, C, H, W]`.
pub fn group_norm(layer: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    let (Some(gamma), Some(beta)) = (&layer.gamma, &layer.beta) else { return layer.forward(x) };
    let affine = [gamma.val(), beta.val()].map(Tensor::unsqueeze);
    normalised(layer, affine, None, &x).unwrap_or_else(|| layer.forward(x))
}

/// f(γ x̂ + β), where x̂ is `x` `[B, C, H, W]` normalised by the groups and ε of `layer`, and γ and β are `[1, C]` or each image's
/// own, `[B, C]`, in place of the layer's; `None` where there is no kernel.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn normalised(
    layer: &GroupNorm,
    affine: [Tensor<2>; 2],
    function: Option<Function>,
    x: &Tensor<4>,
) -> Option<Tensor<4>> {
    if !has_kernels(x) || affine[0].dtype() != DType::F32 {
        return None;
    }
    let [batch, channels, ..] = x.dims();
    assert_eq!(channels, layer.num_channels, "the images must have as many channels as the layer takes");
    let [gain, shift] = [0, 1].map(|i| affine[i].dims());
    assert!(
        gain == shift && (gain == [1, channels] || gain == [batch, channels]),
        "γ and β of {batch} images with {channels} channels got {gain:?} and {shift:?}"
    );
    let [gain, shift] = affine.map(Tensor::into_dispatch);
    let norm = Norm { groups: layer.num_groups, epsilon: layer.epsilon as f32, function };
    Some(Tensor::from_dispatch(<Dispatch as Kernels>::stein_group_norm(x.clone().into_dispatch(), gain, shift, norm)))
}

/// A dense layer at `x` `[rows, ..., d_input]`, whose bias goes to the first `biased` rows alone; `None` where there is no kernel.
///
/// # Panics
///
/// If the last dimension of `x` is not the layer's `d_input`, or it has fewer rows.
pub fn linear<const D: usize>(layer: &Linear, x: &Tensor<D>, biased: usize) -> Option<Tensor<D>> {
    let weight = layer.weight.val();
    if !has_kernels(x) || weight.dtype() != DType::F32 {
        return None;
    }
    let ([inputs, outputs], mut dims) = (weight.dims(), x.dims());
    assert_eq!(dims[D - 1], inputs, "rows must be as wide as the layer takes");
    assert!(biased <= dims[0], "{biased} rows with a bias of {}", dims[0]);
    let each: usize = dims[1..D - 1].iter().product();
    let (bias, biased) = match &layer.bias {
        Some(bias) => (bias.val(), biased * each),
        None => (Tensor::zeros([outputs], &weight.device()), 0),
    };
    let rows: Tensor<2> = x.clone().reshape([dims[0] * each, inputs]);
    let y =
        <Dispatch as Kernels>::stein_linear(rows.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), biased);
    dims[D - 1] = outputs;
    Some(Tensor::<2>::from_dispatch(y).reshape(dims))
}

/// A smooth function of a jet whose rows `x` `[rows, ...]` are `rows`; `None` where there is no kernel.
///
/// # Panics
///
/// If `x` has not as many rows as `rows` says.
pub fn jet<const D: usize>(function: Function, x: &Tensor<D>, rows: Rows) -> Option<Tensor<D>> {
    if !has_kernels(x) {
        return None;
    }
    assert_eq!(x.dims()[0], rows.argument(), "the rows of a jet must be {rows:?}");
    Some(Tensor::from_dispatch(<Dispatch as Kernels>::stein_jet(x.clone().into_dispatch(), function, rows)))
}

/// The means over windows of `kernel` × `kernel` around each pixel of `x` `[B, C, H, W]`, what lies beyond the edges counted as zeros;
/// `None` where there is no kernel.
pub fn mean_pool(kernel: usize, x: &Tensor<4>) -> Option<Tensor<4>> {
    if !has_kernels(x) || kernel.is_multiple_of(2) {
        return None;
    }
    Some(Tensor::from_dispatch(<Dispatch as Kernels>::stein_mean_pool(x.clone().into_dispatch(), kernel)))
}

/// The maxima over windows of `kernel` × `kernel` around each pixel of `x` `[B, C, H, W]`, what lies beyond the edges counted for nothing;
/// `None` where there is no kernel. The gradient goes to the maximum, the first of several.
pub fn max_pool(kernel: usize, x: &Tensor<4>) -> Option<Tensor<4>> {
    if !has_kernels(x) || kernel.is_multiple_of(2) {
        return None;
    }
    Some(Tensor::from_dispatch(<Dispatch as Kernels>::stein_max_pool(x.clone().into_dispatch(), kernel)))
}

/// The sum of two tensors. Under gradient checkpointing the sum of two of one shape is kept, and not what it is the sum of.
pub fn sum<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let alike = b.dtype() == DType::F32 && a.dims() == b.dims() && a.is_autodiff() == b.is_autodiff();
    if !has_kernels(&a) || !alike {
        return a + b;
    }
    Tensor::from_dispatch(<Dispatch as Kernels>::stein_sum(a.into_dispatch(), b.into_dispatch()))
}
