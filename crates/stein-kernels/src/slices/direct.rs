//! Same-padded convolution of one image in registers.
//!
//! A tile of the result is some pixels of a row times [`VECTORS`] vectors of output channels. It stays in registers while all
//! input channels and taps pass: each adds one number of the padded image, spread over a vector, times a vector of weights.
//! Nothing is unfolded, so what a product reads lies in the cache. The gradient in the weight is the same product with other
//! roles: all taps of one input channel times some output channels stay in registers while the pixels pass.

use pulp::{Arch, Simd, WithSimd, bytemuck};

use super::conv::Extents;

/// Vectors of output channels in a tile.
const VECTORS: usize = 2;
/// Numbers of a result's gradient that are at hand while the input channels pass: half of a first-level cache.
const BAND: usize = 4096;

struct Block;

impl WithSimd for Block {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * S::F32_LANES
    }
}

/// Output channels of a tile on this machine.
fn block() -> usize {
    Arch::new().dispatch(Block)
}

/// Whether [`image`] and [`weight_grad`] are worth their while: a kernel of a size and dilation that they know, and output channels
/// that fill the vectors at least by half.
pub(super) fn takes(e: Extents) -> bool {
    let known = e.kernel == 1 || e.kernel == 3 && matches!(e.dilation, 1 | 2 | 4 | 8);
    known && e.width > 0 && 2 * e.outputs >= e.outputs.next_multiple_of(block())
}

/// A weight `[O, C, k, k]` and bias `[O]` by blocks of output channels, zeros past the last.
pub(super) struct Packed {
    /// `[blocks, C, k, k, block]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Packed {
    pub(super) fn new(e: Extents, weight: &[f32], bias: &[f32]) -> Self {
        let (block, rows) = (block(), e.unfolded());
        let outputs = e.outputs.next_multiple_of(block);
        let mut packed = vec![0.0; outputs * rows];
        for (o, taps) in weight.chunks_exact(rows).enumerate() {
            let to = &mut packed[o / block * block * rows..];
            to.iter_mut().skip(o % block).step_by(block).zip(taps).for_each(|(to, tap)| *to = *tap);
        }
        let mut padded = bias.to_vec();
        padded.resize(outputs, 0.0);
        Self { weight: packed, bias: padded }
    }
}

/// y `[O, H, W]` of a padded image.
pub(super) fn image(e: Extents, padded: &[f32], weights: &Packed, y: &mut [f32]) {
    Arch::new().dispatch(Image { e, padded, weights, y });
}

struct Image<'a> {
    e: Extents,
    padded: &'a [f32],
    weights: &'a Packed,
    y: &'a mut [f32],
}

impl WithSimd for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { e, padded, weights, y } = self;
        let block = VECTORS * S::F32_LANES;
        let packed = weights.weight.chunks_exact(e.unfolded() * block).zip(weights.bias.chunks_exact(block));
        for ((weight, bias), y) in packed.zip(y.chunks_mut(block * e.pixels())) {
            let all = Rows { e, padded, weight, bias, y };
            match (e.kernel, e.dilation) {
                (3, 8) => of_taps::<S, 3, 8>(simd, all),
                (3, 4) => of_taps::<S, 3, 4>(simd, all),
                (3, 2) => of_taps::<S, 3, 2>(simd, all),
                (3, _) => of_taps::<S, 3, 1>(simd, all),
                (..) => of_taps::<S, 1, 1>(simd, all),
            }
        }
    }
}

#[inline(always)]
fn of_taps<S: Simd, const K: usize, const D: usize>(simd: S, all: Rows<'_>) {
    match tile_width(all.e.width, S::REGISTER_COUNT) {
        8 => simd.vectorize(Tiles::<K, D, 8>(all)),
        7 => simd.vectorize(Tiles::<K, D, 7>(all)),
        5 => simd.vectorize(Tiles::<K, D, 5>(all)),
        4 => simd.vectorize(Tiles::<K, D, 4>(all)),
        _ => simd.vectorize(Tiles::<K, D, 1>(all)),
    }
}

