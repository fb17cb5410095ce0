//! Score and log density of a mixture of isotropic Gaussians.

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::exp_of_negative;

/// Rows that are computed side by side.
const LANES: usize = 16;
/// Rows of one task.
const ROWS: usize = 16 * LANES;

/// One number of each row that is computed with.
type Lanes = [f32; LANES];

/// Σ_k w_k N(x; m_k, v_k I), ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Mixture {
    dimension: usize,
    /// m_k, `[K, D]`.
    means: Vec<f32>,
    /// 1/v_k.
    precisions: Vec<f32>,
    /// ln w_k − (D/2) ln(2π v_k).
    offsets: Vec<f32>,
}

/// What a task works with: the rows, transposed, and for each of them what has been found out so far.
struct Scratch {
    /// `[D]`.
    x: Vec<Lanes>,
    /// Σ_k r_k (m_k − x)/v_k, r not normalised, `[D]`.
    sums: Vec<Lanes>,
    /// Log of w_k N(x; m_k, v_k I), `[K]`.
    logs: Vec<Lanes>,
    most: Lanes,
    /// Σ_k r_k.
    total: Lanes,
}

impl Mixture {
    /// A mixture of `means` `[K, D]`, row major, `variances` `[K]` above 0 and `weights` `[K]`.
    ///
    /// # Panics
    /// If the lengths do not fit each other, or one is 0.
    pub fn new(means: &[f64], variances: &[f64], weights: &[f64]) -> Self {
        let k = variances.len();
        assert!(k > 0 && k == weights.len() && !means.is_empty() && means.len().is_multiple_of(k));
        let dimension = means.len() / k;
        let half = dimension as f64 / 2.0;
        let offset = |(w, v): (&f64, &f64)| (w.ln() - half * (2.0 * std::f64::consts::PI * v).ln()) as f32;
        Self {
            dimension,
            means: means.iter().map(|&m| m as f32).collect(),
            precisions: variances.iter().map(|v| v.recip() as f32).collect(),
            offsets: weights.iter().zip(variances).map(offset).collect(),
        }
    }

    /// The gradient of the log density at rows `x` `[B, D]`, `[B, D]`.
    ///
    /// # Panics
    /// If `x` is not made of rows of D numbers.
    pub fn score(&self, x: &[f32]) -> Vec<f32> {
        let d = self.dimension;
        self.each(x, d, |s, row, out| {
            for (out, sum) in out.iter_mut().zip(&s.sums) {
                *out = sum[row] / s.total[row];
            }
        })
    }

    /// The log density at rows `x` `[B, D]`, in nats, `[B]`.
    ///
    /// # Panics
    /// If `x` is not made of rows of D numbers.
    pub fn log_density(&self, x: &[f32]) -> Vec<f32> {
        self.each(x, 1, |s, row, out| out[0] = s.total[row].ln() + s.most[row])
    }

    /// Evaluates every row; `give` makes `width` numbers of it. Rows do not see each other, so neither the cut into tasks nor the
    /// number of threads changes a bit.
    fn each(&self, x: &[f32], width: usize, give: impl Fn(&Scratch, usize, &mut [f32]) + Sync) -> Vec<f32> {
        let d = self.dimension;
        assert!(x.len().is_multiple_of(d), "rows of {d} numbers");
        let mut out = vec![0.0; x.len() / d * width];
        let tasks = out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * d));
        tasks.for_each_init(
            || Scratch::new(d, self.offsets.len()),
            |scratch, (out, x)| {
                for (out, x) in out.chunks_mut(LANES * width).zip(x.chunks(LANES * d)) {
                    scratch.take(x);
                    evaluate(self, scratch);
                    for (row, out) in out.chunks_mut(width).enumerate() {
                        give(scratch, row, out);
                    }
                }
            },
        );
        out
    }
}

impl Scratch {
    fn new(d: usize, k: usize) -> Self {
        let lanes = |n: usize| vec![[0.0; LANES]; n];
        Self { x: lanes(d), sums: lanes(d), logs: lanes(k), most: [0.0; LANES], total: [0.0; LANES] }
    }

    /// Takes up to [`LANES`] rows.
    fn take(&mut self, rows: &[f32]) {
        let d = self.x.len();
        for (row, values) in rows.chunks_exact(d).enumerate() {
            self.x.iter_mut().zip(values).for_each(|(lanes, &value)| lanes[row] = value);
        }
    }
}

/// Components that are looked at together: as many sums run side by side, and the rows are read once for all of them. Each sum has
/// the order that it would have alone.
const GROUP: usize = 4;

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn evaluate(m: &Mixture, s: &mut Scratch) {
    let k = m.offsets.len();
    s.most = [f32::NEG_INFINITY; LANES];
    let whole = k - k % GROUP;
    (0..whole).step_by(GROUP).for_each(|first| log_joints::<GROUP>(m, s, first));
    (whole..k).for_each(|first| log_joints::<1>(m, s, first));
    s.total = [0.0; LANES];
    s.sums.fill([0.0; LANES]);
    (0..whole).step_by(GROUP).for_each(|first| add_shares::<GROUP>(m, s, first));
    (whole..k).for_each(|first| add_shares::<1>(m, s, first));
}

