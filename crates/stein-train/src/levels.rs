//! The loss at each noise level, beside what is the least that can be reached, and what memorising would reach.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, ExactScore, Level, Objective, ScoreNetwork, Target, matrix, to_host};
use stein_data::IsotropicMixture;
use stein_experiment::Plan;
use stein_jet::Jet;
use stein_metrics::stats::{Gaussian, RIDGE, Rows};
use stein_record::{Array, Estimate, LevelRecord};

use crate::batches::truth;
use crate::{Batches, TrainingBatch};

/// Rows evaluated at a time.
const CHUNK: usize = 256;
/// Beyond this many numbers a row, the best linear score is not worth its D³.
const MOST_LINEAR: usize = 1024;
/// Beyond this many training rows, the empirical optimum is not worth its cost.
const MOST_EMPIRICAL: usize = 20_000;

/// Measures every level of the schedule with `network` (without autodiff), a network of classes with the null token: floors and
/// Fisher divergences are about the whole law. `done` hears of each level and may stop it.
pub fn level_losses(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    device: &Device,
    mut done: impl FnMut(usize) -> ControlFlow<()>,
) -> Vec<LevelRecord> {
    let data = &plan.dataset;
    let rows = plan.experiment.evaluation.level_rows;
    let batches = Batches::new(plan, device);
    // Without noise, the rows' own density is no function.
    let smooth = !plan.schedule.last().is_clean();
    let truth = truth(plan);
    let empirical = truth.is_none() && smooth && data.train.rows() <= MOST_EMPIRICAL;
    let linear = truth.is_none() && data.dimension() <= MOST_LINEAR;
    // The memorising score must know the very rows that it is tested on; without one the first are enough.
    let wanted = if empirical || linear { data.train.rows() } else { rows.min(data.train.rows()) };
    let train = data.dequantize(data.train.slice(0..wanted), &mut plan.streams.at("level train", 0));
    let sets = Sets {
        train: cycled(&train, rows),
        held_out: cycled(&data.dequantized(&data.held_out, &mut plan.streams.at("level held-out", 0)), rows),
    };
    let empirical =
        empirical.then(|| ExactScore::new(Arc::new(IsotropicMixture::empirical(&data.with_mirrored(&train)))));
    let gaussian = linear.then(|| Gaussian::fit(Rows::new(&train.data, data.dimension()).ok()?, RIDGE).ok()).flatten();
    let exact = truth.map(ExactScore::new);
    // The smoothed training rows are as good a density as any to hold a score against, on draws of their own.
    let target = data.target_at(plan.schedule.levels());
    let clean = data.target_at(&[Level::CLEAN]);

    let weights = plan.weights();

    let mut out = Vec::new();
    for (i, &level) in plan.schedule.levels().iter().enumerate() {
        let at = AtLevel { plan, batches: &batches, level, index: i as u64 };
        let fisher = target.map(|target| at.fisher(network, &**target, rows, device));
        let linear = gaussian.as_ref().and_then(|g| Linear::at(g, level, device));
        out.push(LevelRecord {
            sigma: level.sigma,
            weight: weights.at(level),
            train: at.loss(network, &sets.train),
            held_out: at.loss(network, &sets.held_out),
            floor: exact.as_ref().map(|exact| at.loss(exact, &sets.held_out)),
            memorising_train: empirical.as_ref().map(|score| at.loss(score, &sets.train)),
            memorising_held_out: empirical.as_ref().map(|score| at.loss(score, &sets.held_out)),
            gaussian_held_out: linear.as_ref().map(|score| at.loss(score, &sets.held_out)),
            fisher: fisher.map(|f| f.0),
            relative_fisher: fisher.map(|f| f.1),
            clean_fisher: clean.map(|target| at.clean_fisher(network, &**target, rows, device)),
        });
        if done(i + 1).is_break() {
            break;
        }
    }
    out
}

struct Sets {
    train: Cycled,
    held_out: Cycled,
}

/// Rows repeated up to a count: each repetition meets other noise.
struct Cycled {
    rows: Array,
    distinct: usize,
}

fn cycled(rows: &Array, count: usize) -> Cycled {
    let distinct = rows.rows().min(count);
    let data = (0..count).flat_map(|i| rows.row(i % distinct).iter().copied()).collect();
    Cycled { rows: Array::new([count, rows.row_length()], data), distinct }
}

struct AtLevel<'a> {
    plan: &'a Plan,
    batches: &'a Batches,
    level: Level,
    index: u64,
}

