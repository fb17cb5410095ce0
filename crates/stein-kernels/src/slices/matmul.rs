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
type Matrix<'a> = (&'a [f32], Strides);

/// Multiplications from which other threads help: below, waking them takes longer.
const SHARED: usize = 192 * 192 * 192;

thread_local! {
    /// Tasks like the one of this thread that share the threads.
    static BESIDE: Cell<usize> = const { Cell::new(1) };
}

/// Does something, such that the products in it leave their shares of the threads to `count − 1` tasks like it.
pub(crate) fn beside<R>(count: usize, work: impl FnOnce() -> R) -> R {
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
    let threads = rayon::current_num_threads() / BESIDE.get();
    let worth = threads > 1 && size.iter().product::<usize>() >= SHARED;
    multiply(size, out, a, b, add, if worth { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None });
}

fn multiply(
    [m, n, k]: [usize; 3],
    (out, so): (&mut [f32], Strides),
    (a, sa): Matrix<'_>,
    (b, sb): Matrix<'_>,
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
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
