//! log Z by annealed importance sampling, where it is known.

use std::f64::consts::TAU;
use std::ops::ControlFlow;

use burn::tensor::Tensor;
use stein_core::{Condition, ExactScore, Level, Noise, SampleError, ScoreNetwork, Streams, matrix};
use stein_data::IsotropicMixture;
use stein_jet::Jet;
use stein_record::{Estimate, MetricRecord};
use stein_samplers::{AnnealedImportance, Factor, LogZ, Reference, annealed_importance};

use crate::common::{device, exact, gaussian, three_modes};
use crate::networks::{plan, planned};

/// −½ ‖Bᵀ (x − m)‖², B lower triangular: log Z = (D/2) ln 2π − ln det B. Its score can be made wrong by a factor.
struct Quadratic {
    mean: Tensor<2>,
    factor: Tensor<2>,
    log_z: f64,
    wrong: f64,
}

impl Quadratic {
    /// Numbers that are all different: scales from 2 to 0.5, correlated, and a mean about 1.
    fn new(d: usize) -> Self {
        let scale = |i: usize| 0.5 + 1.5 * i as f64 / d as f64;
        let below = |i: usize, j: usize| 0.3 / (d as f64).sqrt() * (1.0 + (i * 7 + j * 3) as f64).sin();
        let entry = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.0,
            std::cmp::Ordering::Equal => scale(i),
            std::cmp::Ordering::Greater => below(i, j),
        };
        let factor = (0..d * d).map(|k| entry(k / d, k % d) as f32).collect();
        let mean = (0..d).map(|i| 1.0 + 0.3 * (i as f32).cos()).collect();
        let log_z = d as f64 / 2.0 * TAU.ln() - (0..d).map(|i| scale(i).ln()).sum::<f64>();
        Self { mean: matrix(mean, d, &device()), factor: matrix(factor, d, &device()), log_z, wrong: 1.0 }
    }
}

impl ScoreNetwork for Quadratic {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let centred = x.add_constant(self.mean.clone().neg());
        let product = |x: Tensor<2>| x.matmul(self.factor.clone()).matmul(self.factor.clone().transpose());
        centred.linear_map(|x| product(x) * -self.wrong)
    }

    fn log_density(&self, x: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        let n = x.dims()[0];
        let z = (x - self.mean.clone()).matmul(self.factor.clone());
        Some((z.square().sum_dim(1) * -0.5).reshape([n]))
    }
}

/// A density times e^c.
struct Raised(ExactScore, f64);

impl ScoreNetwork for Raised {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.0.jet(x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        self.0.log_density(x, condition).map(|log| log + self.1)
    }
}

/// N(0, s² I).
fn round(d: usize, s: f64) -> Reference {
    Reference::new(vec![0.0; d], Factor::Diagonal(vec![s; d]))
}

/// s I, and half of s below the diagonal once.
fn skew(d: usize, s: f64) -> Reference {
    let mut factor = vec![0.0; d * d];
    (0..d).for_each(|i| factor[i * d + i] = s);
    factor[d] = s / 2.0;
    Reference::new(vec![0.5; d], Factor::Full(factor))
}

struct Case {
    chains: usize,
    temperatures: usize,
    level: Level,
    chunk: usize,
    seed: u64,
}

const USUAL: Case = Case { chains: 400, temperatures: 60, level: Level::CLEAN, chunk: 200, seed: 0 };

fn found(network: &dyn ScoreNetwork, reference: &Reference, case: &Case) -> LogZ {
    let device = device();
    let what = AnnealedImportance {
        chains: case.chains,
        temperatures: case.temperatures,
        leapfrog_steps: 3,
        level: case.level,
        chunk: case.chunk,
        streams: Streams::new(case.seed),
        device: &device,
    };
    annealed_importance(network, reference, what, &mut |_, _| ControlFlow::Continue(())).expect("no stop")
}

/// Within four standard errors, which are themselves at most `most`.
fn assert_meets(found: &LogZ, log_z: f64, most: f64) {
    let Estimate { value, standard_error } = found.estimate();
    assert!(standard_error < most, "± {standard_error}");
    assert!((value - log_z).abs() < 4.0 * standard_error, "{value} ± {standard_error}, not {log_z}");
}

