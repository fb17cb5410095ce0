//! Samplers on densities that know their score.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use stein_core::{
    ChainNoise, Component, Dataset, Level, NoObserver, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext,
    SamplerPart, StepInfo, Streams, matrix, to_array, to_host,
};
use stein_data::IsotropicMixture;
use stein_record::Array;
use stein_samplers::{
    AnnealedLangevin, Annealing, ConsistentAnnealed, Convention, Corrector, Ddim, DpmSolverPp2m, Draw, Edm,
    EulerMaruyama, Hmc, Langevin, Mala, Norms, Order, Predictor, PredictorCorrector, ProbabilityFlow, Start, Starts,
    StepSize, Technique4, denoise, draw,
};

use crate::common::{Sigmas, device, draws, exact, gaussian, noise, three_modes};

fn chains(n: u64) -> ChainNoise {
    Streams::new(5).chains("test", 0..n)
}

/// Mean and variance of all numbers of an array.
fn moments(x: &Array) -> (f64, f64) {
    let n = x.data.len() as f64;
    let mean = x.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    (mean, x.data.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
}

/// Langevin on N(0, 1) from x = 3: mean 3 (1−α/2)^T, variance v∞ + (v₀ − v∞)(1−α/2)^{2T}, v∞ = 1/(1 − α/4).
#[test]
fn langevin_on_a_normal_has_its_closed_form() {
    let (alpha, n) = (0.5, 100_000);
    for steps in [1, 3, 40] {
        let run = |convention| {
            let sampler = Langevin { steps, step_size: StepSize::Value(alpha), convention, denoise: false };
            let x = matrix(vec![3.0; n], 1, &device());
            // σ is negligible beside the density's own width of 1.
            let schedule = Sigmas::new(&[1e-4]);
            let score = exact(gaussian(vec![0.0], 1.0));
            let x = sampler.sample(&score, &schedule, x, &mut chains(n as u64), &mut NoObserver).expect("no stop");
            moments(&to_array(x))
        };
        let shrink = (1.0f64 - alpha / 2.0).powi(steps as i32);
        let limit = 1.0 / (1.0 - alpha / 4.0);
        let (expected_mean, expected_variance) = (3.0 * shrink, limit * (1.0 - shrink * shrink));
        let (mean, variance) = run(Convention::Paper);
        let (se_mean, se_variance) =
            ((expected_variance / n as f64).sqrt(), expected_variance * (2.0 / n as f64).sqrt());
        assert!((mean - expected_mean).abs() < 4.0 * se_mean, "T = {steps}: mean {mean}, not {expected_mean}");
        assert!(
            (variance - expected_variance).abs() < 4.0 * se_variance,
            "T = {steps}: {variance}, not {expected_variance}"
        );
        // The other convention takes α for half of what it is: the twin.
        let (twin_mean, twin_variance) = run(Convention::Repository);
        let seen = (twin_mean - expected_mean).abs() > 10.0 * se_mean
            || (twin_variance - expected_variance).abs() > 10.0 * se_variance;
        assert!(seen, "a factor of 2 in the step must be seen at T = {steps}");
    }
}

/// On N(0, 1) with a ladder of levels each step is x ← (1 − a) x + noise: variances follow a recursion.
#[test]
fn annealed_langevin_follows_its_recursion() {
    let (n, sigmas, steps) = (100_000, [2.0, 0.7, 0.2], 3);
    let epsilon = 0.012;
    let expected = |factor: f64| {
        let mut v = 4.0f64;
        for sigma in sigmas {
            let alpha = factor * epsilon * sigma * sigma / (0.2 * 0.2);
            let keep = 1.0 - alpha / 2.0 / (1.0 + sigma * sigma);
            for _ in 0..steps {
                v = keep * keep * v + alpha;
            }
        }
        v
    };
    let sampler = AnnealedLangevin {
        steps_per_level: steps,
        step_size: StepSize::Value(epsilon),
        convention: Convention::Paper,
        denoise: false,
        ..Default::default()
    };
    let mut start = noise("recursion");
    let x = matrix(start.normals(n).into_iter().map(|z| 2.0 * z).collect(), 1, &device());
    let score = exact(gaussian(vec![0.0], 1.0));
    let x = sampler.sample(&score, &Sigmas::new(&sigmas), x, &mut chains(n as u64), &mut NoObserver).expect("no stop");
    let (_, variance) = moments(&to_array(x));
    let error = expected(1.0) * (2.0 / n as f64).sqrt();
    assert!((variance - expected(1.0)).abs() < 4.0 * error, "{variance}, not {}", expected(1.0));
    assert!((variance - expected(2.0)).abs() > 10.0 * error, "a factor of 2 must be seen");
}

/// Figure 3 of NCSN: 0.8 N((5,5), I) + 0.2 N((−5,−5), I) from U[−8, 8]². Langevin stays where it began, annealing does not.
#[test]
fn annealing_finds_the_weights_that_langevin_misses() {
    let n = 1280;
    let target =
        || stein_data::IsotropicMixture::new(vec![vec![5.0, 5.0], vec![-5.0, -5.0]], vec![1.0; 2], vec![0.8, 0.2]);
    let start = || {
        let u = noise("figure 3").uniforms(2 * n);
        matrix(u.into_iter().map(|u| 16.0 * u - 8.0).collect(), 2, &device())
    };
    let weight = |x: Array| (0..n).filter(|&i| x.row(i)[0] + x.row(i)[1] > 0.0).count() as f64 / n as f64;
    let langevin =
        Langevin { steps: 1000, step_size: StepSize::Value(0.1), convention: Convention::Paper, denoise: false };
    // σ = 1e-3 stands for none: the component's own width is 1.
    let x = langevin.sample(&exact(target()), &Sigmas::new(&[1e-3]), start(), &mut chains(n as u64), &mut NoObserver);
    let alone = weight(to_array(x.expect("no stop")));
    let sigmas = stein_schedules(20.0, 1.0, 10);
    let annealed = AnnealedLangevin {
        steps_per_level: 100,
        step_size: StepSize::Value(0.1),
        convention: Convention::Paper,
        denoise: false,
        ..Default::default()
    };
    let x = annealed.sample(&exact(target()), &Sigmas::new(&sigmas), start(), &mut chains(n as u64), &mut NoObserver);
    let annealed = weight(to_array(x.expect("no stop")));
    assert!((alone - 0.507).abs() < 0.04, "Langevin: {alone}");
    assert!((annealed - 0.78).abs() < 0.04, "annealed: {annealed}");
}

fn stein_schedules(max: f64, min: f64, levels: usize) -> Vec<f64> {
    (0..levels).map(|i| max * (min / max).powf(i as f64 / (levels - 1) as f64)).collect()
}

/// Draws in chunks, from the prior about (½, −½).
fn drawn(sampler: &dyn Sampler, target: IsotropicMixture, schedule: &Sigmas, samples: usize, chunk: usize) -> Vec<f32> {
    let rows = Array::new([2, 2], vec![1.5, -1.5, -0.5, 0.5]);
    let data = Dataset { train: rows.clone(), held_out: rows, ..Dataset::default() };
    let starts = Starts::new(&Start::Prior, &data);
    let device = device();
    let what = Draw { samples, first: 0, chunk, starts: &starts, streams: Streams::new(3), device: &device };
    draw(sampler, &exact(target), schedule, what, |_| Box::new(NoObserver)).expect("finite").samples.data
}

#[test]
fn samples_do_not_depend_on_the_chunk() {
    let target = three_modes();
    let schedule = Sigmas::new(&[4.0, 1.0, 0.2]);
    let sampler = AnnealedLangevin { steps_per_level: 4, ..AnnealedLangevin::default() };
    let samples = |chunk| drawn(&sampler, target.clone(), &schedule, 50, chunk);
    let all = samples(50);
    assert_eq!(all, samples(7));
    assert_eq!(all, samples(1));
}

/// On x̃ = x + σz with x ~ N(m, s²): the Tweedie mean is m + s²/(s² + σ²) (x̃ − m).
#[test]
fn denoising_is_the_posterior_mean() {
    let (m, s, sigma) = (1.5, 0.8, 0.6);
    let (x, _) = draws(&gaussian(vec![m], 1.0), 100, "tweedie");
    let level = stein_core::Level::exploding(sigma);
    let mean = to_host(denoise(&exact(gaussian(vec![m], s)), x.clone(), level));
    let keep = s * s / (s * s + sigma * sigma);
    for (x, mean) in to_host(x).iter().zip(mean) {
        let expected = m + keep * (f64::from(*x) - m);
        assert!((f64::from(mean) - expected).abs() < 1e-5, "{mean} {expected}");
        let twin = m + (1.0 - keep) * (f64::from(*x) - m);
        assert!((expected - m).abs() < 1e-3 || (f64::from(mean) - twin).abs() > 1e-5);
    }
}

#[test]
fn steps_that_overshoot_are_refused() {
    let schedule = Sigmas::new(&[1.0, 0.1]);
    let build = |step, convention| {
        let sampler = AnnealedLangevin { step_size: StepSize::Value(step), convention, ..AnnealedLangevin::default() };
        let context = SamplerContext { schedule: &schedule, dimension: 2 };
        Component::build(&sampler, context).map(|_| ())
    };
    assert!(build(0.039, Convention::Paper).is_ok() && build(0.019, Convention::Repository).is_ok());
    let message = build(0.05, Convention::Paper).expect_err("overshoots").message;
    assert!(message.contains("below 4.000e-2"), "{message}");
    assert!(build(0.021, Convention::Repository).is_err());
}

/// Notes the variance of all numbers after each step; stops after `most` steps.
struct Variances {
    seen: Vec<f64>,
    most: usize,
}

impl Variances {
    fn new() -> Self {
        Self { seen: Vec::new(), most: usize::MAX }
    }
}

impl Observer for Variances {
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()> {
        self.seen.push(moments(&to_array(x.clone())).1);
        assert_eq!(info.step, self.seen.len());
        if info.step == self.most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn normals(n: usize, std: f64) -> Tensor<2> {
    let z = noise("start").normals(n);
    matrix(z.into_iter().map(|z| (std * f64::from(z)) as f32).collect(), 1, &device())
}

/// On N(0, s²) every step is linear: a prediction is v ← (1 − a/w)² v + b², a correction with ‖z‖/‖s‖ = w/√v is
/// v ← (1 − ε/w)² v + 2ε, ε = 2 (snr w)²/v, where w = s² + σ².
#[test]
fn predictor_and_corrector_follow_their_recursion() {
    let (s, sigmas, snr) = (0.5f64, [3.0f64, 1.5, 0.6, 0.2], 0.4);
    let start = 6.0;
    // `scale` is 1, or the factor by which a wrong ε is off.
    let expected = |predictor, order, scale: f64| {
        let correct = |v: f64, sigma: f64| {
            let w = s * s + sigma * sigma;
            let epsilon = scale * 2.0 * (snr * w).powi(2) / v;
            (1.0 - epsilon / w).powi(2) * v + 2.0 * epsilon
        };
        let predict = |v: f64, from: f64, to: f64| {
            let delta = from * from - to * to;
            let (a, b2) = match predictor {
                Predictor::ReverseDiffusion => (delta, delta),
                Predictor::EulerMaruyama => {
                    (2.0 * from * from * (from / to).ln(), 2.0 * from * from * (from / to).ln())
                }
                Predictor::Ancestral => (delta, delta * (to / from).powi(2)),
            };
            (1.0 - a / (s * s + from * from)).powi(2) * v + b2
        };
        sigmas.windows(2).fold(start * start, |v, w| match order {
            Order::CorrectorFirst => predict(correct(v, w[0]), w[0], w[1]),
            Order::PredictorFirst => correct(predict(v, w[0], w[1]), w[1]),
        })
    };
    // Norms of a chain need many dimensions to be near their expectation.
    for (norms, n, d) in [(Norms::Batch, 40_000, 1), (Norms::Chain, 200, 400)] {
        for predictor in [Predictor::ReverseDiffusion, Predictor::EulerMaruyama, Predictor::Ancestral] {
            for order in [Order::CorrectorFirst, Order::PredictorFirst] {
                let config = PredictorCorrector { predictor, order, norms, snr, denoise: false, ..Default::default() };
                let schedule = Sigmas::new(&sigmas);
                let sampler = build(&config, &schedule).expect("a ladder");
                let x = normals(n * d, start).reshape([n, d]);
                let score = exact(gaussian(vec![0.0; d], s));
                let x = sampler.sample(&score, &schedule, x, &mut chains(n as u64), &mut NoObserver).expect("no stop");
                let v = moments(&to_array(x)).1;
                let right = expected(predictor, order, 1.0);
                assert!((v / right - 1.0).abs() < 0.03, "{config:?}: {v}, not {right}");
                // Every other predictor and order is seen, and a lost factor of 2 in ε where a correction comes last.
                let mut twins = vec![];
                for p in [Predictor::ReverseDiffusion, Predictor::EulerMaruyama, Predictor::Ancestral] {
                    twins.extend([Order::CorrectorFirst, Order::PredictorFirst].map(|o| (p, o, 1.0)));
                }
                twins.retain(|twin| *twin != (predictor, order, 1.0));
                twins.extend((order == Order::PredictorFirst).then_some((predictor, order, 0.5)));
                for (p, o, scale) in twins {
                    let twin = expected(p, o, scale);
                    assert!((v / twin - 1.0).abs() > 0.05, "{config:?}: {v} is {p:?}, {o:?}, {scale} too");
                }
            }
        }
    }
}

/// Alone, reverse diffusion is `euler-maruyama`, and the ancestral step consistent annealing with its `"auto"`.
#[test]
fn predictors_alone_are_known_samplers() {
    let schedule = Sigmas::new(&stein_schedules(4.0, 0.1, 6));
    let end = |sampler: &dyn Sampler| {
        let x = sampler.sample(&exact(three_modes()), &schedule, start_2d(), &mut chains(20), &mut NoObserver);
        to_host(x.expect("no stop"))
    };
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    let alone = |predictor| {
        end(&PredictorCorrector { predictor, corrector: Corrector::None, denoise: false, ..Default::default() })
    };
    let (reverse, ancestral) = (alone(Predictor::ReverseDiffusion), alone(Predictor::Ancestral));
    assert!(close(&reverse, &end(&EulerMaruyama { denoise: false })));
    assert!(!close(&reverse, &ancestral));
    let denoised =
        PredictorCorrector { predictor: Predictor::Ancestral, corrector: Corrector::None, ..Default::default() };
    assert!(close(&end(&denoised), &end(&ConsistentAnnealed::default())));
}

#[test]
fn correctors_out_of_range_are_refused() {
    let wrong = |config: PredictorCorrector| Component::check(&config).expect_err("out of range").key;
    assert_eq!(wrong(PredictorCorrector { snr: 0.0, ..Default::default() }).as_deref(), Some("snr"));
    let none = PredictorCorrector { corrector_steps: 0, ..Default::default() };
    assert_eq!(wrong(none).as_deref(), Some("corrector-steps"));
}

type Built = Result<Box<dyn Sampler>, String>;

fn build(sampler: &impl Component<SamplerPart>, schedule: &Sigmas) -> Built {
    Component::build(sampler, SamplerContext { schedule, dimension: 1 }).map_err(|e| e.message)
}

/// A relative error of k standard errors of a variance from n normals.
fn within(variance: f64, expected: f64, n: usize, k: f64) -> bool {
    (variance / expected - 1.0).abs() < k * (2.0 / n as f64).sqrt()
}

/// On a point mass the std is σ_{i+1} after each step, whatever ε; with Langevin's noise √(2η) σ_i it is not.
#[test]
fn consistent_annealing_keeps_sigma_at_every_level() {
    let n = 50_000;
    let sigmas = stein_schedules(2.0, 0.1, 8);
    let gamma = sigmas[1] / sigmas[0];
    let schedule = Sigmas::new(&sigmas);
    let point = || exact(gaussian(vec![0.0], 0.0));
    let etas = [None, Some(1.0 - gamma), Some(0.5), Some(1.0), Some(1.0 + gamma)];
    for eta in etas {
        let step_size = eta.map_or(StepSize::AUTO, |eta| StepSize::Value(eta * 0.1 * 0.1));
        let sampler = build(&ConsistentAnnealed { step_size, denoise: true }, &schedule).expect("within the range");
        let mut seen = Variances::new();
        sampler.sample(&point(), &schedule, normals(n, 2.0), &mut chains(n as u64), &mut seen).expect("no stop");
        assert_eq!(seen.seen.len(), 8);
        for (v, s) in seen.seen.iter().zip(&sigmas[1..]) {
            assert!(within(*v, s * s, n, 4.5), "η = {eta:?}: {}, not {s}", v.sqrt());
        }
        assert!(seen.seen[7] < 1e-10, "denoising finds the point");
    }
    // Without denoising a whole step is taken at σ_L too, and leaves |1 − η| σ_L.
    for eta in [0.5, 1.3] {
        let step_size = StepSize::Value(eta * 0.1 * 0.1);
        let sampler = build(&ConsistentAnnealed { step_size, denoise: false }, &schedule).expect("within the range");
        let mut seen = Variances::new();
        sampler.sample(&point(), &schedule, normals(n, 2.0), &mut chains(n as u64), &mut seen).expect("no stop");
        let (end, expected) = (seen.seen[7], ((1.0 - eta) * 0.1f64).powi(2));
        assert!(within(end, expected, n, 4.5), "η = {eta}: {end}, not {expected}");
        assert!(!within(seen.seen[6], expected, n, 10.0), "the step at σ_L must be seen");
    }
    // The repository's convention has the same drift η σ_i² s, one step a level.
    let langevin = AnnealedLangevin {
        steps_per_level: 1,
        step_size: StepSize::Value(0.5 * 0.1 * 0.1),
        convention: Convention::Repository,
        denoise: false,
        ..Default::default()
    };
    let mut seen = Variances::new();
    langevin.sample(&point(), &schedule, normals(n, 2.0), &mut chains(n as u64), &mut seen).expect("no stop");
    let missed = seen.seen.iter().zip(&sigmas[1..]).all(|(v, s)| !within(*v, s * s, n, 10.0));
    assert!(missed, "Langevin's noise must be seen");
}

#[test]
fn consistent_annealing_refuses_what_it_cannot_keep() {
    let schedule = Sigmas::new(&[1.0, 0.5, 0.25]);
    let at = |step| ConsistentAnnealed { step_size: StepSize::Value(step), denoise: true };
    // (1 − 0.5) · 0.25² and (1 + 0.5) · 0.25².
    assert!(build(&at(0.03125), &schedule).is_ok() && build(&at(0.09375), &schedule).is_ok());
    for outside in [0.03124, 0.09376] {
        let message = build(&at(outside), &schedule).expect_err("β² < 0");
        assert!(message.contains("from 3.125e-2 to 9.375e-2"), "{message}");
    }
    let message = build(&ConsistentAnnealed::default(), &Sigmas::new(&[1.0, 0.5, 0.2])).expect_err("not geometric");
    assert!(message.contains("geometric"), "{message}");
}

/// Levels with α² + σ² = 1, evenly in ln(σ/α).
fn preserving(max: f64, min: f64, levels: usize) -> Sigmas {
    let level = |ratio: f64| {
        let alpha = 1.0 / (1.0 + ratio * ratio).sqrt();
        Level { alpha, sigma: ratio * alpha }
    };
    Sigmas(stein_schedules(max, min, levels).into_iter().map(level).collect())
}

/// On N(0, s²) a step is x' = x (α'α s² ± σ'σ)/(α² s² + σ²) with a plus.
#[test]
fn ddim_is_linear_on_a_normal() {
    let s = 0.7f64;
    let start = [-3.0f32, 0.5, 2.0];
    for schedule in [Sigmas::new(&[4.0, 1.5, 0.4, 0.1]), preserving(10.0, 0.1, 5)] {
        let factor = |sign: f64| -> f64 {
            let step = |w: &[Level]| {
                let variance = (w[0].alpha * s).powi(2) + w[0].sigma.powi(2);
                (w[1].alpha * w[0].alpha * s * s + sign * w[1].sigma * w[0].sigma) / variance
            };
            schedule.0.windows(2).map(step).product()
        };
        let sampler = build(&Ddim { denoise: false }, &schedule).expect("a ladder");
        let x = matrix(start.to_vec(), 1, &device());
        let x = sampler.sample(&exact(gaussian(vec![0.0], s)), &schedule, x, &mut chains(3), &mut NoObserver);
        for (x, start) in to_host(x.expect("no stop")).into_iter().zip(start) {
            let relative = |sign| (f64::from(x / start) / factor(sign) - 1.0).abs();
            assert!(relative(1.0) < 1e-4, "{x} {start}");
            assert!(relative(-1.0) > 0.1, "the sign of ẑ must be seen");
        }
    }
}

/// The slope of ln |error| against ln steps, for the flow's end on N(0, s²): x(ρ)/α is as √(s² + ρ²), ρ = σ/α.
fn order(sampler: &dyn Sampler, ladder: impl Fn(usize) -> Sigmas) -> f64 {
    let s = 0.5f64;
    let points = [17, 33, 65, 129].map(|n| {
        let schedule = ladder(n);
        let (first, last) = (schedule.0[0], schedule.0[n - 1]);
        let width = |l: Level| ((l.alpha * s).powi(2) + l.sigma.powi(2)).sqrt();
        let x = matrix(vec![first.sigma as f32], 1, &device());
        let x = sampler.sample(&exact(gaussian(vec![0.0], s)), &schedule, x, &mut chains(1), &mut NoObserver);
        let x = f64::from(to_host(x.expect("no stop"))[0]);
        let truth = first.sigma * width(last) / width(first);
        (((n - 1) as f64).ln(), (x / truth - 1.0).abs().ln())
    });
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / 4.0, points.iter().map(|p| p.1).sum::<f64>() / 4.0);
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + (x - mx) * (y - my), xx + (x - mx).powi(2)));
    -xy / xx
}

