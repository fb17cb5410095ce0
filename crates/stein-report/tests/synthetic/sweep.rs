//! A sweep of three objectives, two noises, two learning rates and three seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stein_record::run_record::{NetworkRecord, Progress};
use stein_record::{
    AxisRole, Better, Estimate, EstimatorRecord, Evaluation, LevelRecord, MetricLine, MetricRecord, RunDir, Split,
    State, SweepAxis, SweepCell, SweepRecord,
};

use super::{Noise, cell, geometric, metrics, record};

pub(crate) const OBJECTIVES: [&str; 3] = ["denoising", "sliced", "implicit"];
pub(crate) const NOISES: [&str; 2] = ["no noise", "8 to 0.05"];
pub(crate) const RATES: [&str; 2] = ["0.001", "0.01"];
const STEPS: u64 = 3000;

/// An axis of that name and role.
pub(crate) fn axis(name: &str, role: AxisRole, values: &[&str]) -> SweepAxis {
    let numbers = values.iter().map(|v| v.parse().ok()).collect();
    SweepAxis { name: name.into(), values: values.iter().map(|v| (*v).into()).collect(), numbers, role }
}

/// A cell with its label on each axis.
pub(crate) fn swept(name: &str, labels: &[(&str, &str)]) -> SweepCell {
    let values: BTreeMap<String, String> = labels.iter().map(|(a, l)| ((*a).into(), (*l).into())).collect();
    SweepCell { cell: name.into(), values }
}

/// How one cell does.
pub(crate) struct Made {
    /// The final mean of σ²·F.
    pub(crate) error: f64,
    /// Seconds a step.
    pub(crate) seconds: f64,
    /// The levels.
    pub(crate) sigmas: Vec<f64>,
    /// How noisy its gradient is.
    pub(crate) gradient: f64,
    pub(crate) memory: u64,
}

/// A finished run whose numbers are about `made`.
pub(crate) fn finished(runs: &Path, experiment: &str, name: &str, seed: u64, made: &Made) -> RunDir {
    let mut noise = Noise(seed + 17);
    let (_, dir) = cell(runs, experiment, name);
    let mut about = record(experiment, name);
    about.seed = seed;
    about.data.image = None;
    about.data.dimension = 8;
    about.progress.steps = STEPS;
    about.progress.step = STEPS;
    let speed = 1.0 + 0.02 * noise.normal();
    about.timings.steps_per_second = speed / made.seconds;
    about.timings.training = STEPS as f64 * made.seconds / speed;
    about.peak_memory = Some(made.memory + seed * 300_000);
    dir.write_record(&about).unwrap();
    // What the seeds share is larger than what tells the cells apart.
    let level = made.error * (0.12 * Noise(seed).normal() + 0.02 * noise.normal()).exp();
    let mut log = String::new();
    let mut line = |step, name: &str, value: f64| {
        let line = MetricLine { step, split: Split::HeldOut, name: name.into(), value };
        log.push_str(&(serde_json::to_string(&line).unwrap() + "\n"));
    };
    for step in (100..=STEPS).step_by(100) {
        let t = step as f64 / STEPS as f64;
        line(step, "fisher", level * (1.0 + 40.0 * (-7.0 * t).exp()) * (0.03 * noise.normal()).exp());
        line(step, "loss", level.ln() + 3.0 * (-6.0 * t).exp() + 0.02 * noise.normal());
    }
    std::fs::write(dir.metrics(), log).unwrap();
    let levels = made.sigmas.iter().map(|&sigma| {
        let one = Estimate::new(1.0, 0.1);
        let fisher = level * (0.5 * (sigma.max(0.02).ln().abs() - 1.0)).exp() * (0.02 * noise.normal()).exp();
        LevelRecord {
            sigma,
            weight: 1.0,
            train: one,
            held_out: one,
            floor: None,
            memorising_train: None,
            memorising_held_out: None,
            gaussian_held_out: None,
            fisher: Some(Estimate::new(if sigma == 0.0 { 0.0 } else { fisher }, 0.04 * fisher)),
            relative_fisher: None,
            clean_fisher: Some(Estimate::new(level * (1.0 + 6.0 * sigma), 0.05 * level)),
        }
    });
    let levels: Vec<LevelRecord> = levels.collect();
    let evaluation = Evaluation {
        samples: 1000,
        nfe: 201,
        acceptance: None,
        classes: None,
        inverse: None,
        sampling_seconds: 2.0,
        step: STEPS,
        metrics: metrics().split_off(2),
        levels,
        estimators: estimators(&made.sigmas, made.gradient * (0.05 * noise.normal()).exp(), &mut noise),
        mode_weights: None,
        modes: None,
        trajectory_sigmas: Vec::new(),
        nearest_distances: Vec::new(),
        nearest_classifier_distances: Vec::new(),
    };
    dir.write_evaluation(&evaluation).unwrap();
    dir
}

