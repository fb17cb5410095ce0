//! Means and maxima over a window around each pixel.
//!
//! A window's sum is one over its columns and then one along its row: 2 k additions a pixel, not k²; and so with maxima. Windows look
//! alike from both of two pixels, so the gradient of a mean is the same mean of the gradient.

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
    let sums = || vec![0.0; e.width + e.kernel - 1];
    images(e, x, y).for_each_init(sums, |sums, (y, x)| mean_of_image(e, x, sums, y));
}

/// The maxima over k×k windows around the pixels of `x` `[.., H, W]`, what lies beyond the edges counted for nothing; of a window with
/// what is no number, none.
///
/// # Panics
/// If x is not whole images, or y not as large.
pub fn max_pool(e: Extents, x: &[f32], y: &mut [f32]) {
    let lines = || vec![0.0; e.height * e.width];
    images(e, x, y).for_each_init(lines, |lines, (y, x)| max_of_image(e, x, lines, y));
}

/// The gradient of [`max_pool`] in `x` for the gradient `dy` of its result: each number goes to the place of the maximum, the first of
/// several.
///
/// # Panics
/// If x is not whole images, or `dy` or `dx` not as large.
pub fn max_pool_grad(e: Extents, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert_eq!(x.len(), dy.len());
    let pixels = (e.height * e.width).max(1);
    let buffers = || (Best::new(pixels), Best::new(e.width));
    images(e, x, dx).zip(dy.par_chunks(pixels)).for_each_init(buffers, |(lines, row), ((dx, x), dy)| {
        places_of_image(e, x, lines);
        dx.fill(0.0);
        scatter(e, lines, row, dy, dx);
    });
}

/// The images of the result and of x, some to a task.
fn images<'a>(
    e: Extents,
    x: &'a [f32],
    y: &'a mut [f32],
) -> impl IndexedParallelIterator<Item = (&'a mut [f32], &'a [f32])> {
    let pixels = (e.height * e.width).max(1);
    assert_eq!(x.len(), y.len());
    assert_eq!(x.len() % pixels, 0);
    y.par_chunks_mut(pixels).zip(x.par_chunks(pixels)).with_min_len(CHUNK.div_ceil(pixels))
}

/// `sums` `[W + k − 1]` begins and ends with k / 2 zeros, and keeps them.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn mean_of_image(e: Extents, x: &[f32], sums: &mut [f32], y: &mut [f32]) {
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

/// Whether `x` takes the place of the largest so far. What is no number does, and stays.
#[inline(always)]
fn exceeds(x: f32, largest: f32) -> bool {
    x > largest || x.is_nan()
}

/// For each offset of a window but the first: from where to where a line of `length` has a place at that offset, and those places.
fn offsets(kernel: usize, length: usize) -> impl Iterator<Item = (std::ops::Range<usize>, std::ops::Range<usize>)> {
    let half = kernel / 2;
    (1..kernel).map(move |at| {
        let (before, after) = (half.saturating_sub(at).min(length), at.saturating_sub(half).min(length));
        (before..length - after, after..length - before)
    })
}

/// `lines` `[H, W]`: the maxima along rows.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn max_of_image(e: Extents, x: &[f32], lines: &mut [f32], y: &mut [f32]) {
    let (w, half) = (e.width, e.kernel / 2);
    let take = |largest: &mut [f32], x: &[f32]| {
        largest.iter_mut().zip(x).for_each(|(largest, &x)| *largest = if exceeds(x, *largest) { x } else { *largest });
    };
    for (line, x) in lines.chunks_exact_mut(w).zip(x.chunks_exact(w)) {
        (0..w).for_each(|i| line[i] = x[i.saturating_sub(half)]);
        offsets(e.kernel, w).for_each(|(to, from)| take(&mut line[to], &x[from]));
    }
    for (row, y) in y.chunks_exact_mut(w).enumerate() {
        let mut seen = lines.chunks_exact(w).take(row + half + 1).skip(row.saturating_sub(half));
        y.copy_from_slice(seen.next().expect("its own row at least"));
        seen.for_each(|line| take(y, line));
    }
}

/// The largest numbers so far, and where they are in their image.
struct Best {
    largest: Vec<f32>,
    places: Vec<u32>,
}

impl Best {
    fn new(length: usize) -> Self {
        Self { largest: vec![0.0; length], places: vec![0; length] }
    }
}

#[inline(always)]
fn take_place(largest: &mut [f32], places: &mut [u32], x: &[f32], place: impl Fn(usize) -> u32) {
    for (i, ((largest, to), &x)) in largest.iter_mut().zip(places).zip(x).enumerate() {
        let exceeds = exceeds(x, *largest);
        *largest = if exceeds { x } else { *largest };
        *to = if exceeds { place(i) } else { *to };
    }
}

