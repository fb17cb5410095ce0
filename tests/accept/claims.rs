//! What the experiments on samplers say in their comments, at fewer seeds.

use std::collections::BTreeMap;
use std::path::Path;

use stein_record::{Evaluation, RunDir, SweepRecord};

use crate::{experiment, stein, value};

/// A cell's labels, and what it measured.
type Cell = (BTreeMap<String, String>, Evaluation);

/// Runs a shipped sweep in a fresh folder with some changes.
fn sweep(name: &str, changes: &[&str]) -> Vec<Cell> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = stein(folder.path(), &["run", "--set", "device=cpu", "--quiet"]);
    for change in changes {
        command.args(["--set", change]);
    }
    let output = command.arg(experiment(name)).output().expect("stein starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let runs = folder.path().join("runs").join(name);
    let record = SweepRecord::read(&runs).expect("readable").expect("there");
    let read = |cell: &str| RunDir::new(runs.join(cell)).read_evaluation().expect("readable").expect("there");
    record.cells.into_iter().map(|cell| (cell.values, read(&cell.cell))).collect()
}

/// Runs a shipped experiment in `folder`; gives its run directory.
fn run_in(folder: &Path, name: &str) -> RunDir {
    let mut command = stein(folder, &["run", "--set", "device=cpu", "--quiet"]);
    let output = command.arg(experiment(name)).output().expect("stein starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [run]: [RunDir; 1] =
        stein_record::run_dir::list(&folder.join("runs")).expect("runs").try_into().expect("one run");
    run
}

/// The cells that have this label on an axis.
fn of<'c>(cells: &'c [Cell], axis: &'c str, label: &'c str) -> impl Iterator<Item = &'c Cell> {
    cells.iter().filter(move |cell| cell.0[axis] == label)
}

fn number(cell: &Cell, axis: &str) -> f64 {
    cell.0[axis].parse().expect("a number")
}

/// The least-squares slope of ln y on ln x.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|p| (p.0.ln(), p.1.ln())).collect();
    let (x, y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(&experiment(name))).expect("an experiment")
}

#[test]
fn annealing_finds_the_weights_that_langevin_misses() {
    let cells = sweep("ncsn-figure-3", &[]);
    let weight = |cell: &Cell| cell.1.mode_weights.as_ref().expect("modes are known")[0];
    for (label, expected) in [("Langevin", 0.507), ("annealed", 0.78)] {
        let weights: Vec<f64> = of(&cells, "dynamics", label).map(weight).collect();
        assert_eq!(weights.len(), 5);
        assert!(weights.iter().all(|w| (w - expected).abs() <= 0.04), "{label}: {weights:?}");
    }
}

#[test]
fn solvers_have_their_orders() {
    let cells = sweep("solver-order", &["sweep.seed=[0]", "sweep.schedule.levels=[17,33,65,129]"]);
    for (kind, order) in [("ddim", 1.0), ("edm", 2.0)] {
        // N levels are N − 1 steps.
        let points: Vec<(f64, f64)> = of(&cells, "sampler.kind", kind)
            .map(|cell| (number(cell, "schedule.levels") - 1.0, value(&cell.1, "solver-error")))
            .collect();
        assert_eq!(points.len(), 4);
        let slope = slope(&points);
        assert!((slope + order).abs() < 0.15, "{kind}: slope {slope} of {points:?}");
    }
}

#[test]
fn unadjusted_langevin_is_biased_and_mala_is_not() {
    let cells = sweep("langevin-bias", &["sweep.seed=[0]"]);
    for cell in &cells {
        let alpha = number(cell, "sampler.step-size");
        let variance = cell.1.metric("variance").expect("measured").estimate;
        let biased = 1.0 / (1.0 - alpha / 4.0);
        let (expected, other) = match cell.0["sampler.kind"].as_str() {
            "langevin" => (biased, 1.0),
            _ => (1.0, biased),
        };
        let off = |from: f64| (variance.value - from).abs() / variance.standard_error;
        assert!(off(expected) < 4.0, "{:?}: variance {variance:?}, not {expected}", cell.0);
        assert!(alpha < 0.5 || off(other) > 8.0, "{:?}: the bias must be seen", cell.0);
        let rejects = cell.0["sampler.kind"] == "mala";
        assert_eq!(cell.1.acceptance.is_some_and(|a| a > 0.3 && a < 1.0), rejects, "{:?}", cell.1.acceptance);
    }
}