impl AtLevel<'_> {
    /// The objective's mean over a set. The standard error is between rows: repetitions of a row are averaged first.
    fn loss(&self, network: &dyn ScoreNetwork, set: &Cycled) -> Estimate {
        let mut sums = vec![(0.0, 0u32); set.distinct];
        for (chunk, start) in (0..set.rows.rows()).step_by(CHUNK).enumerate() {
            let end = (start + CHUNK).min(set.rows.rows());
            let batch = self.batch(set.rows.slice(start..end).data, chunk);
            for (row, loss) in (start..end).zip(losses(&*self.plan.objective, network, batch)) {
                let (sum, count) = &mut sums[row % set.distinct];
                *sum += f64::from(loss);
                *count += 1;
            }
        }
        Estimate::mean_of(&sums.iter().map(|(sum, count)| sum / f64::from(*count)).collect::<Vec<_>>())
    }

    /// The same noise for every set and every score, so that their differences are not noise.
    fn batch(&self, rows: Vec<f32>, chunk: usize) -> TrainingBatch {
        let levels = vec![self.level; rows.len() / self.plan.dataset.dimension()];
        let index = self.index * 1_000_000 + chunk as u64;
        self.batches.perturb(rows, &levels, "level noise", "level objective", index)
    }

    /// σ²·½E‖s − ∇log p_σ‖² and its share of ½E‖∇log p_σ‖², on fresh draws.
    fn fisher(
        &self,
        network: &dyn ScoreNetwork,
        target: &dyn Target,
        rows: usize,
        device: &Device,
    ) -> (Estimate, Estimate) {
        let mut noise = self.plan.streams.at("fisher", self.index);
        let (mut error, mut size) = (Vec::new(), Vec::new());
        for start in (0..rows).step_by(CHUNK) {
            let count = CHUNK.min(rows - start);
            let d = target.dimension();
            let (clean, z) = (target.sample(count, &mut noise), noise.normals(count * d));
            let x = matrix(clean, d, device) * self.level.alpha + matrix(z, d, device) * self.level.sigma;
            let condition = Condition::uniform(self.level, count, device);
            let exact = target.score(x.clone(), &condition);
            error.extend(half_squares(network.score(x, &condition) - exact.clone()));
            size.extend(half_squares(exact));
        }
        // Without noise there is no σ to scale by.
        let sigma2 = if self.level.is_clean() { 1.0 } else { self.level.sigma * self.level.sigma };
        let (mean_error, mean_size) = (Estimate::mean_of(&error), Estimate::mean_of(&size));
        let ratio = mean_error.value / mean_size.value;
        // Delta method for a ratio of means.
        let residuals: Vec<f64> = error.iter().zip(&size).map(|(e, s)| (e - ratio * s) / mean_size.value).collect();
        (
            Estimate::new(sigma2 * mean_error.value, sigma2 * mean_error.standard_error),
            Estimate::new(ratio, Estimate::mean_of(&residuals).standard_error),
        )
    }

    /// ½E‖s(x, σ) − ∇log p(x)‖² on fresh draws of the clean density.
    fn clean_fisher(&self, network: &dyn ScoreNetwork, target: &dyn Target, rows: usize, device: &Device) -> Estimate {
        let mut noise = self.plan.streams.at("clean fisher", self.index);
        let mut error = Vec::new();
        for start in (0..rows).step_by(CHUNK) {
            let count = CHUNK.min(rows - start);
            let x = matrix(target.sample(count, &mut noise), target.dimension(), device);
            let exact = target.score(x.clone(), &Condition::clean());
            error.extend(half_squares(network.score(x, &Condition::uniform(self.level, count, device)) - exact));
        }
        Estimate::mean_of(&error)
    }
}

/// ½‖row‖² of each row.
fn half_squares(rows: Tensor<2>) -> Vec<f64> {
    to_host(rows.square().sum_dim(1) * 0.5).into_iter().map(f64::from).collect()
}

fn losses(objective: &dyn Objective, network: &dyn ScoreNetwork, mut batch: TrainingBatch) -> Vec<f32> {
    to_host(objective.loss(network, &batch.perturbed, &mut batch.noise))
}

/// −(α² C + σ² I)⁻¹ (x − α m): the score of a Gaussian fitted to the data, the best that is linear in x.
struct Linear {
    mean: Tensor<2>,
    precision: Tensor<2>,
}

impl Linear {
    fn at(gaussian: &Gaussian, level: Level, device: &Device) -> Option<Self> {
        let d = gaussian.mean().len();
        let precision = gaussian.precision_at(level.alpha, level.sigma).ok()?;
        let tensor = |values: &[f64]| matrix(values.iter().map(|&x| x as f32).collect(), d, device);
        let mean: Vec<f64> = gaussian.mean().iter().map(|m| level.alpha * m).collect();
        Some(Self { mean: tensor(&mean), precision: tensor(&precision) })
    }
}

impl ScoreNetwork for Linear {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let centred = x.add_constant(self.mean.clone().neg());
        centred.linear_map(|x| x.matmul(self.precision.clone()).neg())
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}
