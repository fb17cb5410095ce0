//! What is unsafe in `stein-kernels`, under the address sanitizer: the matrix product, which gives pointers to gemm, of matrices of every
//! small size and stride in allocations that end where they do; and the allocator that counts.

#![no_main]

#[path = "../../../crates/stein-kernels/src/slices/matmul.rs"]
#[expect(dead_code, reason = "the kernels want more of it")]
mod matmul;

#[path = "../../../crates/stein-kernels/src/memory.rs"]
#[expect(dead_code, reason = "programs want more of it")]
mod memory;

use matmul::{Strides, matmul, product};

/// What `stein-kernels` has that is unsafe besides: each allocation goes through it.
#[global_allocator]
static ALLOCATOR: memory::Counting<std::alloc::System> = memory::Counting(std::alloc::System);

/// A matrix m×n whose rows are `gap` longer than they need be, or that lies transposed; and numbers to its last element, not beyond.
fn matrix(
    m: usize,
    n: usize,
    gap: usize,
    transposed: bool,
    numbers: &mut impl Iterator<Item = u8>,
) -> (Vec<f32>, Strides) {
    let strides =
        if transposed { Strides { rows: 1, columns: m + gap } } else { Strides { rows: n + gap, columns: 1 } };
    let length = if m * n == 0 { 0 } else { (m - 1) * strides.rows + (n - 1) * strides.columns + 1 };
    let number = |byte: u8| f32::from(byte) / 64.0 - 2.0;
    let mut data = Vec::with_capacity(length);
    data.extend((0..length).map(|i| number(numbers.next().unwrap_or((i * 37 % 251) as u8))));
    (data, strides)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[m, n, k, gaps, flags], rest)) = bytes.split_first_chunk() else { return };
    let [m, n, k] = [m, n, k].map(|extent| usize::from(extent) % 70);
    let gap = |i: u8| usize::from(gaps >> (2 * i) & 3);
    let flag = |i: u8| flags >> i & 1 == 1;
    let mut numbers = rest.iter().copied();
    let (mut out, so) = matrix(m, n, gap(0), false, &mut numbers);
    let (a, sa) = matrix(m, k, gap(1), flag(0), &mut numbers);
    let (b, sb) = matrix(k, n, gap(2), flag(1), &mut numbers);
    let (before, add) = (out.clone(), flag(2));
    let of = if flag(3) { product } else { matmul };
    let (_, held) = memory::peak_of(|| {
        of([m, n, k], (&mut out, so), (&a, sa), (&b, sb), add);
        drop(std::hint::black_box(vec![0u8; 1 << 12]));
    });
    assert!(held.is_some_and(|bytes| bytes >= 1 << 12), "{held:?}");
    let mut touched = vec![false; out.len()];
    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
        let at = i * so.rows + j * so.columns;
        let term = |l: usize| f64::from(a[i * sa.rows + l * sa.columns]) * f64::from(b[l * sb.rows + j * sb.columns]);
        let sum: f64 = (0..k).map(term).sum::<f64>() + if add { f64::from(before[at]) } else { 0.0 };
        assert!((f64::from(out[at]) - sum).abs() < 1e-3, "{m}×{k} by {k}×{n} at {i}, {j}: {} and {sum}", out[at]);
        touched[at] = true;
    }
    assert!(
        (0..out.len()).all(|i| touched[i] || out[i].to_bits() == before[i].to_bits()),
        "a number between rows was written"
    );
});
