//! Changing an image's resolution. All of it is linear.

use burn::nn::{PixelShuffleConfig, PixelUnshuffleConfig};
use burn::tensor::module::{avg_pool2d as pool, interpolate};
use burn::tensor::ops::{AvgPoolOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, TensorData};

use crate::jet::Jet;

/// Repeats every pixel `factor` times in both directions: `[B, C, H, W]` to `[B, C, factor H, factor W]`.
///
/// # Panics
///
/// If `factor` is 0.
pub fn upsample_nearest2d(x: Jet<4>, factor: usize) -> Jet<4> {
    assert!(factor > 0, "an upsampling factor must be positive");
    let [_, _, height, width] = x.dims();
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([factor * height, factor * width]);
    x.linear_map(|rows| interpolate(rows, options))
}

/// Means over disjoint `k` × `k` windows: `[B, C, H, W]` to `[B, C, H / k, W / k]`.
///
/// # Panics
///
/// If `k` is 0 or doesn't divide H and W.
pub fn avg_pool2d(x: Jet<4>, k: usize) -> Jet<4> {
    assert_tiles(k, x.dims());
    x.linear_map(|rows| pool(rows, AvgPoolOptions::new([k, k])))
}

/// Bilinear interpolation to `size`, `[height, width]`: `[B, C, H, W]` to `[B, C, height, width]`. Pixels are squares and the
/// images' borders coincide (PyTorch's `align_corners=False`); nothing is averaged on the way down.
///
/// # Panics
///
/// If a side of the image or of `size` is 0.
pub fn resize_bilinear2d(x: Jet<4>, size: [usize; 2]) -> Jet<4> {
    let [_, _, height, width] = x.dims();
    assert_sides([height, width], size);
    let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size(size).with_align_corners(false);
    x.linear_map(|rows| interpolate(rows, options))
}

/// Bilinear interpolation to `size`, `[height, width]`: `[B, C, H, W]` to `[B, C, height, width]`. Pixels are points, and the
/// corners' coincide (PyTorch's `align_corners=True`); a side of one pixel is the first of the image.
///
/// # Panics
///
/// If a side of the image or of `size` is 0.
pub fn resize_aligned2d(x: Jet<4>, size: [usize; 2]) -> Jet<4> {
    let [_, _, height, width] = x.dims();
    assert_sides([height, width], size);
    if size == [height, width] {
        return x;
    }
    separable(x, size, weights)
}

/// The same linear map of lines in both directions: `weights(from, to)` is its matrix, row major `[to, from]`.
///
/// A matrix product from either side: every backend differentiates those.
fn separable(x: Jet<4>, size: [usize; 2], weights: impl Fn(usize, usize) -> Vec<f64>) -> Jet<4> {
    let [_, channels, height, width] = x.dims();
    x.linear_map(|rows| {
        let place = (&rows.device(), rows.dtype());
        let [down, across] = [weights(height, size[0]), weights(width, size[1])];
        let down = Tensor::<2>::from_data(TensorData::new(down, [size[0], height]), place);
        let across = Tensor::<2>::from_data(TensorData::new(across, [size[1], width]), place);
        let n = rows.dims()[0];
        let wide = rows.reshape([n * channels * height, width]).matmul(across.transpose());
        let columns = wide.reshape([n * channels, height, size[1]]);
        down.unsqueeze::<3>().matmul(columns).reshape([n, channels, size[0], size[1]])
    })
}

/// A FIR filter between two resolutions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fir<'a> {
    /// The filter's taps. What they sum to does not matter: a constant stays what it is, away from the border.
    pub taps: &'a [f64],
    /// Pixels that each pixel becomes, `up` − 1 of them zeros after it; 1 for none.
    pub up: usize,
    /// Zeros before the first pixel and after the last.
    pub padding: [usize; 2],
    /// Every how many-th output is kept; 1 for all.
    pub down: usize,
}

impl<'a> Fir<'a> {
    /// Twice the height and width.
    ///
    /// # Panics
    ///
    /// If there are fewer than two taps.
    pub fn twice(taps: &'a [f64]) -> Self {
        let rest = excess(taps);
        Self { taps, up: 2, padding: [rest.div_ceil(2) + 1, rest / 2], down: 1 }
    }

    /// Half the height and width, which are even.
    ///
    /// # Panics
    ///
    /// If there are fewer than two taps.
    pub fn half(taps: &'a [f64]) -> Self {
        let rest = excess(taps);
        Self { taps, up: 1, padding: [rest.div_ceil(2), rest / 2], down: 2 }
    }

    /// What a `kernel` × `kernel` convolution with stride 2 and without padding makes half the height and width of, which are even.
    ///
    /// # Panics
    ///
    /// If there are fewer than two taps, or the kernel is 0.
    pub fn before_halving(taps: &'a [f64], kernel: usize) -> Self {
        assert!(kernel > 0, "a convolution's kernel must be positive");
        let rest = excess(taps) + kernel - 1;
        Self { taps, up: 1, padding: [rest.div_ceil(2), rest / 2], down: 1 }
    }

