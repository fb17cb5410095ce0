//! Group normalisation, and a smooth function of its result.
//!
//! Over each group of channels of each image: x̂ = (x − mean)/√(variance + ε), u = γ x̂ + β, y = f(u). γ and β are a number for each
//! channel, the same for all images or each image's own. A group stays in the cache through all of it; going back, u and f′(u) are
//! made again from x.

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::{Function, elu, silu, softplus, tanh};

/// The extents of a group normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extents {
    /// Images, B.
    pub batch: usize,
    /// Channels, C.
    pub channels: usize,
    /// Numbers in a channel.
    pub pixels: usize,
    /// Groups; divides the channels.
    pub groups: usize,
    /// ε.
    pub epsilon: f32,
}

impl Extents {
    fn image(&self) -> usize {
        self.channels * self.pixels
    }

    fn channels_of_group(&self) -> usize {
        self.channels / self.groups
    }
}

const LANES: usize = 16;

/// Sums f(x) in lanes, then in order.
#[inline(always)]
fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&x| f(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The sum of x, in lanes.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn total(x: &[f32]) -> f32 {
    sum_of(x, |x| x)
}

/// Sums f(x, y) in lanes, then in order.
#[inline(always)]
fn sum_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| f(x, y)).sum();
    for (x, y) in xs.zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(x, y);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Mean and 1/√(variance + ε), in two passes.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum_of(x, |x| x) / n;
    let variance = sum_of(x, |x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// γ and β, `[C]` or `[B, C]`.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// γ.
    pub gain: &'a [f32],
    /// β.
    pub shift: &'a [f32],
}

impl<'a> Affine<'a> {
    /// Those of an image, `[C]`.
    fn of(self, e: Extents, image: usize) -> Self {
        let at = if self.gain.len() == e.channels { 0 } else { image * e.channels };
        Self { gain: &self.gain[at..][..e.channels], shift: &self.shift[at..][..e.channels] }
    }

    fn fits(self, e: Extents) -> bool {
        self.gain.len() == self.shift.len() && [e.channels, e.batch * e.channels].contains(&self.gain.len())
    }
}

#[inline(always)]
fn each(x: &[f32], (a, b): (f32, f32), y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(a * x + b);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn norm_image(e: Extents, f: Option<Function>, x: &[f32], affine: Affine, y: &mut [f32]) {
    let (per_group, p) = (e.channels_of_group(), e.pixels);
    let groups = x.chunks_exact(per_group * p).zip(y.chunks_exact_mut(per_group * p));
    for (g, (x, y)) in groups.enumerate() {
        let (mean, scale) = moments(x, e.epsilon);
        for (c, (x, y)) in x.chunks_exact(p).zip(y.chunks_exact_mut(p)).enumerate() {
            let channel = g * per_group + c;
            let a = affine.gain[channel] * scale;
            let line = (a, affine.shift[channel] - a * mean);
            match f {
                None => each(x, line, y, |u| u),
                Some(Function::Silu) => each(x, line, y, |u| silu(u)[0]),
                Some(Function::Softplus) => each(x, line, y, |u| softplus(u)[0]),
                Some(Function::Tanh) => each(x, line, y, |u| tanh(u)[0]),
                Some(Function::Elu) => each(x, line, y, |u| elu(u)[0]),
            }
        }
    }
}

/// y `[B, C, P]` from x `[B, C, P]`.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn norm(e: Extents, f: Option<Function>, x: &[f32], affine: Affine, y: &mut [f32]) {
    assert!(x.len() == e.batch * e.image() && y.len() == x.len());
    assert!(affine.fits(e) && e.channels.is_multiple_of(e.groups));
    if x.is_empty() {
        return;
    }
    let images = y.par_chunks_mut(e.image()).zip(x.par_chunks(e.image())).enumerate();
    images.for_each(|(i, (y, x))| norm_image(e, f, x, affine.of(e, i), y));
}

