//! Objectives against what theory says of their values.

use burn::tensor::Tensor;
use stein_core::{Component, Condition, Level, Objective, Perturbed, ScoreNetwork, Target, to_host};
use stein_jet::Jet;
use stein_objectives::{Denoising, Derivative, Explicit, Implicit, Probe, Sliced, Trace, WeightAt, Weighting};

use crate::common::{at, device, draws, exact, gaussian, half_squares, mean, noise, three_modes};
use crate::networks::{plan, shaken};

/// −a (x − b): a linear score that is wrong on purpose.
struct Linear {
    a: f64,
    b: f64,
}

impl ScoreNetwork for Linear {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let shift = x.value().zeros_like() - self.b;
        x.add_constant(shift).scale_by(-self.a)
    }
    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

fn denoising() -> std::sync::Arc<dyn Objective> {
    Component::build(&Denoising::default(), ()).expect("denoising builds")
}

fn loss(network: &dyn ScoreNetwork, target: &dyn Target, level: Level, n: usize, name: &str) -> Vec<f32> {
    let (clean, z) = draws(target, n, name);
    let batch = Perturbed::new(clean, z, at(level, n));
    to_host(denoising().loss(network, &batch, &mut noise("objective")))
}

#[test]
fn denoising_has_its_closed_form_on_a_gaussian() {
    // x ~ N(0, s² I), s(x̃) = −a (x̃ − b), x̃ = αx + σz:
    // ½E‖s + z/σ‖² = D/2 [a² (α² s² + b²) + (1/σ − a σ)²].
    let (s, a, b, level) = (0.7, 1.3, 0.4, Level { alpha: 0.8, sigma: 0.6 });
    let (value, error) = mean(&loss(&Linear { a, b }, &gaussian(vec![0.0; 3], s), level, 100_000, "closed form"));
    let signal = level.alpha * level.alpha * s * s + b * b;
    let closed = 1.5 * (a * a * signal + (1.0 / level.sigma - a * level.sigma).powi(2));
    assert!((value - closed).abs() < 4.0 * error, "{value} ± {error}, closed form {closed}");
    let wrong_sign = 1.5 * (a * a * signal + (1.0 / level.sigma + a * level.sigma).powi(2));
    for twin in [wrong_sign, 2.0 * closed, closed / 3.0] {
        assert!((value - twin).abs() > 20.0 * error, "{twin} must be told from {closed}");
    }
}

#[test]
fn denoising_minus_its_floor_is_the_explicit_objective() {
    let (target, network) = (three_modes(), Linear { a: 0.4, b: -0.3 });
    for level in [Level::exploding(0.3), Level::exploding(2.0), Level { alpha: 0.6, sigma: 0.8 }] {
        let n = 60_000;
        let (clean, z) = draws(&target, n, "floor");
        let batch = Perturbed::new(clean, z, at(level, n));
        let mut unused = noise("objective");
        let of = |network: &dyn ScoreNetwork, unused: &mut _| to_host(denoising().loss(network, &batch, unused));
        let (learned, floor) = (of(&network, &mut unused), of(&exact(three_modes()), &mut unused));
        let score = network.score(batch.noisy.clone(), &batch.condition);
        let truth = target.score(batch.noisy.clone(), &batch.condition);
        let explicit = half_squares(score - truth);
        let differences: Vec<f32> = learned.iter().zip(&floor).zip(&explicit).map(|((l, f), e)| l - f - e).collect();
        let (gap, error) = mean(&differences);
        assert!(gap.abs() < 4.0 * error, "σ = {}: {gap} ± {error}", level.sigma);
        let twin: Vec<f32> = learned.iter().zip(&floor).zip(&explicit).map(|((l, f), e)| l - f - 2.0 * e).collect();
        let (gap, error) = mean(&twin);
        assert!(gap.abs() > 10.0 * error, "a factor of 2 must be seen");
    }
}

#[test]
fn floors_of_the_three_modes() {
    let target = three_modes();
    for (sigma, floor) in [(0.1, 96.15), (0.3, 8.173), (1.0, 0.3501)] {
        let (value, error) = mean(&loss(&exact(three_modes()), &target, Level::exploding(sigma), 60_000, "floors"));
        assert!((value - floor).abs() < 4.0 * error + 5e-4 * floor, "σ = {sigma}: {value} ± {error}, not {floor}");
    }
}

