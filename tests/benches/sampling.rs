//! What sampling costs, as `stein run` draws: Langevin dynamics with the exact score of a mixture, annealed Langevin dynamics with
//! that of an MLP 2–128–128–2.
//!
//! `cargo xtask bench` asks on standard input, a line a question, and is told numbers, separated by tabs: `time CASE` for the
//! seconds and the mean ‖x‖² of the samples, `check CASE` for scores, `memory CASE` for MiB. `sampling_peer.py` and
//! `sampling_jax.py` answer the same. A case is `exact | mlp CHAINS STEPS CHUNK`.

mod numbers;

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use mimalloc::MiMalloc;
use numbers::{memory, parameters, serve, symmetric};
use stein_core::{
    Component, Condition, Dataset, ExactScore, Level, NoObserver, NoiseSchedule, Sampler, ScoreNetwork, Streams,
    matrix, to_host, vector,
};
use stein_data::IsotropicMixture;
use stein_experiment::{VectorTables, builtin};
use stein_networks::Parameterized;
use stein_record::Array;
use stein_record::source::Source;
use stein_samplers::{AnnealedLangevin, Convention, Draw, Langevin, Start, Starts, StepSize, draw};
use stein_schedules::{Geometric, NoNoise, SigmaMax};
use stein_train::memory::{Counting, keep_pages};
use stein_train::{Layout, Trainee};

/// The program's own.
#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

/// The noise levels of `mlp`, from σ₁ to σ_L.
const SIGMAS: (f64, f64) = (1.0, 0.1);
const LEVELS: usize = 10;
/// Step sizes: α with the exact score, ε along the levels. The latter keeps chains of a network that nobody trained together.
const ALPHA: f64 = 0.01;
const EPSILON: f64 = 5e-5;
/// Rows at which scores are compared, and σ of those.
const CHECKED: usize = 16;

fn main() {
    keep_pages();
    serve("time mlp 10000 1000 10000", answer);
}

fn answer(line: &str) -> Result<Vec<f64>, String> {
    let [question, score, chains, steps, chunk] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err("a question has five words".into());
    };
    let number = |word: &str| word.parse::<usize>().map_err(|e| format!("{word}: {e}"));
    let sampling = Sampling::new(score, number(chains)?, number(steps)?, number(chunk)?)?;
    match question {
        "time" => Ok(sampling.time()),
        "check" => Ok(sampling.check()),
        "memory" => Ok(memory(|| {
            sampling.time();
        })),
        _ => Err("`time`, `check` or `memory`?".into()),
    }
}

/// Chains to be drawn.
struct Sampling {
    score: Box<dyn ScoreNetwork>,
    sampler: Box<dyn Sampler>,
    schedule: Arc<dyn NoiseSchedule>,
    data: Dataset,
    chains: usize,
    chunk: usize,
    /// As in `stein run`, not one that keeps a tape.
    device: Device,
}

impl Sampling {
    fn new(score: &str, chains: usize, steps: usize, chunk: usize) -> Result<Self, String> {
        let (device, data) = (Device::flex(), data());
        let sized = |step_size| (StepSize::Value(step_size), Convention::Paper, false);
        let built = |schedule: Result<_, stein_core::Invalid>| schedule.map_err(|e| format!("{e:?}"));
        let (score, sampler, schedule): (Box<dyn ScoreNetwork>, Box<dyn Sampler>, _) = match score {
            "exact" => {
                let (step_size, convention, denoise) = sized(ALPHA);
                let sampler = Langevin { steps, step_size, convention, denoise };
                (Box::new(mixture()), Box::new(sampler), built(NoNoise::default().build(&data))?)
            }
            "mlp" => {
                let sampler = AnnealedLangevin {
                    steps_per_level: steps / LEVELS,
                    step_size: StepSize::Value(EPSILON),
                    convention: Convention::Paper,
                    denoise: false,
                    ..AnnealedLangevin::default()
                };
                let (sigma_max, sigma_min) = (SigmaMax::Value(SIGMAS.0), SIGMAS.1);
                let ladder = Geometric { sigma_max, sigma_min, levels: LEVELS.into(), ..Geometric::default() };
                (Box::new(mlp(&device)?), Box::new(sampler), built(ladder.build(&data))?)
            }
            _ => return Err(format!("no score is called {score}")),
        };
        Ok(Self { score, sampler, schedule, data, chains, chunk, device })
    }

    /// Seconds that the chains take, and their mean ‖x‖².
    fn time(&self) -> Vec<f64> {
        // Where a peer can start too, whatever it draws.
        let start = Start::Point(vec![0.0; 2]);
        let starts = Starts::new(&start, &self.data);
        let what = Draw {
            samples: self.chains,
            first: 0,
            chunk: self.chunk,
            starts: &starts,
            streams: Streams::new(0),
            device: &self.device,
        };
        let begun = Instant::now();
        let drawn = draw(&*self.sampler, &*self.score, &*self.schedule, what, |_| Box::new(NoObserver));
        let seconds = begun.elapsed().as_secs_f64();
        let samples = drawn.expect("nothing diverges").samples.data;
        let squares: f64 = samples.iter().map(|&x| f64::from(x).powi(2)).sum();
        vec![seconds, squares / self.chains as f64]
    }

    /// Scores at rows that the peers make too, at the first level and the last.
    fn check(&self) -> Vec<f64> {
        let score = |level: Level| {
            let rows = matrix(symmetric(0, CHECKED * 2, 3.0), 2, &self.device);
            let condition = Condition::uniform(level, CHECKED, &self.device);
            to_host(self.score.score(rows, &condition)).into_iter().map(f64::from)
        };
        score(self.schedule.first()).chain(score(self.schedule.last())).collect()
    }
}

fn data() -> Dataset {
    let rows = Array::new([2, 2], vec![-2.5, -1.5, 2.5, -1.5]);
    Dataset { train: rows.clone(), held_out: rows, ..Dataset::default() }
}

fn mixture() -> ExactScore {
    let means = vec![vec![-2.5, -1.5], vec![2.5, -1.5], vec![0.0, 2.5]];
    ExactScore::new(Arc::new(IsotropicMixture::new(means, vec![0.5; 3], vec![0.5, 0.3, 0.2])))
}

/// An MLP 2–128–128–2 over σ, of parameters that the peers have too.
fn mlp(device: &Device) -> Result<Parameterized, String> {
    let text = "[network]\nkind = \"mlp\"\nactivation = \"silu\"\nhidden = [128, 128]\nparameterization = \"scaled\"\n\
                [objective]\nkind = \"denoising\"\n";
    let source = Source::new("case", text.as_bytes()).map_err(|problems| format!("{problems:?}"))?;
    let parts = VectorTables::read(&source, &builtin())
        .and_then(|tables| tables.build(2, true, device))
        .map_err(|problems| source.render(&problems, false))?;
    let trainee = Trainee::new(parts.network, parts.objective);
    let layout = Layout::of(&trainee);
    Ok(layout.unflatten(trainee, vector(parameters(&layout), device)).network)
}
