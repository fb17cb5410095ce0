//! Whether a learned score is a gradient at all.
//!
//! J = ∂s/∂x has a symmetric part S and an antisymmetric part A, and ‖J‖² = ‖S‖² + ‖A‖² (Frobenius norms). A score is a gradient
//! where A vanishes everywhere. So ‖J − Jᵀ‖/‖J‖ = 2‖A‖/√(‖S‖² + ‖A‖²) is 0 for a gradient, √2 where both parts are as large, and 2,
//! the most there is, where a score only turns.
//!
//! In up to [`MOST_EXACT`] dimensions J is had whole. Beyond, random directions with `E[vvᵀ] = I` give both squares without bias:
//! E‖Jv‖² = ‖J‖², and E(uᵀ(J − Jᵀ)v)² = ‖J − Jᵀ‖² for independent u and v, which each pair of directions is. The equal
//! 2‖J‖² − 2 tr J² would take J(Jv) and be a difference of large numbers, which rounding in single precision keeps from 0. (An
//! estimate may come to a little more than 2.)

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    Component, Condition, Dataset, Invalid, Jet, Level, Metric, MetricContext, MetricPart, Noise, NoiseSchedule,
    ScoreNetwork, evenly_spread, matrix, to_host, to_tensor,
};
use stein_record::{Array, AtLevel, Better, Estimate, MetricRecord};

use crate::compare::Reading;
use crate::two_sample::metric;

/// At most so many levels are measured, the ends among them.
const MOST_LEVELS: usize = 10;
/// Dimensions up to which Jacobians are had whole. Beyond, more rows tell more for the same cost.
const MOST_EXACT: usize = 16;
/// Random directions of each row beyond that.
const PROBES: usize = 8;
/// Evaluations of score and derivatives at a level, which bounds the rows.
const EVALUATIONS: usize = 512;
/// Of them so many at a time, which bounds memory.
const CHUNK: usize = 256;

metric! {
    /// ‖J − Jᵀ‖/‖J‖ of the score's Jacobian J = ∂s/∂x at noisy held-out rows, each norm a root mean square over rows, mean over up to
    /// ten levels. 0 if the score is a gradient, √2 where the symmetric part of J and the antisymmetric are as large, at most 2. A
    /// constant score (J = 0) is a gradient.
    Curl, "curl", "Chao et al. 2023, arXiv 2209.12753"
}

impl Metric for Curl {
    /// On a line every score is a gradient. The held-out rows that metrics are given are no logits, which the score is of.
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        dataset.dimension() > 1 && !dataset.logit
    }

    /// The data's own score is a gradient, and does not always know its Jacobian.
    fn is_of_learning(&self) -> bool {
        true
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let d = context.held_out.row_length();
        let rows = context.held_out.slice(0..context.held_out.rows().min(EVALUATIONS / (1 + directions(d))));
        let levels = evenly_spread(context.schedule.levels(), MOST_LEVELS);
        let measured: Vec<RootRatio> =
            levels.iter().enumerate().map(|(i, &level)| at_level(context, &rows, level, i as u64)).collect();
        let at = |(level, of): (&Level, &RootRatio)| AtLevel { sigma: level.sigma, estimate: of.estimate() };
        let reading = Reading {
            name: "curl",
            label: "curl of the score",
            about: if levels.iter().all(|l| l.sigma == 0.0) { ABOUT_CLEAN } else { ABOUT },
            better: Better::Lower,
        };
        let mut record = reading.record(RootRatio::mean(&measured).estimate(), None, None);
        record.by_level = levels.iter().zip(&measured).map(at).collect();
        if d > MOST_EXACT {
            record.about += &format!(" By {PROBES} random directions at each of {} rows.", rows.rows());
        }
        Ok(vec![record])
    }
}

const ABOUT: &str = "‖J − Jᵀ‖/‖J‖ of the score's Jacobian, mean over levels, at noisy held-out rows: 0 for a gradient, as the true \
                     score is, √2 where as much of J turns as does not, 2 at most. A constant score has none.";
const ABOUT_CLEAN: &str = "‖J − Jᵀ‖/‖J‖ of the score's Jacobian at held-out rows: 0 for a gradient, as the true score is, √2 where \
                           as much of J turns as does not, 2 at most. A constant score has none.";

/// Directions at each row in `d` dimensions.
fn directions(d: usize) -> usize {
    if d <= MOST_EXACT { d } else { PROBES }
}

/// ‖J − Jᵀ‖² and ‖J‖² of each row.
#[derive(Debug, Default)]
struct Squares {
    apart: Vec<f64>,
    whole: Vec<f64>,
}

