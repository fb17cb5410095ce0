//! Samplers that accept and reject, on densities known up to a constant.

use std::f64::consts::PI;
use std::ops::ControlFlow;

use burn::tensor::Tensor;
use stein_core::{
    ChainNoise, Component, Condition, ExactScore, Level, NoObserver, Observer, SampleError, Sampler, ScoreNetwork,
    StepInfo, Streams, matrix, to_host,
};
use stein_data::IsotropicMixture;
use stein_jet::Jet;
use stein_samplers::{Convention, Hmc, Langevin, Mala, Phase, StepSize, leapfrog};

use crate::common::{Sigmas, at, device, draws, exact, gaussian, noise, three_modes};
use crate::networks::planned;

const N: usize = 100_000;

fn chains(n: usize) -> ChainNoise {
    Streams::new(6).chains("test", 0..n as u64)
}

/// Notes each step's acceptance.
#[derive(Default)]
struct Accepted(Vec<f64>);

impl Observer for Accepted {
    fn step(&mut self, info: StepInfo, _: &Tensor<2>) -> ControlFlow<()> {
        self.0.extend(info.acceptance);
        ControlFlow::Continue(())
    }
}

/// The k-th moment of some numbers about 0 and its standard error.
fn moment(x: &[f32], k: i32) -> (f64, f64) {
    let powers: Vec<f32> = x.iter().map(|x| x.powi(k)).collect();
    crate::common::mean(&powers)
}

/// N(0, 1) at a noise level, and without.
fn normals() -> [(ExactScore, Sigmas); 2] {
    [
        (exact(gaussian(vec![0.0], 0.8)), Sigmas::new(&[2.0, 0.6])),
        (exact(gaussian(vec![0.0], 1.0)), Sigmas(vec![Level::CLEAN])),
    ]
}

fn normal_start(n: usize) -> Tensor<2> {
    matrix(noise("normal start").normals(n), 1, &device())
}

/// A step of a Markov chain on N(0, 1) in double precision: the state, z and the logarithm of a uniform to the next state.
type Kernel = fn(f64, f64, f64) -> f64;

/// The second moment that a kernel has come to after 30 steps from N(0, 1).
fn second_moment(kernel: Kernel) -> f64 {
    let mut noise = noise("twin");
    let mut x: Vec<f64> = noise.normals(N).into_iter().map(f64::from).collect();
    for _ in 0..30 {
        for x in &mut x {
            *x = kernel(*x, f64::from(noise.normal()), noise.uniform().ln());
        }
    }
    x.iter().map(|x| x * x).sum::<f64>() / N as f64
}

/// E f(x, z) for independent standard normals.
fn expectation(f: impl Fn(f64, f64) -> f64) -> f64 {
    let step = 0.02;
    let points = || (-400..=400).map(|i| f64::from(i) * step);
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * PI).sqrt() * step;
    points().map(|x| density(x) * points().map(|z| density(z) * f(x, z)).sum::<f64>()).sum()
}

/// What `sampler` makes of N(0, 1): its samples and each step's acceptance.
fn on_normal(sampler: &dyn Sampler, (score, schedule): &(ExactScore, Sigmas)) -> (Vec<f32>, Vec<f64>) {
    let mut accepted = Accepted::default();
    let x = sampler.sample(score, schedule, normal_start(N), &mut chains(N), &mut accepted).expect("no stop");
    (to_host(x), accepted.0)
}

/// Standard errors of a second moment of N(0, 1), and of a mean of probabilities, at most.
fn errors() -> (f64, f64) {
    ((2.0 / N as f64).sqrt(), 0.5 / (N as f64).sqrt())
}

const ALPHA: f64 = 1.0;

/// ln p(x')/p(x) and ln q(x | x')/q(x' | x) on N(0, 1), as they are defined.
fn mala_ratios(x: f64, z: f64) -> (f64, f64, f64) {
    let forth = |x: f64| x - ALPHA / 2.0 * x;
    let proposal = forth(x) + ALPHA.sqrt() * z;
    let log_q = |to: f64, from: f64| -(to - forth(from)).powi(2) / (2.0 * ALPHA);
    (proposal, (x * x - proposal * proposal) / 2.0, log_q(x, proposal) - log_q(proposal, x))
}