/// Three estimators a level, the last of them biased.
pub(crate) fn estimators(sigmas: &[f64], gradient: f64, noise: &mut Noise) -> Vec<EstimatorRecord> {
    let mut out = Vec::new();
    for &sigma in sigmas {
        let scale = 1.0 / (0.05 + sigma * sigma);
        for (i, name) in ["exact trace", "sliced", "sliced, finite difference"].into_iter().enumerate() {
            let spread = scale * [0.0, 0.02, 0.02][i];
            let bias = spread * [0.0, 0.9 * noise.uniform(), 6.0][i];
            let variance = gradient * scale * [1.0, 2.5, 2.4][i];
            out.push(EstimatorRecord {
                name: name.into(),
                sigma,
                loss: Estimate::new(-scale + bias, 0.1 * scale),
                difference: Estimate::new(bias, spread),
                difference_variance: Estimate::new(spread * spread * 1000.0, 0.1 * spread),
                gradient_square: Estimate::new(0.1 * scale, 0.01 * scale),
                gradient_difference: Estimate::new(bias * bias, spread * spread),
                gradient_variance: Estimate::new(variance, 0.06 * variance),
                seconds: Estimate::new([0.021, 0.006, 0.0045][i], 0.0002),
                memory: Some([310, 92, 64][i] * 1_000_000),
            });
        }
    }
    out
}

/// The sweep: 36 cells, of which one failed, one diverged and one was not run.
pub(crate) fn sweep_runs(runs: &Path, experiment: &str) -> PathBuf {
    let mut cells = Vec::new();
    let ladder = geometric(8.0, 0.05, 10);
    for (o, objective) in OBJECTIVES.into_iter().enumerate() {
        for (s, noise) in NOISES.into_iter().enumerate() {
            for (r, rate) in RATES.into_iter().enumerate() {
                for seed in 0..3u64 {
                    let number = cells.len() as u64;
                    let name = format!("{objective}-{s}-{r}-seed-{seed}-{:08x}", number * 0x0101_0101);
                    cells.push(swept(
                        &name,
                        &[("objective", objective), ("noise", noise), ("rate", rate), ("seed", &seed.to_string())],
                    ));
                    let made = Made {
                        error: [0.011, 0.0125, 0.0122][o] * [6.0, 1.0][s] * [1.0, 1.9][r],
                        seconds: [0.002, 0.0043, 0.011][o],
                        sigmas: if s == 0 { vec![0.0] } else { ladder.clone() },
                        gradient: [3.0, 7.0, 1.0][o],
                        memory: [60, 80, 190][o] * 1_000_000,
                    };
                    if (o, s, r, seed) == (1, 0, 1, 2) {
                        continue;
                    }
                    let dir = finished(runs, experiment, &name, seed, &made);
                    let mut about = dir.read_record().unwrap().unwrap();
                    match (o, s, r, seed) {
                        (2, 1, 0, 1) => {
                            about.state = State::Failed;
                            about.reason = Some("the disk is full".into());
                        }
                        (0, 0, 1, 0) => {
                            about.state = State::Diverged;
                            about.reason = Some("the loss was not finite at step 412".into());
                        }
                        _ => continue,
                    }
                    dir.write_record(&about).unwrap();
                }
            }
        }
    }
    let folder = runs.join(experiment);
    let axes = vec![
        axis("objective", AxisRole::Compare, &OBJECTIVES),
        axis("noise", AxisRole::Compare, &NOISES),
        axis("rate", AxisRole::Best, &RATES),
        axis("seed", AxisRole::Repeat, &["0", "1", "2"]),
    ];
    SweepRecord { schema: 1, experiment: experiment.into(), measures: Vec::new(), axes, cells }.write(&folder).unwrap();
    folder
}

