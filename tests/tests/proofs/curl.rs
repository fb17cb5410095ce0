//! The curl of scores whose Jacobian is known.

use burn::tensor::Tensor;
use stein_core::{
    Component, Condition, Dataset, Level, Metric, MetricContext, MetricPart, ScoreNetwork, Streams, matrix,
};
use stein_jet::Jet;
use stein_metrics::Curl;
use stein_record::{Array, MetricRecord};

use crate::common::{Sigmas, device, exact, levels, noise, three_modes};
use crate::networks::{plan, planned};

/// x M, row by row: its Jacobian is Mᵀ.
struct Linear(Tensor<2>);

impl ScoreNetwork for Linear {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        x.linear_map(|x| x.matmul(self.0.clone()))
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

/// (−x + σ y, −y − σ x): it turns the faster, the larger σ.
struct Turning;

impl ScoreNetwork for Turning {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let turn = matrix(vec![0.0, -1.0, 1.0, 0.0], 2, &device());
        let sigma = levels(condition).sigma.unsqueeze_dim::<2>(1);
        x.clone().linear_map(|x| x.matmul(turn)).scale(sigma) - x
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

/// (x + ½y², 0), whose Jacobian is [1, y; 0, 0].
struct Bent;

impl ScoreNetwork for Bent {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let (first, second) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1));
        let nothing = second.clone().scale_by(0.0);
        Jet::cat(vec![first + (second.clone() * second).scale_by(0.5), nothing], 1)
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

/// The metric on 400 held-out rows from N(0, std² I).
fn curl(network: &dyn ScoreNetwork, d: usize, std: f32, at: &[Level]) -> MetricRecord {
    let rows = Array::new([400, d], noise("curl rows").normals(400 * d).into_iter().map(|z| std * z).collect());
    let dataset = Dataset { train: rows.clone(), held_out: rows.clone(), ..Dataset::default() };
    let schedule = Sigmas(at.to_vec());
    let device = device();
    let metric: Box<dyn Metric> = Component::<MetricPart>::build(&Curl {}, ()).expect("builds");
    let streams = Streams::new(3);
    let context = MetricContext::new(&rows, &rows, &rows, &rows, &dataset, network, &[], &schedule, &device, streams);
    let mut records = metric.evaluate(&context).expect("measured");
    assert_eq!((records.len(), records[0].name.as_str()), (1, "curl"));
    records.remove(0)
}

const NOISY: [Level; 3] =
    [Level { alpha: 1.0, sigma: 3.0 }, Level { alpha: 0.6, sigma: 0.8 }, Level { alpha: 1.0, sigma: 0.05 }];

fn random(d: usize, name: &str) -> Vec<f32> {
    noise(name).normals(d * d)
}

/// √Σ(a M + b Mᵀ)².
fn norm(m: &[f32], d: usize, [a, b]: [f64; 2]) -> f64 {
    let of = |i: usize, j: usize| a * f64::from(m[i * d + j]) + b * f64::from(m[j * d + i]);
    (0..d * d).map(|n| of(n / d, n % d).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn a_linear_score_has_its_closed_form() {
    // Whole Jacobians, and by random directions.
    for (d, is_exact) in [(3, true), (16, true), (17, false), (40, false)] {
        // Parts of equal size would not tell J − Jᵀ from J + Jᵀ.
        let z = random(d, "linear");
        let m: Vec<f32> = (0..d * d).map(|n| z[n] + 0.5 * z[n % d * d + n / d]).collect();
        let found = curl(&Linear(matrix(m.clone(), d, &device())), d, 1.0, &NOISY).estimate;
        let size = norm(&m, d, [1.0, 0.0]);
        let expected = norm(&m, d, [1.0, -1.0]) / size;
        let allowed = if is_exact { 1e-5 } else { 5.0 * found.standard_error };
        assert!((found.value - expected).abs() < allowed, "D = {d}: {found:?}, not {expected}");
        assert!(allowed < 0.1 && (is_exact || found.standard_error > 1e-4), "{found:?}");
        for twin in [norm(&m, d, [1.0, 1.0]) / size, norm(&m, d, [1.0, -1.0]), expected.powi(2), expected / 2.0] {
            assert!((found.value - twin).abs() > allowed, "D = {d}: {twin} must be told from {expected}");
        }
    }
}

#[test]
fn a_gradient_has_no_curl() {
    for d in [2, 40] {
        let m = random(d, "gradient");
        let symmetric = (0..d * d).map(|n| m[n] + m[n % d * d + n / d]).collect();
        let found = curl(&Linear(matrix(symmetric, d, &device())), d, 1.0, &NOISY).estimate;
        assert!(found.value <= 1e-5, "D = {d}: {found:?}");
    }
    let found = curl(&exact(three_modes()), 2, 2.0, &NOISY);
    assert!(found.by_level.len() == 3 && found.by_level.iter().all(|l| l.estimate.value <= 1e-5), "{found:?}");
}

#[test]
fn a_rotation_has_all_the_curl_there_is() {
    for (d, is_exact) in [(2, true), (4, true), (40, false)] {
        // A quarter turn in each plane.
        let mut turn = vec![0.0; d * d];
        for i in (0..d).step_by(2) {
            (turn[i * d + i + 1], turn[(i + 1) * d + i]) = (0.7, -0.7);
        }
        let found = curl(&Linear(matrix(turn, d, &device())), d, 1.0, &NOISY).estimate;
        let allowed = if is_exact { 1e-6 } else { 5.0 * found.standard_error };
        assert!((found.value - 2.0).abs() < allowed && allowed < 0.2, "D = {d}: {found:?}");
    }
    // A shear is half a turn and half a stretch: √2.
    let shear = Linear(matrix(vec![0.0, 1.0, 0.0, 0.0], 2, &device()));
    assert!((curl(&shear, 2, 1.0, &NOISY).estimate.value - 2f64.sqrt()).abs() < 1e-6);
}

#[test]
fn a_constant_score_has_none() {
    for d in [2, 40] {
        let found = curl(&Linear(Tensor::zeros([d, d], &device())), d, 1.0, &NOISY);
        assert_eq!((found.estimate.value, found.estimate.standard_error), (0.0, 0.0));
        assert!(found.by_level.iter().all(|l| l.estimate == found.estimate));
    }
}

#[test]
fn it_is_the_mean_over_levels() {
    let found = curl(&Turning, 2, 1.0, &NOISY);
    let expected = NOISY.map(|l| 2.0 * l.sigma / (1.0 + l.sigma * l.sigma).sqrt());
    for ((level, found), expected) in NOISY.iter().zip(&found.by_level).zip(expected) {
        assert!(found.sigma == level.sigma && (found.estimate.value - expected).abs() < 1e-5, "{found:?}");
    }
    let mean = expected.iter().sum::<f64>() / 3.0;
    assert!((found.estimate.value - mean).abs() < 1e-5, "{:?}, not {mean}", found.estimate);
    // Of a long ladder, ten levels with both ends.
    let ladder: Vec<Level> = (0..50).map(|i| Level::exploding(5.0 - 0.1 * f64::from(i))).collect();
    let of: Vec<f64> = curl(&Turning, 2, 1.0, &ladder).by_level.iter().map(|l| l.sigma).collect();
    assert_eq!((of.len(), of[0], of[9]), (10, ladder[0].sigma, ladder[49].sigma));
}

#[test]
fn it_is_measured_where_noisy_rows_are() {
    // ‖J − Jᵀ‖² = 2y² and ‖J‖² = 1 + y² with E y² = α² s² + σ².
    let (level, s) = (Level { alpha: 0.4, sigma: 0.8 }, 2.0f64);
    let found = curl(&Bent, 2, s as f32, &[level]).estimate;
    let of = |square: f64| (2.0 * square / (1.0 + square)).sqrt();
    let (signal, added) = ((level.alpha * s).powi(2), level.sigma.powi(2));
    assert!((found.value - of(signal + added)).abs() < 5.0 * found.standard_error, "{found:?}");
    for twin in [of(signal), of(added), of(s * s + added)] {
        assert!((found.value - twin).abs() > 8.0 * found.standard_error, "{twin} must be told from {found:?}");
    }
}

fn text(data: &str, network: &str, rest: &str) -> String {
    format!("[data]\n{data}\n[network]\n{network}\n[evaluation]\n{rest}\n")
}

#[test]
fn it_is_of_learned_scores_in_more_than_one_dimension() {
    let measured = |text: &str| plan(text).metrics.iter().any(|(name, _)| *name == "curl");
    let (plane, line) = ("kind = \"eight-gaussians\"", "kind = \"gaussian\"\ndimension = 1");
    let (mlp, exact) = ("kind = \"mlp\"\nhidden = [8]", "kind = \"exact\"\n[training]\nsteps = 0");
    assert!(measured(&text(plane, mlp, "")));
    for (data, network, told) in
        [(line, mlp, "says nothing about these data"), (plane, exact, "an exact score was not")]
    {
        assert!(!measured(&text(data, network, "")));
        let refused = planned(&text(data, network, "metrics = [\"curl\"]")).expect_err("named, it is refused");
        assert!(refused.contains(told), "{refused}");
    }
}