#[test]
fn mala_keeps_a_normal_that_langevin_does_not() {
    let (step_size, steps) = (StepSize::Value(ALPHA), 30);
    let (se, _) = errors();
    for case in normals() {
        let mala = Mala { steps, step_size, ..Default::default() };
        let v = moment(&on_normal(&mala, &case).0, 2).0;
        assert!((v - 1.0).abs() < 4.5 * se, "{v}");
        let ula = Langevin { steps, step_size, ..Default::default() };
        let v = moment(&on_normal(&ula, &case).0, 2).0;
        let limit = 1.0 / (1.0 - ALPHA / 4.0);
        assert!((v / limit - 1.0).abs() < 4.5 * se, "{v}, not {limit}");
    }
    // Twins: the proposal's densities left out, or with the wrong sign.
    let twins: [Kernel; 2] = [
        |x, z, u| {
            let (there, p, _) = mala_ratios(x, z);
            if u < p { there } else { x }
        },
        |x, z, u| {
            let (there, p, q) = mala_ratios(x, z);
            if u < p - q { there } else { x }
        },
    ];
    for twin in twins {
        let v = second_moment(twin);
        assert!((v - 1.0).abs() > 10.0 * se, "a wrong ratio must be seen: {v}");
    }
}

#[test]
fn mala_accepts_as_often_as_it_should() {
    let accepts = |ratio: fn((f64, f64, f64)) -> f64| expectation(|x, z| ratio(mala_ratios(x, z)).exp().min(1.0));
    let (expected, without, wrong) = (accepts(|r| r.1 + r.2), accepts(|r| r.1), accepts(|r| r.1 - r.2));
    let (_, se) = errors();
    for case in normals() {
        let mala = Mala { steps: 5, step_size: StepSize::Value(ALPHA), denoise: true, ..Default::default() };
        let (_, accepted) = on_normal(&mala, &case);
        assert_eq!(accepted.len(), 5, "the denoising proposes nothing");
        for a in accepted {
            assert!((a - expected).abs() < 4.5 * se, "{a}, not {expected}");
            assert!((a - without).abs() > 10.0 * se && (a - wrong).abs() > 10.0 * se, "{a}: {without} {wrong}");
        }
    }
    // A proposal that moves little is nearly always accepted, and one that moves far hardly ever.
    let at = |step: f64| {
        let mala = Mala { steps: 1, step_size: StepSize::Value(step), ..Default::default() };
        on_normal(&mala, &normals()[0]).1[0]
    };
    assert!(at(1e-4) > 0.9999 && at(100.0) < 0.05);
}

#[test]
fn the_repositorys_step_is_half_the_papers_for_mala_too() {
    let run = |step, convention| {
        let mala = Mala { steps: 3, step_size: StepSize::Value(step), convention, denoise: false };
        on_normal(&mala, &normals()[0]).0
    };
    let paper = run(0.8, Convention::Paper);
    assert_eq!(paper, run(0.4, Convention::Repository));
    assert_ne!(paper, run(0.8, Convention::Repository));
}

/// Two unequal modes that overlap, so that both signs of x are met.
fn two_modes() -> IsotropicMixture {
    IsotropicMixture::new(vec![vec![-0.8], vec![1.0]], vec![0.5, 0.3], vec![0.7, 0.3])
}

/// The k-th moment of [`two_modes`] at σ by quadrature.
fn quadrature(k: i32, sigma: f64) -> f64 {
    let step = 1e-3;
    let normal = |x: f64, mean: f64, std: f64| {
        let variance = std * std + sigma * sigma;
        (-(x - mean).powi(2) / (2.0 * variance)).exp() / (2.0 * PI * variance).sqrt()
    };
    let p = |x: f64| 0.7 * normal(x, -0.8, 0.5) + 0.3 * normal(x, 1.0, 0.3);
    (-8000..=8000).map(|i| f64::from(i) * step).map(|x| x.powi(k) * p(x) * step).sum()
}