/// Karras' schedule with ρ = 7.
fn karras(max: f64, min: f64, levels: usize) -> Sigmas {
    let (a, b) = (max.powf(1.0 / 7.0), min.powf(1.0 / 7.0));
    let sigmas: Vec<f64> = (0..levels).map(|i| (a + (b - a) * i as f64 / (levels - 1) as f64).powi(7)).collect();
    Sigmas::new(&sigmas)
}

#[test]
fn solvers_have_their_order() {
    let exploding = |n| karras(80.0, 0.02, n);
    let kept = |n| preserving(40.0, 0.02, n);
    let edm = Edm { denoise: false, ..Edm::default() };
    let (flow, multistep) =
        (ProbabilityFlow { denoise: false, ..Default::default() }, DpmSolverPp2m { denoise: false });
    let second = [
        ("edm", order(&edm, exploding)),
        ("edm, α² + σ² = 1", order(&edm, kept)),
        ("probability-flow", order(&flow, exploding)),
        ("probability-flow, α² + σ² = 1", order(&flow, kept)),
        ("dpm-solver-pp-2m", order(&multistep, exploding)),
        ("dpm-solver-pp-2m, α² + σ² = 1", order(&multistep, kept)),
    ];
    // Euler's method on the same flow is the twin: what a lost correction would leave.
    let first = [("ddim", order(&Ddim { denoise: false }, exploding)), ("ddim", order(&Ddim { denoise: false }, kept))];
    for (slopes, expected) in [(&second[..], 2.0), (&first[..], 1.0)] {
        for (name, slope) in slopes {
            assert!((slope - expected).abs() < 0.15, "{name}: {slope}; all: {second:?} {first:?}");
        }
    }
}

