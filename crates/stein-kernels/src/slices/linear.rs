//! A dense layer: y = x W, and a bias on the first so many rows. The rest are derivatives, to which a constant adds nothing.

use multiversion::multiversion;
use rayon::prelude::*;

use super::matmul::{Strides, product};
use super::transpose::transposed;

/// Rows whose gradients of the bias are summed by one task, in order.
const ROWS: usize = 64;

/// Numbers that one thread sums faster than several.
const SERIAL: usize = 1 << 17;

/// Widths of y below which the product reads a weight's transpose from the weight itself, as fast as from a copy.
const NARROW: usize = 128;

/// The extents of a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extents {
    /// Rows of x.
    pub rows: usize,
    /// The first so many have the bias.
    pub biased: usize,
    /// Numbers in a row of x, I.
    pub inputs: usize,
    /// Numbers in a row of y, O.
    pub outputs: usize,
}

/// y `[R, O]` from x `[R, I]`, the weight `[I, O]` and the bias `[O]`.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn linear(e: Extents, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let Extents { rows, biased, inputs, outputs } = e;
    assert!(x.len() == rows * inputs && weight.len() == inputs * outputs && bias.len() == outputs && biased <= rows);
    let mut y = Vec::with_capacity(rows * outputs);
    (0..biased).for_each(|_| y.extend_from_slice(bias));
    y.resize(rows * outputs, 0.0);
    product(
        [rows, outputs, inputs],
        (&mut y, Strides { rows: outputs, columns: 1 }),
        (x, Strides { rows: inputs, columns: 1 }),
        (weight, Strides { rows: outputs, columns: 1 }),
        true,
    );
    y
}

/// The gradient in x `[R, I]` for that of y: g Wᵀ, or (W gᵀ)ᵀ where less is to be turned then.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn input_grad(e: Extents, gradient: &[f32], weight: &[f32]) -> Vec<f32> {
    let Extents { rows, inputs, outputs, .. } = e;
    assert!(gradient.len() == rows * outputs && weight.len() == inputs * outputs);
    let in_order = |columns| Strides { rows: columns, columns: 1 };
    let mut dx = vec![0.0; rows * inputs];
    if outputs < NARROW {
        let turned = Strides { rows: 1, columns: outputs };
        let size = [rows, inputs, outputs];
        product(size, (&mut dx, in_order(inputs)), (gradient, in_order(outputs)), (weight, turned), false);
    } else if rows * (inputs + outputs) < inputs * outputs {
        let gradient = transposed(outputs, gradient);
        let size = [inputs, rows, outputs];
        product(size, (&mut dx, in_order(rows)), (weight, in_order(outputs)), (&gradient, in_order(rows)), false);
        dx = if rows == 0 { dx } else { transposed(rows, &dx) };
    } else {
        let weight = transposed(outputs, weight);
        let size = [rows, inputs, outputs];
        product(size, (&mut dx, in_order(inputs)), (gradient, in_order(outputs)), (&weight, in_order(inputs)), false);
    }
    dx
}

/// The gradients in the weight `[I, O]` and the bias `[O]` for that of y: xᵀ g, and the sum of g over the rows with a bias.
///
/// # Panics
/// If a slice is not of the size that `e` says.
pub fn weight_grad(e: Extents, x: &[f32], gradient: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let Extents { rows, biased, inputs, outputs } = e;
    assert!(x.len() == rows * inputs && gradient.len() == rows * outputs && biased <= rows);
    let mut dw = vec![0.0; inputs * outputs];
    product(
        [inputs, outputs, rows],
        (&mut dw, Strides { rows: outputs, columns: 1 }),
        (x, Strides { rows: 1, columns: inputs }),
        (gradient, Strides { rows: outputs, columns: 1 }),
        false,
    );
    (dw, row_sum(&gradient[..biased * outputs], outputs))
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn add_rows(rows: &[f32], sum: &mut [f32]) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
}

/// The sum of rows: of each [`ROWS`] for themselves, then of these in order.
fn row_sum(x: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    if width == 0 {
        return sum;
    }
    let part = |rows: &[f32]| {
        let mut part = vec![0.0; width];
        add_rows(rows, &mut part);
        part
    };
    let parts: Vec<Vec<f32>> = match x.len() <= SERIAL {
        true => x.chunks(ROWS * width).map(part).collect(),
        false => x.par_chunks(ROWS * width).map(part).collect(),
    };
    parts.iter().for_each(|part| add_rows(part, &mut sum));
    sum
}