/// The means of N components from `first` on.
#[inline(always)]
fn means<const N: usize>(m: &Mixture, first: usize) -> [&[f32]; N] {
    std::array::from_fn(|i| &m.means[(first + i) * m.dimension..][..m.dimension])
}

/// Logs of w_k N(x; m_k, v_k I) of N components from `first` on.
#[inline(always)]
fn log_joints<const N: usize>(m: &Mixture, s: &mut Scratch, first: usize) {
    let means = means::<N>(m, first);
    let mut squares = [[0.0; LANES]; N];
    for (j, x) in s.x.iter().enumerate() {
        for (square, mean) in squares.iter_mut().zip(means) {
            let mean = mean[j];
            for (square, x) in square.iter_mut().zip(x) {
                *square += (x - mean) * (x - mean);
            }
        }
    }
    for (i, square) in squares.into_iter().enumerate() {
        let (offset, precision) = (m.offsets[first + i], m.precisions[first + i]);
        for ((log, square), most) in s.logs[first + i].iter_mut().zip(square).zip(&mut s.most) {
            *log = offset - 0.5 * precision * square;
            *most = if *log > *most { *log } else { *most };
        }
    }
}

/// Adds what N components from `first` on have a share in.
#[inline(always)]
fn add_shares<const N: usize>(m: &Mixture, s: &mut Scratch, first: usize) {
    let means = means::<N>(m, first);
    let mut weights = [[0.0; LANES]; N];
    for (i, weight) in weights.iter_mut().enumerate() {
        let precision = m.precisions[first + i];
        for (((weight, log), most), total) in weight.iter_mut().zip(&s.logs[first + i]).zip(&s.most).zip(&mut s.total) {
            let share = exp_of_negative(log - most);
            *total += share;
            *weight = share * precision;
        }
    }
    for (j, (sum, x)) in s.sums.iter_mut().zip(&s.x).enumerate() {
        for (weight, mean) in weights.iter().zip(means) {
            let mean = mean[j];
            for ((sum, x), weight) in sum.iter_mut().zip(x).zip(weight) {
                *sum += weight * (mean - x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: [f64; 6] = [-2.5, -1.5, 2.5, -1.5, 0.0, 2.5];
    const VARIANCES: [f64; 3] = [0.25, 0.5, 1.0];
    const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];

    fn rows(n: usize) -> Vec<f32> {
        (0..2 * n).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.1).collect()
    }

    /// Log density and score at one row, in f64.
    fn plainly(x: &[f32]) -> (f64, [f64; 2]) {
        let x = [f64::from(x[0]), f64::from(x[1])];
        let (mut density, mut gradient) = (0.0, [0.0; 2]);
        for ((m, v), w) in MEANS.chunks(2).zip(VARIANCES).zip(WEIGHTS) {
            let a = [m[0] - x[0], m[1] - x[1]];
            let p = w * (-(a[0] * a[0] + a[1] * a[1]) / (2.0 * v)).exp() / (2.0 * std::f64::consts::PI * v);
            density += p;
            gradient = [gradient[0] + p * a[0] / v, gradient[1] + p * a[1] / v];
        }
        (density.ln(), gradient.map(|g| g / density))
    }

    #[test]
    fn values_are_those_of_the_formula() {
        let mixture = Mixture::new(&MEANS, &VARIANCES, &WEIGHTS);
        // 601 rows: tasks and lanes that are not full.
        let x = rows(601);
        let (scores, logs) = (mixture.score(&x), mixture.log_density(&x));
        assert_eq!((scores.len(), logs.len()), (1202, 601));
        for ((x, score), log) in x.chunks(2).zip(scores.chunks(2)).zip(logs) {
            let (l, s) = plainly(x);
            assert!((f64::from(log) - l).abs() < 1e-6 * l.abs().max(5.0), "{log} {l}");
            for (a, b) in score.iter().zip(s) {
                assert!((f64::from(*a) - b).abs() < 2e-5 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    /// Six components of which two and two are one: a whole group and some more.
    #[test]
    fn components_in_groups_are_those_alone() {
        let twice = |list: &[f64], share: f64| list.iter().chain(list).map(|v| v * share).collect::<Vec<_>>();
        let (alone, twin) = (
            Mixture::new(&MEANS, &VARIANCES, &WEIGHTS),
            Mixture::new(&twice(&MEANS, 1.0), &twice(&VARIANCES, 1.0), &twice(&WEIGHTS, 0.5)),
        );
        let x = rows(37);
        for (a, b) in alone.score(&x).iter().zip(twin.score(&x)) {
            assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
        for (a, b) in alone.log_density(&x).iter().zip(twin.log_density(&x)) {
            assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads_and_any_batch() {
        let mixture = Mixture::new(&MEANS, &VARIANCES, &WEIGHTS);
        let x = rows(1000);
        let all = mixture.score(&x);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            assert_eq!(pool.install(|| mixture.score(&x)), all);
        }
        assert_eq!(mixture.score(&x[2 * 7..2 * 40]), all[2 * 7..2 * 40]);
    }

    #[test]
    fn what_is_no_number_stays_none() {
        let mixture = Mixture::new(&MEANS, &VARIANCES, &WEIGHTS);
        let score = mixture.score(&[f32::NAN, 0.0, f32::INFINITY, 0.0, 1.0, 1.0]);
        assert!(score[0].is_nan() && !score[2].is_finite() && score[4].is_finite());
    }
}