/// A batch of draws at a level, or clean, with the exact score.
fn batch_of(target: &dyn Target, level: Option<Level>, n: usize, name: &str) -> Perturbed {
    let (clean, z) = draws(target, n, name);
    let batch = match level {
        Some(level) => Perturbed::new(clean, z, at(level, n)),
        None => Perturbed::clean(clean),
    };
    let exact = target.score(batch.noisy.clone(), &batch.condition);
    batch.with_exact_score(exact)
}

fn losses(
    objective: impl Component<stein_core::ObjectivePart>,
    network: &dyn ScoreNetwork,
    batch: &Perturbed,
) -> Vec<f32> {
    let objective: std::sync::Arc<dyn Objective> = objective.build(()).expect("builds");
    to_host(objective.loss(network, batch, &mut noise("probes")))
}

const LEVELS: [Option<Level>; 3] =
    [None, Some(Level { alpha: 1.0, sigma: 0.8 }), Some(Level { alpha: 0.6, sigma: 0.8 })];

#[test]
fn implicit_plus_the_fisher_information_is_explicit() {
    let (target, network) = (three_modes(), Linear { a: 0.4, b: -0.3 });
    for level in LEVELS {
        let batch = batch_of(&target, level, 100_000, "implicit");
        let implicit = losses(Implicit::default(), &network, &batch);
        let explicit = losses(Explicit {}, &network, &batch);
        let fisher = half_squares(batch.exact_score.clone().expect("known"));
        let gap = |factor: f32| -> (f64, f64) {
            mean(&implicit.iter().zip(&explicit).zip(&fisher).map(|((i, e), f)| i + factor * f - e).collect::<Vec<_>>())
        };
        let (value, error) = gap(1.0);
        assert!(value.abs() < 4.0 * error, "{level:?}: {value} ± {error}");
        for twin in [2.0, -1.0, 0.0] {
            let (value, error) = gap(twin);
            assert!(value.abs() > 8.0 * error, "{level:?}: a factor of {twin} must be seen");
        }
    }
}

#[test]
fn the_implicit_objective_at_the_truth() {
    let target = three_modes();
    let batch = batch_of(&target, None, 100_000, "truth");
    let (value, error) = mean(&losses(Implicit::default(), &exact(three_modes()), &batch));
    assert!((value + 3.99978).abs() < 4.0 * error, "{value} ± {error}");
}

#[test]
fn an_exact_trace_is_the_sum_over_the_basis() {
    // Two hidden layers know their trace, three do not.
    for hidden in ["[9]", "[9, 7]", "[9, 7, 5]"] {
        let of = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0]]\n[network]\nkind = \"mlp\"\n";
        let network = shaken(&plan(&format!("{of}hidden = {hidden}\n")), &device());
        let batch = batch_of(&three_modes(), LEVELS[1], 50, "basis");
        let of = |trace| losses(Implicit { trace, ..Implicit::default() }, &network, &batch);
        let (exact, basis) = (of(Trace::Exact), of(Trace::Basis));
        let size = basis.iter().fold(0.0f32, |m, b| m.max(b.abs()));
        let apart =
            |factor: f32| exact.iter().zip(&basis).fold(0.0f32, |m, (e, b)| m.max((e - factor * b).abs())) / size;
        assert!(apart(1.0) < 1e-4, "{hidden}: {exact:?}, not {basis:?}");
        assert!(apart(1.01) > 1e-3, "{hidden}: 1 % must be seen");
    }
}

/// tr J of an affine score, the same for each example, with an asymmetric Jacobian.
struct Shear;

impl ScoreNetwork for Shear {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        x.linear_map(|x| {
            let j = stein_core::matrix(vec![-1.0, 0.7, 0.2, -2.0], 2, &x.device());
            x.matmul(j)
        })
    }
    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

