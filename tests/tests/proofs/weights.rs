//! How much each noise level counts, against integrals.

use stein_core::{Level, Streams};
use stein_experiment::{Experiment, Plan, builtin};
use stein_record::source::Source;

fn plan(tables: &str) -> Plan {
    let text = format!("[data]\nkind = \"gaussian\"\n{tables}");
    let registry = builtin();
    let source = Source::new("test.toml", text.as_bytes()).expect("text");
    Experiment::read(&source, &registry)
        .and_then(|experiment| Plan::build(experiment, &registry))
        .unwrap_or_else(|problems| panic!("{}", source.render(&problems, false)))
}

/// The mean over training draws of λ(σ) f(σ) with its standard error.
fn mean_weighted(plan: &Plan, f: impl Fn(f64) -> f64) -> (f64, f64) {
    let weights = plan.weights();
    let draws = plan.schedule.draw(&mut Streams::new(5).at("weights", 0), 200_000);
    let values: Vec<f32> = draws.iter().map(|l| (weights.at(*l) * f(l.sigma)) as f32).collect();
    crate::common::mean(&values)
}

/// ∫ g(σ) d ln σ from 0.1 to 5.
fn integral(g: impl Fn(f64) -> f64) -> f64 {
    let (low, high, n) = (0.1f64.ln(), 5f64.ln(), 10_000);
    let step = (high - low) / f64::from(n);
    (0..n).map(|i| g((low + (f64::from(i) + 0.5) * step).exp()) * step).sum()
}

const DENSITIES: [&str; 3] =
    ["density = \"log-uniform\"", "density = { log-normal = { mean = -0.5, std = 0.9 } }", "levels = 4000"];

fn schedule(density: &str) -> String {
    format!("[schedule]\nkind = \"geometric\"\nsigma-max = 5.0\nsigma-min = 0.1\n{density}\n")
}

#[test]
fn likelihood_weighting_is_the_integral_over_g2_however_levels_are_drawn() {
    // ∫ g² F dt = ∫ F d(σ²) = ∫ 2σ² F d ln σ, here with F = 1/(1 + σ²).
    let f = |sigma: f64| 1.0 / (1.0 + sigma * sigma);
    let expected = integral(|sigma| 2.0 * sigma * sigma * f(sigma));
    for density in DENSITIES {
        let plan = plan(&format!("[objective]\nweighting = \"likelihood\"\n{}", schedule(density)));
        let (value, error) = mean_weighted(&plan, f);
        assert!(
            (value - expected).abs() < 4.0 * error + 2e-3 * expected,
            "{density}: {value} ± {error}, not {expected}"
        );
        assert!((value - 0.5 * expected).abs() > 20.0 * error, "g² without its 2 must be seen");
    }
}

#[test]
fn importance_correction_takes_out_how_levels_are_drawn() {
    let f = |sigma: f64| 1.0 / (1.0 + sigma * sigma);
    let uniform = integral(|sigma| sigma * sigma * f(sigma)) / (5f64 / 0.1).ln();
    for density in DENSITIES {
        let of = |correction: bool| {
            let objective = format!("[objective]\nimportance-correction = {correction}\n");
            mean_weighted(&plan(&format!("{objective}{}", schedule(density))), f)
        };
        let (value, error) = of(true);
        assert!((value - uniform).abs() < 4.0 * error + 2e-3 * uniform, "{density}: {value} ± {error}, not {uniform}");
        let (without, error) = of(false);
        let differs = (without - uniform).abs() > 10.0 * error + 2e-3 * uniform;
        assert_eq!(differs, density.contains("log-normal"), "{density}: {without} ± {error}");
    }
}

#[test]
fn a_preset_fills_what_is_left_out() {
    let edm = plan("[network]\nsigma-data = 1.0\n[schedule]\nsigma-max = 80.0\nsigma-min = 0.002\n");
    assert_eq!(edm.weights().at(Level::exploding(2.0)), 4.0, "σ² without it");
    let registry = builtin();
    let read = |text: &str| {
        let source = Source::new("test.toml", text.as_bytes()).expect("text");
        Experiment::read(&source, &registry).unwrap_or_else(|p| panic!("{}", source.render(&p, false)))
    };
    let data = "[data]\nkind = \"gaussian\"\n";
    let by_preset = read(&format!("preset = \"edm\"\n{data}"));
    let by_hand = read(&format!(
        "{data}[network]\nparameterization = \"edm\"\n[objective]\nkind = \"denoising\"\nweighting = \"edm\"\n\
         [schedule]\ndensity = {{ log-normal = {{ mean = -1.2, std = 1.2 }} }}\n"
    ));
    assert_eq!(by_preset.cell().hash, by_hand.cell().hash, "a preset is what it stands for");
    let own = read(&format!("preset = \"edm\"\n{data}[objective]\nweighting = \"none\"\n"));
    assert_eq!(own.weighting, stein_objectives::Weighting::None, "what the file says stays");
}
