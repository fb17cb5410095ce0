//! Samples given y = A x + σ_y n, where everything is Gaussian and the answer a closed form.

use burn::tensor::Tensor;
use stein_core::{
    Component, Condition, Dataset, ImageShape, Level, NoObserver, Sampler, ScoreNetwork, Streams, matrix, to_host,
};
use stein_jet::Jet;
use stein_record::Array;
use stein_samplers::inverse::{
    Blur, Covariance, Downsampling, Given, Inpainting, Known, Linear, Measurement, Method, Posterior, complete,
};
use stein_samplers::{
    AnnealedLangevin, ConsistentAnnealed, Ddim, DpmSolverPp2m, Draw, Edm, EulerMaruyama, PredictorCorrector,
    ProbabilityFlow, Start, Starts, draw,
};

use crate::common::{Sigmas, at, device, noise};

type Matrix = Vec<Vec<f64>>;

fn inverse(mut a: Matrix) -> Matrix {
    let n = a.len();
    a.iter_mut().enumerate().for_each(|(i, row)| row.extend((0..n).map(|j| f64::from(u8::from(i == j)))));
    for i in 0..n {
        let pivot = a[i][i];
        a[i].iter_mut().for_each(|v| *v /= pivot);
        let row = a[i].clone();
        for (_, other) in a.iter_mut().enumerate().filter(|(k, _)| *k != i) {
            let factor = other[i];
            other.iter_mut().zip(&row).for_each(|(v, r)| *v -= factor * r);
        }
    }
    a.into_iter().map(|row| row[n..].to_vec()).collect()
}

fn times(a: &Matrix, x: &[f64]) -> Vec<f64> {
    a.iter().map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

/// a M + b I.
fn affine(m: &Matrix, a: f64, b: f64) -> Matrix {
    let entry = |i: usize, j: usize| a * m[i][j] + if i == j { b } else { 0.0 };
    (0..m.len()).map(|i| (0..m.len()).map(|j| entry(i, j)).collect()).collect()
}

/// N(mean, covariance), which knows its score at every level.
#[derive(Clone)]
struct Normal {
    mean: Vec<f64>,
    covariance: Matrix,
}

impl Normal {
    fn isotropic(mean: Vec<f64>, std: f64) -> Self {
        let zero = vec![vec![0.0; mean.len()]; mean.len()];
        Self { covariance: affine(&zero, 0.0, std * std), mean }
    }

    /// The law given y = A x + σ_y n.
    fn given(&self, a: &Matrix, y: &[f64], sigma_y: f64) -> Self {
        let d = self.mean.len();
        let mut precision = inverse(self.covariance.clone());
        let mut pull = vec![0.0; d];
        for ((row, y), expected) in a.iter().zip(y).zip(times(a, &self.mean)) {
            for i in 0..d {
                pull[i] += row[i] * (y - expected) / (sigma_y * sigma_y);
                (0..d).for_each(|j| precision[i][j] += row[i] * row[j] / (sigma_y * sigma_y));
            }
        }
        let covariance = inverse(precision);
        let shift = times(&covariance, &pull);
        Self { mean: self.mean.iter().zip(shift).map(|(m, s)| m + s).collect(), covariance }
    }

    /// −(α² C + σ² I)⁻¹ (x − α m).
    fn score_at(&self, x: &[f64], level: Level) -> Vec<f64> {
        let precision = inverse(affine(&self.covariance, level.alpha * level.alpha, level.sigma * level.sigma));
        let centred: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| level.alpha * m - x).collect();
        times(&precision, &centred)
    }
}