#[test]
fn gaussians_are_met_in_any_dimension() {
    let near = Reference::new(vec![1.1; 64], Factor::Diagonal(vec![1.4; 64]));
    for (d, reference, temperatures) in [(2, skew(2, 2.0), 60), (8, skew(8, 2.0), 60), (64, near, 150)] {
        let network = Quadratic::new(d);
        let found = found(&network, &reference, &Case { temperatures, ..USUAL });
        assert_meets(&found, network.log_z, 0.1);
        assert!((0.8..0.97).contains(&found.acceptance), "{}", found.acceptance);
        assert!(found.effective_samples() > 80.0, "{}", found.effective_samples());
    }
}

/// A constant is all that log Z of a normalised density is off by, at a noise level and without, far from 0 and near.
#[test]
fn mixtures_are_met_up_to_their_constant() {
    let cases: [(IsotropicMixture, Reference, Level); 3] = [
        (three_modes(), round(2, 2.5), Level::exploding(0.2)),
        (three_modes(), skew(2, 2.5), Level { alpha: 0.6, sigma: 0.8 }),
        (
            IsotropicMixture::new(vec![vec![-1.0], vec![1.5]], vec![0.2, 0.05], vec![0.7, 0.3]),
            round(1, 2.0),
            Level::CLEAN,
        ),
    ];
    for (target, reference, level) in cases {
        for c in [0.0, -7.5, 300.0] {
            let case = Case { level, temperatures: 100, ..USUAL };
            assert_meets(&found(&Raised(exact(target.clone()), c), &reference, &case), c, 0.1);
        }
    }
}

/// The density alone decides: a wrong score costs acceptance, and no more.
#[test]
fn a_wrong_score_leaves_the_estimate_right() {
    let network = Quadratic { wrong: 0.6, ..Quadratic::new(8) };
    assert_meets(&found(&network, &skew(8, 2.0), &USUAL), network.log_z, 0.1);
}

/// Without steps between, the Gaussian's own draws say little.
#[test]
fn steps_are_worth_their_cost() {
    let (network, reference) = (Quadratic::new(8), round(8, 3.0));
    let share = |temperatures| {
        let case = Case { temperatures, ..USUAL };
        found(&network, &reference, &case).effective_samples() / case.chains as f64
    };
    let (one, many) = (share(1), share(100));
    assert!(one < 0.01 && many > 0.15, "{one} {many}");
    assert!(found(&network, &reference, &Case { temperatures: 1, ..USUAL }).acceptance.is_nan(), "no trajectories");
}

/// Standard errors are what estimates scatter by.
#[test]
fn standard_errors_are_calibrated() {
    let network = Raised(exact(gaussian(vec![0.5], 0.3)), 1.0);
    let off = |seed| {
        let case = Case { chains: 128, temperatures: 12, chunk: 128, seed, level: Level::CLEAN };
        let Estimate { value, standard_error } = found(&network, &round(1, 1.5), &case).estimate();
        ((value - 1.0) / standard_error).powi(2)
    };
    let mean = (0..40).map(off).sum::<f64>() / 40.0;
    // Of a mean of 40 squares of normals: √(2/40).
    assert!((mean - 1.0).abs() < 4.0 * 0.224, "{mean}");
}

#[test]
fn weights_do_not_depend_on_the_chunk() {
    let network = Raised(exact(three_modes()), 0.0);
    let case = |chunk| Case { chains: 50, temperatures: 20, chunk, level: Level::exploding(0.3), seed: 3 };
    for reference in [round(2, 2.5), skew(2, 2.5)] {
        let all = found(&network, &reference, &case(50));
        assert_eq!(all.log_weights, found(&network, &reference, &case(7)).log_weights);
        let other = Case { seed: 4, ..case(50) };
        assert_ne!(all.log_weights, found(&network, &reference, &other).log_weights);
    }
}

/// A density, or a score, that is no number beyond 1.5.
struct Broken {
    score: bool,
    density: bool,
}

impl ScoreNetwork for Broken {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let x = x.value();
        let beyond = x.clone().greater_elem(1.5);
        Jet::plain(if self.score { x.neg().mask_fill(beyond, f32::NAN) } else { x.neg() })
    }

    fn log_density(&self, x: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        let n = x.dims()[0];
        let beyond = x.clone().greater_elem(1.5);
        let log = x.square() * -0.5;
        Some((if self.density { log.mask_fill(beyond, f32::NEG_INFINITY) } else { log }).reshape([n]))
    }
}

