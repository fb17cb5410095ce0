//! Batches as burn-train's data loaders.

use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;
use stein_experiment::Plan;

use crate::{Batches, TrainingBatch};

/// Held-out examples that the loss is measured on during training: rows are repeated with other noise up to this.
const HELD_OUT_EXAMPLES: usize = 720;
/// Examples at a time in that.
const HELD_OUT_CHUNK: usize = 240;

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
        let inner = (self.from..self.to).map(|i| self.batches.training(i));
        Box::new(Counted { inner, done: 0, total: self.num_items() })
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
