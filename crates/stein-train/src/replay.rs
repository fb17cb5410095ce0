//! What diverged, done again.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use stein_core::{Jet, Perturbed, ScoreNetwork, to_host};
use stein_experiment::Plan;
use stein_jet::{LayerOutput, watched};
use stein_record::arrays::{self, ArrayFile};
use stein_record::checkpoint::CheckpointSet;
use stein_record::{DivergedRecord, Divergent, RecordError, RunDir, StepRecord, diverged};

use crate::adam::clip;
use crate::diverged::{batch_file, batch_of};
use crate::replay_samples::{self, SamplesReplay};
use crate::state::NotFinite;
use crate::step::with_gradient;
use crate::{Layout, RunError, Trainee, TrainingBatch, TrainingState, trainee};

/// What diverged in a run, done again.
#[derive(Debug, Clone, PartialEq)]
pub enum Replay {
    /// A training step.
    Step(StepReplay),
    /// Samples.
    Samples(SamplesReplay),
}

impl Replay {
    /// Whether it diverged again.
    pub fn reproduced(&self) -> bool {
        match self {
            Self::Step(step) => step.reproduced,
            Self::Samples(samples) => samples.reproduced(),
        }
    }
}

/// A training step, looked at from its batch to what it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReplay {
    /// What was seen then.
    pub record: StepRecord,
    /// What the run said then.
    pub reason: String,
    /// All numbers of the step, in the order in which they come to be.
    pub tallies: Vec<Tally>,
    /// Whether the same is not finite as then.
    pub reproduced: bool,
}

impl StepReplay {
    /// Where the first number is that is not finite.
    pub fn first(&self) -> Option<&Tally> {
        self.tallies.iter().find(|tally| tally.not_finite > 0)
    }
}

/// How many numbers of an array are not finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Where it belongs to: "batch", "state", "forward", …
    pub stage: &'static str,
    /// Its name there.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Numbers that are not finite.
    pub not_finite: usize,
    /// The indices of the first of them.
    pub first: Option<Vec<usize>>,
    /// The largest magnitude of those that are finite.
    pub largest: f64,
    /// The examples with such numbers, and their σ where there is noise; of arrays with a row for each example.
    pub examples: Vec<(usize, Option<f64>)>,
}

impl Tally {
    fn of(stage: &'static str, name: impl Into<String>, shape: &[usize], values: &[f32]) -> Self {
        let first = values.iter().position(|x| !x.is_finite());
        let finite = values.iter().filter(|x| x.is_finite());
        Self {
            stage,
            name: name.into(),
            shape: shape.to_vec(),
            not_finite: values.len() - finite.clone().count(),
            first: first.map(|at| indices(at, shape)),
            largest: finite.fold(0.0, |largest: f64, &x| largest.max(f64::from(x).abs())),
            examples: Vec::new(),
        }
    }

    /// Of an array with a row for each example.
    fn of_examples(
        stage: &'static str,
        name: impl Into<String>,
        shape: &[usize],
        values: &[f32],
        sigmas: &[f32],
    ) -> Self {
        let width = shape[1..].iter().product::<usize>().max(1);
        let wrong = values.chunks(width).enumerate().filter(|(_, row)| row.iter().any(|x| !x.is_finite()));
        let examples = wrong.map(|(i, _)| (i, sigmas.get(i).map(|&sigma| f64::from(sigma)))).collect();
        Self { examples, ..Self::of(stage, name, shape, values) }
    }
}

/// The indices of a place in an array, row major.
fn indices(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices: Vec<usize> = shape.iter().rev().map(|&d| (place % d, place /= d).0).collect();
    indices.reverse();
    indices
}

/// Does again what diverged in a run, or in a training that runs share; `None` if nothing did.
///
/// # Errors
/// If what was kept of it is damaged or of another network, or the device fails.
pub fn replay(plan: &Plan, run: &RunDir, device: &Device) -> Result<Option<Replay>, RunError> {
    let Some((directory, (record, set))) = find(plan, run, device)? else { return Ok(None) };
    // Other data draw and give other numbers.
    if directory.read_record()?.is_some_and(|record| record.data.sha256 != plan.dataset.sha256()) {
        return Err(RunError::OtherData { path: directory.path().to_owned() });
    }
    let DivergedRecord { reason, at, .. } = record;
    Ok(Some(match at {
        Divergent::Step(step) => Replay::Step(replay_step(plan, (reason, step), &set, device)?),
        Divergent::Samples(samples) => {
            Replay::Samples(replay_samples::replay(plan, &directory, (reason, samples), device)?)
        }
    }))
}

type Kept = (DivergedRecord, CheckpointSet);

