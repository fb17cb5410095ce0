//! A matrix product on slices.

use std::cell::Cell;

/// A matrix in a slice: element (i, j) at `offset + i·rows + j·columns`.
#[derive(Clone, Copy)]
pub(crate) struct Strides {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Strides {
    /// One past the last element's index of an m×n matrix.
    fn end(self, m: usize, n: usize) -> usize {
        let last = |count: usize, stride: usize| (count - 1).saturating_mul(stride);
        // Saturated, no slice is long enough.
        if m == 0 || n == 0 { 0 } else { last(m, self.rows).saturating_add(last(n, self.columns)).saturating_add(1) }
    }
}

/// A matrix and how it lies.
type Matrix<'a, T = f32> = (&'a [T], Strides);

/// Multiplications from which other threads help: below, waking them takes longer.
const SHARED: usize = 192 * 192 * 192;

thread_local! {
    /// Tasks like the one of this thread that share the threads.
    static BESIDE: Cell<usize> = const { Cell::new(1) };
}

/// Does something, such that the products in it leave their shares of the threads to `count − 1` tasks like it.
pub fn beside<R>(count: usize, work: impl FnOnce() -> R) -> R {
    struct Before(usize);
    impl Drop for Before {
        fn drop(&mut self) {
            BESIDE.set(self.0);
        }
    }
    // Put back even after a panic: the thread goes on with other work.
    let _before = Before(BESIDE.replace(count));
    work()
}

/// out `[m, n]` ← a `[m, k]` b `[k, n]`, or out + a b if `add`. On the calling thread.
///
/// # Panics
/// If a slice is too short for its matrix.
pub(crate) fn matmul(size: [usize; 3], out: (&mut [f32], Strides), a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    multiply(size, out, a, b, add, gemm::Parallelism::None);
}

/// The same on all threads that this one's [task](beside) may take, where that is worth it: to the same bits, since each sum over k stays one thread's.
///
/// # Panics
/// If a slice is too short for its matrix.
pub(crate) fn product(size: [usize; 3], out: (&mut [f32], Strides), a: Matrix<'_>, b: Matrix<'_>, add: bool) {
    multiply(size, out, a, b, add, parallelism(size));
}

/// a bᵀ `[m, n]` of `a [m, k]` and `b [n, k]`, row major, in double precision, on threads as [`beside`] says.
///
/// # Panics
/// If a slice is too short for its matrix.
pub fn rows_by_rows(size: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    let k = size[2];
    double(size, (a, Strides { rows: k, columns: 1 }), (b, Strides { rows: 1, columns: k }))
}

/// aᵀ b `[m, n]` of `a [k, m]` and `b [k, n]`, row major, in double precision, on threads as [`beside`] says.
///
/// # Panics
/// If a slice is too short for its matrix.
pub fn columns_by_columns(size: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    let [m, n, _] = size;
    double(size, (a, Strides { rows: 1, columns: m }), (b, Strides { rows: n, columns: 1 }))
}

fn double(size: [usize; 3], a: Matrix<'_, f64>, b: Matrix<'_, f64>) -> Vec<f64> {
    let [m, n, _] = size;
    let mut out = vec![0.0; m * n];
    multiply(size, (&mut out, Strides { rows: n, columns: 1 }), a, b, false, parallelism(size));
    out
}

fn parallelism(size: [usize; 3]) -> gemm::Parallelism {
    let threads = rayon::current_num_threads() / BESIDE.get();
    let worth = threads > 1 && size.iter().product::<usize>() >= SHARED;
    if worth { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None }
}

/// Of `f32` or `f64`.
fn multiply<T: From<f32> + 'static>(
    [m, n, k]: [usize; 3],
    (out, so): (&mut [T], Strides),
    (a, sa): Matrix<'_, T>,
    (b, sb): Matrix<'_, T>,
    add: bool,
    parallelism: gemm::Parallelism,
) {
    assert!(out.len() >= so.end(m, n) && a.len() >= sa.end(m, k) && b.len() >= sb.end(k, n));
    // Two elements of `out` must not be one.
    let apart = |n: usize| (n == 1 || so.columns > 0) && (m == 1 || so.rows > (n - 1).saturating_mul(so.columns));
    assert!(m == 0 || n == 0 || apart(n));
    let stride = |s: usize| s as isize;
    // SAFETY: every element that the strides reach lies within its slice (asserted above); `out` is borrowed mutably, so it
    // does not overlap the others.
    #[expect(unsafe_code, reason = "gemm takes pointers")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            stride(so.columns),
            stride(so.rows),
            add,
            a.as_ptr(),
            stride(sa.columns),
            stride(sa.rows),
            b.as_ptr(),
            stride(sb.columns),
            stride(sb.rows),
            T::from(1.0),
            T::from(1.0),
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_in_double_precision_by_hand() {
        // [[1, 2, 3], [4, 5, 6]] times the transpose of [[1, 0, 2], [0, 1, 1]].
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]);
        assert_eq!(rows_by_rows([2, 2, 3], &a, &b), [7.0, 5.0, 16.0, 11.0]);
        // Their transposes' product, summed over rows.
        assert_eq!(columns_by_columns([3, 3, 2], &a, &b), [1.0, 4.0, 6.0, 2.0, 5.0, 9.0, 3.0, 6.0, 12.0]);
        assert!(rows_by_rows([0, 2, 3], &[], &b).is_empty());
        assert_eq!(rows_by_rows([1, 1, 0], &[], &[]), [0.0]);
        // A third keeps all its digits, which single precision has not.
        assert_eq!(rows_by_rows([1, 1, 1], &[1.0 / 3.0], &[1.0]), [1.0 / 3.0]);
    }
}
