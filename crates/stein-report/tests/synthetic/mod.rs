//! Run directories that look like those of a real run, made without one.

mod plane;
mod sweep;

pub(crate) use plane::{field, mixture_run};
pub(crate) use sweep::*;

use std::path::{Path, PathBuf};

use stein_record::arrays::Array;
use stein_record::run_record::{DataRecord, DeviceRecord, GitRecord, NetworkRecord, Progress, Timings, Versions};
use stein_record::{
    AtLevel, Better, Estimate, Evaluation, LevelRecord, MetricLine, MetricRecord, RunDir, RunRecord, Split, State,
};
use stein_report::images::{View, sample_grid, trajectory_gif, write_png};

/// Numbers that look random and are the same each time (splitmix64).
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

pub(crate) fn record(experiment: &str, cell: &str) -> RunRecord {
    RunRecord {
        schema: 1,
        experiment: experiment.into(),
        cell: cell.into(),
        hash: "9f2c51aa03d7e6b4".repeat(4),
        state: State::Finished,
        reason: None,
        started: "2026-03-01T09:12:44Z".into(),
        ended: Some("2026-03-01T09:14:21Z".into()),
        sessions: 2,
        seed: 0,
        git: Some(GitRecord { commit: "4be1c0de".repeat(5), dirty: true }),
        argv: ["stein", "run", "experiments/digits.toml", "--set", "seed=0"].map(String::from).to_vec(),
        versions: Versions { stein: "0.1.0".into(), burn: "0.22.1".into(), platform: "linux x86_64".into() },
        device: DeviceRecord {
            requested: "auto".into(),
            backend: "flex".into(),
            description: "CPU (flex), 2 threads; no wgpu adapter found".into(),
            software: false,
        },
        data: DataRecord {
            kind: "digits".into(),
            dimension: 64,
            image: Some([8, 8, 1]),
            range: Some([0.0, 1.0]),
            train: 1437,
            held_out: 360,
            sha256: "0123456789abcdef".repeat(4),
            units: None,
        },
        network: NetworkRecord { kind: "unet".into(), parameters: 305_123 },
        conventions: [
            ("langevin", "paper: x + (α/2) s + √α z"),
            ("loss", "½ kept, dimensions summed, batch averaged"),
            ("sigma", "standard deviation of the added noise"),
        ]
        .map(|(k, v)| (k.into(), v.into()))
        .into(),
        trained: None,
        trainer: None,
        imported: None,
        progress: Progress { step: 1500, steps: 1500, skipped: 0 },
        timings: Timings {
            training: 71.3,
            sampling: 9.4,
            evaluation: 6.1,
            steps_per_second: 22.6,
            examples_per_second: 2893.0,
        },
        peak_memory: Some(612_000_000),
    }
}

pub(crate) const TOML: &str = r#"# resolved by stein 0.1.0
name = "digits"
seed = 0
device = "auto"

[data]
kind = "digits"

[network]
kind = "unet"
channels = 32
parameterization = "scaled"

[objective]
kind = "denoising"
weighting = "sigma2"

[schedule]
kind = "geometric"
sigma-max = 4.0
sigma-min = 0.02
levels = 20

[training]
steps = 1500
batch-size = 128
optimizer = { kind = "adam", learning-rate = 0.001, betas = [0.9, 0.999], epsilon = 1e-8 }
ema = 0.999
checkpoint-every = 200

[sampler]
kind = "annealed-langevin"
steps-per-level = 10
convention = "repository"
"#;

/// `runs/<name>/<cell>/`, made.
pub(crate) fn cell(runs: &Path, experiment: &str, cell: &str) -> (PathBuf, RunDir) {
    let folder = runs.join(experiment);
    let dir = RunDir::new(folder.join(cell));
    std::fs::create_dir_all(dir.path().join("samples")).unwrap();
    std::fs::create_dir_all(dir.path().join("evaluation")).unwrap();
    (folder, dir)
}

