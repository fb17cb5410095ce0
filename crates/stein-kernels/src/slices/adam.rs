//! Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) and the moving average of the weights, in one pass over them.

use multiversion::multiversion;
use rayon::prelude::*;

use super::CHUNK;

/// Parameters that one thread moves faster than several.
const SERIAL: usize = 1 << 16;

/// The numbers of one step:
///
/// m ← β₁ m + (1−β₁) g, v ← β₂ v + (1−β₂) g²,
/// θ ← (1 − ηλ) θ − η (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε), average ← μ average + (1−μ) θ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// β₁.
    pub beta_1: f32,
    /// 1 − β₁, rounded once.
    pub rest_1: f32,
    /// β₂.
    pub beta_2: f32,
    /// 1 − β₂, rounded once.
    pub rest_2: f32,
    /// ε.
    pub epsilon: f32,
    /// η/(1−β₁ᵗ).
    pub rate: f32,
    /// 1/√(1−β₂ᵗ).
    pub root: f32,
    /// 1 − ηλ.
    pub keep: f32,
    /// μ and 1 − μ, if an average is kept.
    pub average: Option<[f32; 2]>,
}

/// What a step changes, each of the parameters' length; the average is empty if none is kept.
pub struct Moved<'a> {
    /// θ, written, not read: networks may still hold the one before.
    pub parameters: &'a mut [f32],
    /// m.
    pub mean: &'a mut [f32],
    /// v.
    pub square: &'a mut [f32],
    /// The average of θ.
    pub average: &'a mut [f32],
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn step_of_chunk(
    s: AdamStep,
    factor: f32,
    (gradient, before): (&[f32], &[f32]),
    parameters: &mut [f32],
    mean: &mut [f32],
    square: &mut [f32],
) {
    let (read, moments) = (gradient.iter().zip(before), mean.iter_mut().zip(square.iter_mut()));
    for ((theta, (&g, &before)), (m, v)) in parameters.iter_mut().zip(read).zip(moments) {
        let g = g * factor;
        *m = *m * s.beta_1 + g * s.rest_1;
        *v = *v * s.beta_2 + g * g * s.rest_2;
        *theta = before * s.keep - *m / (v.sqrt() * s.root + s.epsilon) * s.rate;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn average_of_chunk([decay, rest]: [f32; 2], parameters: &[f32], average: &mut [f32]) {
    for (average, &theta) in average.iter_mut().zip(parameters) {
        *average = *average * decay + theta * rest;
    }
}

/// Takes a step from `before` with `factor` times the gradient.
///
/// # Panics
/// If a slice is not as long as the others.
pub fn step(s: AdamStep, factor: f32, gradient: &[f32], before: &[f32], moved: Moved<'_>) {
    let Moved { parameters, mean, square, average } = moved;
    let n = gradient.len();
    assert!(before.len() == n && parameters.len() == n && mean.len() == n && square.len() == n);
    assert_eq!(average.len(), if s.average.is_some() { n } else { 0 });
    if n <= SERIAL {
        step_of_chunk(s, factor, (gradient, before), parameters, mean, square);
        if let Some(weights) = s.average {
            average_of_chunk(weights, parameters, average);
        }
        return;
    }
    let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
    let read = gradient.par_chunks(CHUNK).zip(before.par_chunks(CHUNK));
    let chunks = parameters.par_chunks_mut(CHUNK).zip(read).zip(moments);
    match s.average {
        None => chunks.for_each(|((theta, read), (m, v))| step_of_chunk(s, factor, read, theta, m, v)),
        Some(weights) => chunks.zip(average.par_chunks_mut(CHUNK)).for_each(|(((theta, read), (m, v)), average)| {
            step_of_chunk(s, factor, read, theta, m, v);
            average_of_chunk(weights, theta, average);
        }),
    }
}

const LANES: usize = 16;
/// Numbers that are summed in single precision.
const BLOCK: usize = 1024;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn square_sum_of_chunk(x: &[f32]) -> f64 {
    let mut sum = 0.0;
    for block in x.chunks(BLOCK) {
        let mut lanes = [0.0f32; LANES];
        let chunks = block.chunks_exact(LANES);
        let rest: f32 = chunks.remainder().iter().map(|x| x * x).sum();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += x * x;
            }
        }
        sum += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    sum
}

/// Σ x², the sums of chunks added in order.
pub fn square_sum(x: &[f32]) -> f32 {
    if x.len() <= SERIAL {
        return x.chunks(CHUNK).map(square_sum_of_chunk).sum::<f64>() as f32;
    }
    let sums: Vec<f64> = x.par_chunks(CHUNK).map(square_sum_of_chunk).collect();
    sums.into_iter().sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [−1, 1) that repeat nowhere near.
    fn ramp(n: usize, by: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 + 1.0) * by).fract() * 2.0 - 1.0).collect()
    }

    #[test]
    fn a_step_is_the_formula_at_every_length() {
        for n in [0, 1, 15, 16, 17, CHUNK + 1, SERIAL, SERIAL + 1, SERIAL + CHUNK + 5] {
            let (g, theta, m) = (ramp(n, 0.618), ramp(n, 0.377), ramp(n, 0.113));
            let v: Vec<f32> = ramp(n, 0.271).iter().map(|v| v * v).collect();
            let (beta_1, beta_2, eta, lambda, mu, t) = (0.9f64, 0.999f64, 0.01, 0.1, 0.75, 3);
            let (unbias_1, unbias_2) = (1.0 - beta_1.powi(t), 1.0 - beta_2.powi(t));
            let s = AdamStep {
                beta_1: beta_1 as f32,
                rest_1: (1.0 - beta_1) as f32,
                beta_2: beta_2 as f32,
                rest_2: (1.0 - beta_2) as f32,
                epsilon: 1e-8,
                rate: (eta / unbias_1) as f32,
                root: unbias_2.sqrt().recip() as f32,
                keep: (1.0 - eta * lambda) as f32,
                average: Some([mu as f32, (1.0 - mu) as f32]),
            };
            let (mut theta2, mut m2, mut v2, mut average) = (vec![f32::NAN; n], m.clone(), v.clone(), ramp(n, 0.9));
            let before = average.clone();
            let moved = Moved { parameters: &mut theta2, mean: &mut m2, square: &mut v2, average: &mut average };
            step(s, 0.5, &g, &theta, moved);
            let (mut theta3, mut m3, mut v3) = (vec![f32::NAN; n], m.clone(), v.clone());
            let moved = Moved { parameters: &mut theta3, mean: &mut m3, square: &mut v3, average: &mut [] };
            step(AdamStep { average: None, ..s }, 0.5, &g, &theta, moved);
            assert_eq!((&theta2, &m2, &v2), (&theta3, &m3, &v3), "an average changes nothing else");
            for i in 0..n {
                let d = f64::from;
                let g = 0.5 * d(g[i]);
                let m = beta_1 * d(m[i]) + (1.0 - beta_1) * g;
                let v = beta_2 * d(v[i]) + (1.0 - beta_2) * g * g;
                let step = eta * ((m / unbias_1) / ((v / unbias_2).sqrt() + 1e-8) + lambda * d(theta[i]));
                let moved = d(theta[i]) - step;
                let near = |a: f32, b: f64| (d(a) - b).abs() <= 2e-6 * (1.0 + b.abs());
                assert!(near(theta2[i], moved) && near(m2[i], m) && near(v2[i], v), "{n} {i}");
                assert!(near(average[i], mu * d(before[i]) + (1.0 - mu) * moved), "{n} {i}");
            }
        }
    }

    #[test]
    fn squares_are_summed() {
        for n in [0, 1, 17, CHUNK + 3, SERIAL, SERIAL + 1, SERIAL + 5 * CHUNK] {
            let x = ramp(n, 0.618);
            let exact: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((f64::from(square_sum(&x)) - exact).abs() <= 1e-6 * exact, "{n}");
        }
        assert!(square_sum(&[1.0, f32::NAN]).is_nan() && square_sum(&[f32::INFINITY; 40]) == f32::INFINITY);
    }
}
