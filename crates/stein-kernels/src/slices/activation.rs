//! Smooth functions of one number and their derivatives.

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
    // Added to a small number it leaves its nearest integer n in the last bits: a cast to an integer would be one lane's at a time.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let f = (x - n * LN2_HIGH) - n * LN2_LOW;
    let y = exp_minus_1_near_0(f) + 1.0;
    // 2ⁿ by its exponent bits: n is between −126 and 0.
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// eˣ − 1 for |x| ≤ ½ ln 2.
#[inline(always)]
fn exp_minus_1_near_0(x: f32) -> f32 {
    let p = 1.987_569_1e-4_f32;
    let p = p * x + 1.398_199_9e-3;
    let p = p * x + 8.333_452e-3;
    let p = p * x + 4.166_579_6e-2;
    let p = p * x + 1.666_666_5e-1;
    let p = p * x + 0.5;
    p * x * x + x
}

/// e⁻ˣ for x ≥ 0: 0 above 87, and no number where x is none.
#[inline(always)]
fn decay(x: f32) -> f32 {
    let e = if x < 87.0 { exp_of_negative(-x) } else { 0.0 };
    if x.is_nan() { x } else { e }
}

/// ln(1 + e) for e in [0, 1], as 2 artanh(e / (2 + e)): right relative to itself however small e is.
#[inline(always)]
fn ln_1p(e: f32) -> f32 {
    let z = e / (2.0 + e);
    let w = z * z;
    let p = 1.0 / 13.0;
    let p = p * w + 1.0 / 11.0;
    let p = p * w + 1.0 / 9.0;
    let p = p * w + 1.0 / 7.0;
    let p = p * w + 1.0 / 5.0;
    let p = p * w + 1.0 / 3.0;
    2.0 * z * (p * w + 1.0)
}

/// A smooth function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// x σ(x).
    Silu,
    /// ln(1 + eˣ).
    Softplus,
    /// tanh x.
    Tanh,
    /// x for x > 0, eˣ − 1 else: smooth but for the second derivative's jump at 0, of which the third one shows nothing.
    Elu,
}

/// σ = 1 / (1 + e⁻ˣ), σ′, σ″ and σ‴ out of the decay e = e^{−|x|}: differences from 1 keep their digits.
#[inline(always)]
fn sigmoid(x: f32, e: f32) -> [f32; 4] {
    let r = 1.0 / (1.0 + e);
    let (s, slope) = if x >= 0.0 { (r, (e - 1.0) * r) } else { (e * r, (1.0 - e) * r) };
    let s1 = e * r * r;
    [s, s1, s1 * slope, s1 * (1.0 - 6.0 * s1)]
}

#[inline(always)]
pub(super) fn silu(x: f32) -> [f32; 4] {
    let [s, s1, s2, s3] = sigmoid(x, decay(x.abs()));
    [x * s, s + x * s1, 2.0 * s1 + x * s2, 3.0 * s2 + x * s3]
}

#[inline(always)]
pub(super) fn softplus(x: f32) -> [f32; 4] {
    let e = decay(x.abs());
    let [s, s1, s2, _] = sigmoid(x, e);
    let positive = if x < 0.0 { 0.0 } else { x };
    [positive + ln_1p(e), s, s1, s2]
}

/// 1 − 2 e / (1 + e) with e = e^{−2|x|}, and near 0, where that cancels, the Cephes polynomial.
#[inline(always)]
pub(super) fn tanh(x: f32) -> [f32; 4] {
    let size = x.abs();
    let e = decay(2.0 * size);
    let r = 1.0 / (1.0 + e);
    let z = x * x;
    let p = -5.704_988_7e-3_f32;
    let p = p * z + 2.063_908_8e-2;
    let p = p * z - 5.373_971_5e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let near = p * z * size + size;
    let (size, slope) = if size < 0.625 { (near, 1.0 - near * near) } else { ((1.0 - e) * r, 4.0 * e * r * r) };
    let y = size.copysign(x);
    [y, slope, -2.0 * y * slope, slope * (4.0 * y * y - 2.0 * slope)]
}