pub(crate) fn write_metrics(dir: &RunDir, noise: &mut Noise, steps: u64, start: f64, end: f64) {
    let mut text = String::new();
    let mut line = |step, split, name: &str, value| {
        let line = MetricLine { step, split, name: name.into(), value };
        text.push_str(&serde_json::to_string(&line).unwrap());
        text.push('\n');
    };
    for step in (5..=steps).step_by(5) {
        let mean = end + (start - end) * (-(step as f64) / (0.06 * steps as f64)).exp();
        line(step, Split::Train, "loss", mean * (0.16 * noise.normal()).exp());
        line(step, Split::Train, "learning-rate", 1e-3);
        if step % 50 == 0 {
            line(step, Split::HeldOut, "loss", 1.04 * mean * (0.02 * noise.normal()).exp());
        }
    }
    std::fs::write(dir.metrics(), text).unwrap();
    std::fs::write(dir.experiment(), TOML).unwrap();
}

fn geometric(high: f64, low: f64, levels: usize) -> Vec<f64> {
    (0..levels).map(|i| high * (low / high).powf(i as f64 / (levels - 1) as f64)).collect()
}

fn metric(name: &str, label: &str, better: Better, values: [(f64, f64); 3], about: &str) -> MetricRecord {
    let [value, floor, baseline] = values.map(|(v, e)| Estimate::new(v, e));
    MetricRecord {
        name: name.into(),
        label: label.into(),
        about: about.into(),
        better,
        estimate: value,
        floor: Some(floor),
        baseline: Some(baseline),
        by_level: Vec::new(),
        parts: Vec::new(),
    }
}

/// The curl, growing as σ falls.
pub(crate) fn curl(sigmas: &[f64], size: f64) -> MetricRecord {
    let by_level: Vec<AtLevel> = sigmas
        .iter()
        .map(|&sigma| AtLevel { sigma, estimate: Estimate::new(size / (1.0 + sigma), 0.05 * size / (1.0 + sigma)) })
        .collect();
    let value = by_level.iter().map(|l| l.estimate.value).sum::<f64>() / by_level.len() as f64;
    MetricRecord {
        floor: None,
        baseline: None,
        by_level,
        ..metric("curl", "curl of the score", Better::Lower, [(value, 0.05 * value); 3], "How much of the score turns.")
    }
}

fn metrics() -> Vec<MetricRecord> {
    use Better::{Higher, Lower, Near};
    vec![
        metric(
            "precision",
            "k-NN precision",
            Higher,
            [(0.881, 0.017), (0.917, 0.018), (0.51, 0.02)],
            "How many samples lie within the data's support (k = 3). Sharpened samples can exceed real data.",
        ),
        metric(
            "recall",
            "k-NN recall",
            Higher,
            [(0.876, 0.018), (0.909, 0.019), (0.49, 0.02)],
            "How much of the data lies within the samples' support (k = 3). Fooled by samples that are too spread out.",
        ),
        metric(
            "one-nn",
            "1-NN two-sample accuracy",
            Near(0.5),
            [(0.54, 0.019), (0.51, 0.018), (0.85, 0.013)],
            "How well the nearest neighbour tells samples from data, leaving one out; one half is not at all.",
        ),
        metric(
            "mmd2-median/3",
            "MMD², bandwidth ⅓ median",
            Lower,
            [(0.0003, 0.0005), (0.0003, 0.0005), (0.0058, 0.0006)],
            "Kernel distance at a bandwidth fine enough to see strokes.",
        ),
        metric(
            "sliced-wasserstein",
            "sliced Wasserstein distance",
            Lower,
            [(0.083, 0.004), (0.061, 0.003), (0.094, 0.004)],
            "Mean distance of one-dimensional projections; blind to fine structure.",
        ),
        metric(
            "nearest-ratio",
            "distance to nearest training image",
            Higher,
            [(1.09, 0.02), (1.0, 0.016), (1.9, 0.03)],
            "Median over that of held-out images; well below 1 is memorisation.",
        ),
    ]
}

