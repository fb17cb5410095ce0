//! A training step is the step of the whole batch, however it is cut and by however many threads.

use std::sync::Arc;

use burn::optim::GradientsParams;
use stein_core::{Noise, Objective, Perturbed, ScoreNetwork, to_host};
use stein_experiment::{LearningRateSchedule, Optimizer, Plan, Training};
use stein_objectives::{Denoising, Explicit, Implicit, Probe, Sliced, Trace};
use stein_train::{Batches, Layout, Trainee, TrainingBatch, TrainingState, training_step};

use crate::common::device;
use crate::networks::plan;

/// 150 examples, which make parts of 75, and a network that is large enough for them.
const PLAN: &str = "[data]\nkind = \"gaussian-mixture\"\nmeans = [[0.0, 1.0, 2.0], [2.0, 0.0, -1.0]]\n\
                    [network]\nkind = \"mlp\"\nhidden = [300, 300]\n[training]\nbatch-size = 150\n";

/// Steps that are nearly the gradient times the rate: those of Adam itself are signs of it.
fn training() -> Training {
    Training {
        warm_up: 0,
        clip: 0.0,
        ema: 0.0,
        learning_rate_schedule: LearningRateSchedule::Constant,
        optimizer: Optimizer { learning_rate: 1.0, epsilon: 1e3, ..Optimizer::default() },
        ..Training::default()
    }
}

struct Steps {
    trainee: Trainee,
    state: TrainingState,
    layout: Layout,
    batches: Batches,
}

impl Steps {
    fn new(plan: &Plan, objective: &Arc<dyn Objective>) -> Self {
        let on_tape = device().autodiff();
        let trainee = Trainee::new(plan.network(&on_tape).expect("builds"), objective.clone());
        let layout = Layout::of(&trainee);
        let state = TrainingState::new(&layout, &trainee);
        Self { trainee, state, layout, batches: Batches::new(plan, &on_tape) }
    }

    /// The batch with an exact score, which need not be right here.
    fn batch(&self, index: u64) -> TrainingBatch {
        let mut batch = self.batches.training(index);
        batch.perturbed = batch.perturbed.clone().with_exact_score(-batch.perturbed.noisy);
        batch
    }

    /// The norm of the gradient, and the parameters after the step.
    fn taken(mut self, accumulate: usize) -> Vec<f32> {
        let training = Training { accumulate, ..training() };
        let mut index = 0;
        let batches: Vec<_> = (0..accumulate as u64).map(|i| self.batch(i)).collect();
        let next = || {
            index += 1;
            Ok::<_, ()>(batches[index - 1].clone())
        };
        let norm = training_step(&mut self.trainee, &mut self.state, &self.layout, &training, next).expect("a batch");
        to_host(norm).into_iter().chain(to_host(self.state.parameters)).collect()
    }

    /// The same with the whole batches at once; `noise` replaces what the objective draws.
    fn taken_whole(mut self, objective: &dyn Objective, accumulate: usize, noise: Option<Noise>) -> Vec<f32> {
        let gradient = |index| {
            let batch = self.batch(index);
            let mut noise = noise.clone().unwrap_or(batch.noise);
            let losses = objective.loss(&self.trainee.network, &batch.perturbed, &mut noise);
            let gradients = GradientsParams::from_grads((losses * batch.weights).mean().backward(), &self.trainee);
            self.layout.gradients(&self.trainee, &gradients)
        };
        let sum = (0..accumulate as u64).map(gradient).reduce(|a, b| a + b).expect("a batch");
        let norm = self.state.update(sum / accumulate as f64, &training());
        to_host(norm).into_iter().chain(to_host(self.state.parameters)).collect()
    }
}

fn objectives() -> Vec<(&'static str, Arc<dyn Objective>)> {
    let hutch = Implicit { trace: Trace::HutchPlusPlus, probe: Probe::Gaussian, probes: 3 };
    vec![
        ("explicit", Arc::new(Explicit {})),
        ("denoising", Arc::new(Denoising { control_variate: true, ..Denoising::default() })),
        ("denoising along directions", Arc::new(Denoising { projections: Some(2), ..Denoising::default() })),
        ("implicit", Arc::new(Implicit::default())),
        ("implicit, basis", Arc::new(Implicit { trace: Trace::Basis, ..Implicit::default() })),
        ("hutchinson", Arc::new(Implicit { trace: Trace::Hutchinson, probe: Probe::Sphere, probes: 2 })),
        ("hutch++", Arc::new(hutch)),
        ("sliced", Arc::new(Sliced { projections: 2, ..Sliced::default() })),
    ]
}

/// The largest difference over the largest number.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    let size = b.iter().fold(0.0f32, |m, b| m.max(b.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / size
}

/// What a step changed: the norm, and each parameter's move.
fn moves(before: &[f32], mut after: Vec<f32>) -> Vec<f32> {
    after[1..].iter_mut().zip(before).for_each(|(after, before)| *after -= before);
    after
}

#[test]
fn parts_of_a_batch_make_its_step() {
    let plan = plan(PLAN);
    for (name, objective) in objectives() {
        let steps = || Steps::new(&plan, &objective);
        let before = to_host(steps().state.parameters);
        for accumulate in [1, 2] {
            let parts = moves(&before, steps().taken(accumulate));
            let whole = moves(&before, steps().taken_whole(&*objective, accumulate, None));
            let found = (apart(&parts[..1], &whole[..1]), apart(&parts[1..], &whole[1..]));
            assert!(found.0 < 1e-5 && found.1 < 1e-4, "{name}, {accumulate}: {found:?}");
            // Directions of its own are another step: parts must meet the batch's.
            if objective.probes() > 0 {
                let other = stein_core::Streams::new(77).at("other", 0);
                let other = moves(&before, steps().taken_whole(&*objective, accumulate, Some(other)));
                assert!(apart(&other[1..], &whole[1..]) > 1e-2, "{name}, {accumulate}");
            }
        }
    }
}

/// An objective that is larger by the number of examples that it sees: its examples do not go in parts to the same losses, and
/// it does not say so.
#[derive(Debug)]
struct Counting(bool);

impl Objective for Counting {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> burn::tensor::Tensor<1> {
        Denoising::default().loss(network, batch, noise) * batch.noisy.dims()[0] as f64
    }

    fn directions(&self, _: &Perturbed, _: &mut Noise) -> Option<Vec<burn::tensor::Tensor<2>>> {
        self.0.then(Vec::new)
    }
}

#[test]
fn batches_are_cut_only_where_the_objective_allows_it() {
    let plan = plan(PLAN);
    for cut in [false, true] {
        let objective: Arc<dyn Objective> = Arc::new(Counting(cut));
        let (parts, whole) = (Steps::new(&plan, &objective), Steps::new(&plan, &objective));
        let (parts, whole) = (parts.taken(1), whole.taken_whole(&*objective, 1, None));
        // Two parts, each with a loss of half the size.
        let ratio = if cut { 0.5 } else { 1.0 };
        assert!((parts[0] / whole[0] - ratio).abs() < 1e-4, "{cut}: {} {}", parts[0], whole[0]);
    }
}

#[test]
fn steps_are_the_same_bits_for_any_number_of_threads() {
    let plan = plan(PLAN);
    for (name, objective) in objectives() {
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let taken = pool.install(|| Steps::new(&plan, &objective).taken(1));
            taken.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one = bits(1);
        assert!(one == bits(2) && one == bits(5), "{name}");
    }
}
