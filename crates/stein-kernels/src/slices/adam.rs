//! Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) and the moving average of the weights, in one pass over them.

use std::ops::Range;

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

/// Some of a gradient's numbers, one after another: the sum of slices that are so long, zeros if there are none.
pub struct Stretch<'a> {
    /// How many numbers.
    pub length: usize,
    /// What is summed, in this order.
    pub parts: Vec<&'a [f32]>,
}

/// The numbers of a stretch in a range of at most [`BLOCK`]: in `room`, if they lie nowhere yet.
#[inline(always)]
fn summed<'a>(parts: &[&'a [f32]], range: Range<usize>, room: &'a mut [f32; BLOCK]) -> &'a [f32] {
    let room = &mut room[..range.len()];
    match parts {
        [] => room.fill(0.0),
        [alone] => return &alone[range],
        [first, rest @ ..] => {
            room.copy_from_slice(&first[range.clone()]);
            for part in rest {
                room.iter_mut().zip(&part[range.clone()]).for_each(|(sum, &g)| *sum += g);
            }
        }
    }
    room
}

/// The chunks of stretches: what is summed, and where in it.
fn chunks<'a>(gradient: &'a [Stretch<'a>]) -> impl Iterator<Item = (&'a [&'a [f32]], Range<usize>)> {
    gradient.iter().flat_map(|stretch| {
        let begins = (0..stretch.length).step_by(CHUNK);
        begins.map(|from| (stretch.parts.as_slice(), from..stretch.length.min(from + CHUNK)))
    })
}

/// A chunk of a step.
struct Task<'a> {
    parts: &'a [&'a [f32]],
    range: Range<usize>,
    before: &'a [f32],
    moved: Moved<'a>,
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn step_of_chunk<'a>(s: AdamStep, factor: f32, task: Task<'a>) {
    let Task { parts, range, before, moved: Moved { parameters, mean, square, average } } = task;
    let mut room = [0.0; BLOCK];
    for from in (0..range.len()).step_by(BLOCK) {
        let block = from..range.len().min(from + BLOCK);
        let gradient = summed(parts, range.start + block.start..range.start + block.end, &mut room);
        let read = gradient.iter().zip(&before[block.clone()]);
        let moments = mean[block.clone()].iter_mut().zip(&mut square[block.clone()]);
        for ((theta, (&g, &before)), (m, v)) in parameters[block].iter_mut().zip(read).zip(moments) {
            let g = g * factor;
            *m = *m * s.beta_1 + g * s.rest_1;
            *v = *v * s.beta_2 + g * g * s.rest_2;
            *theta = before * s.keep - *m / (v.sqrt() * s.root + s.epsilon) * s.rate;
        }
    }
    if let Some([decay, rest]) = s.average {
        for (average, &theta) in average.iter_mut().zip(&*parameters) {
            *average = *average * decay + theta * rest;
        }
    }
}

impl<'a> Moved<'a> {
    /// The first `n` of each, taken away.
    fn take(&mut self, n: usize) -> Self {
        let first = |all: &mut &'a mut [f32]| all.split_off_mut(..n.min(all.len())).unwrap_or_default();
        Self {
            parameters: first(&mut self.parameters),
            mean: first(&mut self.mean),
            square: first(&mut self.square),
            average: first(&mut self.average),
        }
    }
}