#[test]
fn langevin_dynamics_is_exact_in_a_limit_of_two_things() {
    let cells = sweep("langevin-limit", &[]);
    for cell in of(&cells, "data", "N(0, 1)") {
        let (alpha, steps) = (number(cell, "sampler.step-size"), number(cell, "sampler.steps"));
        let kept = (1.0 - alpha / 2.0).powf(steps);
        let law = [("mean", 3.0 * kept), ("variance", (1.0 - kept * kept) / (1.0 - alpha / 4.0))];
        for (name, expected) in law {
            let found = cell.1.metric(name).expect("measured").estimate;
            let off = (found.value - expected).abs();
            assert!(off < 4.5 * found.standard_error, "{:?}: {name} {found:?}, not {expected}", cell.0);
        }
    }
    // The mixture's mean is 0; chains that began at 3 have not left their mode, but for the largest steps.
    for cell in of(&cells, "data", "two modes").filter(|c| number(c, "sampler.step-size") < 0.5) {
        assert!(value(&cell.1, "mean") > 2.9, "{:?}", cell.0);
    }
}

#[test]
fn technique_4_does_not_do_what_it_claims() {
    let cells = sweep("t4-corrected", &["sweep.seed=[0]", "sweep.sampler.steps-per-level=[1,3]"]);
    assert!(file("t4-corrected").contains("levels = 40"));
    for cell in &cells {
        let steps = number(cell, "sampler.steps-per-level") as usize;
        let technique = stein::samplers::Technique4 { gamma: 1000f64.powf(1.0 / 39.0), steps_per_level: steps };
        let best = match cell.0["sampler.step-size"].as_str() {
            "t4" => technique.best_step(),
            _ => technique.best_step_accumulated(40),
        };
        let accumulated = technique.accumulated(best, 40)[39];
        let claimed = technique.variance_ratio(best);
        let found = cell.1.metric("residual-noise").expect("measured").estimate;
        let off = |from: f64| (found.value - from).abs() / found.standard_error;
        assert!(off(accumulated) < 5.0, "{:?}: {found:?}, not {accumulated}", cell.0);
        let accounts = cell.0["sampler.step-size"] != "t4";
        assert!(accounts || off(claimed) > 5.0, "{:?}: {found:?} is what is claimed, {claimed}", cell.0);
    }
}

/// Guidance alone, by a smaller network and with fewer steps than the experiment takes.
#[test]
fn halves_of_digits_are_completed() {
    let cells = sweep(
        "inpainting",
        &[
            "sweep.inverse.conditioning=[\"posterior\"]",
            "network.channels=16",
            "sampler.steps-per-level=5",
            "inverse.observed=30",
            "evaluation.level-rows=64",
        ],
    );
    let [(_, guided)] = &cells[..] else { panic!("one cell") };
    let error = guided.metric("completion-error").expect("measured");
    let (own, gaussian) = (error.estimate.value, error.baseline.expect("a baseline").value);
    // No linear guess, however much is known of means and covariances, is as near.
    assert!(own < 0.98 * gaussian, "guided {own}, Gaussian's {gaussian}");
    let calibration = value(guided, "completion-calibration");
    assert!((calibration - 1.0).abs() < 0.2, "{calibration}");
    let residual = value(guided, "completion-residual");
    assert!(residual < 0.02, "y is agreed with to {residual}");
}

/// Figure 2 of NCSN: right where the data are, wrong between and around them.
#[test]
fn a_score_without_noise_is_wrong_where_there_are_no_data() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = run_in(folder.path(), "ncsn-figure-2");
    let field = stein_record::arrays::ArrayFile::read(&run.field()).expect("readable").expect("a field");
    let of = |name: &str| &field.arrays[name].data;
    let (learned, truth, density) = (of("learned_score"), of("true_score"), of("density"));
    let most = density.iter().fold(0.0f32, |m, d| m.max(*d));
    let error = |i: usize| f64::from((learned[2 * i] - truth[2 * i]).hypot(learned[2 * i + 1] - truth[2 * i + 1]));
    let rms = |within: &dyn Fn(f32) -> bool| {
        let errors: Vec<f64> = (0..density.len()).filter(|&i| within(density[i])).map(error).collect();
        (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt()
    };
    let (near, far) = (rms(&|d| d > 0.1 * most), rms(&|d| d < 1e-4 * most));
    assert!(near < 0.3 && far > 5.0 * near, "near data {near}, far from them {far}");
    // So Langevin dynamics finds the wrong weights.
    let weights = run.read_evaluation().expect("readable").expect("there").mode_weights.expect("known");
    assert!(weights[0] < 0.65, "{weights:?}");
}

