//! Normalisation.

use burn::module::{Param, ParamId};
use burn::nn::{GroupNorm, InstanceNorm, LayerNorm};
use burn::tensor::Tensor;
use stein_kernels::Function;

use crate::activation::silu;
use crate::jet::{Blocks, Jet, Order, plus};
use crate::watch::seen;

/// Group normalisation of images, `[B, C, H, W]` to the same.
///
/// With x̂ = (x − mean)/s and s = √(var + ε) over a group of an example, and with u and w the first and second derivative of
/// x − mean: s′ = mean(x̂ u), x̂′ = (u − x̂ s′)/s, s″ = mean(x̂ w) + (mean(u²) − s′²)/s and x̂″ = (w − 2 x̂′ s′ − x̂ s″)/s, exactly,
/// ε included.
///
/// # Panics
///
/// If C is not the layer's number of channels.
pub fn group_norm(layer: &GroupNorm, x: Jet<4>) -> Jet<4> {
    noted("group_norm", layer.gamma.as_ref(), grouped(layer, x))
}

/// Layers without a parameter of their own have no name to be seen by.
fn noted<const D: usize>(kind: &'static str, gamma: Option<&Param<Tensor<1>>>, y: Jet<D>) -> Jet<D> {
    match gamma {
        Some(gamma) => seen(kind, gamma.id, y),
        None => y,
    }
}

fn grouped(layer: &GroupNorm, x: Jet<4>) -> Jet<4> {
    let dims @ [batch, channels, height, width] = x.dims();
    assert_eq!(channels, layer.num_channels, "a normalisation of {} channels got {dims:?}", layer.num_channels);
    if x.directions() == 0 {
        return x.linear_map(|rows| stein_kernels::group_norm(layer, rows));
    }
    let size = channels / layer.num_groups * height * width;
    let groups = x.reshape([batch, layer.num_groups, size]);
    let normalised = normalise(groups, |variance| variance + layer.epsilon).reshape(dims);
    match (&layer.gamma, &layer.beta) {
        (Some(gamma), Some(beta)) => normalised
            .scale(gamma.val().reshape([1, channels, 1, 1]))
            .add_constant(beta.val().reshape([1, channels, 1, 1])),
        _ => normalised,
    }
}

/// SiLU of a group normalisation of images, `[B, C, H, W]` to the same, `modulation` between them: a factor (scale) and a shift of
/// each channel of each example, both `[B, C, 1, 1]`, or of all, `[1, C, 1, 1]`. The same as [`group_norm`], [`scale`](Jet::scale),
/// [`add_constant`](Jet::add_constant) and [`silu`]; without directions it is one pass where there is a kernel.
///
/// # Panics
///
/// If C is not the layer's number of channels, or the modulation has another shape.
pub fn group_norm_silu(layer: &GroupNorm, modulation: Option<[Tensor<4>; 2]>, x: Jet<4>) -> Jet<4> {
    let [batch, channels, ..] = x.dims();
    if let Some([scale, shift]) = &modulation {
        let (dims, other) = (scale.dims(), shift.dims());
        assert!(
            dims == other && (dims == [batch, channels, 1, 1] || dims == [1, channels, 1, 1]),
            "a modulation of {batch} examples with {channels} channels got {dims:?} and {other:?}"
        );
    }
    if x.directions() == 0
        && let Some(affine) = affine(layer, modulation.as_ref())
        && let Some(y) = stein_kernels::normalised(layer, affine, Some(Function::Silu), &x.data)
    {
        return noted("group_norm_silu", layer.gamma.as_ref(), Jet::plain(y));
    }
    let h = group_norm(layer, x);
    silu(match modulation {
        Some([scale, shift]) => h.scale(scale).add_constant(shift),
        None => h,
    })
}

/// γ and β of a layer and the modulation after it, `[1, C]` or `[B, C]`; `None` if the layer has none.
fn affine(layer: &GroupNorm, modulation: Option<&[Tensor<4>; 2]>) -> Option<[Tensor<2>; 2]> {
    let of = |parameter: &Option<Param<Tensor<1>>>| parameter.as_ref().map(|p| p.val().unsqueeze::<2>());
    let (gamma, beta) = (of(&layer.gamma)?, of(&layer.beta)?);
    let Some([scale, shift]) = modulation else { return Some([gamma, beta]) };
    let [scale, shift] = [scale, shift].map(|part| part.clone().flatten::<2>(1, 3));
    Some([gamma * scale.clone(), beta * scale + shift])
}

/// Instance normalisation of images, `[B, C, H, W]` to the same: [`group_norm`] with a group for each channel.
///
/// # Panics
///
/// If C is not the layer's number of channels.
pub fn instance_norm(layer: &InstanceNorm, x: Jet<4>) -> Jet<4> {
    // Cloning a parameter copies no numbers.
    let InstanceNorm { gamma, beta, num_channels, epsilon, affine } = layer.clone();
    group_norm(&GroupNorm { num_groups: num_channels, num_channels, gamma, beta, epsilon, affine }, x)
}

