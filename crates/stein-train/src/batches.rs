//! Training batches: rows, levels and noise of a step, from the run's streams.

use std::sync::Arc;

use burn::tensor::{Device, Distribution, Tensor};
use stein_core::{
    Condition, Dataset, Level, Noise, NoiseSchedule, Perturbed, Streams, Target, class_tensor, matrix, vector,
};
use stein_data::IsotropicMixture;
use stein_experiment::{Plan, Weights, WhereNoise};

/// One batch with its weights.
#[derive(Debug, Clone)]
pub struct TrainingBatch {
    /// The perturbed examples.
    pub perturbed: Perturbed,
    /// λ(σ) of each, `[B]`.
    pub weights: Tensor<1>,
    /// The objective's own noise.
    pub noise: Noise,
}

/// What a training batch is made of, on the host.
pub(crate) struct Numbers {
    rows: Vec<f32>,
    labels: Option<Vec<u32>>,
    levels: Vec<Level>,
    /// Noise of the rows; `None` if the device makes it.
    z: Option<Vec<f32>>,
    index: u64,
}

/// Makes the batch of any step, without those before it.
#[derive(Debug, Clone)]
pub struct Batches {
    dataset: Arc<Dataset>,
    schedule: Arc<dyn NoiseSchedule>,
    weights: Weights,
    streams: Streams,
    size: usize,
    noise: WhereNoise,
    exact: Option<Arc<dyn Target>>,
    /// See [`truth`].
    truth: Option<Arc<dyn Target>>,
    /// K, if the network is told the class of an example.
    classes: Option<usize>,
    class_dropout: f64,
    device: Device,
}

/// The density that held-out rows come from, where it is known at every level of the schedule.
pub(crate) fn truth(plan: &Plan) -> Option<Arc<dyn Target>> {
    plan.dataset.target_at(plan.schedule.levels()).filter(|target| !target.is_empirical()).cloned()
}

/// The data with their exact score: the known density's, or that of the training rows, which are then dequantised once and for
/// all, since the rows of batches must be the very rows whose score is meant. With flips, their mirror images are such rows too.
fn data_and_score(plan: &Plan) -> (Arc<Dataset>, Option<Arc<dyn Target>>) {
    let data = &plan.dataset;
    if let Some(target) = data.target_at(plan.schedule.levels()).cloned() {
        return (data.clone(), Some(target));
    }
    let train = data.dequantized(&data.train, &mut plan.streams.at("level train", 0));
    let target: Arc<dyn Target> = Arc::new(IsotropicMixture::empirical(&data.with_mirrored(&train)));
    (Arc::new(Dataset { train, dequantize: None, logit: false, ..(**data).clone() }), Some(target))
}

impl Batches {
    /// The batches of a plan on a device.
    pub fn new(plan: &Plan, device: &Device) -> Self {
        Self::with(plan, device, plan.objective.needs_exact_score())
    }

    /// The same with the exact score whether the plan's objective wants it or not.
    pub(crate) fn with_exact_score(plan: &Plan, device: &Device) -> Self {
        Self::with(plan, device, true)
    }

    fn with(plan: &Plan, device: &Device, exact: bool) -> Self {
        let (dataset, exact) = if exact { data_and_score(plan) } else { (plan.dataset.clone(), None) };
        Self {
            dataset,
            schedule: plan.schedule.clone(),
            weights: plan.weights(),
            streams: plan.streams,
            size: plan.experiment.training.batch_size,
            noise: plan.experiment.training.noise,
            exact,
            truth: truth(plan),
            classes: plan.classes,
            class_dropout: plan.experiment.training.class_dropout,
            device: device.clone(),
        }
    }

    /// How many numbers the rows of a training batch have.
    pub(crate) fn length(&self) -> usize {
        self.size * self.dataset.dimension()
    }

    /// Training rows, drawn with replacement, row major.
    pub(crate) fn rows(&self, count: usize, noise: &mut Noise) -> Vec<f32> {
        self.dataset.batch(count, noise)
    }

    /// The training batch number `index`, counted from 0.
    pub fn training(&self, index: u64) -> TrainingBatch {
        self.on_device(self.numbers(index))
    }

    /// Its numbers.
    pub(crate) fn numbers(&self, index: u64) -> Numbers {
        let (rows, labels) = self.drawn(index);
        self.noised(rows, labels, index)
    }

    /// Which training rows it has.
    pub(crate) fn rows_of(&self, index: u64) -> Vec<usize> {
        self.dataset.indices(self.size, &mut self.streams.at("batch", index))
    }

