//! Networks of classes and guidance by them, on Gaussians and mixtures whose every class is known.

use std::sync::Mutex;

use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use stein_core::{
    Condition, Dataset, Jet, Level, NoObserver, Sampler, ScoreNetwork, Streams, Target, class_tensor, matrix, to_host,
};
use stein_data::IsotropicMixture;
use stein_experiment::Plan;
use stein_networks::Parameterized;
use stein_record::Array;
use stein_samplers::{AnnealedLangevin, Draw, Guided, Normal, ProbabilityFlow, Start, Starts, draw_classes};
use stein_train::{Batches, Layout, Trainee, TrainingState};

use crate::common::{Sigmas, at, device, draws, half_squares};
use crate::networks::{plan, planned};

/// N(m, v I) in the plane.
#[derive(Debug, Clone, Copy)]
struct Law {
    mean: [f64; 2],
    variance: f64,
}

impl Law {
    fn precision(self, level: Level) -> f64 {
        1.0 / (level.alpha * level.alpha * self.variance + level.sigma * level.sigma)
    }

    fn score(self, x: &[f32], level: Level) -> [f64; 2] {
        [0, 1].map(|i| (level.alpha * self.mean[i] - f64::from(x[i])) * self.precision(level))
    }

    fn log_density(self, x: &[f32], level: Level) -> f64 {
        let p = self.precision(level);
        let square: f64 = (0..2).map(|i| (level.alpha * self.mean[i] - f64::from(x[i])).powi(2)).sum();
        (p / std::f64::consts::TAU).ln() - p * square / 2.0
    }
}

/// The score of two classes, the last law that of no class; it remembers how often it was asked.
struct Laws {
    laws: [Law; 3],
    asked: Mutex<usize>,
}

impl Laws {
    fn new(laws: [Law; 3]) -> Self {
        Self { laws, asked: Mutex::new(0) }
    }

    /// The law, the row and the level of each example.
    fn rows(&self, x: &Tensor<2>, condition: &Condition) -> Vec<(Law, Vec<f32>, Level)> {
        *self.asked.lock().expect("one thread") += 1;
        let levels = condition.levels.clone().expect("noise");
        let (alpha, sigma) = (to_host(levels.alpha), to_host(levels.sigma));
        let classes = condition.class.clone().map(|class| to_host(class.float()));
        let rows = to_host(x.clone());
        let row = |(i, x): (usize, &[f32])| {
            let class = classes.as_ref().map_or(2, |classes| classes[i] as usize);
            let level = Level { alpha: f64::from(alpha[i]), sigma: f64::from(sigma[i]) };
            (self.laws[class], x.to_vec(), level)
        };
        rows.chunks(2).enumerate().map(row).collect()
    }
}

impl ScoreNetwork for Laws {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let rows = self.rows(&x.value(), condition);
        let score = rows.iter().flat_map(|(law, x, level)| law.score(x, *level).map(|s| s as f32)).collect();
        let score = matrix(score, 2, &device());
        let precision = rows.iter().flat_map(|(law, _, level)| [law.precision(*level) as f32; 2]).collect();
        let precision: Tensor<2> = matrix(precision, 2, &device());
        let tangents = (0..x.directions()).map(|k| x.tangent(k) * precision.clone().neg()).collect();
        Jet::seed(score, tangents)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        let rows = self.rows(&x, condition);
        let values = rows.iter().map(|(law, x, level)| law.log_density(x, *level) as f32).collect();
        Some(stein_core::vector(values, &device()))
    }
}

const LAWS: [Law; 3] = [
    Law { mean: [1.0, -0.5], variance: 0.3 },
    Law { mean: [-2.0, 0.5], variance: 0.8 },
    Law { mean: [-0.3, 0.2], variance: 2.5 },
];