/// From p_σ the moments stay those of p_σ; and one step keeps detailed balance: E x x'³ = E x³ x'.
#[test]
fn mixtures_are_kept() {
    let sigma = 0.2;
    let (clean, z) = draws(&two_modes(), N, "mixture");
    let start = clean + z * sigma;
    let score = exact(two_modes());
    let schedule = Sigmas::new(&[sigma]);
    let run = |sampler: &dyn Sampler| {
        let x = sampler.sample(&score, &schedule, start.clone(), &mut chains(N), &mut NoObserver).expect("no stop");
        to_host(x)
    };
    let step_size = StepSize::Value(0.4);
    let mala = |steps| Mala { steps, step_size, ..Default::default() };
    let hmc = |steps| Hmc { steps, leapfrog_steps: 3, step_size: StepSize::Value(0.45), denoise: false };
    for sampler in [&mala(20) as &dyn Sampler, &hmc(20)] {
        let x = run(sampler);
        for k in 1..=4 {
            let ((mean, se), expected) = (moment(&x, k), quadrature(k, sigma));
            assert!((mean - expected).abs() < 4.5 * se, "{sampler:?}, moment {k}: {mean} ± {se}, not {expected}");
        }
    }
    // Langevin steps without the rejections end elsewhere.
    let x = run(&Langevin { steps: 20, step_size, ..Default::default() });
    let (mean, se) = moment(&x, 2);
    assert!((mean - quadrature(2, sigma)).abs() > 10.0 * se, "{mean}");
    let before = to_host(start.clone());
    let balance = |after: &[f32]| {
        let flow: Vec<f32> = before.iter().zip(after).map(|(a, b)| a * b.powi(3) - a.powi(3) * b).collect();
        let (mean, se) = crate::common::mean(&flow);
        (mean / se).abs()
    };
    for sampler in [&mala(1) as &dyn Sampler, &hmc(1)] {
        let odds = balance(&run(sampler));
        assert!(odds < 4.5, "{sampler:?}: {odds} standard errors");
    }
    let odds = balance(&run(&Langevin { steps: 1, step_size, ..Default::default() }));
    assert!(odds > 10.0, "a step without balance must be seen: {odds}");
}

/// A Gaussian's score that is no number beyond 1.5.
struct Broken(ExactScore);

impl ScoreNetwork for Broken {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let beyond = x.value().greater_elem(1.5);
        Jet::plain(self.0.score(x.value(), condition).mask_fill(beyond, f32::NAN))
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        self.0.log_density(x, condition)
    }
}

#[test]
fn what_is_no_number_is_rejected() {
    let score = Broken(exact(gaussian(vec![0.0], 1.0)));
    let samplers: [Box<dyn Sampler>; 2] = [
        Box::new(Mala { steps: 20, step_size: StepSize::Value(1.0), ..Default::default() }),
        Box::new(Hmc { steps: 20, step_size: StepSize::Value(0.5), leapfrog_steps: 4, denoise: false }),
    ];
    for sampler in samplers {
        let (schedule, start) = (Sigmas(vec![Level::CLEAN]), normal_start(1000).clamp_max(1.0));
        let x = sampler.sample(&score, &schedule, start, &mut chains(1000), &mut NoObserver).expect("no stop");
        let x = to_host(x);
        assert!(x.iter().all(|x| *x <= 1.5), "{sampler:?}");
        // A chain that starts there cannot leave, and does not look as if it had moved.
        let beyond = matrix(vec![2.0, 0.0], 1, &device());
        let end = sampler.sample(&score, &schedule, beyond, &mut chains(2), &mut NoObserver).expect("no stop");
        assert_eq!(to_host(end).into_iter().map(f32::is_nan).collect::<Vec<_>>(), [true, false], "{sampler:?}");
        let (v, _) = moment(&x, 2);
        // The chains move all the same: N(0, 1) cut off at 1.5 has the second moment 1 − 1.5 φ(1.5)/Φ(1.5).
        assert!((v - 0.792).abs() < 0.15, "{sampler:?}: {v}");
    }
}

/// A score without a density.
struct Free(ExactScore);

