//! Same-padded convolution of small images by matrix products.
//!
//! Images are taken in groups of about [`PIXELS`] pixels, so that a matrix product is wide enough to fill vector registers
//! even at 4×4 pixels and narrow enough to stay in the cache. Each group is unfolded (im2col) into `[C·k·k, G·H·W]` and
//! multiplied; nothing is scattered: the gradient in the input is a convolution too, with the kernel turned round.

use rayon::prelude::*;

use super::matmul::{Strides, matmul};

/// Pixels of a group of images.
const PIXELS: usize = 128;
/// Groups whose weight gradients are summed by one task, in order.
const GROUPS: usize = 8;

/// The extents of a same-padded convolution with stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extents {
    /// Images, B.
    pub batch: usize,
    /// Channels in, C.
    pub inputs: usize,
    /// Channels out, O.
    pub outputs: usize,
    /// Height H of the images.
    pub height: usize,
    /// Width W of the images.
    pub width: usize,
    /// Side k of the kernel, odd.
    pub kernel: usize,
}

impl Extents {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// C·k·k, the rows of an unfolded image.
    fn unfolded(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// Images in a group.
    fn group(&self) -> usize {
        PIXELS.div_ceil(self.pixels().max(1)).clamp(1, self.batch.max(1))
    }
}

/// Unfolded images, their product with the weight, and padded images.
type Buffers = (Vec<f32>, Vec<f32>, Vec<f32>);

/// y `[B, O, H, W]` = x `[B, C, H, W]` ∗ weight `[O, C, k, k]` + bias `[O]`.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn conv(e: Extents, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (p, group, rows) = (e.pixels(), e.group(), e.unfolded());
    assert_eq!(x.len(), e.batch * e.inputs * p);
    assert_eq!(weight.len(), e.outputs * rows);
    assert_eq!(bias.len(), e.outputs);
    assert_eq!(y.len(), e.batch * e.outputs * p);
    if y.is_empty() {
        return;
    }
    let task = |(unfolded, product, padded): &mut Buffers, (y, x): (&mut [f32], &[f32])| {
        let images = x.len() / (e.inputs * p);
        let columns = images * p;
        unfold(e, x, padded, unfolded);
        for (row, &b) in product.chunks_exact_mut(columns).zip(bias) {
            row.fill(b);
        }
        matmul(
            [e.outputs, columns, rows],
            (product, Strides { rows: columns, columns: 1 }),
            (weight, Strides { rows, columns: 1 }),
            (unfolded, Strides { rows: columns, columns: 1 }),
            true,
        );
        // From [O, G, P] to [G, O, P].
        for (g, image) in y.chunks_exact_mut(e.outputs * p).enumerate() {
            for (o, plane) in image.chunks_exact_mut(p).enumerate() {
                plane.copy_from_slice(&product[o * columns + g * p..][..p]);
            }
        }
    };
    let buffers = || (vec![0.0; rows * group * p], vec![0.0; e.outputs * group * p], Vec::new());
    y.par_chunks_mut(group * e.outputs * p).zip(x.par_chunks(group * e.inputs * p)).for_each_init(buffers, task);
}

/// The gradient of [`conv`] in its weight `[O, C, k, k]` and bias `[O]`, for the gradient `dy` `[B, O, H, W]` of its result.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn conv_weight_grad(e: Extents, x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (p, group, rows) = (e.pixels(), e.group(), e.unfolded());
    assert_eq!(x.len(), e.batch * e.inputs * p);
    assert_eq!(dy.len(), e.batch * e.outputs * p);
    let task = |(x, dy): (&[f32], &[f32])| {
        let mut unfolded = vec![0.0; rows * group * p];
        let mut padded = Vec::new();
        let mut gathered = vec![0.0; e.outputs * group * p];
        let (mut weight, mut bias) = (vec![0.0f32; e.outputs * rows], vec![0.0f64; e.outputs]);
        for (x, dy) in x.chunks(group * e.inputs * p).zip(dy.chunks(group * e.outputs * p)) {
            let columns = x.len() / e.inputs;
            unfold(e, x, &mut padded, &mut unfolded);
            for (g, image) in dy.chunks_exact(e.outputs * p).enumerate() {
                for (o, plane) in image.chunks_exact(p).enumerate() {
                    gathered[o * columns + g * p..][..p].copy_from_slice(plane);
                    bias[o] += f64::from(plane.iter().sum::<f32>());
                }
            }
            matmul(
                [e.outputs, rows, columns],
                (&mut weight, Strides { rows, columns: 1 }),
                (&gathered, Strides { rows: columns, columns: 1 }),
                (&unfolded, Strides { rows: 1, columns }),
                true,
            );
        }
        (weight, bias)
    };
    let step = GROUPS * group;
    let parts: Vec<(Vec<f32>, Vec<f64>)> = if p * e.batch == 0 {
        Vec::new()
    } else {
        x.par_chunks(step * e.inputs * p).zip(dy.par_chunks(step * e.outputs * p)).map(task).collect()
    };
    let (mut weight, mut bias) = (vec![0.0f32; e.outputs * rows], vec![0.0f64; e.outputs]);
    for (w, b) in parts {
        weight.iter_mut().zip(w).for_each(|(sum, w)| *sum += w);
        bias.iter_mut().zip(b).for_each(|(sum, b)| *sum += b);
    }
    (weight, bias.into_iter().map(|b| b as f32).collect())
}

