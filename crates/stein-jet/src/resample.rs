//! Changing an image's resolution. All of it is linear.

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
    let [_, _, height, width] = x.dims();
    assert!(
        k > 0 && height.is_multiple_of(k) && width.is_multiple_of(k),
        "windows of {k} × {k} don't tile an image of {height} × {width}"
    );
    x.linear_map(|rows| pool(rows, AvgPoolOptions::new([k, k])))
}