/// The ratio of the rows' root mean squares at one level; `index` is its number.
fn at_level(context: &MetricContext<'_>, rows: &Array, level: Level, index: u64) -> RootRatio {
    let (d, device) = (rows.row_length(), context.device);
    let mut noise = context.streams.at("curl noise", index);
    let mut probes = context.streams.at("curl probes", index);
    let mut all = Squares::default();
    let chunk = CHUNK / (1 + directions(d));
    for start in (0..rows.rows()).step_by(chunk) {
        let clean = rows.slice(start..(start + chunk).min(rows.rows()));
        let n = clean.rows();
        let z = matrix(noise.normals(n * d), d, device);
        let x = to_tensor(&clean, device) * level.alpha + z * level.sigma;
        let condition = Condition::uniform(level, n, device);
        let squares = if d <= MOST_EXACT {
            exact(context.network, x, &condition)
        } else {
            probed(context.network, x, &condition, &mut probes)
        };
        all.apart.extend(squares.apart);
        all.whole.extend(squares.whole);
    }
    RootRatio::of(&all)
}

/// From whole Jacobians: B D² numbers.
fn exact(network: &dyn ScoreNetwork, x: Tensor<2>, condition: &Condition) -> Squares {
    let [_, d] = x.dims();
    let jacobian = by_row(network.jet(Jet::basis(x), condition).tangents(), d);
    Squares { apart: squares(jacobian.clone() - jacobian.clone().swap_dims(1, 2)), whole: squares(jacobian) }
}

/// From [`PROBES`] directions of signs at each row, without bias.
fn probed(network: &dyn ScoreNetwork, x: Tensor<2>, condition: &Condition, noise: &mut Noise) -> Squares {
    let ([b, d], device) = (x.dims(), x.device());
    let signs = |u: f32| if u < 0.5 { -1.0 } else { 1.0 };
    let mut draw = || matrix(noise.uniforms(b * d).into_iter().map(signs).collect(), d, &device);
    let directions: Vec<Tensor<2>> = (0..PROBES).map(|_| draw()).collect();
    let images = by_row(network.jet(Jet::seed(x, directions.clone()), condition).tangents(), PROBES);
    // vⱼᵀ J vᵢ in row i; on the diagonal of the difference there is nothing.
    let products = images.clone().matmul(by_row(Tensor::cat(directions, 0), PROBES).swap_dims(1, 2));
    let k = PROBES as f64;
    let over = |squares: Vec<f64>, count: f64| squares.into_iter().map(|s| s / count).collect();
    Squares {
        apart: over(squares(products.clone() - products.swap_dims(1, 2)), k * (k - 1.0)),
        whole: over(squares(images), k),
    }
}

/// Blocks of a jet, `[K B, D]`, as `[B, K, D]`.
fn by_row(blocks: Tensor<2>, k: usize) -> Tensor<3> {
    let [rows, d] = blocks.dims();
    blocks.reshape([k, rows / k, d]).swap_dims(0, 1)
}

/// The sum of squares of each matrix.
fn squares(matrices: Tensor<3>) -> Vec<f64> {
    to_host(matrices.square().sum_dim(2).sum_dim(1)).into_iter().map(f64::from).collect()
}

/// A ratio of root mean squares, or a mean of such.
#[derive(Debug)]
struct RootRatio {
    value: f64,
    /// What each row moves the value by, times their number (delta method).
    moves: Vec<f64>,
}

impl RootRatio {
    fn of(squares: &Squares) -> Self {
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let (apart, whole) = (mean(&squares.apart), mean(&squares.whole));
        // Also where J = 0, and the ratio would be 0/0.
        if apart == 0.0 {
            return Self { value: 0.0, moves: vec![0.0; squares.apart.len()] };
        }
        let value = (apart / whole).sqrt();
        let pairs = squares.apart.iter().zip(&squares.whole);
        Self { value, moves: pairs.map(|(a, w)| (a - value * value * w) / (2.0 * value * whole)).collect() }
    }

    /// The mean of several with the same rows, the errors of which are not independent.
    fn mean(all: &[Self]) -> Self {
        let n = all.len() as f64;
        let rows = all.first().map_or(0, |first| first.moves.len());
        Self {
            value: all.iter().map(|r| r.value).sum::<f64>() / n,
            moves: (0..rows).map(|i| all.iter().map(|r| r.moves[i]).sum::<f64>() / n).collect(),
        }
    }

    fn estimate(&self) -> Estimate {
        Estimate::new(self.value, Estimate::mean_of(&self.moves).standard_error)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use stein_core::Streams;

    use super::*;

    const D: usize = 6;

    /// A x + ½ (b·x)² c: its Jacobian A + (b·x) c bᵀ depends on x.
    struct Bent;

    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        Streams::new(seed).at("curl", 0).normals(n)
    }