#[inline(always)]
fn each_slope(x: &[f32], (a, b): (f32, f32), dy: &[f32], du: &mut [f32], f: impl Fn(f32) -> f32) {
    for ((du, &x), &d) in du.iter_mut().zip(x).zip(dy) {
        *du = d * f(a * x + b);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn grad_image(
    e: Extents,
    f: Option<Function>,
    (x, dy): (&[f32], &[f32]),
    affine: Affine,
    dx: &mut [f32],
    (dgain, dshift): (&mut [f32], &mut [f32]),
) {
    let (per_group, p) = (e.channels_of_group(), e.pixels);
    let n = (per_group * p) as f32;
    let size = per_group * p;
    for g in 0..e.groups {
        let (x, dy, dx) = (&x[g * size..][..size], &dy[g * size..][..size], &mut dx[g * size..][..size]);
        let (mean, scale) = moments(x, e.epsilon);
        // Means over the group of γ du and of γ du x̂.
        let (mut sum, mut product) = (0.0, 0.0);
        for c in 0..per_group {
            let channel = g * per_group + c;
            let gain = affine.gain[channel];
            let line = (gain * scale, affine.shift[channel] - gain * scale * mean);
            let (x, dy, du) = (&x[c * p..][..p], &dy[c * p..][..p], &mut dx[c * p..][..p]);
            match f {
                None => du.copy_from_slice(dy),
                Some(Function::Silu) => each_slope(x, line, dy, du, |u| silu(u)[1]),
                Some(Function::Softplus) => each_slope(x, line, dy, du, |u| softplus(u)[1]),
                Some(Function::Tanh) => each_slope(x, line, dy, du, |u| tanh(u)[1]),
                Some(Function::Elu) => each_slope(x, line, dy, du, |u| elu(u)[1]),
            }
            dshift[channel] = sum_of(du, |d| d);
            dgain[channel] = sum_of_pairs(x, du, |x, d| d * ((x - mean) * scale));
            sum += gain * dshift[channel];
            product += gain * dgain[channel];
        }
        let (sum, product) = (sum / n, product / n);
        for c in 0..per_group {
            let gain = affine.gain[g * per_group + c];
            for (dx, &x) in dx[c * p..][..p].iter_mut().zip(&x[c * p..][..p]) {
                let xhat = (x - mean) * scale;
                *dx = scale * (gain * *dx - sum - xhat * product);
            }
        }
    }
}

/// The gradients of [`norm`] in x (`dx`), and in γ and β, of their sizes, for the gradient `dy` of its result.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn norm_grad(
    e: Extents,
    f: Option<Function>,
    x: &[f32],
    affine: Affine,
    dy: &[f32],
    dx: &mut [f32],
) -> (Vec<f32>, Vec<f32>) {
    assert!(x.len() == e.batch * e.image() && dy.len() == x.len() && dx.len() == x.len());
    assert!(affine.fits(e) && e.channels.is_multiple_of(e.groups));
    let c = e.channels;
    let (mut dgain, mut dshift) = (vec![0.0f32; e.batch * c], vec![0.0f32; e.batch * c]);
    if !x.is_empty() {
        let inputs = x.par_chunks(e.image()).zip(dy.par_chunks(e.image()));
        let parts = dgain.par_chunks_mut(c).zip(dshift.par_chunks_mut(c));
        let images = dx.par_chunks_mut(e.image()).zip(parts).zip(inputs).enumerate();
        images.for_each(|(i, ((dx, parts), inputs))| grad_image(e, f, inputs, affine.of(e, i), dx, parts));
    }
    if affine.gain.len() == c { (over_images(&dgain, c), over_images(&dshift, c)) } else { (dgain, dshift) }
}

/// The sum over images of `[B, C]`, in order.
pub(super) fn over_images(parts: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; channels];
    for part in parts.chunks_exact(channels) {
        sums.iter_mut().zip(part).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    sums.into_iter().map(|v| v as f32).collect()
}
