//! The transpose of a matrix, block by block.

use multiversion::multiversion;
use rayon::prelude::*;

/// The side of a block: its rows are read and its columns written while both lie in registers.
const BLOCK: usize = 4;
/// Columns that one task turns into rows.
const COLUMNS: usize = 64;

/// xᵀ `[n, m]` of x `[m, n]`; `n` is not 0.
///
/// # Panics
/// If `x` is not whole rows of `n`.
pub(crate) fn transposed(n: usize, x: &[f32]) -> Vec<f32> {
    assert_eq!(x.len() % n, 0, "rows of {n}");
    let m = x.len() / n;
    let mut y = vec![0.0; x.len()];
    if m > 0 {
        y.par_chunks_mut(COLUMNS * m).enumerate().for_each(|(i, y)| turn(n, x, i * COLUMNS, y));
    }
    y
}

/// Some rows of xᵀ from row `first`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn turn(n: usize, x: &[f32], first: usize, y: &mut [f32]) {
    let m = x.len() / n;
    for (columns, y) in y.chunks_mut(BLOCK * m).enumerate() {
        let column = first + columns * BLOCK;
        let whole = if y.len() == BLOCK * m { m - m % BLOCK } else { 0 };
        for row in (0..whole).step_by(BLOCK) {
            let from: [[f32; BLOCK]; BLOCK] =
                std::array::from_fn(|r| *x[(row + r) * n + column..].first_chunk().expect("a whole block"));
            for (c, y) in y.chunks_exact_mut(m).enumerate() {
                y[row..row + BLOCK].copy_from_slice(&std::array::from_fn::<f32, BLOCK, _>(|r| from[r][c]));
            }
        }
        for (c, y) in y.chunks_exact_mut(m).enumerate() {
            y[whole..].iter_mut().zip(whole..).for_each(|(y, row)| *y = x[row * n + column + c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (m, n) in [(0, 3), (1, 1), (1, 9), (4, 4), (5, 7), (8, 130), (67, 13), (64, 64)] {
            let x: Vec<f32> = (0..m * n).map(|i| i as f32).collect();
            let y = transposed(n, &x);
            assert!((0..m * n).all(|i| y[i % n * m + i / n] == x[i]), "{m} {n}: {y:?}");
            if m > 0 {
                assert_eq!(transposed(m, &y), x);
            }
        }
    }
}
