//! Changing an image's resolution. All of it is linear.

use burn::nn::{PixelShuffleConfig, PixelUnshuffleConfig};
use burn::tensor::module::{avg_pool2d as pool, interpolate};
use burn::tensor::ops::{AvgPoolOptions, InterpolateMode, InterpolateOptions};

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
    assert!(
        height > 0 && width > 0 && size[0] > 0 && size[1] > 0,
        "an image of {height} × {width} can't be resized to {} × {}",
        size[0],
        size[1]
    );
    let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size(size).with_align_corners(false);
    x.linear_map(|rows| interpolate(rows, options))
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
fn assert_tiles(k: usize, [_, _, height, width]: [usize; 4]) {
    assert!(
        k > 0 && height.is_multiple_of(k) && width.is_multiple_of(k),
        "windows of {k} × {k} don't tile an image of {height} × {width}"
    );
}