#[test]
fn guidance_is_linear_in_scores_and_log_densities() {
    let n = 6;
    let points: Vec<f32> = (0..2 * n).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let classes = [0u32, 1, 1, 0, 1, 0];
    for level in [Level::exploding(0.4), Level { alpha: 0.6, sigma: 0.8 }] {
        for (w, evaluations) in [(0.0, 1), (-1.0, 1), (0.5, 2), (3.0, 2), (-0.4, 2)] {
            let laws = Laws::new(LAWS);
            let guided = Guided::each(&laws, &classes, w, &device());
            let x = matrix(points.clone(), 2, &device());
            let v: Tensor<2> = matrix(points.iter().map(|x| x.cos()).collect(), 2, &device());
            let jet = guided.jet(Jet::seed(x.clone(), vec![v.clone()]), &at(level, n));
            assert_eq!(*laws.asked.lock().expect("one thread"), evaluations, "w = {w}");
            let density = to_host(guided.log_density(x, &at(level, n)).expect("known"));
            let (score, along, v) = (to_host(jet.value()), to_host(jet.tangent(0)), to_host(v));
            let far = |a: f32, b: f64| (f64::from(a) - b).abs();
            let (mut worst, mut swapped, mut without) = (0.0f64, 0.0f64, 0.0f64);
            for (i, x) in points.chunks(2).enumerate() {
                let (own, all) = (LAWS[classes[i] as usize], LAWS[2]);
                let (s, t) = (own.score(x, level), all.score(x, level));
                for k in 0..2 {
                    let found = score[2 * i + k];
                    worst = worst.max(far(found, (1.0 + w) * s[k] - w * t[k]));
                    swapped = swapped.max(far(found, (1.0 - w) * s[k] + w * t[k]));
                    without = without.max(far(found, w * s[k] - w * t[k]));
                    let curvature = (1.0 + w) * own.precision(level) - w * all.precision(level);
                    worst = worst.max(far(along[2 * i + k], -curvature * f64::from(v[2 * i + k])));
                }
                let sum = (1.0 + w) * own.log_density(x, level) - w * all.log_density(x, level);
                worst = worst.max(far(density[i], sum) / 10.0);
            }
            assert!(worst < 1e-5, "w = {w}: {worst}");
            assert!(without > 0.1 && (w == 0.0 || swapped > 0.1), "w = {w}: {without}, {swapped}");
        }
    }
    // One class for all.
    let laws = Laws::new(LAWS);
    let x = || matrix(points.clone(), 2, &device());
    let all_of = |guided: Guided<'_>| to_host(guided.score(x(), &at(Level::exploding(0.4), n)));
    let one = all_of(Guided::to(&laws, 1, 0.7, &device()));
    assert_eq!(one, all_of(Guided::each(&laws, &[1; 6], 0.7, &device())));
    assert_ne!(one, all_of(Guided::each(&laws, &classes, 0.7, &device())));
}

/// Chains of two classes in turn, from N(0, σ₁² I), and their starts.
fn drawn(sampler: &dyn Sampler, laws: &Laws, sigmas: &Sigmas, w: f64, (first, chunk): (u64, usize)) -> [Array; 2] {
    let rows = Array::new([2, 2], vec![1.0, 0.0, -1.0, 0.0]);
    let data = Dataset { train: rows.clone(), held_out: rows, ..Dataset::default() };
    let start = Start::Normal(Normal { mean: 0.0, std: sigmas.0[0].sigma });
    let (starts, device, streams) = (Starts::new(&start, &data), device(), Streams::new(4));
    let what = Draw { samples: 23, first, chunk, starts: &starts, streams, device: &device };
    let samples = draw_classes(sampler, laws, sigmas, what, (2, w), |_| Box::new(NoObserver)).expect("drawn").samples;
    let from = starts.draw(sigmas, sigmas.0[0], &mut streams.chains("sampler", first..first + 23));
    [samples, Array::new([23, 2], from)]
}

#[test]
fn guided_flows_contract_as_the_closed_form_says() {
    // About a common mean the flow is x' = σ k(σ) x, k the guided precision: each factor integrates to a power.
    let laws = [0.2, 0.9, 1.6].map(|variance| Law { mean: [0.0; 2], variance });
    let sigmas: Vec<f64> = (0..200).map(|i| 6.0 * (0.05f64 / 6.0).powf(f64::from(i) / 199.0)).collect();
    let (first, last) = (sigmas[0], 0.05);
    let sigmas = Sigmas::new(&sigmas);
    let flow = ProbabilityFlow { denoise: false, ..ProbabilityFlow::default() };
    let factor = |class: usize, w: f64| {
        let shrunk = |law: Law| (law.variance + last * last) / (law.variance + first * first);
        shrunk(laws[class]).powf((1.0 + w) / 2.0) * shrunk(laws[2]).powf(-w / 2.0)
    };
    for w in [-1.0, 0.0, 1.0, 3.0] {
        let [samples, starts] = drawn(&flow, &Laws::new(laws), &sigmas, w, (0, 23));
        for i in 0..23 {
            let ratio = f64::from(samples.row(i)[0]) / f64::from(starts.row(i)[0]);
            let expected = factor(i % 2, w);
            assert!((ratio / expected - 1.0).abs() < 2e-3, "w = {w}, chain {i}: {ratio}, not {expected}");
            // The other class and the other sign are told apart.
            assert!(w == -1.0 || (ratio / factor((i + 1) % 2, w) - 1.0).abs() > 0.05);
            assert!(w == 0.0 || w == -1.0 || (ratio / factor(i % 2, -w) - 1.0).abs() > 0.05);
        }
    }
    // What is narrower than the whole becomes narrower still.
    assert!(factor(0, 3.0) < factor(0, 1.0) && factor(0, 1.0) < factor(0, 0.0));
}