/// The probability flow is `edm` without churn, the last Euler step included.
#[test]
fn the_probability_flow_is_edm_without_churn() {
    for schedule in [karras(10.0, 0.1, 12), preserving(10.0, 0.1, 12)] {
        let scale = schedule.first().sigma as f32;
        let end = |sampler: &dyn Sampler| {
            let x = start_2d() * (scale / 10.0);
            let x = sampler.sample(&exact(three_modes()), &schedule, x, &mut chains(20), &mut NoObserver);
            to_host(x.expect("no stop"))
        };
        let (edm, flow) = (end(&Edm::default()), end(&ProbabilityFlow::default()));
        assert!(edm.iter().zip(&flow).all(|(a, b)| (a - b).abs() < 1e-4), "{edm:?} {flow:?}");
        let ddim = end(&Ddim::default());
        assert!(edm.iter().zip(&ddim).any(|(a, b)| (a - b).abs() > 1e-2), "Euler's method must be seen");
    }
}

fn start_2d() -> Tensor<2> {
    matrix(noise("start").normals(40).into_iter().map(|z| 10.0 * z).collect(), 2, &device())
}

/// Churn replaces noise and leaves the law: α_L² s² + σ_L² at the end, which normals too narrow for it miss.
#[test]
fn churn_keeps_the_variance() {
    let (n, s) = (50_000, 0.5f64);
    for schedule in [karras(20.0, 0.1, 64), preserving(20.0, 0.1, 64)] {
        let marginal = |level: Level| (level.alpha * s).powi(2) + level.sigma.powi(2);
        let expected = marginal(schedule.last());
        let end = |sampler: Edm| {
            let score = exact(gaussian(vec![0.0], s));
            let start = normals(n, marginal(schedule.first()).sqrt());
            let x = sampler.sample(&score, &schedule, start, &mut chains(n as u64), &mut NoObserver).expect("no stop");
            moments(&to_array(x)).1
        };
        let variance = |churn, noise| end(Edm { churn, noise, denoise: false, ..Edm::default() });
        let (still, churned, narrow) = (variance(0.0, 1.0), variance(20.0, 1.0), variance(20.0, 0.8));
        assert!(within(still, expected, n, 4.5), "{still}, not {expected}");
        assert!(within(churned, expected, n, 4.5), "{churned}, not {expected}");
        assert!((still - churned).abs() > 1e-9, "churn must draw other samples");
        assert!(!within(narrow, expected, n, 10.0), "normals too narrow must be seen: {narrow}");
        // Outside its range, which is one of σ/α, churn does nothing.
        let outside = Edm { churn: 20.0, churn_min: 30.0, denoise: false, ..Edm::default() };
        assert_eq!(end(outside), still);
        // A range that ends at 5 leaves out some levels of σ/α, none of σ where α² + σ² = 1.
        let partly = Edm { churn: 20.0, churn_max: 5.0, denoise: false, ..Edm::default() };
        assert_ne!(end(partly), churned);
    }
}