impl ScoreNetwork for Free {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.0.jet(x, condition)
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

#[test]
fn what_has_no_density_is_refused() {
    let samplers: [Box<dyn Sampler>; 2] = [Box::new(Mala::default()), Box::new(Hmc::default())];
    for sampler in samplers {
        assert!(sampler.needs_log_density());
        let score = Free(exact(gaussian(vec![0.0], 1.0)));
        let end = sampler.sample(&score, &Sigmas::new(&[0.1]), normal_start(2), &mut chains(2), &mut NoObserver);
        assert_eq!(end.expect_err("no density"), SampleError::NoLogDensity);
    }
    assert!(!Langevin::default().needs_log_density());
}

/// Whether a network has a density is seen before anything runs.
#[test]
fn plans_without_a_density_are_refused() {
    let text = |network: &str, sampler: &str| {
        format!(
            "training.steps = 0\n[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0]]\n[network]\nkind = \"{network}\"\n\
             [sampler]\nkind = \"{sampler}\"\n"
        )
    };
    for sampler in ["mala", "hmc"] {
        let said = planned(&text("mlp", sampler)).expect_err("a free network");
        let named = format!("`{sampler}` needs the log density, which a network of kind `mlp` does not have");
        assert!(said.contains(&named) && said.contains("test.toml:8:8"), "{said}");
        assert!(planned(&text("exact", sampler)).is_ok());
    }
    assert!(planned(&text("mlp", "langevin")).is_ok());
}

#[test]
fn counts_and_steps_out_of_range_are_refused() {
    let key = |e: Result<(), stein_core::Invalid>| e.expect_err("out of range").key;
    assert_eq!(key(Component::check(&Mala { steps: 0, ..Default::default() })).as_deref(), Some("steps"));
    let still = Mala { step_size: StepSize::Value(0.0), ..Default::default() };
    assert_eq!(key(Component::check(&still)).as_deref(), Some("step-size"));
    assert_eq!(key(Component::check(&Hmc { steps: 0, ..Default::default() })).as_deref(), Some("steps"));
    let none = Hmc { leapfrog_steps: 0, ..Default::default() };
    assert_eq!(key(Component::check(&none)).as_deref(), Some("leapfrog-steps"));
    let clean = Sigmas(vec![Level::CLEAN]);
    let context = stein_core::SamplerContext { schedule: &clean, dimension: 1 };
    for built in [Component::build(&Mala::default(), context), Component::build(&Hmc::default(), context)] {
        assert_eq!(built.expect_err("no σ to follow").key.as_deref(), Some("step-size"));
    }
}

/// Leapfrog steps on N(0, 1) in double precision; the twin leaves out the half kick at both ends, so that kicks and drifts alternate
/// from a whole drift on.
fn leapfrog_on_normal(x: f64, p: f64, h: f64, count: usize, half_kicks: bool) -> (f64, f64) {
    let (mut x, mut p) = (x, p);
    for _ in 0..count {
        if half_kicks {
            p -= h / 2.0 * x;
            x += h * p;
            p -= h / 2.0 * x;
        } else {
            x += h * p;
            p -= h * x;
        }
    }
    (x, p)
}

/// H before minus H after.
fn energy_lost(x: f64, p: f64, h: f64, count: usize, half_kicks: bool) -> f64 {
    let (there, momentum) = leapfrog_on_normal(x, p, h, count, half_kicks);
    (x * x + p * p - there * there - momentum * momentum) / 2.0
}

#[test]
fn leapfrog_leads_back() {
    let score = exact(three_modes());
    let start = matrix(noise("places").normals(60), 2, &device());
    let momentum = matrix(noise("momenta").normals(60), 2, &device());
    let condition = at(Level::exploding(0.3), 30);
    let phase = |x: Tensor<2>, momentum| Phase { score: score.score(x.clone(), &condition), x, momentum };
    let end = leapfrog(&score, &condition, phase(start.clone(), momentum.clone()), 0.15, 12);
    let far = (end.x.clone() - start.clone()).abs().max().into_scalar::<f32>();
    assert!(far > 0.5, "it must move: {far}");
    let back = leapfrog(&score, &condition, Phase { momentum: -end.momentum, ..end }, 0.15, 12);
    let gap = |a: Tensor<2>, b: Tensor<2>| (a - b).abs().max().into_scalar::<f32>();
    assert!(gap(back.x, start) < 1e-3 && gap(back.momentum, -momentum) < 1e-3);
    // Without the half kicks it leads elsewhere.
    let (x, p) = leapfrog_on_normal(1.0, 0.5, 0.15, 12, false);
    let (x, _) = leapfrog_on_normal(x, -p, 0.15, 12, false);
    assert!((x - 1.0).abs() > 1e-2, "{x}");
}

/// After the time 1 on N(0, 1) the energy is off by order h².
#[test]
fn leapfrog_has_order_two() {
    let score = exact(gaussian(vec![0.0], 1.0));
    let own = |h: f64, count| {
        let column = |v| matrix(vec![v], 1, &device());
        let from = Phase { x: column(1.0), score: column(-1.0), momentum: column(0.5) };
        let end = leapfrog(&score, &Condition::clean(), from, h, count);
        let (x, p) = (f64::from(to_host(end.x)[0]), f64::from(to_host(end.momentum)[0]));
        (1.25 - x * x - p * p) / 2.0
    };
    let slope = |lost: &dyn Fn(f64, usize) -> f64| (lost(0.5, 2) / lost(0.0625, 16)).abs().log2() / 3.0;
    let two = slope(&own);
    assert!((two - 2.0).abs() < 0.15, "{two}");
    let one = slope(&|h, count| energy_lost(1.0, 0.5, h, count, false));
    assert!((one - 1.0).abs() < 0.3, "a lost half kick must be seen: {one}");
}

#[test]
fn hmc_keeps_a_normal_and_accepts_as_often_as_it_should() {
    const H: f64 = 1.2;
    const COUNT: usize = 3;
    let hmc = Hmc { steps: 30, leapfrog_steps: COUNT, step_size: StepSize::Value(H), denoise: false };
    let accepts = |half_kicks| expectation(|x, p| energy_lost(x, p, H, COUNT, half_kicks).exp().min(1.0));
    let (expected, wrong) = (accepts(true), accepts(false));
    let (se, se_accepted) = errors();
    for case in normals() {
        let (x, accepted) = on_normal(&hmc, &case);
        let v = moment(&x, 2).0;
        assert!((v - 1.0).abs() < 4.5 * se, "{v}");
        assert_eq!(accepted.len(), 30);
        for a in accepted {
            assert!((a - expected).abs() < 5.0 * se_accepted, "{a}, not {expected}");
            assert!((a - wrong).abs() > 10.0 * se_accepted, "{a} is {wrong} too");
        }
    }
    let twins: [Kernel; 2] = [
        // The half kicks left out.
        |x, p, u| if u < energy_lost(x, p, H, COUNT, false) { leapfrog_on_normal(x, p, H, COUNT, false).0 } else { x },
        // Everything accepted.
        |x, p, _| leapfrog_on_normal(x, p, H, COUNT, true).0,
    ];
    for (i, twin) in twins.into_iter().enumerate() {
        let v = second_moment(twin);
        assert!((v - 1.0).abs() > 10.0 * se, "twin {i} must be seen: {v}");
    }
}

/// One leapfrog step h is a Langevin proposal of α = h², with the same probability of acceptance.
#[test]
fn one_leapfrog_step_is_mala() {
    let (score, schedule, n) = (exact(three_modes()), Sigmas::new(&[0.3]), 1000);
    let end = |sampler: &dyn Sampler| {
        let start = matrix(noise("start").normals(2 * n), 2, &device()) * 2.0;
        to_host(sampler.sample(&score, &schedule, start, &mut chains(n), &mut NoObserver).expect("no stop"))
    };
    let h = 0.7f64;
    let hmc = end(&Hmc { steps: 5, leapfrog_steps: 1, step_size: StepSize::Value(h), denoise: false });
    let alike = |step: f64| {
        let mala = end(&Mala { steps: 5, step_size: StepSize::Value(step), ..Default::default() });
        hmc.iter().zip(&mala).filter(|(a, b)| (**a - **b).abs() < 1e-3).count() as f64 / hmc.len() as f64
    };
    // A uniform may lie between the two roundings of one probability.
    assert!(alike(h * h) > 0.995, "{}", alike(h * h));
    assert!(alike(h) < 0.2, "{}", alike(h));
}