/// `lines` `[H, W]`: the maxima along rows.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn places_of_image(e: Extents, x: &[f32], lines: &mut Best) {
    let (w, half) = (e.width, e.kernel / 2);
    let all = lines.largest.chunks_exact_mut(w).zip(lines.places.chunks_exact_mut(w));
    for (row, ((largest, places), x)) in all.zip(x.chunks_exact(w)).enumerate() {
        for i in 0..w {
            let first = i.saturating_sub(half);
            (largest[i], places[i]) = (x[first], (row * w + first) as u32);
        }
        for (to, from) in offsets(e.kernel, w) {
            let first = (row * w + from.start) as u32;
            take_place(&mut largest[to.clone()], &mut places[to], &x[from], |i| first + i as u32);
        }
    }
}

/// Adds `dy` to `dx` where the maxima are; `best` is room for a row.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn scatter(e: Extents, lines: &Best, best: &mut Best, dy: &[f32], dx: &mut [f32]) {
    let (w, half) = (e.width, e.kernel / 2);
    for (row, dy) in dy.chunks_exact(w).enumerate() {
        let all = lines.largest.chunks_exact(w).zip(lines.places.chunks_exact(w));
        let mut seen = all.take(row + half + 1).skip(row.saturating_sub(half));
        let (largest, places) = seen.next().expect("its own row at least");
        best.largest.copy_from_slice(largest);
        best.places.copy_from_slice(places);
        for (largest, places) in seen {
            take_place(&mut best.largest, &mut best.places, largest, |i| places[i]);
        }
        best.places.iter().zip(dy).for_each(|(&place, dy)| dx[place as usize] += dy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(usize, usize, usize, usize); 6] =
        [(1, 1, 1, 1), (1, 1, 1, 3), (3, 4, 5, 3), (2, 9, 20, 5), (2, 3, 2, 7), (2, 1, 9, 3)];

    /// Few different numbers, so that many are equal.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 % 31) as f32 - 15.0) / 4.0).collect()
    }

    /// The places that a pixel's window has in the image, in order.
    fn window(e: Extents, at: usize) -> Vec<usize> {
        let pixels = e.height * e.width;
        let (image, row, column) = (at / pixels, at / e.width % e.height, at % e.width);
        let near = |a: usize, b: usize| a.abs_diff(b) <= e.kernel / 2;
        let columns = |r: usize| (0..e.width).filter(move |&c| near(c, column)).map(move |c| r * e.width + c);
        (0..e.height).filter(|&r| near(r, row)).flat_map(columns).map(|place| image * pixels + place).collect()
    }

    #[test]
    fn means_of_windows() {
        for (images, height, width, kernel) in CASES {
            let e = Extents { height, width, kernel };
            let x = numbers(images * height * width);
            let mut y = vec![f32::NAN; x.len()];
            mean_pool(e, &x, &mut y);
            for (i, &y) in y.iter().enumerate() {
                let sum: f32 = window(e, i).into_iter().map(|place| x[place]).sum();
                assert!((y - sum / (kernel * kernel) as f32).abs() < 1e-5, "{e:?} {i}");
            }
        }
        mean_pool(Extents { height: 0, width: 3, kernel: 3 }, &[], &mut []);
    }

    #[test]
    fn maxima_of_windows_and_their_places() {
        for (images, height, width, kernel) in CASES {
            let e = Extents { height, width, kernel };
            for low in [-10.0, f32::NEG_INFINITY] {
                let mut x = numbers(images * height * width);
                x.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = low);
                let dy: Vec<f32> = (0..x.len()).map(|i| 1.0 + i as f32).collect();
                let (mut y, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                max_pool(e, &x, &mut y);
                max_pool_grad(e, &x, &dy, &mut dx);
                let mut expected = vec![0.0; x.len()];
                for (i, dy) in dy.iter().enumerate() {
                    let seen = window(e, i);
                    let first = |best: usize, at: usize| if x[at] > x[best] { at } else { best };
                    let place = seen.iter().copied().reduce(first).unwrap();
                    assert_eq!(y[i], x[place], "{e:?} {i}");
                    expected[place] += dy;
                }
                assert_eq!(dx, expected, "{e:?}");
            }
        }
        max_pool(Extents { height: 0, width: 3, kernel: 3 }, &[], &mut []);
        max_pool_grad(Extents { height: 3, width: 0, kernel: 3 }, &[], &[], &mut []);
    }

    #[test]
    fn windows_with_what_is_no_number_have_no_maximum() {
        let e = Extents { height: 5, width: 6, kernel: 3 };
        let mut x = numbers(30);
        x[14] = f32::NAN;
        let (mut y, mut dx) = (vec![0.0; 30], vec![0.0; 30]);
        max_pool(e, &x, &mut y);
        max_pool_grad(e, &x, &[1.0; 30], &mut dx);
        assert!((0..30).all(|i| y[i].is_nan() == window(e, i).contains(&14)), "{y:?}");
        assert_eq!(dx[14], 9.0);
    }
}