/// What was kept of a run itself, else of the training that it shares.
fn find(plan: &Plan, run: &RunDir, device: &Device) -> Result<Option<(RunDir, Kept)>, RunError> {
    // The largest file is the optimiser's, or a batch with all its directions.
    let trainee = Trainee::new(plan.network(device)?, plan.objective.clone());
    let (training, d) = (&plan.experiment.training, plan.dataset.dimension());
    let row = d.saturating_mul(plan.objective.probes().saturating_add(8)).saturating_add(8);
    let most =
        arrays::bytes_of(Layout::of(&trainee).length().max(training.batch_size.saturating_mul(row)).saturating_mul(2));
    let with = |run: &RunDir, hash: &str| Ok(diverged::read(run, hash, most)?.map(|kept| (run.clone(), kept)));
    let training = plan.experiment.training_id();
    if let Some(id) = &training
        && run.name() == id.name
    {
        return with(run, &id.hash);
    }
    if let Some(own) = with(run, &plan.experiment.cell().hash)? {
        return Ok(Some(own));
    }
    let Some(id) = training else { return Ok(None) };
    let folder = run.path().parent().unwrap_or(Path::new(""));
    let shared = RunDir::of_training(folder, &id.name);
    shared.check_for_reading()?;
    with(&shared, &id.hash)
}

fn replay_step(
    plan: &Plan,
    (reason, record): (String, StepRecord),
    set: &CheckpointSet,
    device: &Device,
) -> Result<StepReplay, RunError> {
    let damaged = |problem: String| RecordError::damaged(&set.path, problem);
    let on_tape = trainee::on_tape(plan, device)?;
    let trainee = Trainee::new(plan.network(&on_tape)?, plan.objective.clone());
    let layout = Layout::of(&trainee).for_training(&plan.experiment.training);
    let state = TrainingState::from_files(set, &layout, device).map_err(damaged)?;
    let trainee = layout.unflatten(trainee, state.parameters.clone());
    let training = &plan.experiment.training;
    let mut looked = Looking { tallies: Vec::new(), layout: &layout, names: names(&trainee, &layout) };
    if !record.repeated {
        looked.state("state", &state);
        return Ok(StepReplay { record, reason, tallies: looked.tallies, reproduced: false });
    }
    if record.batches.len() != training.accumulate || state.step.checked_add(1) != Some(record.step) {
        let (batches, step) = (record.batches.len(), state.step);
        let problem =
            format!("it has {batches} batches and the state after {step} steps, not those of step {}", record.step);
        return Err(damaged(problem).into());
    }
    let read = |(i, about): (usize, &stein_record::BatchRecord)| {
        let name = batch_file(i);
        let bytes = set.files.get(&name).ok_or_else(|| damaged(format!("it has no {name}")))?;
        let file = ArrayFile::from_bytes(bytes).and_then(|file| batch_of(file, plan, about.position, &on_tape));
        file.map_err(|problem| damaged(format!("{name}: {problem}")))
    };
    let batches = record.batches.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;

    let of = |i: usize| if batches.len() > 1 { format!(" of batch {}", i + 1) } else { String::new() };
    batches.iter().enumerate().for_each(|(i, batch)| looked.batch(&of(i), batch));
    looked.state("state", &state);
    batches.iter().enumerate().for_each(|(i, batch)| looked.forward(&of(i), &trainee, batch));
    let (mut trainee, mut after) = (trainee, state);
    let mut given = batches.into_iter();
    let next = || given.next().ok_or_else(|| damaged("it has too few batches".into()));
    let (losses, gradient, norm) =
        with_gradient(&mut trainee, &mut after, &layout, training, next, |_, state, losses, gradient| {
            let (factor, norm) = clip(&gradient, training.clip);
            let whole = gradient.clone().into_tensor();
            state.advance(gradient, factor, training);
            (losses, whole, norm)
        })?;
    let losses: Vec<f32> = losses.into_iter().flat_map(to_host).collect();
    let norm = to_host(norm);
    looked.add(Tally::of("loss", "loss", &[losses.len()], &losses));
    looked.vector("gradient", "", &gradient);
    looked.add(Tally::of("gradient norm", "gradient norm", &[1], &norm));
    looked.state("update", &after);
    let numbers = losses.iter().map(|&loss| ("the loss", loss)).chain([("the gradient norm", norm[0])]);
    let found = NotFinite::among(numbers.map(|(what, value)| (what, f64::from(value)))).or_else(|| after.not_finite());
    let reproduced = found.is_some_and(|found| found.what == record.what);
    Ok(StepReplay { record, reason, tallies: looked.tallies, reproduced })
}

/// Gathers tallies.
struct Looking<'a> {
    tallies: Vec<Tally>,
    layout: &'a Layout,
    /// The names of layers by their weights.
    names: Vec<(ParamId, String)>,
}

