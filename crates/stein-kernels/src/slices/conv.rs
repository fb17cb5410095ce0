//! Same-padded convolution with stride 1, dilated or not.
//!
//! Kernels of usual sizes with channels that fill vectors are taken image by image, in registers (`direct`). Others by matrix
//! products: images are taken in groups of about [`PIXELS`] pixels, so that a product is wide enough to fill vector registers even
//! at 4×4 pixels and narrow enough to stay in the cache; each group is unfolded (im2col) into `[C·k·k, G·H·W]` and multiplied.
//! Either way nothing is scattered: the gradient in the input is a convolution too, with the kernel turned round.

use rayon::prelude::*;

use super::direct;
use super::matmul::{Strides, matmul};
use super::norm::{over_images, total};

/// Pixels of a group of images.
const PIXELS: usize = 128;
/// Parts of a batch whose weight gradients are summed side by side, and then in order.
const TASKS: usize = 8;

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
    /// Pixels from one tap of the kernel to the next, at least 1.
    pub dilation: usize,
}

impl Extents {
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// C·k·k, the rows of an unfolded image.
    pub(super) fn unfolded(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// Pixels beyond each edge that the kernel sees.
    fn border(&self) -> usize {
        self.kernel / 2 * self.dilation
    }

    /// The width of a padded image.
    pub(super) fn wide(&self) -> usize {
        self.width + 2 * self.border()
    }

    /// The pixels of a padded image.
    pub(super) fn plane(&self) -> usize {
        (self.height + 2 * self.border()) * self.wide()
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
    let p = e.pixels();
    assert_eq!(x.len(), e.batch * e.inputs * p);
    assert_eq!(weight.len(), e.outputs * e.unfolded());
    assert_eq!(bias.len(), e.outputs);
    assert_eq!(y.len(), e.batch * e.outputs * p);
    if y.is_empty() {
        return;
    }
    if !direct::takes(e) {
        return by_product(e, x, weight, bias, y);
    }
    let weights = direct::Packed::new(e, weight, bias);
    let images = y.par_chunks_mut(e.outputs * p).zip(x.par_chunks(e.inputs * p));
    images.for_each_init(Vec::new, |padded, (y, x)| {
        pad(e, x, padded);
        direct::image(e, padded, &weights, y);
    });
}

fn by_product(e: Extents, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (p, group, rows) = (e.pixels(), e.group(), e.unfolded());
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
    let p = e.pixels();
    assert_eq!(x.len(), e.batch * e.inputs * p);
    assert_eq!(dy.len(), e.batch * e.outputs * p);
    if dy.is_empty() {
        return (vec![0.0; e.outputs * e.unfolded()], vec![0.0; e.outputs]);
    }
    let directly = e.kernel == 3 && direct::takes(e);
    let some = e.batch.div_ceil(TASKS).next_multiple_of(if directly { 1 } else { e.group() });
    let tasks = x.par_chunks(some * e.inputs * p).zip(dy.par_chunks(some * e.outputs * p));
    let parts: Vec<Vec<f32>> = if directly {
        tasks.map(|(x, dy)| direct_weight_grad(e, x, dy)).collect()
    } else {
        tasks.map(|(x, dy)| weight_grad_by_product(e, x, dy)).collect()
    };
    let mut parts = parts.into_iter();
    let mut sums = parts.next().expect("an image at least");
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    let weight = if directly { direct::unpacked(e, &sums) } else { sums };
    (weight, bias_grad(e, dy))
}

fn direct_weight_grad(e: Extents, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (mut padded, mut turned) = (Vec::new(), Vec::new());
    let mut sums = vec![0.0; direct::sums_length(e)];
    for (x, dy) in x.chunks_exact(e.inputs * e.pixels()).zip(dy.chunks_exact(e.outputs * e.pixels())) {
        pad(e, x, &mut padded);
        direct::weight_grad(e, &padded, dy, &mut turned, &mut sums);
    }
    sums
}

fn weight_grad_by_product(e: Extents, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let (p, group, rows) = (e.pixels(), e.group(), e.unfolded());
    let mut unfolded = vec![0.0; rows * group * p];
    let mut padded = Vec::new();
    let mut gathered = vec![0.0; e.outputs * group * p];
    let mut weight = vec![0.0; e.outputs * rows];
    for (x, dy) in x.chunks(group * e.inputs * p).zip(dy.chunks(group * e.outputs * p)) {
        let columns = x.len() / e.inputs;
        unfold(e, x, &mut padded, &mut unfolded);
        for (g, image) in dy.chunks_exact(e.outputs * p).enumerate() {
            for (o, plane) in image.chunks_exact(p).enumerate() {
                gathered[o * columns + g * p..][..p].copy_from_slice(plane);
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
    weight
}

/// The sums of `dy` `[B, O, P]` over images and pixels.
fn bias_grad(e: Extents, dy: &[f32]) -> Vec<f32> {
    let mut planes = vec![0.0; e.batch * e.outputs];
    planes.par_iter_mut().zip(dy.par_chunks(e.pixels())).with_min_len(64).for_each(|(sum, plane)| *sum = total(plane));
    over_images(&planes, e.outputs)
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

/// A group of images with a border of zeros, ready to be unfolded: `[G, C, H + (k − 1) d, W + (k − 1) d]`.
fn pad(e: Extents, x: &[f32], out: &mut Vec<f32>) {
    let (h, w, border) = (e.height, e.width, e.border());
    let (wide, plane) = (e.wide(), e.plane());
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
    let (wide, plane) = (e.wide(), e.plane());
    let images = padded.len() / (e.inputs * plane);
    let columns = images * h * w;
    for (row, line) in out.chunks_exact_mut(columns).take(e.unfolded()).enumerate() {
        let (c, ky, kx) = (row / (k * k), row / k % k * e.dilation, row % k * e.dilation);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, stride: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * stride % 101) as f32 - 50.0) / 50.0).collect()
    }

    /// Calls `f` with the places in y, x and the weight of each product.
    fn products(e: Extents, mut f: impl FnMut(usize, usize, usize)) {
        let Extents { batch, inputs, outputs, height, width, kernel: k, dilation } = e;
        let border = k / 2 * dilation;
        let places = |n: usize, m: usize| (0..n).flat_map(move |i| (0..m).map(move |j| (i, j)));
        for (b, o) in places(batch, outputs) {
            for (c, (row, column)) in (0..inputs).flat_map(|c| places(height, width).map(move |at| (c, at))) {
                for (ky, kx) in places(k, k) {
                    let seen = |at: usize, tap: usize| (at + tap * dilation).wrapping_sub(border);
                    let (y, x) = (seen(row, ky), seen(column, kx));
                    if y < height && x < width {
                        let at = |image: usize, y: usize, x: usize| (image * height + y) * width + x;
                        f(
                            at(b * outputs + o, row, column),
                            at(b * inputs + c, y, x),
                            ((o * inputs + c) * k + ky) * k + kx,
                        );
                    }
                }
            }
        }
    }

    /// Plain loops over plain slices: small enough for an interpreter.
    #[test]
    fn sums_of_products() {
        for (batch, inputs, outputs, height, width, kernel, dilation) in [
            (2, 2, 17, 3, 9, 3, 1),
            (9, 1, 32, 2, 4, 3, 1),
            (1, 3, 33, 2, 2, 3, 1),
            (2, 3, 16, 2, 7, 1, 1),
            (3, 2, 1, 3, 5, 3, 1),
            (2, 2, 17, 5, 9, 3, 2),
            (2, 1, 32, 3, 2, 3, 4),
            (3, 2, 1, 6, 5, 3, 2),
        ] {
            let e = Extents { batch, inputs, outputs, height, width, kernel, dilation };
            let x = numbers(batch * inputs * e.pixels(), 7);
            let (weight, bias) = (numbers(outputs * e.unfolded(), 13), numbers(outputs, 29));
            let mut y = vec![f32::NAN; batch * outputs * e.pixels()];
            conv(e, &x, &weight, &bias, &mut y);
            let mut expected: Vec<f32> = (0..y.len()).map(|i| bias[i / e.pixels() % outputs]).collect();
            products(e, |y, at, w| expected[y] += x[at] * weight[w]);
            assert!(y.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{e:?}");

            let dy = numbers(y.len(), 17);
            let (got, of_bias) = conv_weight_grad(e, &x, &dy);
            let mut expected = vec![0.0; weight.len()];
            products(e, |y, at, w| expected[w] += x[at] * dy[y]);
            assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{e:?}");
            let mut expected = vec![0.0; outputs];
            dy.chunks(e.pixels()).enumerate().for_each(|(i, plane)| expected[i % outputs] += plane.iter().sum::<f32>());
            assert!(of_bias.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{e:?}");
        }
    }
}