#[test]
fn random_directions_are_unbiased_with_the_variance_of_theory() {
    let batch = batch_of(&gaussian(vec![0.0; 2], 1.0), None, 200_000, "probes");
    let exact = losses(Implicit::default(), &Shear, &batch);
    // A, the symmetric part of J: diagonal −1, −2, off-diagonal 0.45.
    let (square, diagonal, trace) = (1.0 + 4.0 + 2.0 * 0.45 * 0.45, 5.0, -3.0);
    let d = 2.0;
    for (probe, variance) in [
        (Probe::Gaussian, 2.0 * square),
        (Probe::Rademacher, 2.0 * (square - diagonal)),
        (Probe::Sphere, 2.0 * d / (d + 2.0) * (square - trace * trace / d)),
    ] {
        for probes in [1, 4] {
            let implicit = Implicit { trace: Trace::Hutchinson, probe, probes };
            let sliced = Sliced { projections: probes, probe, ..Sliced::default() };
            for estimates in [losses(implicit, &Shear, &batch), losses(sliced, &Shear, &batch)] {
                let noise: Vec<f32> = estimates.iter().zip(&exact).map(|(a, b)| a - b).collect();
                let (bias, error) = mean(&noise);
                assert!(bias.abs() < 4.0 * error + 1e-6, "{probe:?}: bias {bias} ± {error}");
                let found = noise.iter().map(|e| f64::from(*e).powi(2)).sum::<f64>() / noise.len() as f64;
                let expected = variance / probes as f64;
                assert!(
                    (found / expected - 1.0).abs() < 0.05,
                    "{probe:?} × {probes}: variance {found}, not {expected}"
                );
                // Directions of the wrong length (a unit sphere, say), and so a bias of half the trace, must be seen.
                let halved: Vec<f32> =
                    estimates.iter().zip(&exact).map(|(a, b)| 0.5 * (a - b) - 0.5 * trace as f32).collect();
                let (bias, error) = mean(&halved);
                assert!(bias.abs() > 20.0 * error, "{probe:?}: {bias} ± {error}");
            }
        }
    }
}

/// vᵀ J v + ½(vᵀs)² is the quadratic form of B = sym J + ½ s sᵀ, whose variances are those of theory.
#[test]
fn slices_without_variance_reduction_have_the_variance_of_theory() {
    let batch = batch_of(&gaussian(vec![0.0; 2], 1.0), None, 200_000, "plain slices");
    let exact = losses(Implicit::default(), &Shear, &batch);
    let scores = to_host(Shear.score(batch.noisy.clone(), &batch.condition));
    for (probe, of) in [
        (Probe::Gaussian, (|square, _, _| 2.0 * square) as fn(f64, f64, f64) -> f64),
        (Probe::Rademacher, |square, diagonal, _| 2.0 * (square - diagonal)),
        (Probe::Sphere, |square, _, trace| square - trace * trace / 2.0),
    ] {
        let sliced = Sliced { variance_reduced: false, probe, ..Sliced::default() };
        let found = scatter(&losses(sliced, &Shear, &batch), &exact);
        let theory = |half: f64| {
            let each = scores.chunks(2).map(|s| {
                let (s, t) = (f64::from(s[0]), f64::from(s[1]));
                let (a, b, c) = (-1.0 + half * s * s, 0.45 + half * s * t, -2.0 + half * t * t);
                of(a * a + c * c + 2.0 * b * b, a * a + c * c, a + c)
            });
            each.sum::<f64>() / exact.len() as f64
        };
        let expected = theory(0.5);
        assert!((found / expected - 1.0).abs() < 0.05, "{probe:?}: variance {found}, not {expected}");
        assert!((found / theory(1.0) - 1.0).abs() > 0.2, "{probe:?}: without the ½, the twin");
    }
}

#[test]
fn slices_without_variance_reduction_are_unbiased_too() {
    let batch = batch_of(&three_modes(), Some(Level::exploding(0.8)), 100_000, "slices");
    let network = Linear { a: 0.4, b: -0.3 };
    let exact = losses(Implicit::default(), &network, &batch);
    // Gaussian directions: the sliced objective's square is then (vᵀs)² with mean ‖s‖².
    for probe in [Probe::Gaussian, Probe::Sphere, Probe::Rademacher] {
        let sliced = Sliced { variance_reduced: false, probe, ..Sliced::default() };
        let noise: Vec<f32> = losses(sliced, &network, &batch).iter().zip(&exact).map(|(a, b)| a - b).collect();
        let (bias, error) = mean(&noise);
        assert!(bias.abs() < 4.0 * error, "{probe:?}: bias {bias} ± {error}");
    }
    // Without the ½ before (vᵀs)², the twin:
    let score = half_squares(network.score(batch.noisy.clone(), &batch.condition));
    let twin: Vec<f32> = losses(Sliced { variance_reduced: false, ..Sliced::default() }, &network, &batch)
        .iter()
        .zip(&exact)
        .zip(&score)
        .map(|((a, b), s)| a + s - b)
        .collect();
    let (bias, error) = mean(&twin);
    assert!(bias > 10.0 * error);
}