impl Looking<'_> {
    fn add(&mut self, tally: Tally) {
        self.tallies.push(tally);
    }

    /// A vector of numbers for all parameters, one by one.
    fn vector(&mut self, stage: &'static str, what: &str, vector: &Tensor<1>) {
        let values = to_host(vector.clone());
        for entry in self.layout.entries() {
            let own = &values[entry.offset..entry.offset + entry.length()];
            self.tallies.push(Tally::of(stage, format!("{what}{}", short(&entry.name)), &entry.shape, own));
        }
    }

    fn state(&mut self, stage: &'static str, state: &TrainingState) {
        for (what, vector) in state.vectors() {
            self.vector(stage, what, vector);
        }
    }

    fn batch(&mut self, of: &str, batch: &TrainingBatch) {
        let TrainingBatch { perturbed, weights, .. } = batch;
        let Perturbed { clean, noise, noisy, condition, exact_score, probes, .. } = perturbed;
        let sigmas = sigmas(batch);
        let rows = |name: String, x: &Tensor<2>| {
            Tally::of_examples("batch", format!("{name}{of}"), &x.dims(), &to_host(x.clone()), &sigmas)
        };
        let column = |name: &str, x: &Tensor<1>| {
            Tally::of_examples("batch", format!("{name}{of}"), &x.dims(), &to_host(x.clone()), &sigmas)
        };
        let mut found = vec![rows("data".into(), clean)];
        found.extend(noise.as_ref().map(|z| rows("noise".into(), z)));
        if let Some(levels) = &condition.levels {
            found.extend([column("alpha", &levels.alpha), column("sigma", &levels.sigma)]);
        }
        found.extend([rows("noisy".into(), noisy), column("weights", weights)]);
        found.extend(exact_score.as_ref().map(|score| rows("exact score".into(), score)));
        let directions = probes.iter().flatten().enumerate();
        found.extend(directions.map(|(i, v)| rows(format!("direction {}", i + 1), v)));
        self.tallies.extend(found);
    }

    /// The network and the objective at a batch.
    fn forward(&mut self, of: &str, trainee: &Trainee, batch: &TrainingBatch) {
        let TrainingBatch { perturbed, weights, noise } = batch;
        let (sigmas, network) = (sigmas(batch), &trainee.network);
        let loss = || trainee.objective().loss(network, perturbed, &mut noise.clone());
        let (losses, layers) = watched(loss);
        for LayerOutput { kind, weight, values, derivatives } in layers {
            let layer = self.names.iter().find(|(id, _)| *id == weight).map_or("", |(_, name)| name.as_str());
            let name = format!("{layer} ({kind}){of}");
            let (shape, host) = (values.dims(), to_host(values));
            self.tallies.push(Tally::of_examples("forward", &name, &shape, &host, &sigmas));
            if let Some(derivatives) = derivatives {
                let name = format!("{name}, derivatives");
                self.tallies.push(Tally::of("forward", name, &derivatives.dims(), &to_host(derivatives)));
            }
        }
        let jet = Jet::seed(perturbed.noisy.clone(), perturbed.probes.clone().unwrap_or_default());
        let jet = network.jet(jet, &perturbed.condition);
        let rows = |name: String, x: Tensor<2>| Tally::of_examples("score", name, &x.dims(), &to_host(x), &sigmas);
        self.tallies.push(rows(format!("score{of}"), jet.value()));
        for i in 0..jet.directions() {
            self.tallies.push(rows(format!("derivative of the score along direction {}{of}", i + 1), jet.tangent(i)));
        }
        let weighted = losses.clone() * weights.clone();
        for (name, losses) in [("losses of the examples", losses), ("the same, weighted", weighted)] {
            let name = format!("{name}{of}");
            self.tallies.push(Tally::of_examples("losses", name, &losses.dims(), &to_host(losses), &sigmas));
        }
    }
}

fn sigmas(batch: &TrainingBatch) -> Vec<f32> {
    let levels = batch.perturbed.condition.levels.clone();
    levels.map_or_else(Vec::new, |levels| to_host(levels.sigma))
}

/// A parameter's name as its network's author gave it: trainee and parameterisation wrap the network.
fn short(name: &str) -> &str {
    name.strip_prefix("network.network.").unwrap_or(name)
}

/// The names of layers by the parameters that they have.
fn names(trainee: &Trainee, layout: &Layout) -> Vec<(ParamId, String)> {
    struct Ids(Vec<ParamId>);
    impl ModuleVisitor for Ids {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(param.id);
        }
    }
    let mut ids = Ids(Vec::new());
    trainee.visit(&mut ids);
    let layer = |name: &str| short(name).rsplit_once('.').map_or_else(String::new, |(layer, _)| layer.to_owned());
    ids.0.into_iter().zip(layout.entries().iter().map(|entry| layer(&entry.name))).collect()
}