impl ScoreNetwork for Normal {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let levels = condition.levels.clone().expect("noise");
        let (alpha, sigma) = (f64::from(to_host(levels.alpha)[0]), f64::from(to_host(levels.sigma)[0]));
        let precision = inverse(affine(&self.covariance, alpha * alpha, sigma * sigma));
        let tensor =
            |values: Vec<f64>| matrix(values.into_iter().map(|v| v as f32).collect(), self.mean.len(), &device());
        let (mean, precision) = (tensor(self.mean.iter().map(|m| -alpha * m).collect()), tensor(precision.concat()));
        x.add_constant(mean).linear_map(|x| x.matmul(precision.clone()).neg())
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

fn rows(a: &Matrix) -> Array {
    Array::new([a.len(), a[0].len()], a.iter().flatten().map(|&v| v as f32).collect())
}

/// A in three dimensions, with rows that are far from orthogonal, and what it measured.
fn problem() -> (Matrix, Vec<f64>) {
    (vec![vec![1.0, 0.5, 0.0], vec![0.8, 0.6, -1.0]], vec![1.2, -0.7])
}

fn correlated() -> Normal {
    let covariance = vec![vec![1.0, 0.7, -0.2], vec![0.7, 0.8, 0.1], vec![-0.2, 0.1, 0.5]];
    Normal { mean: vec![0.3, -0.5, 1.0], covariance }
}

/// The guided score at some points beside y, and what it is by `truth`; the largest difference.
fn guided(
    prior: &Normal,
    covariance: Covariance,
    sigma_y: f64,
    level: Level,
    expected: impl Fn(&[f64]) -> Vec<f64>,
) -> f64 {
    let (a, y) = problem();
    let measurement = Measurement::new(&rows(&a));
    // Uᵀ y, from the shortest x that A sends to y.
    let gram: Matrix = a.iter().map(|r| times(&a, r)).collect();
    let weights = times(&inverse(gram), &y);
    let least: Vec<f32> = (0..3).map(|i| (0..2).map(|j| weights[j] * a[j][i]).sum::<f64>() as f32).collect();
    let turned = measurement.of(&least);
    let tensor = |values: &[f64], columns| matrix(values.iter().map(|&v| v as f32).collect(), columns, &device());
    let n = 50;
    let measured = tensor(&turned.repeat(n), 2);
    let operator = (tensor(&measurement.rows(), 3), tensor(measurement.squares(), 2));
    let posterior = Posterior::new(prior, operator, measured, sigma_y, covariance);
    let points: Vec<f32> = noise("guided").normals(3 * n).into_iter().map(|z| 2.0 * z).collect();
    let score = to_host(posterior.score(matrix(points.clone(), 3, &device()), &at(level, n)));
    let difference = |(x, s): (&[f32], &[f32])| {
        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        s.iter().zip(expected(&x)).map(|(s, e)| (f64::from(*s) - e).abs()).fold(0.0, f64::max)
    };
    points.chunks(3).zip(score.chunks(3)).map(difference).fold(0.0, f64::max)
}

const LEVELS: [Level; 3] =
    [Level { alpha: 1.0, sigma: 2.0 }, Level { alpha: 1.0, sigma: 0.3 }, Level { alpha: 0.6, sigma: 0.8 }];

/// For x ~ N(m, τ² I) the guided score is ∇ log p(x̃ ∣ y) at every level; for a correlated Gaussian it is with the covariance
/// that the score tells, and is not with r² I.
#[test]
fn guidance_is_exact_for_gaussians() {
    let (a, y) = problem();
    let sigma_y = 0.4;
    for level in LEVELS {
        let round = Normal::isotropic(vec![0.3, -0.5, 1.0], 0.7);
        let isotropic = Covariance::Isotropic { spread: 0.7 };
        let tweedie = |iterations| Covariance::Tweedie { iterations };
        for (prior, covariance) in [(&round, isotropic), (&round, tweedie(2)), (&correlated(), tweedie(2))] {
            let truth = prior.given(&a, &y, sigma_y);
            let error = guided(prior, covariance, sigma_y, level, |x| truth.score_at(x, level));
            assert!(error < 2e-4, "{level:?}, {covariance:?}: {error}");
            // Twins: without σ_y, with the other sign, without guidance.
            let exact_y = prior.given(&a, &y, 1e-3);
            let sign = |x: &[f64]| {
                let (own, right) = (prior.score_at(x, level), truth.score_at(x, level));
                own.iter().zip(right).map(|(o, r)| 2.0 * o - r).collect()
            };
            let twins = [
                guided(prior, covariance, sigma_y, level, |x| exact_y.score_at(x, level)),
                guided(prior, covariance, sigma_y, level, sign),
                guided(prior, covariance, sigma_y, level, |x| prior.score_at(x, level)),
            ];
            assert!(twins.iter().all(|t| *t > 2e-2), "{level:?}, {covariance:?}: {twins:?}");
        }
        let truth = correlated().given(&a, &y, sigma_y);
        for wrong in [Covariance::Isotropic { spread: (2.3f64 / 3.0).sqrt() }, tweedie(1)] {
            let error = guided(&correlated(), wrong, sigma_y, level, |x| truth.score_at(x, level));
            assert!(error > 2e-3, "{level:?}: {wrong:?} cannot be exact for a correlated Gaussian, {error}");
        }
    }
}

fn geometric(max: f64, min: f64, levels: usize) -> Sigmas {
    Sigmas::new(&(0..levels).map(|i| max * (min / max).powf(i as f64 / (levels - 1) as f64)).collect::<Vec<_>>())
}

/// Samples given y, `n` of them.
fn draws_given(prior: &Normal, sampler: &dyn Sampler, levels: usize, n: usize, chunk: usize, given: &Case) -> Array {
    let d = prior.mean.len();
    let measurement = Measurement::new(&rows(&given.a));
    // Rows of a mask are not turned.
    let measured = Array::new([1, given.y.len()], given.y.iter().map(|&v| v as f32).collect());
    let (start, data) = wide(d);
    let starts = Starts::new(&start, &data);
    let what = Draw { samples: 0, first: 0, chunk, starts: &starts, streams: Streams::new(3), device: &device() };
    let given = Given {
        measurement: &measurement,
        measured: &measured,
        repeats: n,
        spread: given.spread,
        sigma_y: given.sigma_y,
        method: given.method,
        iterations: d,
    };
    complete(sampler, prior, &geometric(40.0, 0.02, levels), what, given, |_| Box::new(NoObserver))
        .expect("finite")
        .samples
}

/// Starts from N(0, 40² I), and data that such chains could come from.
fn wide(d: usize) -> (Start, Dataset) {
    let rows = Array::new([2, d], [vec![1.0; d], vec![-1.0; d]].concat());
    let data = Dataset { train: rows.clone(), held_out: rows, ..Dataset::default() };
    (Start::Normal(stein_samplers::Normal { mean: 0.0, std: 40.0 }), data)
}

struct Case {
    a: Matrix,
    y: Vec<f64>,
    sigma_y: f64,
    method: Method,
    spread: f64,
}

fn column(x: &Array, i: usize) -> (f64, f64) {
    let n = x.rows() as f64;
    let values = || (0..x.rows()).map(|k| f64::from(x.row(k)[i]));
    let mean = values().sum::<f64>() / n;
    (mean, values().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
}

/// N(0, [[1, ρ], [ρ, 1]]), of which the first coordinate is seen.
fn pair(rho: f64) -> Normal {
    Normal { mean: vec![0.0; 2], covariance: vec![vec![1.0, rho], vec![rho, 1.0]] }
}

fn first_seen(method: Method, sigma_y: f64) -> Case {
    Case { a: vec![vec![1.0, 0.0]], y: vec![1.5], sigma_y, method, spread: 1.0 }
}

/// Samplers draw from the law given y because the score is that law's: they are told of nothing.
#[test]
fn every_sampler_draws_given_a_measurement() {
    let (n, sigma_y) = (4000, 0.5);
    let prior = pair(0.8);
    let case = first_seen(Method::MomentMatching, sigma_y);
    let truth = prior.given(&case.a, &case.y, sigma_y);
    let samplers: Vec<(Box<dyn Sampler>, usize)> = vec![
        (Box::new(AnnealedLangevin { steps_per_level: 100, ..Default::default() }), 30),
        (Box::new(ConsistentAnnealed::default()), 300),
        (Box::new(Ddim::default()), 300),
        (Box::new(DpmSolverPp2m::default()), 100),
        (Box::new(Edm::default()), 60),
        (Box::new(EulerMaruyama::default()), 300),
        (Box::new(ProbabilityFlow::default()), 60),
        (Box::new(PredictorCorrector { norms: stein_samplers::Norms::Batch, ..Default::default() }), 200),
    ];
    for (sampler, levels) in samplers {
        let x = draws_given(&prior, &*sampler, levels, n, 4000, &case);
        for i in 0..2 {
            let (mean, variance) = column(&x, i);
            let right = truth.covariance[i][i];
            let error = (right / n as f64).sqrt();
            assert!(
                (mean - truth.mean[i]).abs() < 4.0 * error + 0.02,
                "{sampler:?}: mean {mean}, not {}",
                truth.mean[i]
            );
            assert!((variance / right - 1.0).abs() < 0.13, "{sampler:?}: variance {variance}, not {right}");
            // The prior's own mean 0 and variance 1 are far away.
            assert!((mean - 0.0).abs() > 0.5 && (variance / 1.0 - 1.0).abs() > 0.3, "{sampler:?}");
        }
    }
}

/// Without correlation, what is seen is put in place and the rest is what it would have been.
#[test]
fn projection_is_right_where_nothing_is_to_be_learned() {
    let n = 500;
    let prior = Normal { mean: vec![0.0; 2], covariance: vec![vec![1.0, 0.0], vec![0.0, 0.25]] };
    let samplers: [Box<dyn Sampler>; 4] = [
        Box::new(EulerMaruyama::default()),
        Box::new(ProbabilityFlow::default()),
        Box::new(Edm { churn: 10.0, ..Default::default() }),
        Box::new(AnnealedLangevin { steps_per_level: 5, ..Default::default() }),
    ];
    for sampler in samplers {
        let x = draws_given(&prior, &*sampler, 40, n, n, &first_seen(Method::Projection, 0.0));
        assert!((0..n).all(|i| (x.row(i)[0] - 1.5).abs() < 1e-5), "{sampler:?}: y is put in place");
        let elsewhere = Case { a: vec![vec![0.0, 1.0]], ..first_seen(Method::Projection, 0.0) };
        let other = draws_given(&prior, &*sampler, 40, n, n, &elsewhere);
        let (start, data) = wide(2);
        let starts = Starts::new(&start, &data);
        let device = device();
        let free = Draw { samples: n, first: 0, chunk: n, starts: &starts, streams: Streams::new(3), device: &device };
        let free = draw(&*sampler, &prior, &geometric(40.0, 0.02, 40), free, |_| Box::new(NoObserver))
            .expect("finite")
            .samples;
        assert!((0..n).all(|i| (x.row(i)[1] - free.row(i)[1]).abs() < 1e-5), "{sampler:?}: the rest");
        assert!((0..n).all(|i| (other.row(i)[0] - free.row(i)[0]).abs() < 1e-5), "{sampler:?}: the rest");
    }
}

/// With correlation the rest hears of y only through noisy stand-ins: its mean falls short of ρ y, and its spread is too wide.
/// Posterior guidance has neither fault.
#[test]
fn projection_falls_short_of_the_conditional_law() {
    let (n, rho, y) = (20_000, 0.9, 1.5);
    let prior = pair(rho);
    let law = |sampler: &dyn Sampler, levels, method, sigma_y| {
        column(&draws_given(&prior, sampler, levels, n, n, &first_seen(method, sigma_y)), 1)
    };
    let sde = EulerMaruyama::default();
    let (mean, variance) = law(&sde, 200, Method::Projection, 0.0);
    let right = 1.0 - rho * rho;
    assert!(mean > 0.2 * rho * y && mean < 0.95 * rho * y, "projection's mean {mean}, right is {}", rho * y);
    assert!(variance > 1.2 * right, "projection's variance {variance}, right is {right}");
    // Many Langevin steps a level let the rest hear of each stand-in: nearer, at twenty times the cost.
    let patient = AnnealedLangevin { steps_per_level: 100, ..Default::default() };
    let (nearer, _) = law(&patient, 30, Method::Projection, 0.0);
    assert!(nearer > mean && (nearer - rho * y).abs() < 0.05, "with many steps {nearer}");
    let (guided, variance) = law(&sde, 300, Method::MomentMatching, 0.05);
    let truth = prior.given(&[vec![1.0, 0.0]].to_vec(), &[y], 0.05);
    assert!((guided - truth.mean[1]).abs() < 0.03, "guided {guided}, right is {}", truth.mean[1]);
    assert!((variance / truth.covariance[1][1] - 1.0).abs() < 0.1, "{variance}, {:?}", truth.covariance);
}

#[test]
fn completions_do_not_depend_on_the_chunk() {
    let prior = correlated();
    let sampler = PredictorCorrector::default();
    for method in [Method::Projection, Method::Posterior, Method::MomentMatching] {
        let case = Case { a: vec![vec![0.0, 1.0, 0.0]], y: vec![0.4], sigma_y: 0.1, method, spread: 0.9 };
        let all = draws_given(&prior, &sampler, 12, 30, 30, &case);
        assert_eq!(all.data, draws_given(&prior, &sampler, 12, 30, 7, &case).data, "{method:?}");
        assert_eq!(all.data, draws_given(&prior, &sampler, 12, 30, 1, &case).data, "{method:?}");
        let free = draws_given(&prior, &sampler, 12, 30, 30, &Case { y: vec![-2.0], ..case });
        assert_ne!(all.data, free.data, "{method:?}: y matters");
    }
}

fn images(height: usize, width: usize, channels: usize) -> Dataset {
    let image = ImageShape { height, width, channels };
    let rows = Array::new([1, image.dimension()], vec![0.0; image.dimension()]);
    Dataset { train: rows.clone(), held_out: rows, image: Some(image), ..Dataset::default() }
}

#[test]
fn problems_measure_what_they_say() {
    let x = |d: usize| -> Vec<f32> { (0..d).map(|i| i as f32).collect() };
    let measured = |a: Array, x: &[f32]| -> Vec<f64> {
        (0..a.rows()).map(|i| a.row(i).iter().zip(x).map(|(a, x)| f64::from(a * x)).sum()).collect()
    };
    let known =
        |known: Known, data: &Dataset| measured(Inpainting { known }.build(data).expect("built"), &x(data.dimension()));
    // Two channels of 4 × 4.
    let data = images(4, 4, 2);
    assert_eq!(known(Known::LeftHalf, &data)[..5], [0.0, 1.0, 4.0, 5.0, 8.0]);
    assert_eq!(known(Known::RightHalf, &data)[7..9], [15.0, 18.0]);
    assert_eq!(
        known(Known::UpperHalf, &data),
        [0., 1., 2., 3., 4., 5., 6., 7., 16., 17., 18., 19., 20., 21., 22., 23.]
    );
    assert_eq!(known(Known::LowerHalf, &data).len(), 16);
    let border = known(Known::Border, &data);
    assert!(border.len() == 24 && [5.0, 6.0, 9.0, 10.0, 21.0].iter().all(|i| !border.contains(i)));
    let random = known(Known::Random { fraction: 0.25, seed: 1 }, &data);
    assert!(random.len() == 8 && random[..4].iter().all(|i| random.contains(&(i + 16.0))), "{random:?}");
    assert_ne!(random, known(Known::Random { fraction: 0.25, seed: 2 }, &data));
    assert_eq!(known(Known::Coordinates(vec![9, 3]), &data), [3.0, 9.0]);

    let halved = measured(Downsampling { factor: 2 }.build(&data).expect("built"), &x(32));
    assert_eq!(halved, [2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5]);
    let blurred = measured(Blur { std: 0.7 }.build(&images(5, 5, 2)).expect("built"), &x(50));
    assert!((blurred[12] - 12.0).abs() < 1e-5 && (blurred[37] - 37.0).abs() < 1e-5, "symmetric about the middle");
    assert!(blurred[0] > 0.5 && blurred[24] < 23.5, "the corners are drawn inwards");
    let linear = Linear { matrix: vec![vec![1.0; 32]] };
    assert_eq!(measured(linear.build(&data).expect("built"), &x(32)), [496.0]);

    let says = |result: Result<Array, stein_core::Invalid>| result.expect_err("refused").message;
    assert!(says(Downsampling { factor: 3 }.build(&data)).contains("blocks of 3 × 3"));
    assert!(says(Inpainting { known: Known::Coordinates(vec![32]) }.build(&data)).contains("no coordinate 32"));
    assert!(says(Inpainting { known: Known::Coordinates(vec![1, 1]) }.build(&data)).contains("twice"));
    assert!(says(linear.build(&images(2, 2, 1))).contains("32 numbers; the data have 4"));
    let plane = Dataset { image: None, ..images(1, 2, 1) };
    assert!(says(Inpainting::default().build(&plane)).contains("images"));
}
