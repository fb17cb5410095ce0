//! x σ(x) and its derivative.

use multiversion::multiversion;
use rayon::prelude::*;

use super::CHUNK;

/// eˣ for x ≤ 0, to about one unit in the last place; 0 below −87.
///
/// Cody–Waite reduction to ±½ ln 2 and the Cephes polynomial of degree 5.
#[inline(always)]
pub(super) fn exp_of_negative(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let n = (x * std::f32::consts::LOG2_E).round_ties_even();
    let f = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.987_569_1e-4_f32;
    let p = p * f + 1.398_199_9e-3;
    let p = p * f + 8.333_452e-3;
    let p = p * f + 4.166_579_6e-2;
    let p = p * f + 1.666_666_5e-1;
    let p = p * f + 0.5;
    let y = p * f * f + f + 1.0;
    // 2ⁿ by its exponent bits: n is between −126 and 0.
    y * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp_of_negative(-x.abs());
    let r = 1.0 / (1.0 + e);
    if x >= 0.0 { r } else { e * r }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn silu_chunk(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * sigmoid(x);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn silu_grad_chunk(x: &[f32], gradient: &[f32], out: &mut [f32]) {
    for ((out, &x), &g) in out.iter_mut().zip(x).zip(gradient) {
        let s = sigmoid(x);
        *out = g * (s * (1.0 + x * (1.0 - s)));
    }
}

/// y = x σ(x).
pub fn silu(x: &[f32], y: &mut [f32]) {
    if x.len() <= CHUNK {
        return silu_chunk(x, y);
    }
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| silu_chunk(x, y));
}

/// The gradient in x of y = x σ(x): g σ(x) (1 + x (1 − σ(x))).
pub fn silu_grad(x: &[f32], gradient: &[f32], out: &mut [f32]) {
    if x.len() <= CHUNK {
        return silu_grad_chunk(x, gradient, out);
    }
    let inputs = x.par_chunks(CHUNK).zip(gradient.par_chunks(CHUNK));
    out.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (x, g))| silu_grad_chunk(x, g, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_a_unit_or_two() {
        let worst = (0..200_000)
            .map(|i| -87.0 * i as f32 / 200_000.0)
            .map(|x| ((f64::from(exp_of_negative(x)) / f64::from(x).exp()) - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst < 2.5e-7, "{worst}");
    }

    #[test]
    fn values_and_derivatives() {
        let x: Vec<f32> = (-4000..4000).map(|i| i as f32 * 0.01).collect();
        let (mut y, mut d) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        silu(&x, &mut y);
        silu_grad(&x, &vec![1.0; x.len()], &mut d);
        for ((x, y), d) in x.iter().zip(y).zip(d) {
            let x = f64::from(*x);
            let s = 1.0 / (1.0 + (-x).exp());
            assert!((f64::from(y) - x * s).abs() < 3e-7 * x.abs().max(1.0), "{x}");
            assert!((f64::from(d) - s * (1.0 + x * (1.0 - s))).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30];
        let mut y = [0.0; 5];
        silu(&x, &mut y);
        assert!(y[0].is_nan() && y[1] == f32::INFINITY && !y[2].is_finite() && y[3] == 1e30);
    }
}