    impl ScoreNetwork for Bent {
        fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
            let device = x.device();
            let fixed = |rows, columns, seed| matrix(numbers(rows * columns, seed), columns, &device);
            let (a, b, c) = (fixed(D, D, 1), fixed(D, 1, 2), fixed(1, D, 3));
            let along = x.clone().linear_map(|x| x.matmul(b.clone()));
            let bent = (along.clone() * along).scale_by(0.5).linear_map(|y| y.matmul(c.clone()));
            x.linear_map(|x| x.matmul(a.clone())) + bent
        }

        fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
            None
        }
    }

    fn points(n: usize) -> Tensor<2> {
        matrix(numbers(n * D, 4), D, &Device::flex())
    }

    #[test]
    fn whole_jacobians_are_those_of_the_formula() {
        let found = exact(&Bent, points(20), &Condition::clean());
        let (a, b, c, x) = (numbers(D * D, 1), numbers(D, 2), numbers(D, 3), numbers(20 * D, 4));
        for (i, x) in x.chunks(D).enumerate() {
            let along: f32 = x.iter().zip(&b).map(|(x, b)| x * b).sum();
            let j = |p: usize, q: usize| f64::from(a[q * D + p] + along * c[p] * b[q]);
            let sum = |f: &dyn Fn(usize, usize) -> f64| (0..D * D).map(|n| f(n / D, n % D).powi(2)).sum::<f64>();
            let (apart, whole) = (sum(&|p, q| j(p, q) - j(q, p)), sum(&j));
            assert!((found.apart[i] / apart - 1.0).abs() < 1e-5, "{} not {apart}", found.apart[i]);
            assert!((found.whole[i] / whole - 1.0).abs() < 1e-5, "{} not {whole}", found.whole[i]);
            let wrong_sign = sum(&|p, q| j(p, q) + j(q, p));
            assert!((found.apart[i] / wrong_sign - 1.0).abs() > 1e-3, "J + Jᵀ must be seen");
        }
    }

    #[test]
    fn probes_are_unbiased() {
        let n = 4000;
        let mut noise = Streams::new(5).at("probes", 0);
        let exact = exact(&Bent, points(n), &Condition::clean());
        let probed = probed(&Bent, points(n), &Condition::clean(), &mut noise);
        for (found, expected) in [(&probed.apart, &exact.apart), (&probed.whole, &exact.whole)] {
            // Row by row, so that only the probes are left to scatter; `factor` is a twin's mistake.
            let gap = |factor: f64| {
                let differences = found.iter().zip(expected).map(|(f, e)| f * factor - e);
                Estimate::mean_of(&differences.collect::<Vec<_>>())
            };
            let right = gap(1.0);
            assert!(right.value.abs() < 5.0 * right.standard_error, "{right:?}");
            // Over K² instead of the K(K − 1) pairs.
            let twin = gap(1.0 - 1.0 / PROBES as f64);
            assert!(twin.value.abs() > 5.0 * twin.standard_error, "{twin:?}");
        }
    }

    #[test]
    fn the_standard_error_is_how_far_the_ratio_scatters() {
        let mut noise = Streams::new(6).at("scatter", 0);
        let (mut values, mut variances) = (Vec::new(), Vec::new());
        for _ in 0..3000 {
            let mut draw = Squares::default();
            for _ in 0..60 {
                // Correlated, as the squares of one Jacobian are.
                let [a, b] = [noise.normal(), noise.normal()].map(|z| f64::from(z).exp());
                draw.apart.push(a);
                draw.whole.push(a + 2.0 * b);
            }
            let found = RootRatio::of(&draw).estimate();
            values.push(found.value);
            variances.push(found.standard_error.powi(2));
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let scatter = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
        let stated = variances.iter().sum::<f64>() / variances.len() as f64;
        assert!((stated / scatter - 1.0).abs() < 0.2, "stated {stated}, found {scatter}");
        assert!((mean - (1.0f64 / 3.0).sqrt()).abs() < 0.02, "{mean}");
    }

    #[test]
    fn errors_of_levels_with_the_same_rows_do_not_average_out() {
        let level = || RootRatio::of(&Squares { apart: vec![1.0, 2.0, 4.0], whole: vec![3.0, 3.0, 3.0] });
        let (one, all) = (level().estimate(), RootRatio::mean(&[level(), level(), level()]).estimate());
        assert!((one.value - all.value).abs() < 1e-12 && (one.standard_error - all.standard_error).abs() < 1e-12);
        assert!(one.standard_error > 0.0);
    }
}
