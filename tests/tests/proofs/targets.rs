//! Densities know their score, and where they do not, nobody asks.

use stein_core::{Component, Condition, Level, Streams, Target, matrix, to_host};
use stein_data::{FullGaussian, FunnelDensity, IsotropicMixture, TwoMoons};
use stein_device::{DeviceRequest, choose};
use stein_experiment::{Experiment, Plan, builtin};
use stein_record::source::Source;
use stein_record::{Array, Evaluation, RunDir};
use stein_train::{Batches, RunOptions, Stop, level_losses, run};

use crate::common::{at, device, draws, gaussian, half_squares, mean, noise, three_modes};

/// Levels that a target knows.
fn known(target: &dyn Target) -> Vec<Level> {
    let mut all = vec![Level::CLEAN, Level { alpha: 0.6, sigma: 0.8 }];
    all.extend([0.05, 0.5, 4.0].map(Level::exploding));
    all.retain(|&level| target.knows(level));
    all
}

fn full_gaussian() -> FullGaussian {
    FullGaussian::new(vec![1.0, -0.5], &[vec![2.0, 0.9], vec![0.9, 0.6]]).expect("positive definite")
}

fn points() -> IsotropicMixture {
    IsotropicMixture::new(vec![vec![-1.5, 0.0], vec![1.0, 1.0], vec![0.5, -2.0]], vec![0.0; 3], vec![0.5, 0.3, 0.2])
}

fn moons() -> IsotropicMixture {
    let data = TwoMoons { points: 100, ..TwoMoons::default() }.build(Streams::new(0)).expect("builds");
    IsotropicMixture::empirical(&data.train)
}

/// Densities in the plane, one of each sort.
fn plane() -> Vec<(&'static str, Box<dyn Target>)> {
    vec![
        ("mixture", Box::new(three_modes())),
        ("full gaussian", Box::new(full_gaussian())),
        ("points", Box::new(points())),
        ("sample", Box::new(moons())),
        ("funnel", Box::new(FunnelDensity::new(2, 2.0))),
    ]
}

/// The score's largest error against central differences of the log density, relative to the largest score.
fn score_error(target: &dyn Target, factor: f64) -> f64 {
    let points = [[-2.0f32, -1.0], [0.3, 0.4], [2.0, -1.9], [0.1, 2.2], [-4.0, 3.0]];
    let n = points.len();
    let x = |dx: f32, dy: f32| matrix(points.iter().flat_map(|p| [p[0] + dx, p[1] + dy]).collect(), 2, &device());
    let h = 4e-3f32;
    let mut worst: f64 = 0.0;
    for level in known(target) {
        let condition = at(level, n);
        let score = to_host(target.score(x(0.0, 0.0), &condition));
        let log = |dx: f32, dy: f32| to_host(target.log_density(x(dx, dy), &condition));
        let (px, mx, py, my) = (log(h, 0.0), log(-h, 0.0), log(0.0, h), log(0.0, -h));
        let size = score.iter().fold(1e-3f32, |m, s| m.max(s.abs()));
        for i in 0..n {
            for (s, difference) in [(score[2 * i], px[i] - mx[i]), (score[2 * i + 1], py[i] - my[i])] {
                let error = f64::from(s) * factor - f64::from(difference) / f64::from(2.0 * h);
                worst = worst.max(error.abs() / f64::from(size));
            }
        }
    }
    worst
}

#[test]
fn the_score_is_the_gradient_of_the_log_density() {
    for (name, target) in plane() {
        // Central differences in f32 are good to a few parts in a thousand here.
        let error = |factor| score_error(&*target, factor);
        assert!(error(1.0) < 5e-3, "{name}: {}", error(1.0));
        assert!(error(1.02) > 1e-2, "{name}: a factor of 1.02 must be seen");
        assert!(error(-1.0) > 1.0, "{name}: a sign must be seen");
    }
}

