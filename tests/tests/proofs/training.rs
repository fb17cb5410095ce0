//! Training reaches the minimisers that theory names.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use stein_core::{
    AnyNetwork, Component, Condition, Level, Network, Noise, Objective, ObjectivePart, Perturbed, ScoreNetwork,
    Streams, init, matrix, to_host,
};
use stein_experiment::{Optimizer, Training};
use stein_jet::{Jet, linear};
use stein_networks::{Parameterization, Parameterized};
use stein_objectives::{Denoising, Derivative, Explicit, Implicit, Probe, Sliced, Trace};
use stein_train::{Layout, Trainee, TrainingState};

use crate::common::device;

/// s(x) = W x + b.
#[derive(Module, Debug)]
struct Affine {
    layer: Linear,
}

impl Network for Affine {
    fn forward(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        linear(&self.layer, x)
    }
}

/// N(m, Σ) in the plane, Σ = A Aᵀ.
const MEAN: [f64; 2] = [0.5, -1.0];
const ROOT: [[f64; 2]; 2] = [[0.8, 0.0], [0.4, 0.5]];

fn sigma_matrix(sigma: f64) -> [[f64; 2]; 2] {
    let entry = |i: usize, j: usize| -> f64 {
        (0..2).map(|k| ROOT[i][k] * ROOT[j][k]).sum::<f64>() + if i == j { sigma * sigma } else { 0.0 }
    };
    [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]]
}

/// −(Σ + σ²I)⁻¹.
fn minus_precision(sigma: f64) -> [[f64; 2]; 2] {
    let [[a, b], [c, d]] = sigma_matrix(sigma);
    let determinant = a * d - b * c;
    [[-d / determinant, b / determinant], [c / determinant, -a / determinant]]
}

/// Weights `[in, out]` and bias of the best affine score: −(Σ + σ²I)⁻¹ (x − m).
fn best(sigma: f64) -> [f64; 6] {
    let [[a, b], [c, d]] = minus_precision(sigma);
    [a, c, b, d, -(a * MEAN[0] + b * MEAN[1]), -(c * MEAN[0] + d * MEAN[1])]
}

/// Trains s(x) = W x + b on N(m, Σ), clean (σ = 0) or at σ, and gives the averaged parameters.
fn train(objective: Arc<dyn Objective>, sigma: f64) -> Vec<f64> {
    let on_tape = device().autodiff();
    let mut layer = init::zero_linear(2, 2, &on_tape);
    layer.weight = Param::from_tensor(layer.weight.val());
    let network = Parameterized::new(AnyNetwork::new(Affine { layer }), Parameterization::Score);
    let mut trainee = Trainee::new(network, objective.clone());
    let layout = Layout::of(&trainee);
    let training = Training { steps: 1000, warm_up: 0, ema: 0.98, clip: 0.0, ..Training::default() };
    let training = Training { optimizer: Optimizer { learning_rate: 0.03, ..Optimizer::default() }, ..training };
    let mut state = TrainingState::new(&layout, &trainee);
    let streams = Streams::new(2);
    let [[a, c], [b, d]] = minus_precision(sigma);
    let exact = matrix([a, b, c, d].map(|x| x as f32).to_vec(), 2, &on_tape);
    let mean = matrix(MEAN.map(|x| x as f32).to_vec(), 2, &on_tape);
    let root = matrix(vec![ROOT[0][0] as f32, ROOT[1][0] as f32, ROOT[0][1] as f32, ROOT[1][1] as f32], 2, &on_tape);
    for step in 0..training.steps {
        let mut noise = streams.at("proof", step);
        let n = 1024;
        let mut normals = || matrix(noise.normals(2 * n), 2, &on_tape);
        let (clean, z) = (normals().matmul(root.clone()) + mean.clone(), normals());
        let batch = Perturbed::new(clean, z, Condition::uniform(Level::exploding(sigma), n, &on_tape));
        let score = (batch.noisy.clone() - mean.clone()).matmul(exact.clone());
        let batch = batch.with_exact_score(score);
        let loss = objective.loss(&trainee.network, &batch, &mut noise).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &trainee);
        state.update(layout.gradients(&trainee, &gradients), &training);
        trainee = layout.unflatten(trainee, state.parameters.clone());
    }
    to_host(state.average).into_iter().map(f64::from).collect()
}

/// The largest distance of a parameter from its best, over the largest of them.
fn miss(learned: &[f64], sigma: f64) -> f64 {
    let best = best(sigma);
    let size = best.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    learned.iter().zip(best).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / size
}

