//! A run on a mixture of three Gaussians in the plane, with a field from the closed form.

use std::path::{Path, PathBuf};

use stein_record::arrays::{Array, ArrayFile};
use stein_record::run_record::{DataRecord, NetworkRecord};
use stein_record::{Estimate, Evaluation, LevelRecord, Modes};
use stein_report::images::{View, trajectory_gif};

use super::{Noise, cell, curl, geometric, metrics, record, write_metrics};

const MODES: [([f64; 2], f64); 3] = [([-2.5, -1.5], 0.5), ([2.5, -1.5], 0.3), ([0.0, 2.5], 0.2)];
const SPREAD: f64 = 0.5;

/// Density and score of the mixture smoothed by σ.
fn mixture(x: [f64; 2], sigma: f64) -> (f64, [f64; 2]) {
    let variance = SPREAD * SPREAD + sigma * sigma;
    let (mut density, mut pull) = (0.0, [0.0; 2]);
    let square = |m: [f64; 2]| (x[0] - m[0]).powi(2) + (x[1] - m[1]).powi(2);
    let least = MODES.iter().map(|m| square(m.0)).fold(f64::INFINITY, f64::min);
    for (mean, weight) in MODES {
        let p = weight * (-(square(mean) - least) / (2.0 * variance)).exp();
        density += p;
        pull = [pull[0] + p * (mean[0] - x[0]) / variance, pull[1] + p * (mean[1] - x[1]) / variance];
    }
    let score = [pull[0] / density, pull[1] / density];
    (density * (-least / (2.0 * variance)).exp() / (std::f64::consts::TAU * variance), score)
}

fn draw(noise: &mut Noise, sigma: f64) -> [f64; 2] {
    let u = noise.uniform();
    let mode = if u < 0.5 {
        0
    } else if u < 0.8 {
        1
    } else {
        2
    };
    let spread = (SPREAD * SPREAD + sigma * sigma).sqrt();
    MODES[mode].0.map(|m| m + spread * noise.normal())
}

/// Density, true score, and one that is wrong where the density is low.
pub(crate) fn field(sigmas: &[f64], grid: usize) -> ArrayFile {
    let line: Vec<f32> = (0..grid).map(|i| -6.0 + 12.0 * i as f32 / (grid - 1) as f32).collect();
    let (mut density, mut truth, mut learned) = (Vec::new(), Vec::new(), Vec::new());
    let mut learned_density = Vec::new();
    for &sigma in sigmas {
        for &y in &line {
            for &x in &line {
                let at = [f64::from(x), f64::from(y)];
                let (p, s) = mixture(at, sigma);
                let top = mixture(MODES[0].0, sigma).0;
                let trust = (p / top / 0.02).min(1.0).powf(0.35);
                let wrong =
                    |k: f64| 0.05 * (1.7 * at[0] + k).sin() / sigma.max(0.3) + (1.0 - trust) * (0.8 * at[1] + k).cos();
                density.push(p as f32);
                // Somewhat broader, and a little to the right.
                learned_density.push(mixture([at[0] - 0.1, at[1]], 1.15 * sigma.hypot(0.2)).0 as f32);
                truth.extend(s.map(|v| v as f32));
                learned.extend(
                    [s[0] * (0.4 + 0.6 * trust) + wrong(0.0), s[1] * (0.4 + 0.6 * trust) + wrong(2.0)]
                        .map(|v| v as f32),
                );
            }
        }
    }
    let levels = sigmas.len();
    let mut file = ArrayFile::default();
    let mut put = |name: &str, array| file.arrays.insert(name.to_owned(), array);
    put("x", Array::new([grid], line.clone()));
    put("y", Array::new([grid], line));
    put("sigma", Array::new([levels], sigmas.iter().map(|&s| s as f32).collect()));
    put("density", Array::new([levels, grid, grid], density));
    put("learned_density", Array::new([levels, grid, grid], learned_density));
    put("true_score", Array::new([levels, grid, grid, 2], truth));
    put("learned_score", Array::new([levels, grid, grid, 2], learned));
    file
}