/// A score that notes the largest |α² + σ² − 1| at which it is asked for.
struct Preserved(stein_core::ExactScore, std::sync::Mutex<f64>);

impl stein_core::ScoreNetwork for Preserved {
    fn jet(&self, x: stein_jet::Jet<2>, condition: &stein_core::Condition) -> stein_jet::Jet<2> {
        let levels = crate::common::levels(condition);
        let off = (levels.alpha.square() + levels.sigma.square() - 1.0).abs().max().into_scalar::<f32>();
        let mut most = self.1.lock().expect("no panic before");
        *most = most.max(f64::from(off));
        self.0.jet(x, condition)
    }

    fn log_density(&self, _: Tensor<2>, _: &stein_core::Condition) -> Option<Tensor<1>> {
        None
    }
}

/// The flow does not care in which α it is written, a network does: it is asked only for levels of its own schedule.
#[test]
fn churn_stays_on_the_schedule() {
    let off = |schedule: &Sigmas| {
        let score = Preserved(exact(gaussian(vec![0.0], 0.5)), 0.0.into());
        let edm = Edm { churn: 20.0, ..Edm::default() };
        edm.sample(&score, schedule, normals(4, 1.0), &mut chains(4), &mut NoObserver).expect("no stop");
        score.1.into_inner().expect("no panic before")
    };
    assert!(off(&preserving(20.0, 0.1, 16)) < 1e-5);
    assert!(off(&karras(20.0, 0.1, 16)) > 1.0);
}

