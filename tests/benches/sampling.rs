//! What sampling costs: Langevin dynamics with the exact score of a mixture, one line a measurement, `name<TAB>seconds`.
//!
//! Run by `cargo xtask bench`, which repeats it beside its peers.

use std::time::Instant;

use burn::tensor::Device;
use stein_core::{Dataset, ExactScore, Level, NoObserver, NoiseSchedule, Streams};
use stein_data::IsotropicMixture;
use stein_record::Array;
use stein_samplers::{Convention, Draw, Langevin, Start, Starts, StepSize, draw};

#[derive(Debug)]
struct Clean([Level; 1]);

impl NoiseSchedule for Clean {
    fn levels(&self) -> &[Level] {
        &self.0
    }
}

/// Seconds that so many chains take for so many steps, as `stein run` draws them.
fn seconds(chains: usize, steps: usize, chunk: usize) -> f64 {
    let means = vec![vec![-2.5, -1.5], vec![2.5, -1.5], vec![0.0, 2.5]];
    let target = IsotropicMixture::new(means, vec![0.5; 3], vec![0.5, 0.3, 0.2]);
    let rows = Array::new([2, 2], vec![-2.5, -1.5, 2.5, -1.5]);
    let data = Dataset {
        train: rows.clone(),
        held_out: rows,
        image: None,
        range: None,
        dequantize: None,
        target: None,
        labels: None,
    };
    let score = ExactScore::new(std::sync::Arc::new(target));
    let starts = Starts::new(&Start::Prior, &data);
    let device = Device::flex();
    let what = Draw { samples: chains, first: 0, chunk, starts: &starts, streams: Streams::new(0), device: &device };
    let sampler = Langevin { steps, step_size: StepSize::Value(0.01), convention: Convention::Paper, denoise: false };
    let started = Instant::now();
    draw(&sampler, &score, &Clean([Level::CLEAN]), what, |_| Box::new(NoObserver)).expect("nothing diverges");
    started.elapsed().as_secs_f64()
}

fn main() {
    // Threads and allocator wake up.
    seconds(1000, 50, 1000);
    let tell = |name: &str, chains, steps, chunk| println!("{name}\t{:.4}", seconds(chains, steps, chunk));
    tell("langevin, 10000 chains x 1000 steps", 10_000, 1000, 10_000);
    tell("langevin, 20000 chains x 1000 steps", 20_000, 1000, 10_000);
    tell("langevin, 10000 chains x 2000 steps", 10_000, 2000, 10_000);
    tell("langevin, 10000 chains x 1000 steps, in chunks of 512", 10_000, 1000, 512);
}