#[test]
fn finite_differences_converge_with_the_square_of_epsilon() {
    let batch = batch_of(&three_modes(), Some(Level::exploding(0.5)), 2000, "differences");
    let network = exact(three_modes());
    let value = |epsilon, derivative| {
        let sliced = Sliced { derivative, epsilon, ..Sliced::default() };
        losses(sliced, &network, &batch)
    };
    let forward = value(0.1, Derivative::Forward);
    let error = |epsilon: f64| {
        let difference = value(epsilon, Derivative::FiniteDifference);
        let squares: f64 = difference.iter().zip(&forward).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        (squares / forward.len() as f64).sqrt()
    };
    let (coarse, fine) = (error(0.08), error(0.04));
    let order = (coarse / fine).log2();
    assert!((order - 2.0).abs() < 0.1, "order {order}: {coarse} {fine}");
    // A one-sided difference, the twin, is of order one: its error is (s(x + ε) − s(x))·v/ε − vᵀJv.
    let one_sided = |epsilon: f64| {
        let v = Probe::Rademacher.draw(&batch.noisy, &mut noise("one-sided"));
        let at = |x: Tensor<2>| network.score(x, &batch.condition);
        let step = v.clone() * (epsilon / 2f64.sqrt());
        let slope = ((at(batch.noisy.clone() + step) - at(batch.noisy.clone())) * v.clone()).sum_dim(1);
        let slope = to_host(slope * (2f64.sqrt() / epsilon));
        let jet = network.jet(Jet::seed(batch.noisy.clone(), vec![v.clone()]), &batch.condition);
        scatter(&slope, &to_host((jet.tangent(0) * v).sum_dim(1))).sqrt()
    };
    assert!((one_sided(0.08) / one_sided(0.04)).log2() < 1.5);
    // In single precision a tiny step cancels: worse, not better.
    assert!(error(1e-5) > error(0.01));
}

/// The variances of two sets of numbers around the same truth.
fn scatter(estimates: &[f32], truth: &[f32]) -> f64 {
    estimates.iter().zip(truth).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / truth.len() as f64
}

/// s(x) = J x with J = c u uᵀ + 0.1 K in five dimensions: one direction does nearly everything.
struct LowRank;

const LOW_RANK: usize = 5;

impl LowRank {
    /// Jᵀ, row major; its trace is Σ of the diagonal.
    fn transposed() -> Vec<f32> {
        let u = [0.2f32, -0.6, 0.4, 0.6, 0.3];
        let j = |r: usize, c: usize| -4.0 * u[r] * u[c] + 0.1 * ((r * 3 + c * 5) % 7) as f32 - 0.3;
        (0..LOW_RANK * LOW_RANK).map(|i| j(i % LOW_RANK, i / LOW_RANK)).collect()
    }
}

impl ScoreNetwork for LowRank {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        x.linear_map(|x| {
            let j = stein_core::matrix(Self::transposed(), LOW_RANK, &x.device());
            x.matmul(j)
        })
    }
    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

#[test]
fn hutch_plus_plus_is_unbiased_and_beats_hutchinson_near_low_rank() {
    let batch = batch_of(&gaussian(vec![0.0; LOW_RANK], 1.0), None, 40_000, "hutch++");
    let exact = losses(Implicit::default(), &LowRank, &batch);
    for probe in [Probe::Rademacher, Probe::Gaussian, Probe::Sphere] {
        let of = |trace, probes| losses(Implicit { trace, probe, probes }, &LowRank, &batch);
        let mut variances = Vec::new();
        for probes in [3, 6, 12] {
            let estimates = of(Trace::HutchPlusPlus, probes);
            let differences: Vec<f32> = estimates.iter().zip(&exact).map(|(a, b)| a - b).collect();
            let (bias, error) = mean(&differences);
            assert!(bias.abs() < 4.0 * error + 1e-5, "{probe:?} × {probes}: bias {bias} ± {error}");
            variances.push(scatter(&estimates, &exact));
        }
        let hutchinson = scatter(&of(Trace::Hutchinson, 3), &exact);
        assert!(variances[0] < 0.5 * hutchinson, "{probe:?}: {variances:?} against {hutchinson}");
        assert!(variances.windows(2).all(|w| w[1] < w[0]), "{probe:?}: {variances:?}");
    }
    // What the basis alone holds is biased: with no direction left for the complement, the twin.
    let sketch = Probe::Gaussian.draw(&batch.noisy, &mut noise("sketch"));
    let nothing = sketch.zeros_like();
    let twin = batch.clone().with_probes(vec![sketch, nothing]);
    let config = Implicit { trace: Trace::HutchPlusPlus, probe: Probe::Gaussian, probes: 3 };
    let differences: Vec<f32> = losses(config, &LowRank, &twin).iter().zip(&exact).map(|(a, b)| a - b).collect();
    let (bias, error) = mean(&differences);
    assert!(bias.abs() > 20.0 * error, "{bias} ± {error}");
}