#[test]
fn a_chain_has_its_class_whatever_the_chunk() {
    let sigmas = Sigmas::new(&[3.0, 1.0, 0.3]);
    let sampler = AnnealedLangevin::default();
    let draw = |first, chunk| drawn(&sampler, &Laws::new(LAWS), &sigmas, 1.5, (first, chunk))[0].clone();
    let whole = draw(0, 23);
    for chunk in [1, 4, 5] {
        assert_eq!(draw(0, chunk), whole, "chunks of {chunk}");
    }
    // Further chains go on with the classes where the first ended.
    assert_eq!(draw(3, 7).slice(0..20), whole.slice(3..23));
    // By class the samples lie where the guided laws do, on either side of 0.
    assert!((0..23).all(|i| (whole.row(i)[0] > 0.0) == (i % 2 == 0)), "{whole:?}");
}

const MIXTURE: &str =
    "kind = \"gaussian-mixture\"\nmeans = [[-1.0, 0.0], [1.0, 0.5]]\nstd = [0.6, 0.5]\nweights = [2, 1]\ntrain = 20000";

fn experiment(data: &str, network: &str, rest: &str) -> String {
    format!(
        "[data]\n{data}\n[network]\nkind = \"mlp\"\nhidden = [64, 64]\n{network}\n\
         [schedule]\nsigma-max = 4.0\nsigma-min = 0.1\nlevels = 12\n{rest}\n"
    )
}

/// Trains the plan's network as a run does, without its files.
fn trained(plan: &Plan) -> Parameterized {
    let on_tape = device().autodiff();
    let batches = Batches::new(plan, &on_tape);
    let mut trainee = Trainee::new(plan.network(&on_tape).expect("builds"), plan.objective.clone());
    let layout = Layout::of(&trainee);
    let training = &plan.experiment.training;
    let mut state = TrainingState::new(&layout, &trainee);
    for step in 0..training.steps {
        let mut batch = batches.training(step);
        let losses = plan.objective.loss(&trainee.network, &batch.perturbed, &mut batch.noise);
        let gradients = GradientsParams::from_grads((losses * batch.weights).mean().backward(), &trainee);
        state.update(layout.gradients(&trainee, &gradients), training);
        trainee = layout.unflatten(trainee, state.parameters.clone());
    }
    layout.unflatten(plan.network(&device()).expect("builds"), state.average)
}

/// E‖s − s*‖² over E‖s*‖² on draws of a law at a level, for the network asked for a class (`None` for the null token).
fn relative_fisher(network: &Parameterized, class: Option<u32>, law: &IsotropicMixture, sigma: f64) -> f64 {
    let n = 2000;
    let (clean, z) = draws(law, n, "classes");
    let x = clean + z * sigma;
    let condition = at(Level::exploding(sigma), n);
    let exact = law.score(x.clone(), &condition);
    let class = class.map(|class| class_tensor(&vec![class; n], &device()));
    let error = network.score(x, &condition.with_class(class)) - exact.clone();
    half_squares(error).iter().sum::<f32>() as f64 / half_squares(exact).iter().sum::<f32>() as f64
}