#[test]
fn loops_on_the_host_agree_with_tensors() {
    // With a tape everything is tensors; without one, on the CPU, rows go through a kernel on slices.
    let tape = device().autodiff();
    for target in [three_modes(), points(), moons()] {
        let (x, _) = draws(&three_modes(), 300, "paths");
        let on_tape = matrix(to_host(x.clone()), 2, &tape);
        for level in known(&target) {
            let (here, there) = (at(level, 300), Condition::uniform(level, 300, &tape));
            let score = (target.score(x.clone(), &here), target.score(on_tape.clone(), &there).inner());
            let log = (target.log_density(x.clone(), &here), target.log_density(on_tape.clone(), &there).inner());
            let error = |a: Vec<f32>, b: Vec<f32>, factor: f32| {
                let size = b.iter().fold(0.0f32, |m, b| m.max(b.abs()));
                a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((factor * a - b).abs())) / size
            };
            let errors = |f| {
                let score = error(to_host(score.0.clone()), to_host(score.1.clone()), f);
                score.max(error(to_host(log.0.clone()), to_host(log.1.clone()), f))
            };
            // A hundred points go by a matrix product on tensors, which loses digits where σ is small.
            let tolerance = if level.sigma < 0.1 { 2e-4 } else { 2e-5 };
            assert!(errors(1.0) < tolerance, "{level:?}: {}", errors(1.0));
            assert!(errors(1.001) > 5e-4, "{level:?}: a part in a thousand must be seen");
        }
    }
}

#[test]
fn many_components_agree_with_few() {
    // Each mode is split into 30 equal ones.
    let few = three_modes();
    let means = [[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]];
    let many = IsotropicMixture::new(
        (0..90).map(|i| means[i % 3].to_vec()).collect(),
        vec![0.5; 90],
        (0..90).map(|i| [0.5, 0.3, 0.2][i % 3]).collect(),
    );
    let (x, _) = draws(&few, 200, "many");
    for condition in known(&few).into_iter().map(|level| at(level, 200)) {
        let (a, b) = (few.score(x.clone(), &condition), many.score(x.clone(), &condition));
        let worst = to_host((a - b).abs().max())[0];
        assert!(worst < 2e-4, "{worst}");
    }
}

#[test]
fn densities_integrate_to_one() {
    let grid: Vec<f32> = (0..161).map(|i| -8.0 + 0.1 * i as f32).collect();
    let points: Vec<f32> = grid.iter().flat_map(|&y| grid.iter().flat_map(move |&x| [x, y])).collect();
    let n = points.len() / 2;
    let x = matrix(points, 2, &device());
    let levels = [Level::CLEAN, Level::exploding(0.5), Level { alpha: 0.6, sigma: 0.8 }];
    for (name, target) in plane().into_iter().filter(|(name, _)| *name != "funnel") {
        for level in levels.into_iter().filter(|&level| target.knows(level)) {
            let log = to_host(target.log_density(x.clone(), &at(level, n)));
            let integral: f64 = log.iter().map(|&l| f64::from(l).exp()).sum::<f64>() * 0.01;
            assert!((integral - 1.0).abs() < 1e-3, "{name} at {level:?}: {integral}");
        }
    }
    // A funnel's mouth is wide.
    let (first, rest) = ((-30..=30).map(|i| 0.1 * i as f32), || (-400..=400).map(|i| 0.05 * i as f32));
    let points: Vec<f32> = first.flat_map(|x| rest().flat_map(move |y| [x, y])).collect();
    let log = to_host(FunnelDensity::new(2, 0.5).log_density(matrix(points, 2, &device()), &Condition::clean()));
    let integral: f64 = log.iter().map(|&l| f64::from(l).exp()).sum::<f64>() * 0.005;
    assert!((integral - 1.0).abs() < 1e-3, "funnel: {integral}");
}

#[test]
fn a_single_gaussian_has_the_textbook_score() {
    let target = gaussian(vec![1.0, -2.0], 0.5);
    let x = matrix(vec![2.0, 0.0], 2, &device());
    let score = to_host(target.score(x, &at(Level { alpha: 0.5, sigma: 0.3 }, 1)));
    // −(x − α m)/(α² s² + σ²)
    let v = 0.25 * 0.25 + 0.09;
    for (s, e) in score.iter().zip([-(2.0 - 0.5) / v, -(0.0 + 1.0) / v]) {
        assert!((f64::from(*s) - e).abs() < 1e-4 * e.abs(), "{s} {e}");
    }
}

#[test]
fn half_the_fisher_information_of_the_three_modes() {
    let target = three_modes();
    let (x, _) = draws(&target, 100_000, "fisher");
    let (value, error) = mean(&half_squares(target.score(x, &Condition::clean())));
    assert!((value - 3.99978).abs() < 4.0 * error, "{value} ± {error}");
    assert!((2.0 * value - 3.99978).abs() > 20.0 * error, "without the ½ it must be seen");
}