/// The weight `[C, O, k, k]` by which the gradient in the input is a convolution of the gradient in the output: channels
/// exchanged, kernel turned by 180°.
pub fn turned(e: Extents, weight: &[f32]) -> Vec<f32> {
    let kk = e.kernel * e.kernel;
    let mut out = vec![0.0; weight.len()];
    for o in 0..e.outputs {
        for c in 0..e.inputs {
            let from = &weight[(o * e.inputs + c) * kk..][..kk];
            let to = &mut out[(c * e.outputs + o) * kk..][..kk];
            to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
        }
    }
    out
}

/// A group of images with a border of zeros, ready to be unfolded: `[G, C, H + k − 1, W + k − 1]`.
fn pad(e: Extents, x: &[f32], out: &mut Vec<f32>) {
    let (h, w, border) = (e.height, e.width, e.kernel / 2);
    let wide = w + 2 * border;
    let plane = (h + 2 * border) * wide;
    out.clear();
    out.resize(x.len() / (h * w) * plane, 0.0);
    for (to, from) in out.chunks_exact_mut(plane).zip(x.chunks_exact(h * w)) {
        for (y, row) in from.chunks_exact(w).enumerate() {
            to[(y + border) * wide + border..][..w].copy_from_slice(row);
        }
    }
}

/// Unfolds a group of images `[G, C, H, W]` into `[C·k·k, G·H·W]`, zeros beyond the edges.
fn unfold(e: Extents, x: &[f32], padded: &mut Vec<f32>, out: &mut [f32]) {
    pad(e, x, padded);
    // Short rows are copied as whole registers, not by calls of memcpy.
    match e.width {
        4 => unfold_rows::<4>(e, padded, out),
        8 => unfold_rows::<8>(e, padded, out),
        16 => unfold_rows::<16>(e, padded, out),
        _ => unfold_rows::<0>(e, padded, out),
    }
}

/// `W` is the width of the images, 0 for any.
#[inline(always)]
fn unfold_rows<const W: usize>(e: Extents, padded: &[f32], out: &mut [f32]) {
    let (h, w, k) = (e.height, e.width, e.kernel);
    let wide = w + k - 1;
    let plane = (h + k - 1) * wide;
    let images = padded.len() / (e.inputs * plane);
    let columns = images * h * w;
    for (row, line) in out.chunks_exact_mut(columns).take(e.unfolded()).enumerate() {
        let (c, ky, kx) = (row / (k * k), row / k % k, row % k);
        for (g, to) in line.chunks_exact_mut(h * w).enumerate() {
            // What this tap sees of the first pixel; every further row is one padded row on.
            let source = &padded[(g * e.inputs + c) * plane + ky * wide + kx..];
            if W > 0 {
                let (to, _) = to.as_chunks_mut::<W>();
                for (y, to) in to.iter_mut().enumerate() {
                    if let Some(from) = source[y * wide..].first_chunk::<W>() {
                        *to = *from;
                    }
                }
            } else {
                for (y, to) in to.chunks_exact_mut(w).enumerate() {
                    to.copy_from_slice(&source[y * wide..][..w]);
                }
            }
        }
    }
}