/// Pixels of a tile in rows of `width`, such that tiles fit the registers and little is computed twice.
fn tile_width(width: usize, registers: usize) -> usize {
    let widths: &[usize] = if registers >= 32 { &[8, 7, 5, 4, 1] } else { &[5, 4, 1] };
    // A tile costs its products and, about, the loads of three.
    let cost = |t: usize| width.div_ceil(t) * (2 * t + 3);
    widths.iter().copied().filter(|&t| t <= width).min_by_key(|&t| cost(t)).unwrap_or(1)
}

/// A block of output channels: its part of the weights and of the result.
struct Rows<'a> {
    e: Extents,
    padded: &'a [f32],
    /// `[C, k, k, block]`.
    weight: &'a [f32],
    bias: &'a [f32],
    /// `[block or less, H, W]`.
    y: &'a mut [f32],
}

/// `K` is the side of the kernel, `D` its dilation, `T` the pixels of a tile.
struct Tiles<'a, const K: usize, const D: usize, const T: usize>(Rows<'a>);

impl<const K: usize, const D: usize, const T: usize> WithSimd for Tiles<'_, K, D, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows { e, padded, weight, bias, y } = self.0;
        let (w, p, wide) = (e.width, e.pixels(), e.wide());
        let stride = [e.plane(), D * wide];
        let weight = vectors::<S>(weight);
        let bias = vectors::<S>(bias)[0];
        for row in 0..e.height {
            for at in (0..w).step_by(T) {
                // The last tile of a row ends with it, and repeats some of the one before.
                let at = at.min(w - T);
                let sums = tile::<S, K, D, T>(simd, &padded[row * wide + at..], stride, weight, bias);
                for (o, y) in y.chunks_exact_mut(p).enumerate() {
                    let to = &mut y[row * w + at..][..T];
                    for (to, sum) in to.iter_mut().zip(&sums) {
                        *to = bytemuck::cast_slice::<_, f32>(sum)[o];
                    }
                }
            }
        }
    }
}

fn vectors<S: Simd>(x: &[f32]) -> &[[S::f32s; VECTORS]] {
    pulp::as_arrays(S::as_simd_f32s(x).0).0
}

/// The result at `T` pixels of a row, whose first sees the beginning of `x`; `stride`: of channels, and of the rows that taps see, in x.
#[inline(always)]
fn tile<S: Simd, const K: usize, const D: usize, const T: usize>(
    simd: S,
    x: &[f32],
    stride: [usize; 2],
    weight: &[[S::f32s; VECTORS]],
    bias: [S::f32s; VECTORS],
) -> [[S::f32s; VECTORS]; T] {
    let mut sums = [bias; T];
    for (c, taps) in weight.chunks_exact(K * K).enumerate() {
        for (ky, taps) in taps.chunks_exact(K).enumerate() {
            let row = &x[c * stride[0] + ky * stride[1]..][..T + (K - 1) * D];
            // Written out: the compiler leaves longer loops rolled, and sums that a variable indexes lie in memory.
            macro_rules! pixels {
                ($kx:literal: $($t:literal)*) => { if $kx < K { $(if $t < T {
                    let (v, w) = (simd.splat_f32s(row[$kx * D + $t]), taps[$kx]);
                    sums[$t][0] = simd.mul_add_e_f32s(v, w[0], sums[$t][0]);
                    sums[$t][1] = simd.mul_add_e_f32s(v, w[1], sums[$t][1]);
                })* } };
            }
            pixels!(0: 0 1 2 3 4 5 6 7);
            pixels!(1: 0 1 2 3 4 5 6 7);
            pixels!(2: 0 1 2 3 4 5 6 7);
        }
    }
    sums
}

/// Adds the gradient in a 3×3 weight that an image gives to `sums` `[blocks, C, 3, 3, block]`, of [`sums_length`] numbers. `turned`
/// is room.
pub(super) fn weight_grad(e: Extents, padded: &[f32], dy: &[f32], turned: &mut Vec<f32>, sums: &mut [f32]) {
    turn(e.pixels(), dy, block(), turned);
    Arch::new().dispatch(WeightGrad { e, padded, turned, sums });
}

pub(super) fn sums_length(e: Extents) -> usize {
    e.outputs.next_multiple_of(block()) * e.unfolded()
}