#[test]
fn chains_that_start_nowhere_are_counted() {
    for (score, density) in [(true, false), (false, true), (true, true)] {
        let found = found(&Broken { score, density }, &round(1, 1.0), &USUAL);
        // N(0, 1) has 6.7 % beyond 1.5.
        assert!((10..50).contains(&found.lost()), "{}", found.lost());
        assert!(found.estimate().value.is_nan());
    }
    let whole = found(&Broken { score: false, density: false }, &round(1, 1.5), &USUAL);
    assert_meets(&whole, TAU.sqrt().ln(), 0.05);
}

#[test]
fn it_can_be_stopped_and_says_how_far_it_is() {
    let device = device();
    let what = AnnealedImportance {
        chains: 20,
        temperatures: 10,
        leapfrog_steps: 1,
        level: Level::CLEAN,
        chunk: 8,
        streams: Streams::new(0),
        device: &device,
    };
    let network = Quadratic::new(2);
    let mut heard = Vec::new();
    let mut all = |done, of| {
        heard.push((done, of));
        ControlFlow::Continue(())
    };
    annealed_importance(&network, &round(2, 1.0), what, &mut all).expect("no stop");
    // A pilot, and three chunks.
    assert_eq!(heard, (1..=130).map(|done| (done, 130)).collect::<Vec<_>>());
    let stopped = annealed_importance(&network, &round(2, 1.0), what, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(stopped, Err(SampleError::Stopped { step: 1 }));
}

/// What a twin on the line does wrong.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// Weights go with β_{k−1} − β_k.
    Sign,
    /// Weights are taken at x_k in place of x_{k−1}.
    Late,
    /// Every trajectory is taken, however much energy it lost.
    Unadjusted,
}

/// Annealed importance sampling in double precision from N(0, 2²) to e^(−(x − 1)²/(2·0.5²)).
fn twin(wrong: Wrong, noise: &mut Noise) -> LogZ {
    let (steps, h) = (20, 0.9);
    let log_p = |x: f64| -(x - 1.0).powi(2) / 0.5;
    let log_q = |x: f64| -x * x / 8.0 - (TAU * 4.0).ln() / 2.0;
    let chain = |noise: &mut Noise| {
        let (mut x, mut w) = (2.0 * f64::from(noise.normal()), 0.0);
        for k in 1..=steps {
            let beta = f64::from(k) / f64::from(steps);
            let before = x;
            let log_f = |x: f64| beta * log_p(x) + (1.0 - beta) * log_q(x);
            let slope = |x: f64| -beta * (x - 1.0) / 0.25 - (1.0 - beta) * x / 4.0;
            let start = f64::from(noise.normal());
            let half = start + h / 2.0 * slope(x);
            let there = x + h * half;
            let end = half + h / 2.0 * slope(there);
            let log_accept = log_f(there) - log_f(x) + (start * start - end * end) / 2.0;
            if noise.uniform().ln() < log_accept || wrong == Wrong::Unadjusted {
                x = there;
            }
            let at = if wrong == Wrong::Late { x } else { before };
            w += (log_p(at) - log_q(at)) / f64::from(steps);
        }
        if wrong == Wrong::Sign { -w } else { w }
    };
    LogZ { log_weights: (0..20_000).map(|_| chain(noise)).collect(), acceptance: 1.0 }
}

/// The estimator tells a right way from wrong ones.
#[test]
fn twins_that_are_wrong_are_seen() {
    let log_z = (TAU * 0.25).ln() / 2.0;
    assert_meets(&twin(Wrong::Nothing, &mut crate::common::noise("annealed twin")), log_z, 0.02);
    for wrong in [Wrong::Sign, Wrong::Late, Wrong::Unadjusted] {
        let Estimate { value, standard_error } = twin(wrong, &mut crate::common::noise("annealed twin")).estimate();
        assert!((value - log_z).abs() > 10.0 * standard_error, "{value} ± {standard_error} is taken for {log_z}");
    }
}

fn metrics(text: &str) -> Vec<MetricRecord> {
    let plan = plan(text);
    let network = plan.network(&device()).expect("builds");
    let found = stein_train::log_z(&plan, &network, &device(), |_, _| ControlFlow::Continue(()));
    found.expect("a density")
}