#[test]
fn the_empirical_distribution_is_a_mixture_of_points() {
    let rows = Array::new([3, 2], vec![0.0, 0.0, 1.0, 0.0, 0.0, 2.0]);
    let target = IsotropicMixture::empirical(&rows);
    // Close to a point and far from the others, the score leads straight to it.
    let x = matrix(vec![1.01, 0.02], 2, &device());
    let score = to_host(target.score(x, &at(Level::exploding(0.05), 1)));
    assert!((score[0] + 0.01 / 0.0025).abs() < 0.05 && (score[1] + 0.02 / 0.0025).abs() < 0.05, "{score:?}");
}

#[test]
fn the_derivative_of_the_score_is_its_difference_quotient() {
    for (name, target) in plane() {
        let (x, v) = draws(&*target, 200, "derivative");
        let h = 2e-3;
        for level in known(&*target).into_iter().filter(|l| l.sigma != 0.05) {
            // Off the points themselves.
            let x = x.clone() * level.alpha + v.clone().flip([0]) * level.sigma;
            let condition = at(level, 200);
            let derivatives = target.score_derivatives(x.clone(), vec![v.clone()], &condition);
            let exact = to_host(derivatives.expect("known").remove(0));
            let score = |sign: f64| target.score(x.clone() + v.clone() * (sign * h), &condition);
            let difference = to_host((score(1.0) - score(-1.0)) / (2.0 * h));
            let size = difference.iter().fold(0.0f32, |m, d| m.max(d.abs()));
            let error =
                |f: f32| exact.iter().zip(&difference).fold(0.0f32, |m, (a, b)| m.max((f * a - b).abs())) / size;
            assert!(error(1.0) < 2e-3, "{name} at {level:?}: {}", error(1.0));
            assert!(error(1.02) > 5e-3, "{name} at {level:?}: 2 % must be seen");
        }
    }
}

/// Many components go by a matrix product of squares, which must not swallow the digits of distances.
#[test]
fn many_components_are_the_same_far_from_the_origin() {
    // Multiples of 2⁻¹⁰ below 2¹⁰ are numbers of single precision.
    let grid = |x: f64| (x * 1024.0).round() / 1024.0;
    let mut noise = noise("far");
    let places: Vec<[f64; 2]> = (0..70).map(|_| [(); 2].map(|()| grid(3.0 * f64::from(noise.normal())))).collect();
    let rows: Vec<f64> = places.iter().flatten().map(|p| grid(p + 0.2 * f64::from(noise.normal()))).collect();
    let derivatives = |offset: f64| {
        let means = places.iter().map(|p| p.map(|x| x + offset).to_vec()).collect();
        let target = IsotropicMixture::new(means, vec![0.2; 70], vec![1.0; 70]);
        let x = matrix(rows.iter().map(|x| (x + offset) as f32).collect(), 2, &device());
        let v = matrix([1.0, 0.0].repeat(70), 2, &device());
        to_host(target.score_derivatives(x, vec![v], &at(Level::exploding(0.05), 70)).expect("known").remove(0))
    };
    let (here, far) = (derivatives(0.0), derivatives(512.0));
    let size = here.iter().fold(0.0f32, |m, d| m.max(d.abs()));
    let error = here.iter().zip(&far).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / size;
    assert!(error < 1e-3, "{error}");
}

#[test]
fn a_full_gaussian_has_the_textbook_score_at_a_level_an_example() {
    // C = [[2, .9], [.9, .6]]: (α² C + σ² I)⁻¹ by hand.
    let levels = [Level::exploding(0.3), Level { alpha: 0.6, sigma: 0.8 }, Level { alpha: 0.0, sigma: 1.0 }];
    let rows = [[2.0f32, 0.0], [-1.0, 3.0], [0.4, -0.7]];
    let x = matrix(rows.concat(), 2, &device());
    let condition = Condition::at(&levels, &device());
    let score = to_host(full_gaussian().score(x.clone(), &condition));
    let log = to_host(full_gaussian().log_density(x, &condition));
    for (i, (level, x)) in levels.iter().zip(rows).enumerate() {
        let (a2, s2) = (level.alpha * level.alpha, level.sigma * level.sigma);
        let (p, q, r) = (a2 * 2.0 + s2, a2 * 0.9, a2 * 0.6 + s2);
        let determinant = p * r - q * q;
        let d = [f64::from(x[0]) - level.alpha, f64::from(x[1]) + 0.5 * level.alpha];
        let expected = [-(r * d[0] - q * d[1]) / determinant, -(p * d[1] - q * d[0]) / determinant];
        for j in 0..2 {
            assert!((f64::from(score[2 * i + j]) - expected[j]).abs() < 1e-5 * expected[j].abs().max(1.0));
        }
        let square = d[0] * expected[0] + d[1] * expected[1];
        let density = 0.5 * square - 0.5 * determinant.ln() - (2.0 * std::f64::consts::PI).ln();
        assert!((f64::from(log[i]) - density).abs() < 1e-5 * density.abs().max(1.0), "{} {density}", log[i]);
    }
}