    /// Pixels that so many become.
    fn length(&self, from: usize) -> Option<usize> {
        let padded = from * self.up + self.padding[0] + self.padding[1];
        (from > 0 && self.up > 0 && self.down > 0).then_some(())?;
        Some(padded.checked_sub(self.taps.len())? / self.down + 1)
    }

    /// Its matrix, row major `[to, from]`: a convolution, so the last tap meets the first pixel.
    fn weights(&self, from: usize, to: usize) -> Vec<f64> {
        let gain = self.up as f64 / self.taps.iter().sum::<f64>();
        let mut rows = vec![0.0; to * from];
        for (i, row) in rows.chunks_exact_mut(from).enumerate() {
            for (j, tap) in self.taps.iter().rev().enumerate() {
                let at = (i * self.down + j).checked_sub(self.padding[0]);
                if let Some(at) = at.filter(|at| at.is_multiple_of(self.up) && at / self.up < from) {
                    row[at / self.up] += gain * tap;
                }
            }
        }
        rows
    }
}

/// Taps beyond the two that neighbours of twice the resolution need.
#[track_caller]
fn excess(taps: &[f64]) -> usize {
    assert!(taps.len() >= 2, "a filter that doubles or halves needs two taps or more");
    taps.len() - 2
}

/// Zeros between pixels, a separable FIR filter, and every so many-th pixel of what it gives: `[B, C, H, W]` to `[B, C, H', W']`, with
/// zeros beyond the border (Karras et al. 2020, arXiv 1912.04958, StyleGAN2's `upfirdn2d`; [1, 3, 3, 1] after Zhang 2019, arXiv
/// 1904.11486). [`Fir::twice`] and [`Fir::half`] double and halve.
///
/// # Panics
///
/// If the padded image is smaller than the filter, the taps sum to zero, or `up` or `down` is 0.
pub fn upfirdn2d(x: Jet<4>, fir: Fir<'_>) -> Jet<4> {
    let [_, _, height, width] = x.dims();
    let sum: f64 = fir.taps.iter().sum();
    assert!(sum.is_finite() && sum != 0.0, "the taps of a filter must have a sum other than 0, got {sum}");
    let [Some(h), Some(w)] = [height, width].map(|from| fir.length(from)) else {
        panic!("an image of {height} × {width} can't be filtered by {fir:?}");
    };
    separable(x, [h, w], |from, to| fir.weights(from, to))
}

/// How much of each of `from` points on a line is in each of `to`, row major `[to, from]`.
fn weights(from: usize, to: usize) -> Vec<f64> {
    let mut rows = vec![0.0; to * from];
    for (i, row) in rows.chunks_exact_mut(from).enumerate() {
        let at = if to > 1 { (i * (from - 1)) as f64 / (to - 1) as f64 } else { 0.0 };
        let below = (at as usize).min(from - 1);
        row[below] += 1.0 - (at - below as f64);
        row[(below + 1).min(from - 1)] += at - below as f64;
    }
    rows
}

/// Spreads channels over space, depth to space: `[B, C r², H, W]` to `[B, C, r H, r W]` with r = `factor`.
///
/// # Panics
///
/// If `factor` is 0 or its square doesn't divide the channels.
pub fn pixel_shuffle(x: Jet<4>, factor: usize) -> Jet<4> {
    let [_, channels, ..] = x.dims();
    assert!(
        factor > 0 && channels.is_multiple_of(factor * factor),
        "{channels} channels don't make {factor} × {factor} pixels each"
    );
    x.linear_map(|rows| PixelShuffleConfig::new(factor).init().forward(rows))
}

/// Puts `factor` × `factor` pixels into channels, space to depth: `[B, C, H, W]` to `[B, C r², H / r, W / r]` with
/// r = `factor`. The inverse of [`pixel_shuffle`].
///
/// # Panics
///
/// If `factor` is 0 or doesn't divide H and W.
pub fn pixel_unshuffle(x: Jet<4>, factor: usize) -> Jet<4> {
    assert_tiles(factor, x.dims());
    x.linear_map(|rows| PixelUnshuffleConfig::new(factor).init().forward(rows))
}

#[track_caller]
fn assert_sides([height, width]: [usize; 2], size: [usize; 2]) {
    assert!(
        height > 0 && width > 0 && size[0] > 0 && size[1] > 0,
        "an image of {height} × {width} can't be resized to {} × {}",
        size[0],
        size[1]
    );
}

#[track_caller]
fn assert_tiles(k: usize, [_, _, height, width]: [usize; 4]) {
    assert!(
        k > 0 && height.is_multiple_of(k) && width.is_multiple_of(k),
        "windows of {k} × {k} don't tile an image of {height} × {width}"
    );
}