#[test]
fn the_weighted_loss_bounds_the_log_likelihood() {
    let changes = ["sweep.seed=[0]", "sweep.objective.weighting=[\"likelihood\"]", "sweep.training.steps=[300,3000]"];
    let cells = sweep("likelihood", &changes);
    let bounds: Vec<f64> = ["300", "3000"]
        .into_iter()
        .flat_map(|steps| of(&cells, "training.steps", steps))
        .map(|cell| {
            let truth = cell.1.metric("log-likelihood").expect("measured").floor.expect("known").value;
            let bound = cell.1.metric("likelihood-bound").expect("measured").estimate;
            assert!(bound.value < truth + 3.0 * bound.standard_error, "{bound:?} is above the truth, {truth}");
            // The flow's own log-likelihood is that of another model, and no better than the truth either.
            assert!(value(&cell.1, "log-likelihood-error") < 0.02, "{:?}", cell.1.metric("log-likelihood-error"));
            truth - bound.value
        })
        .collect();
    assert!(bounds[1] < bounds[0] && bounds[1] < 0.2, "what the bound lacks, {bounds:?}");
}

#[test]
fn solvers_of_the_flow_need_the_fewest_evaluations() {
    let cells = sweep("samplers", &["sweep.seed=[0]", "sweep.schedule.levels=[20]", "sweep.exclude=[]"]);
    assert_eq!(cells.len(), 12);
    for cell in &cells {
        let (name, distance) = (cell.0["sampler"].as_str(), value(&cell.1, "energy-distance"));
        let allowed = match name {
            "Heun" | "Heun, churn 10" | "DPM-Solver++(2M)" | "Dormand–Prince" => -0.01..0.004,
            "consistent-annealed" | "euler-maruyama" | "predictor-corrector" | "ddim" => -0.01..0.02,
            "annealed-langevin" => 0.005..0.05,
            // What stays at one level never changes modes.
            _ => 0.05..1.5,
        };
        assert!(allowed.contains(&distance), "{name}: {distance}");
    }
}

#[test]
fn energies_have_no_curl_and_come_nearer_to_the_score() {
    let cells = sweep("conservative", &["sweep.seed=[0]", "sweep.training.steps=[500,4000]"]);
    let of_kind = |kind, name: &str| -> Vec<f64> { of(&cells, "network", kind).map(|c| value(&c.1, name)).collect() };
    let free = of_kind("free", "curl");
    assert!(free[1] > 0.05 && free[1] > free[0], "{free:?}");
    let free = of_kind("free", "relative-fisher");
    for energy in ["energy", "energy −½ xᵀF"] {
        let curl = of_kind(energy, "curl");
        assert!(curl.iter().all(|&c| c < 1e-5), "{energy}: {curl:?}");
        let fisher = of_kind(energy, "relative-fisher");
        assert!(fisher[1] < 0.05 && 2.0 * fisher[1] < free[1], "{energy}: {fisher:?}, free {free:?}");
    }
}

#[test]
fn an_energy_knows_the_density_where_noise_connects_it() {
    let cells = sweep("energy-density", &["sweep.seed=[0]", "sweep.schedule.sigma-min=[0.1,0.5,1.0]"]);
    let error = |sigma: &str| {
        let cell = of(&cells, "schedule.sigma-min", sigma).next().expect("a cell");
        (value(&cell.1, "energy-log-likelihood-error"), value(&cell.1, "relative-fisher"))
    };
    for sigma in ["0.5", "1.0"] {
        let (nats, _) = error(sigma);
        assert!(nats.abs() < 0.1, "σ = {sigma}: {nats} nats");
    }
    let (nats, fisher) = error("0.1");
    assert!(nats < -0.5 && fisher < 0.1, "nothing connects the modes: {nats} nats, relative Fisher {fisher}");
}

#[test]
fn a_learned_energy_takes_the_bias_from_langevin_steps() {
    let cells = sweep("mala", &["sweep.seed=[0]", "sweep.sampler.step-size=[0.05,0.4]"]);
    let variance =
        |dynamics| -> Vec<f64> { of(&cells, "dynamics", dynamics).map(|c| value(&c.1, "variance")).collect() };
    let ula = variance("ULA");
    assert!(ula[1] > 1.05 * ula[0], "{ula:?}");
    for dynamics in ["MALA", "HMC"] {
        let adjusted = variance(dynamics);
        assert!((adjusted[1] / adjusted[0] - 1.0).abs() < 0.05, "{dynamics}: {adjusted:?}");
        let accepted: Vec<f64> = of(&cells, "dynamics", dynamics).map(|c| c.1.acceptance.expect("rejects")).collect();
        assert!(accepted[0] > 0.95 && accepted[1] < accepted[0] && accepted[1] > 0.5, "{dynamics}: {accepted:?}");
    }
}