/// The exact network's density is normalised, and the truth.
#[test]
fn held_out_rows_have_the_log_likelihood_of_a_normalised_energy() {
    let schedules = [
        "kind = \"geometric\"\nsigma-max = 8.0\nsigma-min = 0.3\nlevels = 5",
        "kind = \"variance-preserving\"\nlevels = 8\nepsilon = 0.3",
        "kind = \"none\"\n[sampler]\nkind = \"langevin\"\nstep-size = 0.1",
    ];
    for schedule in schedules {
        let all = metrics(&format!(
            "[data]\nkind = \"gaussian-mixture\"\nmeans = [[-2.0, 0.0], [1.0, 1.0]]\nstd = 0.5\n[network]\nkind = \"exact\"\n\
             parameterization = \"score\"\n[schedule]\n{schedule}\n\
             [evaluation]\nlog-z = {{ chains = 200, temperatures = 50, leapfrog-steps = 3, rows = 300 }}\n"
        ));
        let of = |name: &str| all.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("{name} in {all:?}"));
        let estimate = |name| of(name).estimate;
        let (log_z, error) = (estimate("log-z"), estimate("energy-log-likelihood-error"));
        assert!(log_z.value.abs() < 4.0 * log_z.standard_error && log_z.standard_error < 0.1, "{log_z:?}");
        assert!((error.value + log_z.value).abs() < 1e-4, "{error:?}");
        assert!((error.standard_error - log_z.standard_error).abs() < 1e-4, "{error:?}");
        let quadrature = estimate("log-z-quadrature");
        assert!(quadrature.value.abs() < 1e-3 && quadrature.standard_error < 1e-3, "{quadrature:?}");
        assert!(!of("log-z-quadrature").about.contains("border"), "{}", of("log-z-quadrature").about);
        let own = of("energy-log-likelihood");
        let [floor, gaussian] = [own.floor, own.baseline].map(|e| e.expect("known"));
        assert!(
            (own.estimate.value + log_z.value - floor.value).abs() < 1e-4 && gaussian.value < floor.value,
            "{own:?}"
        );
        assert!((own.estimate.standard_error - log_z.standard_error.hypot(floor.standard_error)).abs() < 1e-4);
        let (share, accepted) = (estimate("log-z-effective-samples").value, estimate("log-z-acceptance").value);
        assert!((0.1..=1.0).contains(&share) && (0.5..1.0).contains(&accepted), "{share} {accepted}");
        assert!(
            of("log-z").about.contains("200 chains") && !of("log-z").about.contains("Only"),
            "{}",
            of("log-z").about
        );
    }
}

/// Few steps from a Gaussian that is far too wide say little, and it is said that they do.
#[test]
fn weights_that_are_far_apart_are_called_so() {
    let all = metrics(
        "[data]\nkind = \"gaussian-mixture\"\nmeans = [[-3.0, 0.0, 1.0, 4.0], [3.0, 1.0, 5.0, -2.0]]\nstd = 0.05\n\
         [network]\nkind = \"exact\"\nparameterization = \"score\"\n[schedule]\nkind = \"none\"\n[sampler]\nkind = \"langevin\"\nstep-size = 0.1\n\
         [evaluation]\nlog-z = { chains = 200, temperatures = 1 }\n",
    );
    let about = &all[0].about;
    assert!(about.contains("of the chains count") && about.contains("take more temperatures"), "{about}");
    assert!(all.iter().all(|m| !["log-z-quadrature", "log-z-acceptance"].contains(&m.name.as_str())), "{all:?}");
}

#[test]
fn networks_without_a_density_have_nothing_to_normalise() {
    let text = |network: &str| {
        format!(
            "training.steps = 0\n[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0]]\n[network]\nkind = \"{network}\"\n\
             [evaluation]\nlog-z = {{}}\n"
        )
    };
    let said = planned(&text("mlp")).expect_err("a free network");
    assert!(said.contains("`log-z` normalises a density, and a network of kind `mlp` has a score alone"), "{said}");
    assert!(said.contains("test.toml:8:") && said.contains("`energy-mlp`, `exact` and any network"), "{said}");
    assert!(planned(&text("exact")).is_ok());
}