    /// The noise streams that it is made of.
    pub(crate) fn streams(&self) -> Vec<&'static str> {
        let noise = (self.noise == WhereNoise::Host).then_some("noise");
        let dropout = self.classes.map(|_| "class dropout");
        ["batch", "levels"].into_iter().chain(noise).chain(["objective"]).chain(dropout).collect()
    }

    /// Its rows, row major, and their classes, where they have any.
    pub(crate) fn drawn(&self, index: u64) -> (Vec<f32>, Option<Vec<u32>>) {
        self.dataset.batch_with_labels(self.size, &mut self.streams.at("batch", index))
    }

    /// These rows with levels and noise.
    pub(crate) fn noised(&self, rows: Vec<f32>, labels: Option<Vec<u32>>, index: u64) -> Numbers {
        let levels = self.schedule.draw(&mut self.streams.at("levels", index), self.size);
        let z = match self.noise {
            WhereNoise::Host => Some(self.streams.at("noise", index).normals(rows.len())),
            WhereNoise::Device => None,
        };
        let labels = self.classes.zip(labels).map(|(null, labels)| self.dropped(labels, null as u32, index));
        Numbers { rows, labels, levels, z, index }
    }

    /// The batch of these numbers.
    pub(crate) fn on_device(&self, numbers: Numbers) -> TrainingBatch {
        let Numbers { rows, labels, levels, z, index } = numbers;
        let batch = self.perturbed(rows, &levels, z, self.streams.at("objective", index));
        self.with_labels(batch, labels.as_deref())
    }

    /// Labels of which some are replaced by the null token.
    fn dropped(&self, labels: Vec<u32>, null: u32, index: u64) -> Vec<u32> {
        // A stream of its own: networks without classes meet the noise that they always have.
        let mut noise = self.streams.at("class dropout", index);
        labels.into_iter().map(|label| if noise.uniform() < self.class_dropout { null } else { label }).collect()
    }

    /// A batch with the classes of its examples, for networks that are told them.
    pub(crate) fn with_labels(&self, mut batch: TrainingBatch, labels: Option<&[u32]>) -> TrainingBatch {
        if let Some((_, labels)) = self.classes.zip(labels) {
            let class = class_tensor(labels, &self.device);
            batch.perturbed.condition = batch.perturbed.condition.with_class(Some(class));
        }
        batch
    }

    /// A batch of held-out rows (dequantised, row major), the same whenever it is asked for, with the exact score where the
    /// density is known.
    pub fn held_out(&self, rows: &[f32], index: u64) -> TrainingBatch {
        let count = rows.len() / self.dataset.dimension();
        let levels = self.schedule.draw(&mut self.streams.at("held-out levels", index), count);
        let mut batch = self.perturb(rows.to_vec(), &levels, "held-out noise", "held-out objective", index);
        if let Some(truth) = &self.truth {
            let Perturbed { noisy, condition, .. } = &batch.perturbed;
            batch.perturbed.exact_score = Some(truth.score(noisy.clone(), condition));
        }
        batch
    }

    /// Rows perturbed at given levels, with noise of a stream.
    pub(crate) fn perturb(
        &self,
        rows: Vec<f32>,
        levels: &[Level],
        noise_stream: &str,
        objective_stream: &str,
        index: u64,
    ) -> TrainingBatch {
        let z = self.streams.at(noise_stream, index).normals(rows.len());
        self.perturbed(rows, levels, Some(z), self.streams.at(objective_stream, index))
    }

    /// Rows perturbed at given levels by `z`, or by the device's own noise; `noise` is the objective's.
    fn perturbed(&self, rows: Vec<f32>, levels: &[Level], z: Option<Vec<f32>>, noise: Noise) -> TrainingBatch {
        let d = self.dataset.dimension();
        let clean = matrix(rows, d, &self.device);
        let z = match z {
            Some(z) => matrix(z, d, &self.device),
            None => Tensor::random([levels.len(), d], Distribution::Normal(0.0, 1.0), &self.device),
        };
        let condition = Condition::at(levels, &self.device);
        let mut perturbed = Perturbed::new(clean, z, condition);
        if let Some(target) = &self.exact {
            perturbed.exact_score = Some(target.score(perturbed.noisy.clone(), &perturbed.condition));
        }
        let weights = levels.iter().map(|l| self.weights.at(*l) as f32).collect();
        TrainingBatch { perturbed, weights: vector(weights, &self.device), noise }
    }
}