/// Takes a step from `before` with `factor` times the gradient.
///
/// # Panics
/// If a slice is not as long as the others.
pub fn step(s: AdamStep, factor: f32, gradient: &[Stretch<'_>], before: &[f32], mut moved: Moved<'_>) {
    let n = before.len();
    let Moved { parameters, mean, square, average } = &moved;
    assert_eq!(gradient.iter().map(|stretch| stretch.length).sum::<usize>(), n);
    assert!(parameters.len() == n && mean.len() == n && square.len() == n);
    assert_eq!(average.len(), if s.average.is_some() { n } else { 0 });
    let mut rest = before;
    let tasks = chunks(gradient).map(|(parts, range)| {
        let before = rest.split_off(..range.len()).expect("as long as the gradient");
        Task { moved: moved.take(range.len()), parts, range, before }
    });
    if n <= SERIAL {
        tasks.for_each(|task| step_of_chunk(s, factor, task));
    } else {
        tasks.collect::<Vec<_>>().into_par_iter().for_each(|task| step_of_chunk(s, factor, task));
    }
}

const LANES: usize = 16;
/// Numbers that are summed in single precision.
const BLOCK: usize = 1024;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn square_sum_of_chunk(parts: &[&[f32]], range: Range<usize>) -> f64 {
    let (mut sum, mut room) = (0.0, [0.0; BLOCK]);
    for from in range.clone().step_by(BLOCK) {
        let block = summed(parts, from..range.end.min(from + BLOCK), &mut room);
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

/// Σ g², the sums of chunks added in order.
pub fn square_sum(gradient: &[Stretch<'_>]) -> f32 {
    let sum = |(parts, range)| square_sum_of_chunk(parts, range);
    if gradient.iter().map(|stretch| stretch.length).sum::<usize>() <= SERIAL {
        return chunks(gradient).map(sum).sum::<f64>() as f32;
    }
    let sums: Vec<f64> = chunks(gradient).collect::<Vec<_>>().into_par_iter().map(sum).collect();
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
            step(s, 0.5, &alone(&g), &theta, moved);
            let (mut theta3, mut m3, mut v3) = (vec![f32::NAN; n], m.clone(), v.clone());
            let moved = Moved { parameters: &mut theta3, mean: &mut m3, square: &mut v3, average: &mut [] };
            step(AdamStep { average: None, ..s }, 0.5, &alone(&g), &theta, moved);
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

    /// A gradient that lies in one slice.
    fn alone(x: &[f32]) -> [Stretch<'_>; 1] {
        [Stretch { length: x.len(), parts: vec![x] }]
    }

    #[test]
    fn stretches_are_sums_of_their_parts() {
        for lengths in [[5, 0, 3], [CHUNK + 7, 2, 2 * BLOCK + 1], [SERIAL, 3 * CHUNK, 1]] {
            let n: usize = lengths.iter().sum();
            let (a, b, c) = (ramp(n, 0.618), ramp(n, 0.377), ramp(n, 0.113));
            // The first of three parts, the second of none, the third of two.
            let ends = [lengths[0], lengths[0] + lengths[1]];
            let all = [&a, &b, &c];
            let part = |range: Range<usize>, count: usize| Stretch {
                length: range.len(),
                parts: all[..count].iter().map(|x| &x[range.clone()]).collect(),
            };
            let gradient = [part(0..ends[0], 3), part(ends[0]..ends[1], 0), part(ends[1]..n, 2)];
            let sum = |i: usize| match i {
                i if i < ends[0] => a[i] + b[i] + c[i],
                i if i < ends[1] => 0.0,
                i => a[i] + b[i],
            };
            let whole: Vec<f32> = (0..n).map(sum).collect();
            let exact: f64 = whole.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((f64::from(square_sum(&gradient)) - exact).abs() <= 1e-6 * exact, "{lengths:?}");
            let s = AdamStep {
                beta_1: 0.9,
                rest_1: 0.1,
                beta_2: 0.99,
                rest_2: 0.01,
                epsilon: 1e-6,
                rate: 0.02,
                root: 1.5,
                keep: 0.999,
                average: Some([0.75, 0.25]),
            };
            let moved_by = |gradient: &[Stretch<'_>]| {
                let [mut theta, mut m, mut v, mut average] = [0.9, 0.7, 0.3, 0.2].map(|by| ramp(n, by));
                v.iter_mut().for_each(|v| *v *= *v);
                let before = theta.clone();
                let moved = Moved { parameters: &mut theta, mean: &mut m, square: &mut v, average: &mut average };
                step(s, 0.5, gradient, &before, moved);
                [theta, m, v, average]
            };
            assert!(moved_by(&gradient) == moved_by(&alone(&whole)), "{lengths:?}");
        }
    }

    #[test]
    fn squares_are_summed() {
        for n in [0, 1, 17, CHUNK + 3, SERIAL, SERIAL + 1, SERIAL + 5 * CHUNK] {
            let x = ramp(n, 0.618);
            let exact: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((f64::from(square_sum(&alone(&x))) - exact).abs() <= 1e-6 * exact, "{n}");
        }
        assert!(square_sum(&alone(&[1.0, f32::NAN])).is_nan());
        assert_eq!(square_sum(&alone(&[f32::INFINITY; 40])), f32::INFINITY);
    }
}