/// A sweep of two samplers over steps and step sizes with a score that nobody trained, compared by `measures`. The error of
/// `ula` falls with the number of steps, that of `mala` with its square; one cell diverged.
pub(crate) fn exact_sweep(runs: &Path, experiment: &str, measures: &[&str]) -> PathBuf {
    let (steps, sizes) = (["10", "20", "40"], ["0.1", "0.4"]);
    let mut cells = Vec::new();
    for (order, sampler) in ["ula", "mala"].into_iter().enumerate() {
        for size in sizes {
            for step in steps {
                for seed in 0..3u64 {
                    let name = format!("{sampler}-{size}-{step}-seed-{seed}-{:08x}", cells.len());
                    let made = Made { error: 0.0, seconds: 1.0, sigmas: vec![1.0], gradient: 1.0, memory: 50_000_000 };
                    let dir = finished(runs, experiment, &name, seed, &made);
                    std::fs::write(dir.metrics(), "").unwrap();
                    let mut about = dir.read_record().unwrap().unwrap();
                    about.network = NetworkRecord { kind: "exact".into(), parameters: 0 };
                    about.timings.training = 0.0;
                    about.timings.steps_per_second = 0.0;
                    about.progress = Progress::default();
                    if (sampler, size, step, seed) == ("ula", "0.4", "10", 1) {
                        about.state = State::Diverged;
                    }
                    dir.write_record(&about).unwrap();
                    let n: f64 = step.parse().unwrap();
                    let error =
                        size.parse::<f64>().unwrap() * n.powi(-1 - order as i32) * [1.0, 1.1, 0.9][seed as usize];
                    let metric = |name: &str, label: &str, value: f64| MetricRecord {
                        name: name.into(),
                        label: label.into(),
                        about: String::new(),
                        better: Better::Lower,
                        estimate: Estimate::new(value, 0.01 * value),
                        floor: (name == "bias").then(|| Estimate::new(0.001, 0.0002)),
                        baseline: None,
                        by_level: Vec::new(),
                        parts: Vec::new(),
                    };
                    let mut evaluation = dir.read_evaluation().unwrap().unwrap();
                    evaluation.metrics = vec![
                        metric("sigma2-fisher", "mean σ²·Fisher divergence", 0.0),
                        metric("stray", "share of stray samples", 0.25),
                        metric("bias", "bias of the variance", error),
                    ];
                    evaluation.estimators.clear();
                    evaluation.nfe = step.parse().unwrap();
                    evaluation.acceptance = (sampler == "mala").then_some(0.6);
                    dir.write_evaluation(&evaluation).unwrap();
                    let seed = seed.to_string();
                    let labels = [("sampler", sampler), ("step-size", size), ("steps", step), ("seed", &*seed)];
                    cells.push(swept(&name, &labels));
                }
            }
        }
    }
    let folder = runs.join(experiment);
    let axes = vec![
        axis("sampler", AxisRole::Compare, &["ula", "mala"]),
        axis("step-size", AxisRole::Compare, &sizes),
        axis("steps", AxisRole::Compare, &steps),
        axis("seed", AxisRole::Repeat, &["0", "1", "2"]),
    ];
    let measures = measures.iter().map(|m| (*m).into()).collect();
    SweepRecord { schema: 1, experiment: experiment.into(), measures, axes, cells }.write(&folder).unwrap();
    folder
}

/// A sweep of 14 objectives along five widths, a seed each, without measurements during training; and a run that is none
/// of its cells.
pub(crate) fn numbers_sweep(runs: &Path, experiment: &str) -> PathBuf {
    let widths = ["32", "64", "128", "256", "512"];
    let objectives: Vec<String> = (0..14).map(|i| format!("o{i}")).collect();
    let mut cells = Vec::new();
    for (o, objective) in objectives.iter().enumerate() {
        for (w, width) in widths.into_iter().enumerate() {
            let name = format!("{objective}-{width}-{:08x}", cells.len());
            let made = Made {
                error: 0.01 * 1.15f64.powi(o as i32) * 0.7f64.powi(w as i32),
                seconds: 0.0005 * 1.6f64.powi(w as i32) * (1.0 + 0.1 * o as f64),
                sigmas: geometric(4.0, 0.1, 5),
                gradient: 1.0,
                memory: 50_000_000 << w,
            };
            let dir = finished(runs, experiment, &name, 0, &made);
            std::fs::remove_file(dir.metrics()).unwrap();
            cells.push(swept(&name, &[("objective", objective), ("network.hidden", width)]));
        }
    }
    let made = Made { error: 1.0, seconds: 1.0, sigmas: vec![1.0], gradient: 1.0, memory: 1 };
    finished(runs, experiment, "stranger-ffffffff", 0, &made);
    let folder = runs.join(experiment);
    let labels: Vec<&str> = objectives.iter().map(String::as_str).collect();
    let axes = vec![axis("objective", AxisRole::Compare, &labels), axis("network.hidden", AxisRole::Compare, &widths)];
    SweepRecord { schema: 1, experiment: experiment.into(), measures: Vec::new(), axes, cells }.write(&folder).unwrap();
    folder
}
