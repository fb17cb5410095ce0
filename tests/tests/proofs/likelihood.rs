//! The probability flow to a tolerance, and the log-density that it carries along.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use stein_core::{
    ChainNoise, Component, Condition, Level, NoObserver, NoiseSchedule, SampleError, Sampler, SamplerContext,
    ScoreNetwork, Streams, Target, matrix, to_array, to_host,
};
use stein_data::IsotropicMixture;
use stein_jet::Jet;
use stein_record::{Array, Estimate};
use stein_samplers::{
    Likelihood, LikelihoodBound, LogLikelihood, Method, ProbabilityFlow, Terminal, Tolerance, Trace, likelihood_bound,
    log_likelihood, with_last_noise,
};

use crate::common::{at, device, draws, exact, gaussian, noise, three_modes};
use crate::networks::plan;

/// Levels that know how α goes with σ/α.
#[derive(Debug)]
struct Ends {
    levels: Vec<Level>,
    preserving: bool,
}

impl Ends {
    fn new(most: f64, least: f64, preserving: bool) -> Self {
        let mut ends = Self { levels: Vec::new(), preserving };
        ends.levels = [most, (most * least).sqrt(), least].map(|ratio| ends.at_ratio(ratio)).to_vec();
        ends
    }
}

impl NoiseSchedule for Ends {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn at_ratio(&self, ratio: f64) -> Level {
        let alpha = if self.preserving { 1.0 / ratio.hypot(1.0) } else { 1.0 };
        Level { alpha, sigma: ratio * alpha }
    }
}

fn both(most: f64, least: f64) -> [Ends; 2] {
    [Ends::new(most, least, false), Ends::new(most, least, true)]
}

fn adaptive(tolerance: f64) -> ProbabilityFlow {
    let given = Some(tolerance);
    ProbabilityFlow { method: Method::DormandPrince, rtol: given, atol: given, denoise: false }
}

fn chains(n: usize) -> ChainNoise {
    Streams::new(5).chains("test", 0..n as u64)
}

/// On N(m, s²) the flow keeps (x − α m)/√(α² s² + σ²).
#[test]
fn the_flow_of_a_normal_is_met_to_the_tolerance() {
    let (m, s) = (1.5, 0.5);
    let start = [-60.0f32, -3.0, 0.1, 8.0, 45.0];
    for schedule in both(40.0, 0.01) {
        let (first, last) = (schedule.first(), schedule.last());
        let width = |l: Level| ((l.alpha * s).powi(2) + l.sigma.powi(2)).sqrt();
        let error = |tolerance: f64| {
            let x = matrix(start.iter().map(|x| x * first.alpha as f32).collect(), 1, &device());
            let score = exact(gaussian(vec![m], s));
            let x = adaptive(tolerance).sample(&score, &schedule, x, &mut chains(5), &mut NoObserver);
            let ends = to_host(x.expect("solved"));
            let errors = ends.iter().zip(start).map(|(x, start)| {
                let start = f64::from(start * first.alpha as f32);
                let truth = last.alpha * m + (start - first.alpha * m) * width(last) / width(first);
                (f64::from(*x) - truth).abs()
            });
            errors.fold(0.0, f64::max)
        };
        let errors = [1e-2, 1e-3, 1e-4, 1e-5].map(error);
        assert!(errors[3] < 5e-5 && errors[2] < 5e-4, "{errors:?}");
        // A tolerance that nobody looks at would leave it where it is.
        assert!((errors[0] / errors[3]).log10() > 2.0, "{errors:?}");
    }
}

fn starts(schedule: &Ends, n: usize, d: usize) -> Array {
    let sigma = schedule.first().sigma;
    let z = noise("adaptive starts").normals(n * d);
    Array::new([n, d], z.into_iter().map(|z| (sigma * f64::from(z)) as f32).collect())
}