#[test]
fn hutch_plus_plus_refuses_what_makes_no_sense() {
    let of = |probes| Implicit { trace: Trace::HutchPlusPlus, probe: Probe::Gaussian, probes };
    assert!(Component::check(&of(4)).unwrap_err().message.contains("multiple of 3"));
    assert!(Objective::accepts(&of(15), LOW_RANK).is_err(), "five directions of five");
    assert!(Objective::accepts(&of(12), LOW_RANK).is_ok());
}

#[test]
fn variance_reduced_denoising_keeps_its_mean() {
    // A score that is right, at a small σ: what is left of the plain loss is mostly noise.
    let (target, network) = (three_modes(), exact(three_modes()));
    let batch = batch_of(&target, Some(Level::exploding(0.05)), 60_000, "variates");
    let of = |control_variate, antithetic| {
        losses(Denoising { control_variate, antithetic, ..Denoising::default() }, &network, &batch)
    };
    let spread = |values: &[f32]| {
        let (m, error) = mean(values);
        (m, error, error * error * values.len() as f64)
    };
    let (value, plain_error, variance) = spread(&of(false, false));
    for (control_variate, antithetic) in [(true, false), (false, true), (true, true)] {
        let (other, error, other_variance) = spread(&of(control_variate, antithetic));
        assert!((other - value).abs() < 4.0 * (error + plain_error), "{other} and {value}");
        // ‖z‖²/(2σ²) is the same for z and −z: only the control variate takes it out of the loss.
        let share = other_variance / variance;
        assert!(!control_variate || share < 0.05, "control variate, antithetic {antithetic}: {share}");
    }
    // Subtracted twice, the twin, it has the same mean, but not the scatter; without its D it is off by D/(2σ²).
    let reduced = of(true, false);
    let twice: Vec<f32> = reduced.iter().zip(of(false, false)).map(|(r, p)| 2.0 * r - p).collect();
    assert!(spread(&twice).2 > 0.5 * variance, "{} and {variance}", spread(&twice).2);
    let (other, error, _) = spread(&reduced);
    assert!((other - value + 2.0 / (2.0 * 0.05f64.powi(2))).abs() > 20.0 * error);
}

/// The gradient in a parameter is what training averages: at small σ it is nearly all ∂s(x)ᵀz/σ, which is odd in z.
#[test]
fn control_variate_and_antithetic_noise_quiet_the_gradient() {
    let batch = batch_of(&three_modes(), Some(Level::exploding(0.05)), 40_000, "gradients");
    let gradient = |config: &Denoising| -> Vec<f32> {
        let at = |a: f64| losses(config.clone(), &Linear { a, b: -0.3 }, &batch);
        at(0.5).iter().zip(at(0.3)).map(|(up, down)| (up - down) / 0.2).collect()
    };
    let moments = |config: Denoising| {
        let (m, error) = mean(&gradient(&config));
        (m, error, error * error * 40_000.0)
    };
    let (plain, plain_error, variance) = moments(Denoising::default());
    for (control_variate, antithetic) in [(true, false), (false, true), (true, true)] {
        let (quiet, error, reduced) = moments(Denoising { control_variate, antithetic, ..Denoising::default() });
        assert!((quiet - plain).abs() < 4.0 * (plain_error + error), "{quiet} and {plain}");
        assert!(reduced < 0.1 * variance, "{control_variate} {antithetic}: {reduced} of {variance}");
    }
}

#[test]
fn edm_is_the_papers_loss_of_the_denoiser() {
    // λ(σ)‖D(x + n) − x‖² with the paper's λ, halved, against ours: weighting `edm` times the denoising loss.
    let (sigma, sigma_data) = (0.7, 0.4);
    let network = Linear { a: 1.1, b: 0.2 };
    let batch = batch_of(&three_modes(), Some(Level::exploding(sigma)), 500, "edm");
    let score = network.score(batch.noisy.clone(), &batch.condition);
    let denoised = batch.noisy.clone() + score * sigma * sigma;
    let papers = (sigma * sigma + sigma_data * sigma_data) / (sigma * sigma_data).powi(2);
    let theirs = half_squares(denoised - batch.clean.clone());
    let at = WeightAt { sigma, sigma_data, draw_density: f64::NAN };
    let ours = losses(Denoising::default(), &network, &batch);
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let (theirs, ours) = (f64::from(*theirs) * papers, f64::from(*ours) * Weighting::Edm.at(at));
        assert!((theirs - ours).abs() < 1e-4 * theirs.abs().max(1.0), "{theirs} {ours}");
    }
}