/// Instance normalisation++ of images, `[B, C, H, W]` to the same: γ (x̂ + α μ̂) + β, where x̂ is x normalised over the pixels of
/// each channel and μ̂ the channels' means normalised over the channels, which instance normalisation alone forgets (Song &
/// Ermon 2019, arXiv 1907.05600, appendix A.1). The variance over channels is unbiased, as in the authors' code; ε is inside both
/// roots. γ, α and β are `[1, C]`, or `[B, C]` for each example its own. Derivatives as in [`group_norm`].
///
/// # Panics
///
/// If there are fewer than two channels, or γ, α and β have another shape.
pub fn instance_norm_plus(x: Jet<4>, affine: [Tensor<2>; 3], epsilon: f64) -> Jet<4> {
    let dims @ [batch, channels, height, width] = x.dims();
    assert!(channels >= 2, "the variance over channels needs two or more, got {dims:?}");
    for part in &affine {
        let part = part.dims();
        assert!(
            part == [1, channels] || part == [batch, channels],
            "a normalisation of {batch} examples with {channels} channels got γ, α or β of {part:?}"
        );
    }
    let [gamma, alpha, beta] = affine;
    let pixels = x.clone().reshape([batch, channels, height * width]);
    // n − 1 in place of n: the variance is κ times that over n, and √(κ v + ε) is √κ √(v + ε/κ).
    let kappa = channels as f64 / (channels - 1) as f64;
    let means = pixels.clone().mean_dim(2).reshape([batch, 1, channels]);
    let means = normalise_or_plain(means, epsilon / kappa).scale_by(kappa.sqrt().recip());
    let shift = means.reshape([batch, channels]).scale(alpha);
    if x.directions() == 0 {
        let shift = shift.into_value() * gamma.clone() + beta.clone();
        let all =
            GroupNorm { num_groups: channels, num_channels: channels, gamma: None, beta: None, epsilon, affine: false };
        let gamma = gamma.expand([batch, channels]);
        if let Some(y) = stein_kernels::normalised(&all, [gamma.clone(), shift.clone()], None, &x.data) {
            return Jet::plain(y);
        }
        let [gamma, shift] = [gamma, shift].map(|part| part.reshape([batch, channels, 1, 1]));
        let normalised = normalise_or_plain(pixels, epsilon).into_value().reshape(dims);
        return Jet::plain(normalised * gamma + shift);
    }
    let over_pixels = |rows: Tensor<2>| {
        let n = rows.dims()[0];
        rows.reshape([n, channels, 1, 1]).expand([n, channels, height, width])
    };
    let column = |part: Tensor<2>| part.unsqueeze_dims::<4>(&[2, 3]);
    let normalised = normalise_or_plain(pixels, epsilon).reshape(dims);
    (normalised + shift.linear_map(over_pixels)).scale(column(gamma)).add_constant(column(beta))
}

/// Layer normalisation over the last dimension, `[B, ..., d]` to the same. Derivatives as in [`group_norm`].
///
/// # Panics
///
/// If the last dimension is the batch or is not the layer's.
pub fn layer_norm<const D: usize>(layer: &LayerNorm, x: Jet<D>) -> Jet<D> {
    seen("layer_norm", layer.gamma.id, normed(layer, x))
}

fn normed<const D: usize>(layer: &LayerNorm, x: Jet<D>) -> Jet<D> {
    let (dims, [d]) = (x.dims(), layer.gamma.dims());
    assert!(D >= 2 && dims[D - 1] == d, "layer norm of [B, ..., {d}] got {dims:?}");
    if x.directions() == 0 {
        return x.linear_map(|rows| layer.forward(rows));
    }
    let rows = dims[1..D - 1].iter().product();
    let normalised = normalise(x.reshape([dims[0], rows, d]), |variance| variance + epsilon(layer)).reshape(dims);
    let scaled = normalised.scale(layer.gamma.val().unsqueeze());
    match &layer.beta {
        Some(beta) => scaled.add_constant(beta.val().unsqueeze()),
        None => scaled,
    }
}

/// The ε of a layer, which burn keeps to itself: h and −h are normalised to ± h / √(h² + ε), and h² is nothing beside ε.
fn epsilon(layer: &LayerNorm) -> Tensor<5> {
    const H: f64 = 1e-20;
    let gamma = layer.gamma.val();
    let mut bare = layer.clone();
    let ones: Tensor<1> = Tensor::ones([2], (&gamma.device(), gamma.dtype()));
    let pair = Tensor::cat(vec![ones.clone().narrow(0, 0, 1) * H, ones.clone().narrow(0, 1, 1) * -H], 0);
    bare.gamma = Param::initialized(ParamId::new(), ones);
    bare.beta = None;
    (bare.forward(pair).narrow(0, 0, 1).recip() * H).square().unsqueeze()
}

/// [`normalise`], with directions or without.
fn normalise_or_plain(x: Jet<3>, epsilon: f64) -> Jet<3> {
    if x.directions() > 0 {
        return normalise(x, |variance| variance + epsilon);
    }
    let centred = x.data.clone() - x.data.mean_dim(2);
    let s = (centred.clone().square().mean_dim(2) + epsilon).sqrt();
    Jet::plain(centred / s)
}

/// Normalises the last dimension of `[B, groups, size]` to mean 0 and, but for ε, variance 1.
fn normalise(x: Jet<3>, add_epsilon: impl FnOnce(Tensor<5>) -> Tensor<5>) -> Jet<3> {
    let dims @ [_, groups, size] = x.dims();
    let centred = x.linear_map(|rows| rows.clone() - rows.mean_dim(2));
    let Blocks { value, first: u, second: w, order } = centred.into_blocks([1, groups, size]);
    let s = add_epsilon(value.clone().square().mean_dim(4)).sqrt();
    let value = value / s.clone();
    let ds = (value.clone() * u.clone()).mean_dim(4);
    let first = (u.clone() - value.clone() * ds.clone()) / s.clone();
    let second = (order == Order::Second).then(|| {
        let along = w.clone().map(|w| (value.clone() * w).mean_dim(4));
        let dds = plus((u.square().mean_dim(4) - ds.clone().square()) / s.clone(), along);
        let bent = first.clone() * ds * 2.0 + value.clone() * dds;
        match w {
            Some(w) => (w - bent) / s,
            None => -bent / s,
        }
    });
    Jet::from_blocks(Blocks { value, first, second, order }, dims)
}
