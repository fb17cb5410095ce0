//! Where the time of a training step goes.

use std::time::Instant;

use burn::data::dataloader::{DataLoader, DataLoaderIterator};
use burn::tensor::Device;
use stein_experiment::{Plan, Training};
use stein_kernels::{in_parts, on_workers};

use crate::loader::{HeldOutLoader, TrainingLoader};
use crate::parts::{BatchPart, PartLoss, cut};
use crate::strategy::{held_out, next};
use crate::{Batches, Layout, RunError, Trainee, TrainingBatch, TrainingState, trainee, training_step};

/// Steps before those that are timed: they fill caches, and compile and tune kernels on a GPU.
const WARM: usize = 5;
/// The fewest steps that are timed, and the most.
const FEWEST: usize = 5;
const MOST: usize = 1000;

/// A part of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// The seconds that it takes when it is done, a median.
    pub seconds: f64,
    /// Steps from one time to the next; 0 if it is done at the end only.
    pub every: u64,
}

impl Part {
    /// Seconds of each step.
    pub fn share(&self) -> f64 {
        if self.every == 0 { 0.0 } else { self.seconds / self.every as f64 }
    }
}

/// Where the time goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Each waited for before the next begins. Data and noise of batches that are not small are made beside the steps before theirs,
    /// and checkpoints are written beside the steps after theirs: of a whole step they are no part then.
    pub parts: Vec<Part>,
    /// The seconds of a whole step in which nothing is waited for before its end, a median.
    pub step: f64,
    /// Whole steps that were timed.
    pub steps: usize,
}

/// Takes steps and throws them away: for about `seconds` whole ones, then for as long part by part. `None` if nothing is trained.
///
/// # Errors
/// If the network cannot be built on this device, or the device fails.
pub fn profile(plan: &Plan, device: &Device, seconds: f64) -> Result<Option<Profile>, RunError> {
    let training = &plan.experiment.training;
    if training.steps == 0 {
        return Ok(None);
    }
    let mut steps = Steps::new(plan, device)?;
    let loader = TrainingLoader { batches: steps.batches.clone(), from: 0, to: u64::MAX };
    let mut batches = loader.iter();
    for _ in 0..WARM {
        steps.whole(&mut *batches)?;
    }
    let whole = repeated(seconds, || Ok([steps.whole(&mut *batches)?]))?;
    drop(batches);
    let parts = repeated(seconds, || steps.in_parts())?;
    let batches = training.accumulate as f64;
    let [data, noise, forward, backward, optimiser] = parts.each_ref().map(|times| median(times));
    let (held_out, checkpoint) = (steps.held_out()?, steps.checkpoint());
    let part = |name, seconds, every| Part { name, seconds, every };
    let parts = vec![
        part("data", data * batches, 1),
        part("noise", noise * batches, 1),
        part("forward", forward * batches, 1),
        part("backward", backward * batches, 1),
        part("optimiser", optimiser, 1),
        part("held-out loss", held_out, training.evaluation_period()),
        part("checkpoint", checkpoint, training.checkpoint_every),
    ];
    Ok(Some(Profile { parts, step: median(&whole[0]), steps: whole[0].len() }))
}

struct Steps<'a> {
    training: &'a Training,
    trainee: Trainee,
    state: TrainingState,
    layout: Layout,
    batches: Batches,
    held_out: HeldOutLoader,
    device: Device,
    /// Batches taken part by part so far.
    index: u64,
}

impl<'a> Steps<'a> {
    fn new(plan: &'a Plan, device: &Device) -> Result<Self, RunError> {
        let on_tape = trainee::on_tape(plan, device)?;
        let trainee = Trainee::new(plan.network(&on_tape)?, plan.objective.clone());
        let layout = Layout::of(&trainee).for_training(&plan.experiment.training);
        let state = TrainingState::new(&layout, &trainee);
        // With weights of the training's precision.
        let trainee = layout.unflatten(trainee, state.parameters.clone());
        Ok(Self {
            training: &plan.experiment.training,
            trainee,
            state,
            layout,
            batches: Batches::new(plan, &on_tape),
            held_out: HeldOutLoader::of(plan, device),
            device: device.clone(),
            index: 0,
        })
    }

    /// Waits until the device has done what it was told.
    fn wait(&self) -> Result<(), RunError> {
        self.device.sync().map_err(|e| RunError::Training(e.to_string()))
    }

    /// Seconds of a step as training takes it.
    fn whole(&mut self, batches: &mut dyn DataLoaderIterator<TrainingBatch>) -> Result<f64, RunError> {
        let begun = Instant::now();
        training_step(&mut self.trainee, &mut self.state, &self.layout, self.training, || next(batches))?;
        self.wait()?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Seconds of a step's parts with one batch: data, noise, forward, backward, optimiser.
    fn in_parts(&mut self) -> Result<[f64; 5], RunError> {
        self.index += 1;
        let mut times = [0.0; 5];
        let mut begun = Instant::now();
        let mut ended = |part: usize, steps: &Self| -> Result<(), RunError> {
            steps.wait()?;
            times[part] = begun.elapsed().as_secs_f64();
            begun = Instant::now();
            Ok(())
        };
        let (rows, labels) = self.batches.drawn(self.index);
        ended(0, self)?;
        let batch = self.batches.on_device(self.batches.noised(rows, labels, self.index));
        ended(1, self)?;
        let device = self.device.clone();
        // On the threads that a training step has.
        on_workers(&device, || {
            let parts = cut(batch, self.trainee.objective(), self.layout.length(), &device);
            let scale = self.training.loss_scale;
            let loss = |part: BatchPart| part.loss(&self.trainee, &self.layout, &self.state.parameters, scale);
            let losses = in_parts(&device, parts, loss);
            ended(2, self)?;
            let gradients = in_parts(&device, losses, PartLoss::gradients);
            ended(3, self)?;
            let gradient = self.layout.sum(&self.trainee, gradients, &self.state.parameters, scale);
            self.state.update(gradient, self.training);
            self.trainee = self.layout.unflatten(self.trainee.clone(), self.state.parameters.clone());
            ended(4, self)
        })?;
        Ok(times)
    }

    /// Seconds of what is measured on held-out rows.
    fn held_out(&self) -> Result<f64, RunError> {
        let mut seconds = Vec::new();
        for _ in 0..FEWEST {
            let begun = Instant::now();
            held_out(&self.layout, &self.trainee, &self.state, self.held_out.iter().flatten());
            self.wait()?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        Ok(median(&seconds))
    }

    /// Seconds of making a checkpoint's files, without the disk.
    fn checkpoint(&self) -> f64 {
        let made = |_| {
            let begun = Instant::now();
            drop(self.state.to_files(&self.layout));
            begun.elapsed().as_secs_f64()
        };
        median(&(0..FEWEST).map(made).collect::<Vec<_>>())
    }
}

/// Does something for about `seconds` and gathers the times of its parts.
fn repeated<const N: usize>(
    seconds: f64,
    mut times: impl FnMut() -> Result<[f64; N], RunError>,
) -> Result<[Vec<f64>; N], RunError> {
    let mut all = [const { Vec::new() }; N];
    let begun = Instant::now();
    while all[0].len() < FEWEST || (all[0].len() < MOST && begun.elapsed().as_secs_f64() < seconds) {
        all.iter_mut().zip(times()?).for_each(|(all, time)| all.push(time));
    }
    Ok(all)
}

/// Of at least one.
fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
