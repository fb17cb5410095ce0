//! Samplers on densities that know their score.

use stein_core::{ChainNoise, Component, NoObserver, Sampler, SamplerContext, Streams, matrix, to_array, to_host};
use stein_record::Array;
use stein_samplers::{AnnealedLangevin, Convention, Draw, Langevin, StepSize, denoise, draw};

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
    };
    let x = annealed.sample(&exact(target()), &Sigmas::new(&sigmas), start(), &mut chains(n as u64), &mut NoObserver);
    let annealed = weight(to_array(x.expect("no stop")));
    assert!((alone - 0.507).abs() < 0.04, "Langevin: {alone}");
    assert!((annealed - 0.78).abs() < 0.04, "annealed: {annealed}");
}

fn stein_schedules(max: f64, min: f64, levels: usize) -> Vec<f64> {
    (0..levels).map(|i| max * (min / max).powf(i as f64 / (levels - 1) as f64)).collect()
}

#[test]
fn samples_do_not_depend_on_the_chunk() {
    let target = three_modes();
    let schedule = Sigmas::new(&[4.0, 1.0, 0.2]);
    let sampler = AnnealedLangevin { steps_per_level: 4, ..AnnealedLangevin::default() };
    let samples = |chunk| {
        let what = Draw {
            samples: 50,
            first: 0,
            chunk,
            mean: &[0.5, -0.5],
            spread: 1.0,
            streams: Streams::new(3),
            device: &device(),
        };
        draw(&sampler, &exact(target.clone()), &schedule, what, |_| Box::new(NoObserver)).expect("finite").data
    };
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