#[test]
fn draws_have_the_covariance_that_was_asked_for() {
    let covariance = [vec![2.0, -0.8, 0.3], vec![-0.8, 1.0, 0.1], vec![0.3, 0.1, 0.5]];
    let mean_of = [1.0, 0.0, -3.0];
    let target = FullGaussian::new(mean_of.to_vec(), &covariance).expect("positive definite");
    let rows = target.sample(100_000, &mut noise("covariance"));
    for (i, row) in covariance.iter().enumerate() {
        let column = |j: usize| rows.iter().skip(j).step_by(3).map(move |x| x - mean_of[j] as f32);
        let (value, error) = mean(&column(i).collect::<Vec<_>>());
        assert!(value.abs() < 4.5 * error, "mean {i}: {value} ± {error}");
        for (j, &truth) in row.iter().enumerate() {
            let products: Vec<f32> = column(i).zip(column(j)).map(|(a, b)| a * b).collect();
            let (value, error) = mean(&products);
            assert!((value - truth).abs() < 4.5 * error, "{i}, {j}: {value} ± {error}");
            assert!((value + truth).abs() > 10.0 * error, "a sign must be seen");
        }
    }
}

#[test]
fn a_wide_gaussian_is_decomposed_in_time() {
    // C_ij = ρ^|i−j|: its inverse is tridiagonal, (1 + ρ²)/(1 − ρ²) inside and −ρ/(1 − ρ²) beside.
    let (d, rho) = (200, 0.6f64);
    let row = |i: usize| (0..d).map(|j| rho.powi(i.abs_diff(j) as i32)).collect();
    let target = FullGaussian::new(vec![0.0; d], &(0..d).map(row).collect::<Vec<Vec<f64>>>()).expect("definite");
    let x = noise("wide").normals(d);
    let score = to_host(target.score(matrix(x.clone(), d, &device()), &Condition::clean()));
    for i in 1..d - 1 {
        let [before, own, after] = [x[i - 1], x[i], x[i + 1]].map(f64::from);
        let expected = -((1.0 + rho * rho) * own - rho * (before + after)) / (1.0 - rho * rho);
        assert!((f64::from(score[i]) - expected).abs() < 2e-5 * expected.abs().max(1.0), "{} {expected}", score[i]);
    }
}

#[test]
fn a_funnel_has_its_moments() {
    // x₁ ~ N(0, 1): E x_i² = E e^{x₁} = √e, and E x₁ x_i² = E x₁ e^{x₁} = √e.
    let rows = FunnelDensity::new(3, 1.0).sample(200_000, &mut noise("funnel"));
    let moment = |f: &dyn Fn(&[f32]) -> f32| mean(&rows.chunks(3).map(f).collect::<Vec<_>>());
    let near = |(value, error): (f64, f64), expected: f64| {
        assert!((value - expected).abs() < 4.5 * error, "{value} ± {error}, not {expected}");
    };
    let root = 0.5f64.exp();
    near(moment(&|x| x[0]), 0.0);
    near(moment(&|x| x[0] * x[0]), 1.0);
    near(moment(&|x| x[1] * x[1]), root);
    near(moment(&|x| x[0] * x[2] * x[2]), root);
    near(moment(&|x| x[1] * x[2]), 0.0);
    // Were e^{x₁} the standard deviation, E x_i² were e²: the twin.
    let (value, error) = moment(&|x| x[1] * x[1]);
    assert!((value - 2.0f64.exp()).abs() > 20.0 * error);
}

#[test]
fn draws_of_points_are_the_points_by_weight() {
    let (n, all) = (20_000, [([-1.5f32, 0.0], 0.5), ([1.0, 1.0], 0.3), ([0.5, -2.0], 0.2)]);
    let rows = points().sample(n, &mut noise("points"));
    for (point, weight) in all {
        let share = rows.chunks(2).filter(|x| **x == point).count() as f64 / n as f64;
        assert!((share - weight).abs() < 0.02, "{point:?}: {share}");
    }
    assert!(!points().knows(Level::CLEAN) && points().knows(Level::exploding(1e-3)));
}