#[test]
fn churn_out_of_range_is_refused() {
    let wrong = |edm: Edm| Component::check(&edm).expect_err("out of range").key;
    assert_eq!(wrong(Edm { churn: -1.0, ..Edm::default() }).as_deref(), Some("churn"));
    assert_eq!(wrong(Edm { noise: f64::NAN, ..Edm::default() }).as_deref(), Some("noise"));
    assert_eq!(wrong(Edm { churn_min: f64::INFINITY, ..Edm::default() }).as_deref(), Some("churn-min"));
    assert_eq!(wrong(Edm { churn_min: 2.0, churn_max: 1.0, ..Edm::default() }).as_deref(), Some("churn-max"));
    assert_eq!(wrong(Edm { churn_max: f64::NAN, ..Edm::default() }).as_deref(), Some("churn-max"));
    assert!(Component::check(&Edm::default()).is_ok());
}

/// On N(0, s²) a step is x ← (1 − Δ/(s² + σ_i²)) x + √Δ z.
#[test]
fn euler_maruyama_follows_its_recursion() {
    let (n, s, sigmas) = (50_000, 0.5f64, [3.0, 1.5, 0.6, 0.2]);
    let expected = |noise: f64| {
        let mut v = sigmas[0] * sigmas[0];
        let step = |w: &[f64]| {
            let delta = w[0] * w[0] - w[1] * w[1];
            v = (1.0 - delta / (s * s + w[0] * w[0])).powi(2) * v + noise * delta;
            v
        };
        sigmas.windows(2).map(step).collect::<Vec<f64>>()
    };
    let schedule = Sigmas::new(&sigmas);
    let sampler = build(&EulerMaruyama { denoise: false }, &schedule).expect("a ladder");
    let mut seen = Variances::new();
    let score = exact(gaussian(vec![0.0], s));
    sampler.sample(&score, &schedule, normals(n, sigmas[0]), &mut chains(n as u64), &mut seen).expect("no stop");
    for ((v, expected), twin) in seen.seen.iter().zip(expected(1.0)).zip(expected(2.0)) {
        assert!(within(*v, expected, n, 4.5), "{v}, not {expected}");
        assert!(!within(*v, twin, n, 10.0), "a factor of 2 in the noise must be seen");
    }
}

/// Levels at even times from 1 to 1e-3 with β from 0.1 to 20: variance-preserving, or sub-VP.
fn linear_beta(levels: usize, sub: bool) -> Sigmas {
    let level = |i: usize| {
        let t = 1.0 - (1.0 - 1e-3) * i as f64 / (levels - 1) as f64;
        let integral = 0.1 * t + 19.9 * t * t / 2.0;
        let variance = -(-integral).exp_m1();
        Level { alpha: (-integral / 2.0).exp(), sigma: if sub { variance } else { variance.sqrt() } }
    };
    Sigmas((0..levels).map(level).collect())
}