#[test]
fn a_chain_does_not_depend_on_its_neighbours() {
    for schedule in both(20.0, 0.05) {
        let all = starts(&schedule, 40, 2);
        let end = |part: Array| {
            let (n, x) = (part.rows(), stein_core::to_tensor(&part, &device()));
            let end = adaptive(1e-4).sample(&exact(three_modes()), &schedule, x, &mut chains(n), &mut NoObserver);
            to_array(end.expect("solved")).data
        };
        let together = end(all.clone());
        let apart: Vec<f32> = (0..40).step_by(7).flat_map(|i| end(all.slice(i..(i + 7).min(40)))).collect();
        assert_eq!(together, apart);
    }
}

#[test]
fn the_observer_hears_of_every_level_once() {
    struct Levels(Vec<(usize, usize, f64)>);
    impl stein_core::Observer for Levels {
        fn step(&mut self, info: stein_core::StepInfo, _: &burn::tensor::Tensor<2>) -> ControlFlow<()> {
            self.0.push((info.step, info.steps, info.level.sigma));
            ControlFlow::Continue(())
        }
    }
    let schedule = Ends::new(20.0, 0.05, false);
    let mut seen = Levels(Vec::new());
    let x = stein_core::to_tensor(&starts(&schedule, 9, 2), &device());
    let flow = ProbabilityFlow { denoise: true, ..adaptive(1e-4) };
    flow.sample(&exact(three_modes()), &schedule, x, &mut chains(9), &mut seen).expect("solved");
    assert_eq!(seen.0, [(1, 3, 20.0), (2, 3, 1.0), (3, 3, 0.0)]);
}

#[test]
fn tolerances_belong_to_dormand_prince() {
    let wrong = |flow: ProbabilityFlow| Component::check(&flow).expect_err("refused");
    let heun = wrong(ProbabilityFlow { rtol: Some(1e-5), ..Default::default() });
    assert!(heun.key.as_deref() == Some("rtol") && heun.message.contains("dormand-prince"), "{heun}");
    assert_eq!(wrong(adaptive(0.0)).key.as_deref(), Some("rtol"));
    assert_eq!(wrong(ProbabilityFlow { atol: Some(2.0), ..adaptive(1e-5) }).key.as_deref(), Some("atol"));
    assert_eq!(Component::check(&adaptive(1e-5)), Ok(()));
    let schedule = Ends::new(2.0, 0.1, true);
    assert!(Component::build(&adaptive(1e-5), SamplerContext { schedule: &schedule, dimension: 1 }).is_ok());
}

/// Rows of p_L, and their log-density there.
fn rows(target: &IsotropicMixture, schedule: &Ends, n: usize) -> (Array, Vec<f32>) {
    let level = schedule.last();
    let (x, z) = draws(target, n, "likelihood rows");
    let x = x * level.alpha + z * level.sigma;
    (to_array(x.clone()), to_host(target.log_density(x, &at(level, n))))
}

