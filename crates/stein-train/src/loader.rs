//! Batches as burn-train's data loaders.

use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use stein_experiment::Plan;

use crate::ahead::Ahead;
use crate::{Batches, TrainingBatch};

/// Held-out examples that the loss is measured on during training: rows are repeated with other noise up to this.
const HELD_OUT_EXAMPLES: usize = 720;
/// Examples at a time in that.
const HELD_OUT_CHUNK: usize = 240;

/// Numbers of a batch from which on a thread of its own is worth while. On two cores, which a step on the CPU has both, steps of a small
/// network lost a seventh by it at 256 numbers, nothing at 1024, and gained a tenth at 8192.
const WORTH_A_THREAD: usize = 1024;

/// The training batches from one index to another.
#[derive(Debug, Clone)]
pub(crate) struct TrainingLoader {
    pub(crate) batches: Batches,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The held-out rows with the noise that is the same at every evaluation, in chunks.
#[derive(Debug, Clone)]
pub(crate) struct HeldOutLoader {
    pub(crate) batches: Batches,
    pub(crate) chunks: Arc<Vec<HeldOutChunk>>,
}

/// Held-out rows, row major, and their classes, where they have any.
#[derive(Debug, Clone)]
pub(crate) struct HeldOutChunk {
    pub(crate) rows: Vec<f32>,
    pub(crate) labels: Option<Vec<u32>>,
}

impl HeldOutLoader {
    /// The held-out rows of a plan.
    pub(crate) fn of(plan: &Plan, device: &Device) -> Self {
        Self { batches: Batches::new(plan, device), chunks: Arc::new(held_out_chunks(plan)) }
    }
}

/// The held-out rows, dequantised once and repeated, in chunks.
fn held_out_chunks(plan: &Plan) -> Vec<HeldOutChunk> {
    let data = &plan.dataset;
    let rows = data.dequantized(&data.held_out, &mut plan.streams.at("held-out dequantization", 0));
    let count = HELD_OUT_EXAMPLES.max(rows.rows().min(2 * HELD_OUT_EXAMPLES));
    let all: Vec<usize> = (0..count).map(|i| i % rows.rows()).collect();
    let chunk = |of: &[usize]| HeldOutChunk {
        rows: of.iter().flat_map(|&i| rows.row(i).iter().copied()).collect(),
        labels: data.labels.as_ref().map(|labels| of.iter().map(|&i| labels.held_out[i]).collect()),
    };
    all.chunks(HELD_OUT_CHUNK).map(chunk).collect()
}

struct Counted<I> {
    inner: I,
    done: usize,
    total: usize,
}

impl<I: Iterator<Item = TrainingBatch>> Iterator for Counted<I> {
    type Item = Result<TrainingBatch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.inner.next()?;
        self.done += 1;
        Some(Ok(batch))
    }
}

impl<I: Iterator<Item = TrainingBatch>> DataLoaderIterator<TrainingBatch> for Counted<I> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.total, Some("batches".into()))
    }
}

impl DataLoader<TrainingBatch> for TrainingLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainingBatch> + 'a> {
        let (batches, total) = (self.batches.clone(), self.num_items());
        let numbers = (self.from..self.to).map(move |i| batches.numbers(i));
        let on_device = |numbers| self.batches.on_device(numbers);
        // The device is spoken to by one thread: what it is told comes in one order, and gives the same bits.
        if self.batches.length() >= WORTH_A_THREAD
            && let Ok(ahead) = Ahead::new(numbers.clone())
        {
            return Box::new(Counted { inner: ahead.map(on_device), done: 0, total });
        }
        Box::new(Counted { inner: numbers.map(on_device), done: 0, total })
    }

    fn num_items(&self) -> usize {
        (self.to - self.from) as usize
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<TrainingBatch>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<TrainingBatch>> {
        Arc::new(Self { from: self.from + start as u64, to: self.from + end as u64, ..self.clone() })
    }
}

impl DataLoader<TrainingBatch> for HeldOutLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<TrainingBatch> + 'a> {
        let batch = |(i, chunk): (usize, &HeldOutChunk)| {
            let batch = self.batches.held_out(&chunk.rows, i as u64);
            self.batches.with_labels(batch, chunk.labels.as_deref())
        };
        let inner = self.chunks.iter().enumerate().map(batch);
        Box::new(Counted { inner, done: 0, total: self.num_items() })
    }

    fn num_items(&self) -> usize {
        self.chunks.len()
    }

    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<TrainingBatch>> {
        Arc::new(self.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<TrainingBatch>> {
        Arc::new(Self { chunks: Arc::new(self.chunks[start..end].to_vec()), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stein_core::{Perturbed, to_host};
    use stein_experiment::{Experiment, builtin};
    use stein_record::source::Source;

    fn plan(batch_size: usize) -> Plan {
        let text = format!(
            "[data]\nkind = \"gaussian-mixture\"\nmeans = [[-2.0, 0.0], [2.0, 0.0]]\nstd = 0.5\ntrain = 600\n\
             [network]\nkind = \"mlp\"\nhidden = [8]\n[objective]\nkind = \"explicit\"\n\
             [training]\nbatch-size = {batch_size}\n"
        );
        let (source, registry) = (Source::new("test.toml", text.as_bytes()).unwrap(), builtin());
        Experiment::read(&source, &registry)
            .and_then(|experiment| Plan::build(experiment, &registry))
            .unwrap_or_else(|problems| panic!("{}", source.render(&problems, false)))
    }

    /// All of a batch.
    fn numbers(mut batch: TrainingBatch) -> Vec<f32> {
        let Perturbed { clean, noise, noisy, exact_score, condition, .. } = batch.perturbed;
        let levels = condition.levels.unwrap();
        let mut all: Vec<f32> =
            [clean, noise.unwrap(), noisy, exact_score.unwrap()].into_iter().flat_map(to_host).collect();
        all.extend([levels.alpha, levels.sigma].into_iter().flat_map(to_host));
        all.extend(to_host(batch.weights));
        all.extend(batch.noise.normals(3));
        all
    }

    #[test]
    fn batches_of_any_size_are_those_of_their_steps_wherever_one_begins() {
        for (size, ahead) in [(16, false), (512, true)] {
            let plan = plan(size);
            let batches = Batches::new(&plan, &Device::flex());
            assert_eq!(batches.length() >= WORTH_A_THREAD, ahead);
            for from in [0, 7] {
                let loader = TrainingLoader { batches: batches.clone(), from, to: from + 5 };
                let found: Vec<_> = loader.iter().map(|batch| numbers(batch.unwrap())).collect();
                let expected: Vec<_> = (from..from + 5).map(|i| numbers(batches.training(i))).collect();
                assert!(found == expected, "{size} examples from step {from}");
                assert_ne!(found[0], found[1]);
            }
        }
    }
}
