//! A training step is the step of the whole batch, however it is cut and by however many threads.

use std::sync::Arc;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use stein_core::{Noise, Objective, Perturbed, ScoreNetwork, class_tensor, to_host, vector};
use stein_experiment::{LearningRateSchedule, Optimizer, Plan, Precision, Training};
use stein_objectives::{Denoising, Explicit, Implicit, Probe, Sliced, Trace};
use stein_train::{Batches, Layout, Trainee, TrainingBatch, TrainingState, training_step};

use crate::common::{device, noise};
use crate::networks::{LARGE_UNET, plan};

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
        Self::on(device().autodiff(), plan, objective)
    }

    fn on(on_tape: Device, plan: &Plan, objective: &Arc<dyn Objective>) -> Self {
        let trainee = Trainee::new(plan.network(&on_tape).expect("builds"), objective.clone());
        let layout = Layout::of(&trainee);
        // Away from zero: behind a layer of zeros nothing could differ.
        let shaken = vector(noise("shaken steps").normals(layout.length()), &device()) * 0.05;
        let trainee = layout.unflatten(trainee.clone(), layout.flatten(&trainee) + shaken);
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

    /// The norm of the gradient, and the parameters after one step with products in a number type. The examples' weights are times
    /// `factor`.
    fn taken_in(mut self, precision: Precision, loss_scale: u64, factor: f64) -> Vec<f32> {
        let training = Training { precision, loss_scale, ..training() };
        let layout = self.layout.clone().for_training(&training);
        self.trainee = layout.unflatten(self.trainee.clone(), self.state.parameters.clone());
        let mut batch = self.batch(0);
        batch.weights = batch.weights * factor;
        let next = || Ok::<_, ()>(batch.clone());
        let norm = training_step(&mut self.trainee, &mut self.state, &layout, &training, next).expect("a batch");
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
fn a_step_with_gradient_checkpointing_is_the_same_step() {
    let refine = |kind| {
        plan(&format!(
            "[data]\nkind = \"digits\"\n[network]\nkind = \"{kind}\"\nchannels = 32\n[training]\nbatch-size = 8\n"
        ))
    };
    for plan in [&plan(PLAN), &plan(LARGE_UNET), &refine("ncsn"), &refine("ncsnv2")] {
        for (name, objective) in objectives().into_iter().filter(|(name, _)| ["denoising", "sliced"].contains(name)) {
            let plain = Steps::new(plan, &objective).taken(1);
            let again = Steps::on(device().autodiff().gradient_checkpointing(), plan, &objective).taken(1);
            assert!(plain.iter().all(|x| x.is_finite()));
            assert_eq!(plain, again, "{name}");
            let other = Steps::new(plan, &objective).taken(2);
            assert_ne!(plain, other, "another step must be seen");
        }
    }
}

/// Products of 11 and of 8 bits, and all else as it was.
#[test]
fn a_step_in_mixed_precision_is_nearly_the_same_step() {
    let energy = PLAN.replace("[300, 300]", "[300, 300]\nconservative = true");
    let classes = PLAN.replace("[300, 300]", "[300, 300]\nclasses = true");
    let unet = "[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\nchannels = 8\ngroups = 4\nblocks = 1\nclasses = true\n\
                skips = \"block\"\n[training]\nbatch-size = 16\n";
    let ncsn = "[data]\nkind = \"digits\"\n[network]\nkind = \"ncsnv2\"\nchannels = 8\n[training]\nbatch-size = 8\n";
    let ncsnpp = "[data]\nkind = \"digits\"\n[network]\nkind = \"ncsnpp\"\nchannels = 8\nmultipliers = [1, 2]\nblocks = 1\nattention = [4]\n\
                  classes = true\n[training]\nbatch-size = 8\n";
    for text in [PLAN, &energy, &classes, unet, ncsn, ncsnpp] {
        let plan = plan(text);
        for (name, objective) in objectives().into_iter().filter(|(name, _)| ["denoising", "implicit"].contains(name)) {
            if name == "implicit" && text != PLAN {
                continue;
            }
            let start = to_host(Steps::new(&plan, &objective).state.parameters);
            let step = |precision| moves(&start, Steps::new(&plan, &objective).taken_in(precision, 1, 1.0));
            let single = step(Precision::Single);
            assert_eq!(single, moves(&start, Steps::new(&plan, &objective).taken(1)), "{name}");
            let off = [Precision::F16, Precision::Bf16].map(|precision| apart(&step(precision), &single));
            assert!((1e-5..1e-2).contains(&off[0]) && (1e-4..8e-2).contains(&off[1]), "{name} {text}: {off:?}");
            assert!(off[0] < off[1], "three bits more: {off:?}");
        }
    }
}

/// What is below 6·10⁻⁸ is nothing in half precision, unless it is scaled.
#[test]
fn a_scaled_loss_keeps_small_gradients() {
    let (plan, objective) = (plan(PLAN), Arc::new(Denoising::default()) as Arc<dyn Objective>);
    let norm = |precision, scale| Steps::new(&plan, &objective).taken_in(precision, scale, 1e-7)[0];
    let single = norm(Precision::Single, 1);
    let [lost, kept, other] =
        [(Precision::F16, 1), (Precision::F16, 1 << 20), (Precision::Bf16, 1)].map(|(p, s)| norm(p, s));
    assert!((kept / single - 1.0).abs() < 1e-2 && (other / single - 1.0).abs() < 3e-2, "{kept} {other} {single}");
    assert!((lost / single - 1.0).abs() > 0.3, "{lost} {single}");
}

#[test]
fn parts_of_a_batch_make_its_step() {
    parts_make_the_step(&plan(PLAN), objectives());
}

#[test]
fn parts_of_a_batch_make_the_step_of_an_energy() {
    for network in ["conservative = true", "kind = \"energy-mlp\""] {
        let text = match network.starts_with("kind") {
            true => PLAN.replace("kind = \"mlp\"", network),
            false => PLAN.replace("[300, 300]", &format!("[300, 300]\n{network}")),
        };
        parts_make_the_step(&plan(&text), objectives());
    }
}

#[test]
fn parts_of_a_batch_make_the_step_of_a_u_net() {
    let text = "[data]\nkind = \"digits\"\n[network]\nkind = \"unet\"\nchannels = 24\ngroups = 4\nblocks = 1\n\
                [training]\nbatch-size = 150\n";
    let few = ["denoising", "hutchinson", "sliced"];
    parts_make_the_step(&plan(text), objectives().into_iter().filter(|(name, _)| few.contains(name)).collect());
}

#[test]
fn parts_of_a_batch_are_told_their_own_classes() {
    let plan = plan(&PLAN.replace("[300, 300]", "[300, 300]\nclasses = true"));
    parts_make_the_step(&plan, objectives());
    // That the class matters: the step of a batch whose classes are turned round is another.
    let objective: Arc<dyn Objective> = Arc::new(Denoising::default());
    let steps = Steps::new(&plan, &objective);
    let gradient = |turned: bool| {
        let mut batch = steps.batch(0);
        let classes = to_host(batch.perturbed.condition.class.clone().expect("a class each").float());
        let classes: Vec<u32> = classes.into_iter().map(|class| class as u32).collect();
        assert!((0..2).all(|class| classes.contains(&class)), "{classes:?}");
        if turned {
            let all = classes.iter().map(|class| (class + 1) % 2).collect::<Vec<_>>();
            let condition = batch.perturbed.condition.with_class(Some(class_tensor(&all, &device().autodiff())));
            batch.perturbed.condition = condition;
        }
        let losses = objective.loss(&steps.trainee.network, &batch.perturbed, &mut batch.noise);
        let gradients = GradientsParams::from_grads((losses * batch.weights).mean().backward(), &steps.trainee);
        to_host(steps.layout.gradients(&steps.trainee, &gradients))
    };
    assert!(apart(&gradient(true), &gradient(false)) > 1e-2);
}

fn parts_make_the_step(plan: &Plan, objectives: Vec<(&'static str, Arc<dyn Objective>)>) {
    assert!((ratio_of_parts(plan, true) - 0.5).abs() < 1e-4, "the batch is not cut");
    for (name, objective) in objectives {
        let steps = || Steps::new(plan, &objective);
        let before = to_host(steps().state.parameters);
        for accumulate in [1, 2] {
            let parts = moves(&before, steps().taken(accumulate));
            let whole = moves(&before, steps().taken_whole(&*objective, accumulate, None));
            let found = (apart(&parts[..1], &whole[..1]), apart(&parts[1..], &whole[1..]));
            assert!(found.0 < 1e-5 && found.1 < 3e-4, "{name}, {accumulate}: {found:?}");
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
    // Two parts, each with a loss of half the size.
    for (cut, ratio) in [(false, 1.0), (true, 0.5)] {
        let found = ratio_of_parts(&plan, cut);
        assert!((found - ratio).abs() < 1e-4, "{cut}: {found}");
    }
}

/// The norm of the step of [`Counting`] over that of the whole batch's.
fn ratio_of_parts(plan: &Plan, cut: bool) -> f32 {
    let objective: Arc<dyn Objective> = Arc::new(Counting(cut));
    let (parts, whole) = (Steps::new(plan, &objective), Steps::new(plan, &objective));
    parts.taken(1)[0] / whole.taken_whole(&*objective, 1, None)[0]
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