/// The mean and the variance after a ladder on N(m, s²), each step x ← a x + b s + c z of the level's own (a, b, c²).
fn linear(levels: &[Level], m: f64, s: f64, factors: impl Fn(Level, Level) -> [f64; 3]) -> (f64, f64) {
    let marginal = |l: Level| (l.alpha * m, (l.alpha * s).powi(2) + l.sigma.powi(2));
    levels.windows(2).fold(marginal(levels[0]), |(mean, variance), pair| {
        let [a, b, c2] = factors(pair[0], pair[1]);
        let (m, w) = marginal(pair[0]);
        (a * mean - b * (mean - m) / w, (a - b / w).powi(2) * variance + c2)
    })
}

/// The steps of the score SDE for α² + σ² = 1, in β_i = 1 − α_i²/α_{i+1}² as the paper writes them.
fn preserving_step(predictor: Predictor, level: Level, next: Level) -> [f64; 3] {
    let beta = 1.0 - (level.alpha / next.alpha).powi(2);
    match predictor {
        Predictor::ReverseDiffusion => [2.0 - (1.0 - beta).sqrt(), beta, beta],
        Predictor::EulerMaruyama => [1.0 + beta / 2.0, beta, beta],
        Predictor::Ancestral => [1.0 / (1.0 - beta).sqrt(), beta / (1.0 - beta).sqrt(), beta],
    }
}

/// Mean and variance of the samples on N(m, s²), the chains started from p_{σ₁}.
fn end_on_normal(sampler: &dyn Sampler, schedule: &Sigmas, m: f64, s: f64, n: usize) -> (f64, f64) {
    let first = schedule.first();
    let x = normals(n, ((first.alpha * s).powi(2) + first.sigma.powi(2)).sqrt()) + first.alpha * m;
    let score = exact(gaussian(vec![m], s));
    let x = sampler.sample(&score, schedule, x, &mut chains(n as u64), &mut NoObserver).expect("no stop");
    moments(&to_array(x))
}

#[test]
fn reverse_steps_that_preserve_variance_are_the_papers() {
    let (n, m, s) = (50_000, 2.0, 0.5);
    let schedule = linear_beta(8, false);
    let all = [Predictor::ReverseDiffusion, Predictor::EulerMaruyama, Predictor::Ancestral];
    for predictor in all {
        let config = PredictorCorrector { predictor, corrector: Corrector::None, denoise: false, ..Default::default() };
        let (mean, variance) = end_on_normal(&*build(&config, &schedule).expect("a ladder"), &schedule, m, s, n);
        let close = |predictor, k: f64| {
            let (m, v) = linear(&schedule.0, m, s, |level, next| preserving_step(predictor, level, next));
            (mean - m).abs() < k * (v / n as f64).sqrt() && within(variance, v, n, k)
        };
        assert!(close(predictor, 4.5), "{predictor:?}: {mean} {variance}");
        for twin in all.into_iter().filter(|twin| *twin != predictor) {
            assert!(!close(twin, 10.0), "{predictor:?} is {twin:?} too");
        }
    }
    // Alone, the Euler–Maruyama predictor is `euler-maruyama` wherever there is an α.
    for schedule in [schedule, linear_beta(8, true)] {
        let predictor = Predictor::EulerMaruyama;
        let config = PredictorCorrector { predictor, corrector: Corrector::None, denoise: false, ..Default::default() };
        let alone = end_on_normal(&config, &schedule, m, s, 100);
        assert_eq!(alone, end_on_normal(&EulerMaruyama { denoise: false }, &schedule, m, s, 100));
    }
}

/// The forward chain's variance over a step is σ_i² − a² σ_{i+1}², and the reverse chain ends in p_{σ_L} as the levels grow, with an
/// error of first order.
#[test]
fn the_reverse_sde_converges_with_the_levels() {
    let (n, m, s) = (50_000, 2.0, 0.5);
    let step = |level: Level, next: Level, drift: f64| {
        let a = level.alpha / next.alpha;
        let v = level.sigma.powi(2) - (a * next.sigma).powi(2);
        [1.0 + drift * (1.0 - a * a) / 2.0, v, v]
    };
    for sub in [false, true] {
        // The twin has no drift of its own, f = 0.
        let slope = |drift: f64| {
            let error = |levels: usize| {
                let ladder = linear_beta(levels, sub).0;
                let (mean, variance) = linear(&ladder, m, s, |level, next| step(level, next, drift));
                let last = ladder[levels - 1];
                let truth = (last.alpha * m, (last.alpha * s).powi(2) + last.sigma.powi(2));
                (mean - truth.0).abs() + (variance - truth.1).abs()
            };
            (error(129) / error(513)).log2() / 2.0
        };
        assert!((slope(1.0) - 1.0).abs() < 0.15, "{}", slope(1.0));
        assert!(slope(0.0).abs() < 0.5, "{}", slope(0.0));
        let schedule = linear_beta(17, sub);
        let sampler = build(&EulerMaruyama { denoise: false }, &schedule).expect("a ladder");
        let (mean, variance) = end_on_normal(&*sampler, &schedule, m, s, n);
        let close = |drift, k: f64| {
            let (m, v) = linear(&schedule.0, m, s, |level, next| step(level, next, drift));
            (mean - m).abs() < k * (v / n as f64).sqrt() && within(variance, v, n, k)
        };
        assert!(close(1.0, 4.5), "sub-VP {sub}: {mean} {variance}");
        assert!(!close(0.0, 10.0), "the drift must be seen");
    }
}