#[test]
fn one_network_learns_each_class_and_the_whole() {
    let rest = "[training]\nsteps = 3000\nbatch-size = 256\nclass-dropout = 0.4\nema = 0.99\n\
                optimizer = { kind = \"adam\", learning-rate = 3e-3 }\n\
                [sampler]\nkind = \"probability-flow\"";
    let plan = plan(&experiment(MIXTURE, "classes = true", rest));
    assert_eq!(plan.classes, Some(2));
    let network = trained(&plan);
    let component = |mean: [f64; 2], std| IsotropicMixture::new(vec![mean.to_vec()], vec![std], vec![1.0]);
    let (a, b) = (component([-1.0, 0.0], 0.6), component([1.0, 0.5], 0.5));
    let whole = IsotropicMixture::new(vec![vec![-1.0, 0.0], vec![1.0, 0.5]], vec![0.6, 0.5], vec![2.0, 1.0]);
    for sigma in [0.7, 1.0, 2.0] {
        for (class, law) in [(Some(0), &a), (Some(1), &b), (None, &whole)] {
            let own = relative_fisher(&network, class, law, sigma);
            let others = [Some(0), Some(1), None].into_iter().filter(|&other| other != class);
            let best = others.map(|other| relative_fisher(&network, other, law, sigma)).fold(f64::INFINITY, f64::min);
            assert!(own < 0.04, "class {class:?} at σ = {sigma}: {own}");
            assert!(best > 5.0 * own, "class {class:?} at σ = {sigma}: {own}, and another {best}");
        }
    }
    let samples = {
        let (device, start) = (device(), Start::Prior);
        let starts = Starts::new(&start, &plan.dataset);
        let what =
            Draw { samples: 400, first: 0, chunk: 150, starts: &starts, streams: Streams::new(1), device: &device };
        let observe = |_| -> Box<dyn stein_core::Observer> { Box::new(NoObserver) };
        draw_classes(&*plan.sampler, &network, &*plan.schedule, what, (2, 0.0), observe).expect("drawn").samples
    };
    // Samples of a class fall on its side as often as draws of the component do.
    let nearer = |x: &[f32]| {
        let square = |m: [f32; 2], s: f32| ((x[0] - m[0]).powi(2) + (x[1] - m[1]).powi(2)) / (s * s);
        usize::from(square([1.0, 0.5], 0.5) < square([-1.0, 0.0], 0.6))
    };
    let truth = [&a, &b].map(|law| to_host(draws(law, 4000, "sides").0));
    for (class, truth) in truth.iter().enumerate() {
        let of_truth = truth.chunks(2).filter(|x| nearer(x) == class).count() as f64 / 4000.0;
        let found = (0..400).filter(|&i| i % 2 == class && nearer(samples.row(i)) == class).count() as f64 / 200.0;
        let error = (of_truth * (1.0 - of_truth) / 200.0).sqrt();
        assert!((found - of_truth).abs() < 4.0 * error, "class {class}: {found}, not {of_truth}");
    }
}

#[test]
fn what_classes_cannot_do_is_refused() {
    let said = |data: &str, network: &str, rest: &str| match planned(&experiment(data, network, rest)) {
        Ok(_) => "nothing".to_owned(),
        Err(said) => said,
    };
    let known = |rest: &str| said(MIXTURE, "classes = true", rest);
    assert_eq!(known(""), "nothing");
    assert_eq!(known("[sampler]\nclass = 1\nguidance = 2.5"), "nothing");
    assert_eq!(known("[sampler]\nguidance = -1"), "nothing");
    let flow = "[sampler]\nkind = \"probability-flow\"\nmethod = \"dormand-prince\"";
    assert_eq!(known(&format!("{flow}\nclass = 0")), "nothing");
    assert_eq!(known(&format!("{flow}\nguidance = -1")), "nothing");
    let none = "network.classes = true";
    let moons = "kind = \"two-moons\"";
    for (found, expected) in [
        (known(flow), "sampler.class"),
        (known("[sampler]\nclass = 2"), "from 0 to 1"),
        (known("[sampler]\nguidance = -1.5"), "at least -1"),
        (known("[sampler]\nguidance = nan"), "at least -1"),
        (known("[training]\nclass-dropout = 0"), "above 0"),
        (known("[training]\nclass-dropout = 1"), "below 1"),
        (known("[objective]\nkind = \"explicit\""), "each class's own"),
        (said(MIXTURE, "", "[sampler]\nclass = 0"), none),
        (said(MIXTURE, "", "[sampler]\nguidance = 1"), none),
        (said(moons, "classes = true", ""), "no classes"),
    ] {
        assert!(found.contains(expected), "{found}\n\nshould say: {expected}");
    }
}

#[test]
fn without_classes_nothing_changes() {
    let hash = |network: &str| plan(&experiment(MIXTURE, network, "")).experiment.cell().hash;
    assert_eq!(hash(""), hash("classes = false"));
    assert_ne!(hash(""), hash("classes = true"));
    let batch = |network: &str| Batches::new(&plan(&experiment(MIXTURE, network, "")), &device()).training(3);
    let (plain, told) = (batch(""), batch("classes = true"));
    assert!(plain.perturbed.condition.class.is_none());
    assert_eq!(to_host(plain.perturbed.noisy), to_host(told.perturbed.noisy.clone()));
    // Each row has its component's class, or the null token, about a tenth of them.
    let class = to_host(told.perturbed.condition.class.expect("told").float());
    let clean = to_host(told.perturbed.clean);
    let hidden = class.iter().filter(|&&c| c == 2.0).count();
    assert!((4..=25).contains(&hidden), "{hidden} of 128");
    let side = clean.chunks(2).zip(&class).filter(|(x, c)| **c < 2.0 && (x[0] > 0.0) == (**c == 1.0)).count();
    assert!(side > (128 - hidden) * 9 / 10, "{side}");
}