/// A finished run on a mixture of three Gaussians in the plane.
pub(crate) fn mixture_run(runs: &Path, experiment: &str, name: &str, seed: u64) -> PathBuf {
    let mut noise = Noise(seed);
    let (folder, dir) = cell(runs, experiment, name);
    let mut about = record(experiment, name);
    about.seed = seed;
    about.data = DataRecord {
        kind: "gaussian-mixture".into(),
        dimension: 2,
        image: None,
        range: None,
        train: 2000,
        held_out: 1000,
        ..about.data
    };
    about.network = NetworkRecord { kind: "mlp".into(), parameters: 17_282 };
    dir.write_record(&about).unwrap();
    write_metrics(&dir, &mut noise, 3000, 1.02, 0.44);
    let rows = |noise: &mut Noise, n: usize, sigma: f64| -> Vec<f32> {
        (0..n).flat_map(|_| draw(noise, sigma)).map(|v| v as f32).collect()
    };
    Array::new([2000, 2], rows(&mut noise, 2000, 0.08)).write_npy(&dir.sample("final.npy")).unwrap();
    Array::new([1000, 2], rows(&mut noise, 1000, 0.0)).write_npy(&dir.sample("held-out.npy")).unwrap();

    let sigmas = geometric(8.0, 0.05, 20);
    let particles = 400;
    let last = rows(&mut noise, particles, 0.0);
    let directions: Vec<f64> = last.iter().map(|_| noise.normal()).collect();
    let mut frames: Vec<f32> = Vec::new();
    for &sigma in &sigmas {
        let jitter =
            last.iter().zip(&directions).map(|(&v, d)| f64::from(v) + sigma * (0.9 * d + 0.4 * noise.normal()));
        frames.extend(jitter.map(|v| v as f32));
    }
    frames.extend(&last);
    let trajectory = Array::new([sigmas.len() + 1, particles, 2], frames);
    let mut trajectory_sigmas = sigmas.clone();
    trajectory_sigmas.push(0.0);
    trajectory.write_npy(&dir.sample("trajectory.npy")).unwrap();
    let fields = field(&geometric(8.0, 0.05, 8), 61);
    fields.write(&dir.field()).unwrap();
    let view = View::Plane { field: Some(&fields) };
    trajectory_gif(&dir.sample("trajectory.gif"), &trajectory, &trajectory_sigmas, view).unwrap();

    let levels = sigmas.iter().map(|&sigma| {
        let floor =
            1.0 / (sigma * sigma) * (SPREAD * SPREAD / (SPREAD * SPREAD + sigma * sigma)) + 0.02 / sigma.powi(2);
        let fisher = 0.0085 / (sigma * sigma) * (0.3 * noise.normal() + 0.4 * (sigma / 0.7).ln().abs()).exp() * 0.6;
        let error = |v: f64| Estimate::new(v, 0.02 * v);
        LevelRecord {
            sigma,
            weight: sigma * sigma,
            train: error(floor + 0.8 * fisher),
            held_out: error(floor + fisher),
            floor: Some(error(floor)),
            memorising_train: Some(error(floor * (-0.12 / sigma).exp())),
            memorising_held_out: Some(error(floor * (1.02 + 0.004 / (sigma * sigma)))),
            gaussian_held_out: Some(error(floor * (1.0 + 0.8 / (1.0 + (sigma.ln() - 0.3).powi(2))))),
            fisher: Some(Estimate::new(fisher, 0.15 * fisher)),
            relative_fisher: Some(Estimate::new(
                fisher * (0.3 + sigma * sigma) * 0.7,
                0.1 * fisher * (0.3 + sigma * sigma),
            )),
            clean_fisher: None,
        }
    });
    let evaluation = Evaluation {
        samples: 2000,
        nfe: 201,
        acceptance: None,
        classes: None,
        inverse: None,
        sampling_seconds: 2.1,
        step: 3000,
        metrics: metrics().into_iter().skip(3).chain([curl(&sigmas, 0.03)]).collect(),
        levels: levels.collect(),
        estimators: Vec::new(),
        mode_weights: Some(vec![0.512, 0.284, 0.187]),
        modes: Some(Modes {
            truth: vec![0.5, 0.3, 0.2],
            standard_error: vec![0.0112, 0.0101, 0.0087],
            stray: Estimate::new(0.017, 0.003),
            stray_truth: Estimate::new(0.011, 0.0),
        }),
        trajectory_sigmas,
        nearest_distances: Vec::new(),
        nearest_classifier_distances: Vec::new(),
    };
    dir.write_evaluation(&evaluation).unwrap();
    folder
}
