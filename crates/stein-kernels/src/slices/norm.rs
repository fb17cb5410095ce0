//! Group normalisation.
//!
//! Over each group of channels of each image: x̂ = (x − mean)/√(variance + ε), y = γ x̂ + β.

use multiversion::multiversion;
use rayon::prelude::*;

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

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn norm_image(e: Extents, x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]) {
    let (per_group, p) = (e.channels_of_group(), e.pixels);
    let groups = x.chunks_exact(per_group * p).zip(y.chunks_exact_mut(per_group * p));
    for (g, (x, y)) in groups.enumerate() {
        let (mean, scale) = moments(x, e.epsilon);
        for (c, (x, y)) in x.chunks_exact(p).zip(y.chunks_exact_mut(p)).enumerate() {
            let channel = g * per_group + c;
            let (a, b) = (gamma[channel] * scale, beta[channel] - gamma[channel] * scale * mean);
            for (y, &x) in y.iter_mut().zip(x) {
                *y = a * x + b;
            }
        }
    }
}

/// y `[B, C, P]` from x `[B, C, P]`, γ `[C]` and β `[C]`.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn norm(e: Extents, x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]) {
    assert!(x.len() == e.batch * e.image() && y.len() == x.len());
    assert!(gamma.len() == e.channels && beta.len() == e.channels && e.channels.is_multiple_of(e.groups));
    if x.is_empty() {
        return;
    }
    y.par_chunks_mut(e.image()).zip(x.par_chunks(e.image())).for_each(|(y, x)| norm_image(e, x, gamma, beta, y));
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn grad_image(
    e: Extents,
    (x, gamma, dy): (&[f32], &[f32], &[f32]),
    dx: &mut [f32],
    (dgamma, dbeta): (&mut [f32], &mut [f32]),
) {
    let (per_group, p) = (e.channels_of_group(), e.pixels);
    let n = (per_group * p) as f32;
    let size = per_group * p;
    for g in 0..e.groups {
        let (x, dy, dx) = (&x[g * size..][..size], &dy[g * size..][..size], &mut dx[g * size..][..size]);
        let (mean, scale) = moments(x, e.epsilon);
        // Means over the group of γ dy and of γ dy x̂.
        let (mut sum, mut product) = (0.0, 0.0);
        for c in 0..per_group {
            let channel = g * per_group + c;
            let (x, dy) = (&x[c * p..][..p], &dy[c * p..][..p]);
            dbeta[channel] = sum_of(dy, |d| d);
            dgamma[channel] = sum_of_pairs(x, dy, |x, d| d * ((x - mean) * scale));
            sum += gamma[channel] * dbeta[channel];
            product += gamma[channel] * dgamma[channel];
        }
        let (sum, product) = (sum / n, product / n);
        for c in 0..per_group {
            let gamma = gamma[g * per_group + c];
            let (x, dy, dx) = (&x[c * p..][..p], &dy[c * p..][..p], &mut dx[c * p..][..p]);
            for ((dx, &x), &d) in dx.iter_mut().zip(x).zip(dy) {
                let xhat = (x - mean) * scale;
                *dx = scale * (gamma * d - sum - xhat * product);
            }
        }
    }
}

/// The gradients of [`norm`] in x, γ and β for the gradient `dy` of its result.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn norm_grad(e: Extents, x: &[f32], gamma: &[f32], dy: &[f32], dx: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
    assert!(x.len() == e.batch * e.image() && dy.len() == x.len() && dx.len() == x.len());
    assert!(gamma.len() == e.channels && e.channels.is_multiple_of(e.groups));
    let c = e.channels;
    if x.is_empty() {
        return (vec![0.0; c], vec![0.0; c]);
    }
    // γ's and β's gradients of each image, then summed over the images in order.
    let mut parts = vec![0.0f32; e.batch * 2 * c];
    let inputs = x.par_chunks(e.image()).zip(dy.par_chunks(e.image()));
    dx.par_chunks_mut(e.image()).zip(parts.par_chunks_mut(2 * c)).zip(inputs).for_each(|((dx, part), (x, dy))| {
        let (dgamma, dbeta) = part.split_at_mut(c);
        grad_image(e, (x, gamma, dy), dx, (dgamma, dbeta));
    });
    let mut sums = vec![0.0f64; 2 * c];
    for part in parts.chunks_exact(2 * c) {
        sums.iter_mut().zip(part).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    let out: Vec<f32> = sums.into_iter().map(|v| v as f32).collect();
    (out[..c].to_vec(), out[c..].to_vec())
}
