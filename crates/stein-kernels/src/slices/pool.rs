//! Means over a window around each pixel.
//!
//! A window's sum is one over its columns and then one along its row: 2 k additions a pixel, not k². Windows look alike from both
//! of two pixels, so the gradient is the same sum of the gradient.

use multiversion::multiversion;
use rayon::prelude::*;

use super::CHUNK;

/// The extents of a pooling with stride 1 that keeps the images' size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extents {
    /// Height H of the images.
    pub height: usize,
    /// Width W of the images.
    pub width: usize,
    /// Side k of the window, odd.
    pub kernel: usize,
}

/// The means over k×k windows around the pixels of `x` `[.., H, W]`, what lies beyond the edges counted as zeros.
///
/// # Panics
/// If x is not whole images, or y not as large.
pub fn mean_pool(e: Extents, x: &[f32], y: &mut [f32]) {
    let pixels = e.height * e.width;
    assert_eq!(x.len(), y.len());
    if y.is_empty() {
        return;
    }
    assert_eq!(x.len() % pixels, 0);
    let images = y.par_chunks_mut(pixels).zip(x.par_chunks(pixels)).with_min_len(CHUNK.div_ceil(pixels));
    images.for_each_init(|| vec![0.0; e.width + e.kernel - 1], |sums, (y, x)| of_image(e, x, sums, y));
}

/// `sums` `[W + k − 1]` begins and ends with k / 2 zeros, and keeps them.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn of_image(e: Extents, x: &[f32], sums: &mut [f32], y: &mut [f32]) {
    let (w, half) = (e.width, e.kernel / 2);
    let scale = 1.0 / (e.kernel * e.kernel) as f32;
    for (row, y) in y.chunks_exact_mut(w).enumerate() {
        let seen = x.chunks_exact(w).take(row + half + 1).skip(row.saturating_sub(half));
        let columns = &mut sums[half..][..w];
        columns.fill(0.0);
        for line in seen {
            columns.iter_mut().zip(line).for_each(|(sum, x)| *sum += x);
        }
        y.copy_from_slice(&sums[..w]);
        for from in 1..e.kernel {
            y.iter_mut().zip(&sums[from..]).for_each(|(y, sum)| *y += sum);
        }
        y.iter_mut().for_each(|y| *y *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain loops over plain slices.
    #[test]
    fn means_of_windows() {
        for (images, height, width, kernel) in [(1, 1, 1, 1), (1, 1, 1, 3), (3, 4, 5, 3), (2, 9, 20, 5), (2, 3, 2, 7)] {
            let e = Extents { height, width, kernel };
            let x: Vec<f32> = (0..images * height * width).map(|i| ((i * 7 % 31) as f32 - 15.0) / 4.0).collect();
            let mut y = vec![f32::NAN; x.len()];
            mean_pool(e, &x, &mut y);
            for (i, &y) in y.iter().enumerate() {
                let (image, row, column) = (i / (height * width), i / width % height, i % width);
                let near = |a: usize, b: usize| a.abs_diff(b) <= kernel / 2;
                let rows = (0..height).filter(|&r| near(r, row));
                let sum: f32 = rows
                    .flat_map(|r| {
                        (0..width).filter(|&c| near(c, column)).map(move |c| (image * height + r) * width + c)
                    })
                    .map(|at| x[at])
                    .sum();
                assert!((y - sum / (kernel * kernel) as f32).abs() < 1e-5, "{e:?} {i}");
            }
        }
        mean_pool(Extents { height: 0, width: 3, kernel: 3 }, &[], &mut []);
    }
}
