//! What a training step costs, as `stein run` takes it: noise and directions of a batch, loss, gradients, Adam.
//!
//! `cargo xtask bench` asks on standard input, a line a question, `time CASE`, `check CASE` or `memory CASE`, and is told numbers,
//! separated by tabs. `steps_peer.py` answers the same. A case is `D H batch activation network objective`: an MLP of two hidden layers, or
//! for a network of images `side channels batch activation network objective`.

mod images;
mod numbers;

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use mimalloc::MiMalloc;
use numbers::{memory, parameters, serve, symmetric};
use stein_core::{Condition, Level, Noise, Objective, Perturbed, Streams, matrix, to_host, vector};
use stein_experiment::{LearningRateSchedule, Training, VectorTables, builtin};
use stein_networks::{Parameterization, Parameterized};
use stein_record::source::Source;
use stein_train::memory::{Counting, keep_pages};
use stein_train::{Layout, Trainee, TrainingBatch, TrainingState, training_step};

/// The program's own.
#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

/// The noise of `denoising`.
const SIGMA: f64 = 0.5;
/// Steps that warm up, and steps that are timed: one at least, so many at most, and for so many seconds.
const WARM: (usize, f64) = (3, 0.05);
const TIMED: (usize, f64) = (100, 0.15);
/// Steps between the two losses of `check`.
const CHECKED: usize = 3;

fn main() {
    keep_pages();
    serve("time 64 512 128 softplus energy-mlp sliced, or 8 32 128 silu unet denoising", answer);
}

fn answer(line: &str) -> Result<Vec<f64>, String> {
    let [question, d, hidden, rows, activation, network, objective] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err("a question has seven words".into());
    };
    let number = |word: &str| word.parse::<usize>().map_err(|e| format!("{word}: {e}"));
    let mut steps = Steps::new([number(d)?, number(hidden)?, number(rows)?], activation, network, objective)?;
    match question {
        "time" => Ok(steps.time()),
        "check" => Ok(steps.check()),
        "memory" => Ok(memory(|| {
            steps.time();
        })),
        _ => Err("`time`, `check` or `memory`?".into()),
    }
}

/// A network in training.
struct Steps {
    trainee: Trainee,
    objective: Arc<dyn Objective>,
    state: TrainingState,
    layout: Layout,
    training: Training,
    /// `[B, D]`.
    rows: Tensor<2>,
    device: Device,
}

impl Steps {
    fn new([size, hidden, rows]: [usize; 3], activation: &str, network: &str, objective: &str) -> Result<Self, String> {
        let objective = match objective {
            "denoising" => "kind = \"denoising\"",
            "sliced" => "kind = \"sliced\"\nvariance-reduced = false",
            "sliced-variance-reduced" => "kind = \"sliced\"\nvariance-reduced = true",
            "implicit-basis" => "kind = \"implicit\"\ntrace = \"basis\"",
            "implicit-exact" => "kind = \"implicit\"\ntrace = \"exact\"",
            _ => return Err(format!("no objective is called {objective}")),
        };
        let device = Device::flex().autodiff();
        let image = images::network(network, size, hidden, &device).transpose()?;
        if image.is_some() && activation != images::activation(network) {
            return Err(format!("`{network}` has {}, not {activation}", images::activation(network)));
        }
        let d = images::dimension(network, size).unwrap_or(size);
        let mlp = if image.is_some() { "mlp" } else { network };
        let text = format!(
            "[network]\nkind = \"{mlp}\"\nactivation = \"{activation}\"\nhidden = [{hidden}, {hidden}]\n\
             [objective]\n{objective}\n"
        );
        let source = Source::new("case", text.as_bytes()).map_err(|problems| format!("{problems:?}"))?;
        let parts = VectorTables::read(&source, &builtin())
            .and_then(|tables| tables.build(d, true, &device))
            .map_err(|problems| source.render(&problems, false))?;
        let network = image.map_or(parts.network, |raw| Parameterized::new(raw, Parameterization::Score));
        let trainee = Trainee::new(network, parts.objective.clone());
        let layout = Layout::of(&trainee);
        let trainee = layout.unflatten(trainee, vector(parameters(&layout), &Device::flex()));
        // What the peer does, and no more: no warming up, clipping or averaging.
        let training = Training {
            warm_up: 0,
            learning_rate_schedule: LearningRateSchedule::Constant,
            clip: 0.0,
            ema: 0.0,
            ..Training::default()
        };
        let state = TrainingState::new(&layout, &trainee);
        let rows = matrix(symmetric(0, rows * d, 3.0f64.sqrt()), d, &device);
        Ok(Self { trainee, objective: parts.objective, state, layout, training, rows, device })
    }

    /// A batch with noise z `[B, D]`, drawn by `z` if the objective needs any.
    fn batch(&self, z: impl FnOnce(usize) -> Vec<f32>, noise: Noise) -> TrainingBatch {
        let [rows, d] = self.rows.dims();
        let perturbed = if self.objective.needs_noise() {
            let levels = Condition::at(&vec![Level::exploding(SIGMA); rows], &self.device);
            Perturbed::new(self.rows.clone(), matrix(z(rows * d), d, &self.device), levels)
        } else {
            Perturbed::clean(self.rows.clone())
        };
        TrainingBatch { perturbed, weights: vector(vec![1.0; rows], &self.device), noise }
    }

    fn step(&mut self, batch: TrainingBatch) {
        let Self { trainee, state, layout, training, .. } = self;
        let mut batch = Some(batch);
        training_step(trainee, state, layout, training, || batch.take().ok_or("more than one batch a step"))
            .expect("steps take one batch");
    }

    /// Seconds of each step.
    fn time(&mut self) -> Vec<f64> {
        let streams = Streams::new(0);
        let mut index = 0;
        let mut seconds = || {
            let begun = Instant::now();
            let at = |name| streams.at(name, index);
            self.step(self.batch(|n| at("noise").normals(n), at("objective")));
            index += 1;
            begun.elapsed().as_secs_f64()
        };
        let mut several = |(most, budget)| {
            let begun = Instant::now();
            let mut times = vec![seconds()];
            while times.len() < most && begun.elapsed().as_secs_f64() < budget {
                times.push(seconds());
            }
            times
        };
        several(WARM);
        several(TIMED)
    }

    /// The loss of a batch that the peer makes too, before and after a few steps on it.
    fn check(&mut self) -> Vec<f64> {
        let d = self.rows.dims()[1];
        let mut batch = self.batch(|n| symmetric(1, n, 3.0f64.sqrt()), Streams::new(0).at("objective", 0));
        let signs = symmetric(2, self.rows.dims()[0] * d, 1.0).into_iter().map(f32::signum).collect();
        batch.perturbed = batch.perturbed.with_probes(vec![matrix(signs, d, &self.device)]);
        let before = self.loss(&batch);
        (0..CHECKED).for_each(|_| self.step(batch.clone()));
        vec![before, self.loss(&batch)]
    }

    fn loss(&self, batch: &TrainingBatch) -> f64 {
        let losses = self.objective.loss(&self.trainee.network, &batch.perturbed, &mut batch.noise.clone());
        f64::from(to_host(losses.mean())[0])
    }
}