/// What the flow says of some rows, with the target's own density at the first level unless another is given.
fn likelihood(
    target: &IsotropicMixture,
    schedule: &Ends,
    x: &Array,
    how: impl Fn(&mut Likelihood<'_>),
) -> LogLikelihood {
    let device = device();
    let mut what = Likelihood {
        divergence: Trace::Exact,
        probes: 1,
        tolerance: Tolerance::default(),
        terminal: Terminal::Target(target),
        chunk: 64,
        streams: Streams::new(3),
        device: &device,
    };
    how(&mut what);
    let found = log_likelihood(&exact(target.clone()), schedule, x, what, &mut |_| ControlFlow::Continue(()));
    found.expect("solved")
}

/// Three modes in D dimensions.
fn modes(d: usize) -> IsotropicMixture {
    let mut noise = noise("modes");
    let mean = |_| noise.normals(d).into_iter().map(|z| 2.0 * f64::from(z)).collect::<Vec<_>>();
    IsotropicMixture::new((0..3).map(mean).collect(), vec![0.4, 0.5, 0.7], vec![0.5, 0.3, 0.2])
}

fn error(found: impl IntoIterator<Item = f64>, truth: &[f32]) -> f64 {
    let off: Vec<f64> = found.into_iter().zip(truth).map(|(f, &t)| (f - f64::from(t)).abs()).collect();
    off.iter().sum::<f64>() / off.len() as f64
}

#[test]
fn likelihoods_of_mixtures_are_exact() {
    for d in [2, 8, 64] {
        let target = modes(d);
        for schedule in both(30.0, 0.05) {
            let (x, truth) = rows(&target, &schedule, 48);
            let found = likelihood(&target, &schedule, &x, |_| {});
            let off = error(found.nats(), &truth);
            assert!(off < 0.01, "D = {d}: {off}");
            // The twins: another sign of the divergence, and one dimension of it lost.
            let parts = || found.terminal.iter().zip(&found.change);
            let sign = parts().map(|(end, change)| end + found.volume + change);
            let lost = parts().map(|(end, change)| end + found.volume - change * (d as f64 - 1.0) / d as f64);
            assert!(error(sign, &truth) > 1.0 && error(lost, &truth) > 1.0);
            // Without D ln(α₁/α_L) it is the density of something else, where α is not 1.
            let volume = error(parts().map(|(end, change)| end - change), &truth);
            assert!(if schedule.preserving { volume > 1.0 } else { volume == off }, "{volume}");
        }
    }
}

/// s = −x, of which the trace may be known; it remembers the most rows, with their tangents, that it has seen.
struct Normal {
    known: bool,
    most: AtomicUsize,
}

impl Normal {
    fn saw(&self, rows: usize) {
        self.most.fetch_max(rows, Ordering::Relaxed);
    }
}

impl ScoreNetwork for Normal {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        self.saw(x.batch() * (1 + x.directions()));
        -x
    }

    fn divergence(&self, x: Tensor<2>, _: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        let [n, d] = x.dims();
        self.known.then(|| {
            self.saw(n);
            (-x, Tensor::full([n], -(d as f64), &device()))
        })
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

/// A direction for each number is memory; a closed form takes none, and all rows go at once.
#[test]
fn a_known_trace_takes_all_rows_at_once() {
    let (n, d) = (60, 200);
    let schedule = Ends::new(2.0, 0.5, false);
    let x = starts(&schedule, n, d);
    let of = |known: bool| {
        let network = Normal { known, most: AtomicUsize::new(0) };
        let (device, mean) = (device(), vec![0.0; d]);
        let what = Likelihood {
            divergence: Trace::Exact,
            probes: 1,
            tolerance: Tolerance::default(),
            terminal: Terminal::Gaussian(&mean),
            chunk: 64,
            streams: Streams::new(3),
            device: &device,
        };
        let found = log_likelihood(&network, &schedule, &x, what, &mut |_| ControlFlow::Continue(())).expect("solved");
        (found.nats(), network.most.into_inner())
    };
    let ((found, all), (derived, most)) = (of(true), of(false));
    assert_eq!((found, all), (derived, n));
    assert!((1 << 12..=1 << 13).contains(&most), "{most}");
}

/// One direction a path: off by more than the solver's error for each row, right in the mean.
#[test]
fn hutchinsons_likelihood_is_unbiased() {
    let target = modes(8);
    for schedule in both(30.0, 0.05) {
        let (x, truth) = rows(&target, &schedule, 400);
        let estimate = |probes| {
            let found = likelihood(&target, &schedule, &x, |what| {
                what.divergence = Trace::Hutchinson;
                what.probes = probes;
            });
            let off: Vec<f64> = found.nats().iter().zip(&truth).map(|(f, &t)| f - f64::from(t)).collect();
            Estimate::mean_of(&off)
        };
        let (one, four) = (estimate(1), estimate(4));
        for mean in [one, four] {
            assert!(mean.value.abs() < 3.0 * mean.standard_error + 1e-3, "{mean:?}");
        }
        assert!(one.standard_error > 1e-3 && (one.standard_error / four.standard_error - 2.0).abs() < 0.5);
    }
}

/// N(μ, s²): the flow ends at μ + (y − μ) √((s² + ρ₁²)/(s² + ρ_L²)), where N(m, ρ₁²) is taken for N(μ, s² + ρ₁²).
#[test]
fn a_gaussian_terminal_is_off_by_what_it_leaves_out() {
    const M: [f32; 2] = [0.2, 0.1];
    let (mu, s) = ([0.7, -0.4], 0.5);
    let target = gaussian(mu.to_vec(), s);
    for schedule in both(3.0, 0.05) {
        let (x, truth) = rows(&target, &schedule, 32);
        let found = likelihood(&target, &schedule, &x, |what| what.terminal = Terminal::Gaussian(&M)).nats();
        let ratio = |l: Level| l.sigma / l.alpha;
        let [most, least] = [schedule.first(), schedule.last()].map(ratio);
        for (i, (found, truth)) in found.iter().zip(&truth).enumerate() {
            let expected: f64 = (0..2)
                .map(|j| {
                    let y = f64::from(x.row(i)[j]) / schedule.last().alpha;
                    let wide = (s * s + most * most).sqrt();
                    let z = (y - mu[j]) / (s * s + least * least).sqrt();
                    let end = mu[j] + wide * z;
                    let from_m = (end - f64::from(M[j])) / most;
                    0.5 * (z * z - from_m * from_m) + (wide / most).ln()
                })
                .sum();
            let off = found - f64::from(*truth);
            assert!((off - expected).abs() < 1e-3 && expected.abs() > 1e-3, "{off}, not {expected}");
        }
    }
}

#[test]
fn likelihoods_do_not_depend_on_the_chunk() {
    let (target, schedule) = (three_modes(), Ends::new(10.0, 0.1, true));
    let (x, _) = rows(&target, &schedule, 20);
    for divergence in [Trace::Exact, Trace::Hutchinson] {
        let nats =
            |chunk| likelihood(&target, &schedule, &x, |what| (what.divergence, what.chunk) = (divergence, chunk));
        assert_eq!(nats(20), nats(3));
    }
}

#[test]
fn a_likelihood_stops_when_asked() {
    let (target, schedule) = (three_modes(), Ends::new(10.0, 0.1, false));
    let (x, _) = rows(&target, &schedule, 4);
    let device = device();
    let what = Likelihood {
        divergence: Trace::Exact,
        probes: 1,
        tolerance: Tolerance::default(),
        terminal: Terminal::Target(&target),
        chunk: 2,
        streams: Streams::new(3),
        device: &device,
    };
    let (mut rounds, mut after) = (0, 0);
    let mut watch = |done| {
        rounds += 1;
        // Two rows are done at the end of their chunk, and still when the next has done a round.
        after += usize::from(done == 2);
        if after == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let end = log_likelihood(&exact(target.clone()), &schedule, &x, what, &mut watch);
    assert_eq!(end, Err(SampleError::Stopped { step: 1 }));
    assert!(rounds > 2, "the first two rows were done");
}

/// Bounds at draws of the target, and ln p_L(x̃) − D ln(1/α_L) at the same rows with the noise of the last level, row by row.
fn bounds(target: &IsotropicMixture, model: &IsotropicMixture, schedule: &Ends, n: usize) -> [Vec<f64>; 2] {
    let (x, device, streams) = (to_array(draws(target, n, "bound").0), device(), Streams::new(8));
    let spread = 1.0;
    let what = LikelihoodBound { terminal: Terminal::Target(target), spread, chunk: 512, streams, device: &device };
    let found = likelihood_bound(&exact(model.clone()), schedule, &x, what);
    let noisy = stein_core::to_tensor(&with_last_noise(schedule, &x, streams, &device), &device);
    let volume = x.row_length() as f64 * schedule.last().alpha.ln();
    let truth = to_host(target.log_density(noisy, &at(schedule.last(), n)));
    [found, truth.into_iter().map(|t| f64::from(t) + volume).collect()]
}

/// Mean and standard error of the differences.
fn apart([a, b]: &[Vec<f64>; 2]) -> Estimate {
    Estimate::mean_of(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// With the true score and the true density at the first level, the bound is the log-likelihood.
#[test]
fn the_bound_is_tight_at_the_truth() {
    let target = modes(4);
    for schedule in both(30.0, 0.05) {
        let found = bounds(&target, &target, &schedule, 4000);
        let gap = apart(&found);
        assert!(gap.value.abs() < 4.0 * gap.standard_error && gap.standard_error < 0.05, "{gap:?}");
        // The twins: an integral of half the weight, and one without −D, which is D ln(ρ₁/ρ_L) off.
        let integral = gap.value + Estimate::mean_of(&found[1]).value - terminal(&target, &schedule);
        assert!((0.5 * integral).abs() > 20.0 * gap.standard_error, "{integral}");
        assert!(4.0 * schedule.span() > 20.0 * gap.standard_error);
        // The chunk does not matter.
        let (x, device, terminal) = (to_array(draws(&target, 9, "bound").0), device(), Terminal::Target(&target));
        let bound = |chunk| {
            let what = LikelihoodBound { terminal, spread: 1.0, chunk, streams: Streams::new(8), device: &device };
            likelihood_bound(&exact(target.clone()), &schedule, &x, what)
        };
        assert_eq!(bound(1000), bound(130));
    }
}

/// E ln q_1(y_1), the density at the first level in the unit of y.
fn terminal(target: &IsotropicMixture, schedule: &Ends) -> f64 {
    let (level, n) = (schedule.first(), 4000);
    let (x, z) = draws(target, n, "terminal");
    let end = to_host(target.log_density(x * level.alpha + z * level.sigma, &at(level, n)));
    Estimate::mean_of(&end.into_iter().map(f64::from).collect::<Vec<_>>()).value + 4.0 * level.alpha.ln()
}

/// N(0, s²) by the score of N(0, t²). The reverse SDE has the variance m with dm/dv = 2m/(t² + v) − 1, v = ρ², the flow that with
/// dm/dv = m/(t² + v); the bound is off by ½∫E‖S − ∇ln q‖² dv.
#[test]
fn the_bound_is_below_the_sde_by_what_is_known() {
    let (s, t, d) = (1.0f64, 1.3f64, 2);
    let (target, model) = (gaussian(vec![0.0; d], s), gaussian(vec![0.0; d], t));
    for schedule in both(8.0, 0.2) {
        let [most, least] = [schedule.first(), schedule.last()].map(|l| (l.sigma / l.alpha).powi(2));
        let (here, there) = (t * t + least, t * t + most);
        let sde = here + (s * s - t * t) * (here / there).powi(2);
        let flow = (s * s + most) * here / there;
        // E ln N(y; 0, m) − E ln N(y; 0, q) over y from N(0, q).
        let missing = |m: f64| {
            let q = s * s + least;
            d as f64 / 2.0 * ((q / m).ln() + 1.0 - q / m)
        };
        // (s² + v)(1/(s² + v) − 1/(t² + v))² = (t² − s²)²/((s² + v)(t² + v)²), by Simpson's rule in ln v.
        let error = |log_v: f64| {
            let v = log_v.exp();
            v * (t * t - s * s).powi(2) / ((s * s + v) * (t * t + v).powi(2))
        };
        let (n, h) = (2000, (most / least).ln() / 2000.0);
        let weight = |i: usize| if i == 0 || i == n { 1.0 } else { 2.0 * (1 + i % 2) as f64 };
        let integral: f64 = (0..=n).map(|i| weight(i) * error(least.ln() + i as f64 * h)).sum::<f64>() * h / 3.0;
        let expected = -0.5 * d as f64 * integral;
        let gap = apart(&bounds(&target, &model, &schedule, 20_000));
        assert!((gap.value - expected).abs() < 4.0 * gap.standard_error, "{gap:?}, not {expected}");
        assert!(gap.standard_error < 0.1 * expected.abs(), "{gap:?} must tell {expected} from nothing");
        assert!(expected < missing(sde), "a bound: {expected}, {}", missing(sde));

        // And the likelihood by the flow is the flow's.
        let (x, truth) = rows(&target, &schedule, 2000);
        let device = device();
        let what = Likelihood {
            divergence: Trace::Exact,
            probes: 1,
            tolerance: Tolerance::default(),
            terminal: Terminal::Target(&target),
            chunk: 500,
            streams: Streams::new(3),
            device: &device,
        };
        let found = log_likelihood(&exact(model.clone()), &schedule, &x, what, &mut |_| ControlFlow::Continue(()));
        let gap = apart(&[found.expect("solved").nats(), truth.into_iter().map(f64::from).collect()]);
        assert!((gap.value - missing(flow)).abs() < 4.0 * gap.standard_error, "{gap:?}, not {}", missing(flow));
    }
}

/// The metrics of an experiment whose network is the target's own score, or whatever `network` says.
fn metrics(tables: &str) -> Vec<stein_record::MetricRecord> {
    let plan = plan(&format!("{tables}\n[training]\nsteps = 0\n"));
    let network = plan.network(&device()).expect("builds");
    let found = stein_train::log_likelihoods(&plan, &network, &device(), |_, _| ControlFlow::Continue(()));
    found.expect("solved")
}

fn metric<'a>(metrics: &'a [stein_record::MetricRecord], name: &str) -> &'a stein_record::MetricRecord {
    metrics.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("{name} in {metrics:?}"))
}

/// E ln N(x; 0, s² + ρ²) over x from N(0, s²), in the data's own unit whatever α is.
#[test]
fn held_out_rows_have_the_log_likelihood_of_their_law() {
    let (d, s) = (3.0, 0.5f64);
    let schedules = [
        ("kind = \"geometric\"\nsigma-max = 40.0\nsigma-min = 0.2\nlevels = 8", 0.2f64),
        // β integrates to 0.9255 up to t = 0.3: α² = e^−0.9255.
        ("kind = \"variance-preserving\"\nlevels = 8\nepsilon = 0.3", (0.9255f64.exp() - 1.0).sqrt()),
    ];
    for (schedule, ratio) in schedules {
        let found = |terminal: &str| {
            metrics(&format!(
                "[data]\nkind = \"gaussian\"\ndimension = 3\nstd = 0.5\n[network]\nkind = \"exact\"\n[schedule]\n{schedule}\n\
                 [evaluation]\nlikelihood = {{ rows = 400, terminal = \"{terminal}\" }}\n"
            ))
        };
        let known = found("target");
        let own = metric(&known, "log-likelihood");
        let v = s * s + ratio * ratio;
        let expected = -d / 2.0 * ((2.0 * std::f64::consts::PI * v).ln() + s * s / v);
        let error = metric(&known, "log-likelihood-error").estimate.value;
        assert!((own.estimate.value - expected).abs() < 4.0 * own.estimate.standard_error, "{own:?}, not {expected}");
        assert!(error.abs() < 1e-3, "{error}");
        let [floor, baseline] = [own.floor, own.baseline].map(|e| e.expect("known").value);
        assert!((floor - own.estimate.value - error).abs() < 2e-3, "{floor}");
        // A Gaussian fitted to draws of one is the truth, but for what 2000 rows leave open.
        assert!((baseline - floor).abs() < 0.02, "{baseline}, not {floor}");
        assert!(metric(&known, "log-likelihood-nfe").estimate.value > 8.0);
        // N(0, σ₁²) for N(0, α₁² s² + σ₁²) is not the truth, by little where σ₁ is large.
        let error = metric(&found("gaussian"), "log-likelihood-error").estimate.value;
        assert!(error.abs() < 0.01, "{error}");
        assert!(known.iter().all(|m| m.name != "bits-per-dimension"), "no integers, no bits");
        assert!(known.iter().all(|m| m.name != "likelihood-bound"), "without the level's noise there is no bound");
        // With it the law is N(0, s² + ρ²) itself, and with the exact score the bound is the likelihood.
        let noisy = found("target\", noisy = true, divergence = \"exact");
        let [own, bound] = ["log-likelihood", "likelihood-bound"].map(|name| metric(&noisy, name).estimate);
        let expected = -d / 2.0 * ((2.0 * std::f64::consts::PI * v).ln() + 1.0);
        assert!((own.value - expected).abs() < 4.0 * own.standard_error, "{own:?}, not {expected}");
        assert!((bound.value - expected).abs() < 4.0 * bound.standard_error, "{bound:?}, not {expected}");
    }
}

#[test]
fn likelihoods_that_cannot_be_are_refused() {
    let refused = |tables: &str| {
        let registry = stein_experiment::builtin();
        let text = format!("[network]\nkind = \"mlp\"\nhidden = [4]\n{tables}");
        let source = stein_record::source::Source::new("test.toml", text.as_bytes()).expect("text");
        let plan = stein_experiment::Experiment::read(&source, &registry)
            .and_then(|experiment| stein_experiment::Plan::build(experiment, &registry));
        source.render(&plan.expect_err("refused"), false)
    };
    let digits = "[data]\nkind = \"digits\"\n";
    let wide = "[data]\nkind = \"gaussian\"\ndimension = 1025\ntrain = 128\nheld-out = 8\n";
    let asked = |data: &str, how: &str| refused(&format!("{data}[evaluation]\nlikelihood = {{ {how} }}\n"));
    assert!(asked(digits, "terminal = \"target\"").contains("density is not known"));
    let message = asked(wide, "");
    assert!(message.contains("1025") && message.contains("\"hutchinson\""), "{message}");
    let message = asked(&format!("{digits}[schedule]\nkind = \"geometric\"\nlevels = 1\n"), "");
    assert!(message.contains("at least two levels"), "{message}");
    let message = asked(digits, "rtol = 1e-9");
    assert!(message.contains("rtol") && message.contains("1e-7"), "{message}");
    assert!(asked(digits, "probe = 2").contains("probes"));
}

/// −log₂(p)/D + log₂ 17 for digits, which are (v + u)/17.
#[test]
fn digits_have_bits_per_dimension() {
    let found = metrics(
        "[data]\nkind = \"digits\"\n[network]\nkind = \"mlp\"\nhidden = [4]\n[schedule]\nkind = \"geometric\"\n\
         sigma-max = 4.0\nsigma-min = 0.02\nlevels = 4\n\
         [evaluation]\nlikelihood = { rows = 8, divergence = \"hutchinson\", rtol = 1e-3, atol = 1e-3 }\n",
    );
    let (nats, bits) = (metric(&found, "log-likelihood"), metric(&found, "bits-per-dimension"));
    let of = |nats: f64| -nats / 64.0 * std::f64::consts::LOG2_E + 17f64.log2();
    assert!((bits.estimate.value - of(nats.estimate.value)).abs() < 1e-6, "{bits:?} {nats:?}");
    let baseline = bits.baseline.expect("a Gaussian").value;
    assert!((baseline - of(nats.baseline.expect("a Gaussian").value)).abs() < 1e-6);
    // Seventeen values have log₂ 17 bits at most, and a Gaussian knows that most of them do not occur.
    assert!((1.0..17f64.log2()).contains(&baseline), "{baseline}");
    assert!(found.iter().all(|m| m.name != "log-likelihood-error"), "nobody knows");
}