/// `[O, C, k, k]` out of [`weight_grad`]'s sums.
pub(super) fn unpacked(e: Extents, sums: &[f32]) -> Vec<f32> {
    let (block, rows) = (block(), e.unfolded());
    let mut weight = Vec::with_capacity(e.outputs * rows);
    for o in 0..e.outputs {
        weight.extend(sums[o / block * block * rows..].iter().skip(o % block).step_by(block).take(rows));
    }
    weight
}

/// `[O, P]` to `[blocks, P, block]`, zeros past the last.
fn turn(p: usize, from: &[f32], block: usize, to: &mut Vec<f32>) {
    to.clear();
    to.resize((from.len() / p).next_multiple_of(block) * p, 0.0);
    for (to, from) in to.chunks_exact_mut(block * p).zip(from.chunks(block * p)) {
        for (o, from) in from.chunks_exact(p).enumerate() {
            to.iter_mut().skip(o).step_by(block).zip(from).for_each(|(to, from)| *to = *from);
        }
    }
}

struct WeightGrad<'a> {
    e: Extents,
    padded: &'a [f32],
    turned: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { e, padded, turned, sums } = self;
        let block = VECTORS * S::F32_LANES;
        let wide = e.wide();
        let band = (BAND / (e.width * block)).max(1);
        for (sums, turned) in sums.chunks_exact_mut(e.unfolded() * block).zip(turned.chunks_exact(e.pixels() * block)) {
            for (i, dy) in turned.chunks(band * e.width * block).enumerate() {
                for (sums, x) in sums.chunks_exact_mut(9 * block).zip(padded.chunks_exact(e.plane())) {
                    let x = &x[i * band * wide..];
                    match e.dilation {
                        8 => simd.vectorize(Channel::<8> { x, dy, e, sums }),
                        4 => simd.vectorize(Channel::<4> { x, dy, e, sums }),
                        2 => simd.vectorize(Channel::<2> { x, dy, e, sums }),
                        _ => simd.vectorize(Channel::<1> { x, dy, e, sums }),
                    }
                }
            }
        }
    }
}

/// One input channel and a block of output channels; `D` is the kernel's dilation.
struct Channel<'a, const D: usize> {
    /// Padded rows.
    x: &'a [f32],
    /// `[rows, W, block]`.
    dy: &'a [f32],
    e: Extents,
    /// `[3, 3, block]`.
    sums: &'a mut [f32],
}

impl<const D: usize> WithSimd for Channel<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, dy, e, sums } = self;
        let (width, wide) = (e.width, e.wide());
        let (out, _) = pulp::as_arrays_mut::<VECTORS, _>(S::as_mut_simd_f32s(sums).0);
        let mut sums: [[[S::f32s; VECTORS]; 3]; 3] =
            std::array::from_fn(|ky| std::array::from_fn(|kx| out[3 * ky + kx]));
        for (row, dy) in vectors::<S>(dy).chunks_exact(width).enumerate() {
            let [a, b, c] = [0, 1, 2].map(|ky| x[(row + ky * D) * wide..][..wide].windows(2 * D + 1));
            for (((dy, a), b), c) in dy.iter().zip(a).zip(b).zip(c) {
                for (sums, x) in sums.iter_mut().zip([a, b, c]) {
                    for (sums, x) in sums.iter_mut().zip([x[0], x[D], x[2 * D]]) {
                        let v = simd.splat_f32s(x);
                        sums[0] = simd.mul_add_e_f32s(v, dy[0], sums[0]);
                        sums[1] = simd.mul_add_e_f32s(v, dy[1], sums[1]);
                    }
                }
            }
        }
        out.copy_from_slice(sums.as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_rows_and_registers() {
        for registers in [16, 32] {
            for width in 1..100 {
                let tile = tile_width(width, registers);
                assert!(tile <= width && VECTORS * (tile + 1) < registers, "{width} {registers}: {tile}");
            }
        }
        assert_eq!([4, 5, 7, 8, 10, 14, 28, 32].map(|width| tile_width(width, 32)), [4, 5, 7, 8, 5, 7, 7, 8]);
    }
}