fn plan(text: &str) -> Result<Plan, String> {
    let registry = builtin();
    let source = Source::new("test.toml", text.as_bytes()).expect("text");
    Experiment::read(&source, &registry)
        .and_then(|experiment| Plan::build(experiment, &registry))
        .map_err(|problems| source.render(&problems, false))
}

/// A small experiment on some data.
fn experiment(data: &str, rest: &str) -> String {
    format!(
        "[data]\n{data}\n[network]\nkind = \"mlp\"\nhidden = [8]\n[evaluation]\nlevel-rows = 300\nsamples = 40\n{rest}\n"
    )
}

const GEOMETRIC: &str = "[schedule]\nkind = \"geometric\"\nsigma-max = 2.0\nsigma-min = 0.1\nlevels = 2";

#[test]
fn what_a_target_does_not_know_is_left_out() {
    let levels = |data: &str| {
        let plan = plan(&experiment(data, GEOMETRIC)).unwrap_or_else(|problems| panic!("{problems}"));
        let network = plan.network(&device()).expect("builds");
        let names: Vec<&str> = plan.metrics.iter().map(|(name, _)| *name).collect();
        let has = |name| names.contains(&name);
        let found = (has("fisher-divergence"), has("nearest-training"));
        let held_out = Batches::new(&plan, &device()).held_out(&plan.dataset.held_out.slice(0..20).data, 0);
        let series = held_out.perturbed.exact_score.is_some();
        let levels = level_losses(&plan, &network, &device(), |_| std::ops::ControlFlow::Continue(()));
        (levels.into_iter().next().expect("a level"), found, series)
    };
    // A mixture knows all; nobody memorises.
    let (level, metrics, series) = levels("kind = \"eight-gaussians\"");
    assert!(level.floor.is_some() && level.fisher.is_some() && level.clean_fisher.is_some());
    assert!(level.memorising_held_out.is_none() && metrics == (true, false) && series);
    // Points know all but the clean score.
    let (level, metrics, series) = levels("kind = \"point-masses\"\npoints = [[0, 1], [1, 0]]");
    assert!(level.floor.is_some() && level.fisher.is_some() && level.clean_fisher.is_none());
    assert!(level.memorising_held_out.is_none() && metrics == (true, false) && series);
    // A funnel knows the clean score alone.
    let (level, metrics, series) = levels("kind = \"funnel\"\ndimension = 3\nstd = 1.0");
    assert!(level.floor.is_none() && level.fisher.is_none() && level.clean_fisher.is_some());
    assert!(level.memorising_held_out.is_some() && metrics == (false, false) && !series);
    // A sample is its own density: held-out rows have no floor, and the score has a Fisher divergence on its own draws.
    let (level, metrics, series) = levels("kind = \"two-moons\"");
    assert!(level.floor.is_none() && level.fisher.is_some() && level.clean_fisher.is_none());
    assert!(level.memorising_held_out.is_some() && metrics == (true, true) && !series);
}

#[test]
fn what_needs_more_than_a_target_knows_is_refused() {
    let refused = |data: &str, rest: &str| plan(&experiment(data, rest)).expect_err("must be refused");
    let named = "metrics = [\"fisher-divergence\"]\n";
    let message = refused("kind = \"funnel\"", &format!("{named}{GEOMETRIC}"));
    assert!(message.contains("says nothing about these data") && message.contains("at these levels"), "{message}");
    let clean = "[schedule]\nkind = \"none\"\n[objective]\nkind = \"explicit\"\n[sampler]\nkind = \"langevin\"\nstep-size = 0.1";
    for data in ["kind = \"point-masses\"\npoints = [[0, 1], [1, 0]]", "kind = \"rings\""] {
        let message = refused(data, clean);
        assert!(message.contains("data whose score is known"), "{message}");
    }
}

/// Trains nothing, samples, measures and records.
fn run_to_the_end(name: &str, text: &str) -> Evaluation {
    let plan = plan(text).unwrap_or_else(|problems| panic!("{problems}"));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("targets-{name}-{}", std::process::id()));
    let chosen = choose(&DeviceRequest::Cpu).expect("the CPU");
    let options = RunOptions {
        quiet: true,
        tui: false,
        argv: Vec::new(),
        burn: String::new(),
        retry_diverged: true,
        git: None,
        patience: std::time::Duration::ZERO,
        stop: Stop::new(),
    };
    let directory = RunDir::new(&path);
    run(&plan, &directory, &chosen, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
    let evaluation = directory.read_evaluation().expect("readable").expect("written");
    std::fs::remove_dir_all(&path).expect("ours");
    evaluation
}