const FONT: [[u8; 7]; 10] = [
    [14, 17, 17, 17, 17, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 6, 8, 16, 31],
    [14, 17, 1, 6, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 4, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

/// A digit of 8×8 grey pixels, shifted, slanted and blurred a little.
fn digit(noise: &mut Noise) -> Vec<f32> {
    let glyph = FONT[(noise.uniform() * 10.0) as usize % 10];
    let (dx, dy, slant) = (0.4 * noise.normal(), 0.3 * noise.normal(), 0.12 * noise.normal());
    let width = 0.55 + 0.15 * noise.uniform();
    let mut image = vec![0.0f64; 64];
    for (row, bits) in glyph.iter().enumerate() {
        for column in (0..5).filter(|c| bits >> (4 - c) & 1 == 1) {
            let (cy, cx) = (row as f64 + 0.5 + dy, column as f64 + 1.5 + dx - slant * (row as f64 - 3.0));
            for (i, pixel) in image.iter_mut().enumerate() {
                let (y, x) = ((i / 8) as f64, (i % 8) as f64);
                *pixel += 0.85 * (-((x - cx).powi(2) + (y - cy).powi(2)) / (2.0 * width * width)).exp();
            }
        }
    }
    image.into_iter().map(|v| (v.min(0.94) + 0.06 * noise.uniform()) as f32).collect()
}

fn images(noise: &mut Noise, count: usize, blur: f64) -> Array {
    let data = (0..count).flat_map(|_| digit(noise)).collect::<Vec<f32>>();
    Array::new([count, 64], data.into_iter().map(|v| v + (blur * noise.normal()) as f32).collect())
}

/// A finished run on images.
pub(crate) fn digits(runs: &Path, experiment: &str, name: &str) -> PathBuf {
    let mut noise = Noise(7);
    let (folder, dir) = cell(runs, experiment, name);
    dir.write_record(&record(experiment, name)).unwrap();
    write_metrics(&dir, &mut noise, 1500, 31.0, 3.1);
    let samples = images(&mut noise, 360, 0.02);
    let held_out = images(&mut noise, 360, 0.0);
    let nearest = Array::new(
        [24, 64],
        samples.data[..24 * 64].iter().map(|v| (v + 0.09 * noise.normal() as f32).clamp(0.0, 1.0)).collect(),
    );
    samples.write_npy(&dir.sample("final.npy")).unwrap();
    held_out.write_npy(&dir.sample("held-out.npy")).unwrap();
    nearest.write_npy(&dir.sample("nearest.npy")).unwrap();
    let grid = sample_grid(&samples, [8, 8, 1], [0.0, 1.0], 19, 4).unwrap();
    write_png(&dir.sample("final.png"), &grid).unwrap();

    let sigmas = geometric(4.0, 0.02, 20);
    let chains = 36;
    let mut frames = Vec::new();
    for &sigma in &sigmas {
        frames.extend(samples.data[..chains * 64].iter().map(|v| v + (sigma * noise.normal()) as f32));
    }
    frames.extend_from_slice(&samples.data[..chains * 64]);
    let trajectory = Array::new([sigmas.len() + 1, chains, 64], frames);
    let mut trajectory_sigmas = sigmas.clone();
    trajectory_sigmas.push(0.0);
    trajectory.write_npy(&dir.sample("trajectory.npy")).unwrap();
    let view = View::Images { image: [8, 8, 1], range: [0.0, 1.0], columns: 6 };
    trajectory_gif(&dir.sample("trajectory.gif"), &trajectory, &trajectory_sigmas, view).unwrap();

    let levels = sigmas.iter().map(|&sigma| {
        // Most of D/2 at small noise, the data's own variance over σ² at large.
        let linear = 32.0 / (sigma * sigma) / (1.0 + (sigma / 0.3).powi(2)) * (1.0 - 0.55 * (-sigma / 0.05f64).exp());
        let model = linear * (0.35 + 0.5 / (1.0 + (sigma / 0.4).powi(2)));
        let error = |v: f64| Estimate::new(v, 0.012 * v);
        LevelRecord {
            sigma,
            weight: sigma * sigma,
            train: error(0.985 * model * (1.0 + 0.01 * noise.normal())),
            held_out: error(1.03 * model * (1.0 + 0.01 * noise.normal())),
            floor: None,
            memorising_train: Some(error(model * (-0.25 / sigma).exp())),
            memorising_held_out: Some(error(model * (1.1 + 0.1 / (sigma * sigma)))),
            gaussian_held_out: Some(error(linear)),
            fisher: None,
            relative_fisher: None,
            clean_fisher: None,
        }
    });
    let evaluation = Evaluation {
        samples: 360,
        nfe: 201,
        acceptance: None,
        classes: None,
        inverse: None,
        sampling_seconds: 9.4,
        step: 1500,
        metrics: metrics(),
        levels: levels.collect(),
        estimators: Vec::new(),
        mode_weights: None,
        modes: None,
        trajectory_sigmas,
        nearest_distances: (0..24).map(|_| 0.72 + 0.2 * noise.normal().abs()).collect(),
        nearest_classifier_distances: Vec::new(),
    };
    dir.write_evaluation(&evaluation).unwrap();
    folder
}