/// Where there is an α a corrector's ε is scaled by the squared factor of the forward step to its level.
#[test]
fn correctors_scale_with_alpha() {
    let (s, snr, n) = (0.5f64, 0.6, 200_000);
    let schedule = preserving(10.0, 0.5, 4);
    let levels = &schedule.0;
    for order in [Order::CorrectorFirst, Order::PredictorFirst] {
        // The twin leaves the factor out.
        let expected = |scaled: bool| {
            let width = |l: Level| (l.alpha * s).powi(2) + l.sigma.powi(2);
            let correct = |v: f64, level: Level, next: Level| {
                let scale = if scaled { (level.alpha / next.alpha).powi(2) } else { 1.0 };
                let epsilon = 2.0 * scale * (snr * width(level)).powi(2) / v;
                (1.0 - epsilon / width(level)).powi(2) * v + 2.0 * epsilon
            };
            let predict = |v: f64, level: Level, next: Level| {
                let [a, b, c2] = preserving_step(Predictor::ReverseDiffusion, level, next);
                (a - b / width(level)).powi(2) * v + c2
            };
            (0..3).fold(width(levels[0]), |v, i| match order {
                Order::CorrectorFirst => predict(correct(v, levels[i], levels[i + 1]), levels[i], levels[i + 1]),
                Order::PredictorFirst => {
                    let below = levels.get(i + 2).copied().unwrap_or(Level::CLEAN);
                    correct(predict(v, levels[i], levels[i + 1]), levels[i + 1], below)
                }
            })
        };
        let config = PredictorCorrector { order, norms: Norms::Batch, snr, denoise: false, ..Default::default() };
        let (_, v) = end_on_normal(&*build(&config, &schedule).expect("a ladder"), &schedule, 0.0, s, n);
        assert!(within(v, expected(true), n, 5.0), "{order:?}: {v}, not {}", expected(true));
        assert!(!within(v, expected(false), n, 10.0), "{order:?}: {v} is {} too", expected(false));
    }
}

/// Samplers that walk down a ladder, with their network evaluations on three levels, denoising or not.
fn walkers(schedule: &Sigmas) -> Vec<(Built, u64)> {
    let both = [false, true].map(|denoise| {
        let last = u64::from(denoise);
        let predictor_first = PredictorCorrector { order: Order::PredictorFirst, ..Default::default() };
        vec![
            (build(&ConsistentAnnealed { denoise, ..Default::default() }, schedule), 3),
            (build(&Ddim { denoise }, schedule), 2 + last),
            (build(&Edm { denoise, churn: 1.0, ..Default::default() }, schedule), 4 + last),
            (build(&DpmSolverPp2m { denoise }, schedule), 2 + last),
            (build(&ProbabilityFlow { denoise, ..Default::default() }, schedule), 4 + last),
            (build(&EulerMaruyama { denoise }, schedule), 2 + last),
            (build(&PredictorCorrector { denoise, ..Default::default() }, schedule), 2 * (2 + last)),
            (build(&PredictorCorrector { denoise, corrector_steps: 3, ..predictor_first }, schedule), 2 * 4 + last),
            (
                build(&PredictorCorrector { denoise, corrector: Corrector::None, ..Default::default() }, schedule),
                2 + last,
            ),
        ]
    });
    both.into_iter().flatten().collect()
}

/// Counts evaluations.
struct Counted(stein_core::ExactScore, std::sync::atomic::AtomicU64);

impl stein_core::ScoreNetwork for Counted {
    fn jet(&self, x: stein_jet::Jet<2>, condition: &stein_core::Condition) -> stein_jet::Jet<2> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.jet(x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &stein_core::Condition) -> Option<Tensor<1>> {
        self.0.log_density(x, condition)
    }
}

/// Those that take many steps at a level, likewise.
fn langevins(schedule: &Sigmas) -> Vec<(Built, u64)> {
    let both = [false, true].map(|denoise| {
        let last = u64::from(denoise);
        vec![
            (build(&Langevin { steps: 3, denoise, ..Default::default() }, schedule), 3 + last),
            (build(&Mala { steps: 3, denoise, ..Default::default() }, schedule), 4 + last),
            (build(&Hmc { steps: 2, leapfrog_steps: 3, denoise, ..Default::default() }, schedule), 7 + last),
            (build(&AnnealedLangevin { steps_per_level: 2, denoise, ..Default::default() }, schedule), 6 + last),
        ]
    });
    both.into_iter().flatten().collect()
}

#[test]
fn evaluations_are_counted_and_observers_stop() {
    let schedule = Sigmas::new(&[2.0, 0.5, 0.125]);
    for (sampler, evaluations) in walkers(&schedule).into_iter().chain(langevins(&schedule)) {
        let sampler = sampler.expect("three levels");
        let score = Counted(exact(gaussian(vec![0.0], 0.5)), 0.into());
        let mut seen = Variances::new();
        sampler.sample(&score, &schedule, normals(4, 2.0), &mut chains(4), &mut seen).expect("no stop");
        assert_eq!(
            (score.1.into_inner(), sampler.evaluations(&schedule)),
            (evaluations, Some(evaluations)),
            "{sampler:?}"
        );
        let steps = seen.seen.len();
        for most in 1..=steps {
            let mut stop = Variances { most, ..Variances::new() };
            let score = exact(gaussian(vec![0.0], 0.5));
            let end = sampler.sample(&score, &schedule, normals(4, 2.0), &mut chains(4), &mut stop);
            assert_eq!(end.expect_err("stopped"), SampleError::Stopped { step: most }, "{sampler:?}");
            assert_eq!(stop.seen.len(), most);
        }
    }
}

#[test]
fn no_sampler_depends_on_the_chunk() {
    let schedule = Sigmas::new(&[2.0, 0.5, 0.125]);
    for (sampler, _) in walkers(&schedule).into_iter().chain(langevins(&schedule)) {
        let sampler = sampler.expect("three levels");
        let samples = |chunk| drawn(&*sampler, three_modes(), &schedule, 10, chunk);
        assert_eq!(samples(10), samples(3), "{sampler:?}");
    }
}

#[test]
fn ladders_that_cannot_be_walked_are_refused() {
    for (sampler, _) in walkers(&Sigmas(vec![Level::CLEAN])) {
        assert!(sampler.expect_err("no noise").contains("there is no noise"));
    }
    for (sampler, _) in walkers(&Sigmas::new(&[1.0])) {
        assert!(sampler.expect_err("one level").contains("at least 2"));
    }
    let refused: Vec<bool> = walkers(&preserving(4.0, 0.1, 3)).iter().map(|(s, _)| s.is_err()).collect();
    // Consistent annealing alone is written for α = 1.
    assert_eq!(refused, [true, false, false, false, false, false, false, false, false].repeat(2));
    let ancestral = PredictorCorrector { predictor: Predictor::Ancestral, ..Default::default() };
    assert!(build(&ancestral, &linear_beta(8, false)).is_ok());
    assert!(build(&ancestral, &linear_beta(8, true)).expect_err("neither").contains("is neither"));
    let rising = Sigmas(vec![Level { alpha: 0.9, sigma: 0.5 }, Level { alpha: 0.1, sigma: 0.4 }]);
    for (sampler, _) in walkers(&rising) {
        assert!(sampler.expect_err("σ/α rises").contains("level 2 has no less of it than level 1"));
    }
}