fn objective(config: impl Component<ObjectivePart>) -> Arc<dyn Objective> {
    config.build(()).expect("builds")
}

const TOLERANCE: f64 = 0.03;

#[test]
fn every_objective_reaches_the_score_of_the_gaussian() {
    let implicit = |trace, probe, probes| objective(Implicit { trace, probe, probes });
    let sliced = |sliced: Sliced| objective(sliced);
    let (fd, plain) = (Derivative::FiniteDifference, Sliced::default());
    let everywhere: Vec<(&str, Arc<dyn Objective>)> = vec![
        ("explicit", objective(Explicit {})),
        ("implicit", objective(Implicit::default())),
        ("implicit, basis", implicit(Trace::Basis, Probe::Rademacher, 1)),
        ("hutchinson, rademacher", implicit(Trace::Hutchinson, Probe::Rademacher, 1)),
        ("hutchinson, gaussian", implicit(Trace::Hutchinson, Probe::Gaussian, 2)),
        ("hutchinson, sphere", implicit(Trace::Hutchinson, Probe::Sphere, 1)),
        ("hutch++", implicit(Trace::HutchPlusPlus, Probe::Gaussian, 3)),
        ("sliced", sliced(Sliced { variance_reduced: false, ..plain.clone() })),
        ("sliced-vr", sliced(plain.clone())),
        ("sliced, finite differences", sliced(Sliced { derivative: fd, variance_reduced: false, ..plain.clone() })),
        ("sliced-vr, finite differences", sliced(Sliced { derivative: fd, probe: Probe::Gaussian, ..plain })),
    ];
    for (name, objective) in &everywhere {
        for sigma in [0.0, 0.8] {
            let found = miss(&train(objective.clone(), sigma), sigma);
            assert!(found < TOLERANCE, "{name} at σ = {sigma}: {found}");
        }
    }
    let (plain, both) =
        (Denoising::default(), Denoising { control_variate: true, antithetic: true, ..Denoising::default() });
    let of_noise = [
        ("denoising", plain.clone()),
        ("control variate", Denoising { control_variate: true, ..plain.clone() }),
        ("antithetic", Denoising { antithetic: true, ..plain }),
        ("both", both),
    ];
    for (name, config) in of_noise {
        let learned = train(objective(config), 0.8);
        assert!(miss(&learned, 0.8) < TOLERANCE, "{name}: {}", miss(&learned, 0.8));
        // The clean density's score is what forgetting σ would give.
        assert!(miss(&learned, 0.0) > 10.0 * TOLERANCE);
    }
}

/// The implicit objective with its trace multiplied by a wrong factor.
#[derive(Debug)]
struct Wrong(f64);

impl Objective for Wrong {
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Tensor<1> {
        let right = objective(Implicit::default()).loss(network, batch, noise);
        let score = network.score(batch.noisy.clone(), &batch.condition);
        let square = score.square().sum_dim(1).squeeze_dim::<1>(1) * 0.5;
        (right - square.clone()) * self.0 + square
    }
}

#[test]
fn wrong_factors_and_signs_do_not_reach_it() {
    for factor in [2.0, 0.5, -1.0] {
        let found = miss(&train(Arc::new(Wrong(factor)), 0.0), 0.0);
        assert!(found > 10.0 * TOLERANCE, "a trace times {factor}: {found}");
    }
}

#[test]
fn the_average_is_what_its_definition_says() {
    let on_tape = device().autodiff();
    let layer = init::zero_linear(1, 1, &on_tape);
    let network = Parameterized::new(AnyNetwork::new(Affine { layer }), Parameterization::Score);
    let layout = Layout::of(&network);
    let training = Training { ema: 0.999, warm_up: 0, ..Training::default() };
    let mut state = TrainingState::new(&layout, &network);
    let mut average = [0.0f64; 2];
    for n in 0..50u64 {
        let gradient = stein_core::vector(vec![1.0, -0.5 + n as f32 * 0.1], &device());
        state.update(gradient, &training);
        let decay = (1.0 + n as f64) / (10.0 + n as f64);
        for (average, p) in average.iter_mut().zip(to_host(state.parameters.clone())) {
            *average = decay * *average + (1.0 - decay) * f64::from(p);
        }
    }
    for (ours, expected) in to_host(state.average).iter().zip(average) {
        assert!((f64::from(*ours) - expected).abs() < 1e-6, "{ours} {expected}");
    }
}