#[inline(always)]
pub(super) fn elu(x: f32) -> [f32; 4] {
    let positive = x > 0.0;
    let e = decay(if positive { 0.0 } else { -x });
    let y = if x > -0.34 { exp_minus_1_near_0(x) } else { e - 1.0 };
    let bend = if positive { 0.0 } else { e };
    [if positive { x } else { y }, e, bend, bend]
}

#[inline(always)]
fn each(x: &[f32], y: &mut [f32], at: impl Fn(f32) -> [f32; 4]) {
    for (y, &x) in y.iter_mut().zip(x) {
        [*y, ..] = at(x);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn values_of_chunk(f: Function, x: &[f32], y: &mut [f32]) {
    match f {
        Function::Silu => each(x, y, silu),
        Function::Softplus => each(x, y, softplus),
        Function::Tanh => each(x, y, tanh),
        Function::Elu => each(x, y, elu),
    }
}

#[inline(always)]
fn each_slope(x: &[f32], gradient: &[f32], out: &mut [f32], at: impl Fn(f32) -> [f32; 4]) {
    for ((out, &x), &g) in out.iter_mut().zip(x).zip(gradient) {
        *out = g * at(x)[1];
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn gradients_of_chunk(f: Function, x: &[f32], gradient: &[f32], out: &mut [f32]) {
    match f {
        Function::Silu => each_slope(x, gradient, out, silu),
        Function::Softplus => each_slope(x, gradient, out, softplus),
        Function::Tanh => each_slope(x, gradient, out, tanh),
        Function::Elu => each_slope(x, gradient, out, elu),
    }
}

/// f, f′ and f″ if `FROM` is 0; f′, f″ and f‴ if it is 1.
#[inline(always)]
fn three<const FROM: usize>(x: &[f32], out: [&mut [f32]; 3], at: impl Fn(f32) -> [f32; 4]) {
    let [a, b, c] = out;
    for (((a, b), c), &x) in a.iter_mut().zip(b).zip(c).zip(x) {
        let y = at(x);
        (*a, *b, *c) = (y[FROM], y[FROM + 1], y[FROM + 2]);
    }
}

/// f(x), f′(x) and f″(x) on the calling thread.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn up_to_second(f: Function, x: &[f32], value: &mut [f32], first: &mut [f32], second: &mut [f32]) {
    let out = [value, first, second];
    match f {
        Function::Silu => three::<0>(x, out, silu),
        Function::Softplus => three::<0>(x, out, softplus),
        Function::Tanh => three::<0>(x, out, tanh),
        Function::Elu => three::<0>(x, out, elu),
    }
}

/// f′(x), f″(x) and f‴(x) on the calling thread.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub(super) fn up_to_third(f: Function, x: &[f32], first: &mut [f32], second: &mut [f32], third: &mut [f32]) {
    let out = [first, second, third];
    match f {
        Function::Silu => three::<1>(x, out, silu),
        Function::Softplus => three::<1>(x, out, softplus),
        Function::Tanh => three::<1>(x, out, tanh),
        Function::Elu => three::<1>(x, out, elu),
    }
}

/// y = f(x).
pub fn values(f: Function, x: &[f32], y: &mut [f32]) {
    if x.len() <= CHUNK {
        return values_of_chunk(f, x, y);
    }
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| values_of_chunk(f, x, y));
}

/// The gradient in x of y = f(x) for the gradient of y: g f′(x).
pub fn gradients(f: Function, x: &[f32], gradient: &[f32], out: &mut [f32]) {
    if x.len() <= CHUNK {
        return gradients_of_chunk(f, x, gradient, out);
    }
    let inputs = x.par_chunks(CHUNK).zip(gradient.par_chunks(CHUNK));
    out.par_chunks_mut(CHUNK).zip(inputs).for_each(|(out, (x, g))| gradients_of_chunk(f, x, g, out));
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
    fn logarithms_are_right_relative_to_themselves() {
        let small = (-126..0).map(|n| 2f32.powi(n));
        let worst = (1..=100_000)
            .map(|i| i as f32 / 100_000.0)
            .chain(small)
            .map(|e| ((f64::from(ln_1p(e)) / f64::from(e).ln_1p()) - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst < 2.5e-7, "{worst}");
    }

    /// f, f′, f″ and f‴ in f64, in formulas of their own.
    fn exact(f: Function, x: f64) -> [f64; 4] {
        let s = 1.0 / (1.0 + (-x).exp());
        let (s1, s2) = (s * (1.0 - s), s * (1.0 - s) * (1.0 - 2.0 * s));
        let s3 = s1 * (1.0 - 2.0 * s).powi(2) - 2.0 * s1 * s1;
        let (t, sech2) = (x.tanh(), x.cosh().powi(-2));
        match f {
            Function::Silu => [x * s, s + x * s1, 2.0 * s1 + x * s2, 3.0 * s2 + x * s3],
            Function::Softplus => [x.max(0.0) + (-x.abs()).exp().ln_1p(), s, s1, s2],
            Function::Tanh => [t, sech2, -2.0 * t * sech2, 4.0 * t * t * sech2 - 2.0 * sech2 * sech2],
            Function::Elu if x > 0.0 => [x, 1.0, 0.0, 0.0],
            Function::Elu => [x.exp_m1(), x.exp(), x.exp(), x.exp()],
        }
    }

    type Derivatives = fn(f32) -> [f32; 4];

    const FUNCTIONS: [(Function, Derivatives); 4] =
        [(Function::Silu, silu), (Function::Softplus, softplus), (Function::Tanh, tanh), (Function::Elu, elu)];

    #[test]
    fn values_and_derivatives() {
        for (f, at) in FUNCTIONS {
            for x in (-8000..8000).map(|i| i as f32 * 0.005) {
                let expected = exact(f, f64::from(x));
                for (order, (got, expected)) in at(x).into_iter().zip(expected).enumerate() {
                    let error = (f64::from(got) - expected).abs() / f64::from(x).abs().max(1.0);
                    assert!(error < 1e-6, "derivative {order} of {f:?} at {x}: {got} {expected}");
                }
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_each_other() {
        for (f, _) in FUNCTIONS {
            // At 0 there is a function whose second derivative jumps.
            for x in (-40..40).map(|i| (f64::from(i) + 0.5) * 0.21) {
                let (above, here, below) = (exact(f, x + 1e-5), exact(f, x), exact(f, x - 1e-5));
                for order in 0..3 {
                    let difference = (above[order] - below[order]) / 2e-5;
                    assert!((difference - here[order + 1]).abs() < 1e-8, "derivative {} of {f:?} at {x}", order + 1);
                }
            }
        }
    }

    #[test]
    fn small_numbers_keep_their_digits() {
        for n in -100..0 {
            let x = 2f32.powi(n) * 1.1;
            for x in [x, -x] {
                let error = f64::from(tanh(x)[0]) / f64::from(x).tanh() - 1.0;
                assert!(error.abs() < 3e-7, "{x}: {error}");
                let error = f64::from(elu(x)[0]) / exact(Function::Elu, f64::from(x))[0] - 1.0;
                assert!(error.abs() < 3e-7, "{x}: {error}");
            }
        }
        for x in (1..86).map(|i| -i as f32) {
            let error = f64::from(softplus(x)[0]) / f64::from(x).exp().ln_1p() - 1.0;
            assert!(error.abs() < 5e-7, "{x}: {error}");
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30];
        let mut y = [0.0; 5];
        values(Function::Silu, &x, &mut y);
        assert!(y[0].is_nan() && y[1] == f32::INFINITY && !y[2].is_finite() && y[3] == 1e30 && y[4] == 0.0);
        values(Function::Softplus, &x, &mut y);
        assert!(y[0].is_nan() && y[1..] == [f32::INFINITY, 0.0, 1e30, 0.0]);
        values(Function::Tanh, &x, &mut y);
        assert!(y[0].is_nan() && y[1..] == [1.0, -1.0, 1.0, -1.0]);
        values(Function::Elu, &x, &mut y);
        assert!(y[0].is_nan() && y[1..] == [f32::INFINITY, -1.0, 1e30, -1.0]);
        for (f, at) in FUNCTIONS {
            assert!(at(f32::NAN).into_iter().all(f32::is_nan), "{f:?}");
            assert!([1e30, -1e30, 3e38, -3e38].into_iter().flat_map(at).all(f32::is_finite), "{f:?}");
        }
    }
}