/// The variance of chains of point-mass data over σ_i² is technique 4's recursion, by which its two step sizes are the best.
#[test]
fn technique_4_has_the_variance_that_it_says() {
    let (n, levels, steps) = (40_000usize, 12usize, 3usize);
    let sigmas: Vec<f64> = (0..levels).map(|i| 4.0 * 0.025f64.powf(i as f64 / (levels - 1) as f64)).collect();
    let schedule = Sigmas::new(&sigmas);
    let gamma = sigmas[0] / sigmas[1];
    let technique = Technique4 { gamma, steps_per_level: steps };
    // Points are Gaussians too narrow to be seen.
    let score = exact(gaussian(vec![0.0, 0.0], 1e-6));
    let ended = |step_size, convention| {
        let sampler =
            AnnealedLangevin { steps_per_level: steps, step_size, convention, denoise: false, ..Default::default() };
        let sampler = build(&sampler, &schedule).expect("a geometric ladder");
        let start = Streams::new(8).chains("start", 0..n as u64).normals(2).iter().map(|z| 4.0 * z).collect();
        let x = matrix(start, 2, &device());
        let x = sampler.sample(&score, &schedule, x, &mut chains(n as u64), &mut NoObserver).expect("no stop");
        let settled = sampler.settled(&schedule)[0].1;
        (moments(&to_array(x)).1 / sigmas[levels - 1].powi(2), settled / sigmas[levels - 1].powi(2))
    };
    // Standard error of a variance of 2n numbers.
    let error = 4.0 * (2.0 / (2 * n) as f64).sqrt();
    let mut ends = Vec::new();
    for (word, best) in
        [(Annealing::T4, technique.best_step()), (Annealing::T4Accumulated, technique.best_step_accumulated(levels))]
    {
        let expected = technique.accumulated(best, levels)[levels - 1];
        for (convention, factor) in [(Convention::Repository, 1.0), (Convention::Paper, 2.0)] {
            let (found, settled) = ended(StepSize::Auto(word), convention);
            assert!((settled / (factor * best) - 1.0).abs() < 1e-9, "{word:?}: {settled}, not {factor} × {best}");
            assert!((found / expected - 1.0).abs() < error, "{word:?}: {found}, not {expected}");
        }
        ends.push((expected - 1.0).abs());
    }
    assert!(ends[1] < ends[0], "{ends:?}");
    // The twin that takes technique 4's ε for the paper's ends elsewhere.
    let wrong = technique.best_step() * sigmas[levels - 1].powi(2);
    let (found, _) = ended(StepSize::Value(wrong), Convention::Paper);
    assert!((found / technique.accumulated(technique.best_step(), levels)[levels - 1] - 1.0).abs() > 10.0 * error);
}

#[test]
fn technique_4_is_refused_where_it_says_nothing() {
    let sampler = AnnealedLangevin { step_size: StepSize::Auto(Annealing::T4), ..AnnealedLangevin::default() };
    let wrong = |schedule: Sigmas| {
        let context = SamplerContext { schedule: &schedule, dimension: 1 };
        let error = Component::build(&sampler, context).expect_err("no ladder of technique 4's");
        assert_eq!(error.key.as_deref(), Some("step-size"));
        error.message
    };
    assert!(wrong(Sigmas::new(&[4.0, 2.0, 0.5])).contains("needs a geometric ladder"));
    assert!(wrong(Sigmas::new(&[4.0])).contains("at least 2"));
    let shrinking = [(0.5, 0.8), (0.8, 0.5)].map(|(alpha, sigma)| Level { alpha, sigma });
    assert!(wrong(Sigmas(shrinking.to_vec())).contains("variance-exploding"));
}

/// With an error to keep, T is the least that keeps it.
#[test]
fn steps_follow_from_technique_4() {
    let sigmas: Vec<f64> = (0..20).map(|i| 4.0 * 0.02f64.powf(i as f64 / 19.0)).collect();
    let schedule = Sigmas::new(&sigmas);
    let gamma = sigmas[0] / sigmas[1];
    let error = |accumulated: bool, steps_per_level: usize| {
        let technique = Technique4 { gamma, steps_per_level };
        let end = match accumulated {
            false => technique.variance_ratio(technique.best_step()),
            true => technique.accumulated(technique.best_step_accumulated(20), 20)[19],
        };
        (end - 1.0).abs()
    };
    for (word, accumulated) in [(Annealing::T4, false), (Annealing::T4Accumulated, true)] {
        let sampler =
            AnnealedLangevin { step_size: StepSize::Auto(word), variance_error: Some(0.15), ..Default::default() };
        let settled = build(&sampler, &schedule).expect("steps enough").settled(&schedule);
        let steps = settled.iter().find(|(key, _)| *key == "steps-per-level").expect("told").1 as usize;
        assert!(steps > 1 && error(accumulated, steps) <= 0.15, "{word:?}: {steps}");
        assert!(error(accumulated, steps - 1) > 0.15, "{word:?}: fewer than {steps} would do");
        let evaluations = build(&sampler, &schedule).expect("steps enough").evaluations(&schedule);
        assert_eq!(evaluations, Some(20 * steps as u64 + 1));
    }
    let refused = |step_size, variance_error| {
        let sampler = AnnealedLangevin { step_size, variance_error: Some(variance_error), ..Default::default() };
        sampler.check().is_err() || build(&sampler, &schedule).is_err()
    };
    assert!(refused(StepSize::AUTO, 0.1) && refused(StepSize::Auto(Annealing::T4), 1.0));
    assert!(refused(StepSize::Auto(Annealing::T4), 1e-9), "out of reach");
}
