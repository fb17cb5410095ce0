//! Squared Euclidean distances between sets, a chunk of rows at a time, over all threads.

use rayon::prelude::*;

use super::error::StatsError;
use super::rows::Rows;

/// Rows of the first set in a task. Fixed, so that sums over chunks don't depend on the number of threads.
const CHUNK: usize = 32;
/// Values of the second set that stay in the first-level cache while a chunk passes over them.
const TILE: usize = 4096;
const LANES: usize = 16;
/// Values summed in `f32` before they go over to `f64`: 8 a lane.
const BLOCK: usize = 8 * LANES;

/// Squared distance of two rows of the same length.
///
/// Differences first (the expansion |a|² + |b|² − 2a·b cancels for near rows), blocks of 128 in `f32` lanes, the rest and
/// the sums in `f64`: relative error about 1e-7, exact symmetry, and exact for small whole numbers. Squares that leave the
/// range of `f32` upwards are done again in `f64`; differences below 1e-19 may count as 0.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut total = squared_distance_f64(a_rest, b_rest);
    let step = BLOCK / LANES;
    for (a, b) in a_blocks.chunks(step).zip(b_blocks.chunks(step)) {
        let mut lanes = [0f32; LANES];
        for (a, b) in a.iter().zip(b) {
            for l in 0..LANES {
                let difference = a[l] - b[l];
                lanes[l] += difference * difference;
            }
        }
        let sum = lanes.iter().map(|&v| f64::from(v)).sum::<f64>();
        total += if sum < 1e38 { sum } else { squared_distance_f64(a.as_flattened(), b.as_flattened()) };
    }
    total
}

fn squared_distance_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// A chunk of the distance matrix.
pub(crate) struct Chunk<'a> {
    /// Index of the first row of the chunk in the first set.
    pub(crate) first: usize,
    /// Index of the first column in the second set.
    pub(crate) column: usize,
    /// Columns.
    width: usize,
    values: &'a [f64],
}

impl Chunk<'_> {
    /// Index of each row in the first set, and its squared distances to the second set from `column` on.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, &[f64])> {
        (self.first..).zip(self.values.chunks_exact(self.width))
    }
}

/// Calls `f` for each chunk of the matrix of squared distances |x_i − y_j|², and returns the answers in order.
///
/// # Errors
/// If the sets differ in dimension.
pub(crate) fn map_chunks<T: Send>(
    x: Rows<'_>,
    y: Rows<'_>,
    f: impl Fn(Chunk<'_>) -> T + Sync,
) -> Result<Vec<T>, StatsError> {
    x.same_dim(&y)?;
    Ok(map_from(x, y, |_| 0, f))
}

/// As [`map_chunks`] of a set with itself, without most of the lower triangle: a chunk starts at the column of its first
/// row, so `row[j]` with `column + j` greater than the row's index is what counts.
pub(crate) fn map_upper_chunks<T: Send>(x: Rows<'_>, f: impl Fn(Chunk<'_>) -> T + Sync) -> Vec<T> {
    map_from(x, x, |first| first, f)
}

fn map_from<T: Send>(
    x: Rows<'_>,
    y: Rows<'_>,
    first_column: impl Fn(usize) -> usize + Sync,
    f: impl Fn(Chunk<'_>) -> T + Sync,
) -> Vec<T> {
    let tile = (TILE / x.dim()).max(1);
    x.data()
        .par_chunks(CHUNK * x.dim())
        .enumerate()
        .map_init(Vec::new, |values, (index, chunk)| {
            let first = index * CHUNK;
            let column = first_column(first);
            let width = y.len() - column;
            values.resize(CHUNK * y.len(), 0.0);
            let rows = chunk.len() / x.dim();
            let values = &mut values[..rows * width];
            for start in (column..y.len()).step_by(tile) {
                let end = (start + tile).min(y.len());
                for (i, a) in chunk.chunks_exact(x.dim()).enumerate() {
                    let out = &mut values[i * width + start - column..i * width + end - column];
                    let others = y.data()[start * y.dim()..end * y.dim()].chunks_exact(y.dim());
                    for (out, b) in out.iter_mut().zip(others) {
                        *out = squared_distance(a, b);
                    }
                }
            }
            f(Chunk { first, column, width, values })
        })
        .collect()
}

/// Calls `f` with the index and the squared distances of each row of `x` to all of `y`; answers in order.
///
/// # Errors
/// If the sets differ in dimension.
pub(crate) fn map_rows<T: Send>(
    x: Rows<'_>,
    y: Rows<'_>,
    f: impl Fn(usize, &[f64]) -> T + Sync,
) -> Result<Vec<T>, StatsError> {
    let chunks = map_chunks(x, y, |chunk| chunk.rows().map(|(i, row)| f(i, row)).collect::<Vec<T>>())?;
    Ok(chunks.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::normal;
    use super::*;

    #[test]
    fn distances_agree_with_double_precision() {
        for dim in [1, 2, 3, 15, 16, 17, 64, 127, 300] {
            let (a, b) = (normal(1, dim, 0.0, 1.0, 1), normal(1, dim, 0.3, 1.0, 2));
            let exact = squared_distance_f64(&a, &b);
            assert!((squared_distance(&a, &b) / exact - 1.0).abs() < 3e-7);
            assert_eq!(squared_distance(&a, &b), squared_distance(&b, &a));
            let huge = vec![1e30f32; dim];
            let exact = dim as f64 * f64::from(1e30f32).powi(2);
            assert!((squared_distance(&huge, &vec![0.0; dim]) / exact - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn chunks_cover_the_matrix() {
        let (x, y) = (normal(75, 5, 0.0, 1.0, 1), normal(1001, 5, 0.0, 1.0, 2));
        let (x, y) = (Rows::new(&x, 5).unwrap(), Rows::new(&y, 5).unwrap());
        let rows = map_rows(x, y, |i, row| (i, row.to_vec())).unwrap();
        assert_eq!(rows.len(), 75);
        for (i, (index, row)) in rows.iter().enumerate() {
            assert_eq!((*index, row.len()), (i, 1001));
            assert!((0..1001).all(|j| row[j] == squared_distance(x.row(i), y.row(j))));
        }
        let pairs: usize = map_upper_chunks(x, |chunk| {
            let mut count = 0;
            for (i, row) in chunk.rows() {
                for (j, &d) in (chunk.column..).zip(row) {
                    assert_eq!(d, squared_distance(x.row(i), x.row(j)));
                    count += usize::from(j > i);
                }
            }
            count
        })
        .iter()
        .sum();
        assert_eq!(pairs, 75 * 74 / 2);
    }
}
