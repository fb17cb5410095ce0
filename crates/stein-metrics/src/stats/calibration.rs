//! Every standard error against what it claims to be: the standard deviation of its value over repeated draws.

use super::estimate::{mean, variance};
use super::testing::normal;
use super::*;

/// Near 0 the values are skewed, and their standard deviation over few repeats is itself off by a fifth.
const REPEATS: u64 = 160;

/// Mean standard error over the standard deviation of the values, for each estimate that `measure` returns for a seed.
fn calibration(measure: impl Fn(u64) -> Vec<Estimate>) -> Vec<f64> {
    let runs: Vec<Vec<Estimate>> = (0..REPEATS).map(measure).collect();
    (0..runs[0].len())
        .map(|q| {
            let values: Vec<f64> = runs.iter().map(|run| run[q].value).collect();
            let errors: Vec<f64> = runs.iter().map(|run| run[q].standard_error).collect();
            mean(&errors) / variance(&values).sqrt()
        })
        .collect()
}

fn holds(what: &str, ratios: &[f64]) {
    holds_within(1.4, what, ratios);
}

fn holds_within(factor: f64, what: &str, ratios: &[f64]) {
    println!("{what}: {ratios:.2?}");
    assert!(ratios.iter().all(|ratio| (1.0 / factor..factor).contains(ratio)), "{what}: {ratios:?}");
}

/// Pairs of laws N(0, I) and N((shift, …, shift), std²I): n, m, D, shift, std.
const LAWS: [(usize, usize, usize, f64, f64); 4] =
    [(150, 150, 2, 0.0, 1.0), (100, 200, 2, 0.4, 1.0), (150, 100, 8, 0.25, 1.0), (120, 120, 8, 0.0, 1.3)];

fn over_laws(what: &str, measure: impl Fn(Rows<'_>, Rows<'_>) -> Vec<Estimate>) {
    over_laws_within(1.4, what, measure);
}

fn over_laws_within(factor: f64, what: &str, measure: impl Fn(Rows<'_>, Rows<'_>) -> Vec<Estimate>) {
    for (n, m, dim, shift, std) in LAWS {
        let ratios = calibration(|seed| {
            let x = normal(n, dim, 0.0, 1.0, 2 * seed + 10_000);
            let y = normal(m, dim, shift, std, 2 * seed + 10_001);
            measure(Rows::new(&x, dim).unwrap(), Rows::new(&y, dim).unwrap())
        });
        holds_within(factor, &format!("{what}, n {n}, m {m}, D {dim}, shift {shift}, std {std}"), &ratios);
    }
}

#[test]
fn energy() {
    over_laws("energy", |x, y| vec![energy_distance(x, y).unwrap()]);
}

#[test]
fn mmd() {
    over_laws("mmd", |x, y| {
        let median = (2.0 * x.dim() as f64).sqrt();
        mmd_squared(x, y, &BANDWIDTH_MULTIPLES.map(|multiple| multiple * median)).unwrap()
    });
}

#[test]
fn precision_and_recall() {
    over_laws("precision, recall", |x, y| {
        let got = precision_recall(x, y, NEIGHBOURS).unwrap();
        vec![got.precision, got.recall]
    });
}

#[test]
fn densities_and_coverages() {
    over_laws_within(1.5, "density, coverage", |x, y| {
        let got = density_coverage(x, y, COVERAGE_NEIGHBOURS).unwrap();
        vec![got.density, got.coverage]
    });
}

#[test]
fn kernel_distances() {
    over_laws("kernel distance", |x, y| vec![kernel_distance(x, y).unwrap()]);
}

#[test]
fn one_nearest() {
    over_laws("1-NN", |x, y| vec![one_nearest_neighbour_accuracy(x, y, 0).unwrap()]);
}

#[test]
fn wasserstein() {
    // Between equal laws, the first pair, up to √2 too large, as documented.
    over_laws("sliced W2", |x, y| vec![sliced_wasserstein(x, y, 32, 0).unwrap().distance]);
}

#[test]
fn medians_and_means() {
    let ratios = calibration(|seed| {
        let exponents = normal(200, 1, 1.0, 1.0, seed);
        let values: Vec<f64> = exponents.into_iter().map(|v| f64::from(v).exp()).collect();
        vec![median_estimate(&values).unwrap()]
    });
    holds("median of a log-normal", &ratios);
    let ratios = calibration(|seed| {
        let values: Vec<f64> = normal(100, 1, 1.0, 2.0, seed).into_iter().map(f64::from).collect();
        let standard_error = standard_error_of_mean(&values).unwrap();
        vec![Estimate { value: mean(&values), standard_error }]
    });
    holds("mean", &ratios);
}

#[test]
fn nearest_training_rows() {
    let training = normal(300, 4, 0.0, 1.0, 1);
    let training = Rows::new(&training, 4).unwrap();
    let near = |n: usize, std: f64, seed: u64| {
        nearest_rows(Rows::new(&normal(n, 4, 0.0, std, seed), 4).unwrap(), training).unwrap()
    };
    let ratios = calibration(|seed| {
        let got = nearest_summary(&near(200, 0.8, 2 * seed + 2), &near(100, 1.0, 2 * seed + 3));
        let got = got.unwrap();
        vec![got.samples, got.held_out, got.ratio]
    });
    holds("nearest: samples, held-out, ratio", &ratios);
}

#[test]
fn weights_of_modes() {
    let means = [-1.0, 0.0, 1.0, 0.0];
    let mixture = Mixture { means: Rows::new(&means, 2).unwrap(), std: &[1.0, 1.0], weights: &[0.3, 0.7] };
    let ratios = calibration(|seed| {
        let x = normal(600, 2, 0.0, 1.5, seed);
        let got = mode_weights(Rows::new(&x, 2).unwrap(), &mixture, stray_radius(2)).unwrap();
        vec![got.weights[0], got.weights[1], got.stray]
    });
    holds("mode weights, stray", &ratios);
}