#[test]
fn every_kind_of_data_is_sampled_and_measured_with_its_own_score() {
    let annealed = "[sampler]\nkind = \"annealed-langevin\"\n[schedule]\nkind = \"geometric\"\nsigma-max = 4.0\nsigma-min = 0.1\nlevels = 8";
    let clean = "[sampler]\nkind = \"langevin\"\nsteps = 200\nstep-size = 0.01\n[schedule]\nkind = \"none\"\n[objective]\nkind = \"implicit\"";
    let exact = "[network]\nkind = \"exact\"\n[training]\nsteps = 0\n[evaluation]\nsamples = 200\nlevel-rows = 200";
    for (name, keys, rest) in [
        ("gaussian", "covariance = [[1, 0.5], [0.5, 1]]", annealed),
        ("point-masses", "points = [[1, 2]]", annealed),
        ("point-masses", "points = [[1, 2], [0, 0]]", annealed),
        ("funnel", "dimension = 3\nstd = 0.5", clean),
        ("eight-gaussians", "", annealed),
        ("two-moons", "points = 200", annealed),
        ("checkerboard", "points = 200", annealed),
        ("spirals", "points = 200", annealed),
        ("swiss-roll", "points = 200", annealed),
        ("rings", "points = 200", annealed),
        ("pinwheel", "points = 200", annealed),
    ] {
        let found = run_to_the_end(name, &format!("[data]\nkind = \"{name}\"\n{keys}\n{rest}\n{exact}\n"));
        assert!(!found.metrics.is_empty(), "{name}");
        // Nothing was learned, so nothing is measured of it.
        assert!(found.levels.is_empty(), "{name}");
    }
}

#[test]
fn an_exact_network_is_refused_where_its_target_is_not_known() {
    let exact = |data: &str, schedule: &str| {
        plan(&format!(
            "[data]\n{data}\n[network]\nkind = \"exact\"\n[training]\nsteps = 0\n[sampler]\nkind = \"langevin\"\nstep-size = 0.1\n{schedule}\n"
        ))
    };
    let clean = "[schedule]\nkind = \"none\"\n[objective]\nkind = \"implicit\"";
    let points = "kind = \"point-masses\"\npoints = [[0, 1], [1, 0]]";
    for data in [points, "kind = \"spirals\"", "kind = \"swiss-roll\""] {
        assert!(exact(data, GEOMETRIC).is_ok(), "{:?}", exact(data, GEOMETRIC).err());
        let message = exact(data, clean).expect_err("no clean score");
        assert!(message.contains("only with noise") && message.contains("σ > 0"), "{message}");
    }
    let funnel = "kind = \"funnel\"";
    assert!(exact(funnel, clean).is_ok(), "{:?}", exact(funnel, clean).err());
    let message = exact(funnel, GEOMETRIC).expect_err("no noisy score");
    assert!(message.contains("do not know their score at σ = 2") && message.contains("kind = \"none\""), "{message}");
    for data in ["kind = \"eight-gaussians\"", "kind = \"gaussian\"\ncovariance = [[1, 0.5], [0.5, 1]]"] {
        assert!(exact(data, clean).is_ok() && exact(data, GEOMETRIC).is_ok());
    }
}

/// A row's density and score are the same to the bit whatever rows, at whatever levels, it is evaluated with.
#[test]
fn a_row_does_not_see_its_neighbours() {
    let target = three_modes();
    let (x, _) = draws(&target, 24, "neighbours");
    let levels: Vec<Level> = (0..24).map(|i| Level::exploding([0.3, 0.3, 1.0, 4.0][i % 4])).collect();
    let together = Condition::at(&levels, &device());
    let (density, score) = (target.log_density(x.clone(), &together), target.score(x.clone(), &together));
    let (density, score) = (to_host(density), to_host(score));
    for (i, &level) in levels.iter().enumerate() {
        let row = x.clone().narrow(0, i, 1);
        assert_eq!(to_host(target.log_density(row.clone(), &at(level, 1))), density[i..=i]);
        assert_eq!(to_host(target.score(row, &at(level, 1))), score[2 * i..2 * i + 2]);
    }
}
