//! Training reaches the minimisers that theory names.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::optim::GradientsParams;
use stein_core::{
    AnyNetwork, Component, Condition, Level, Network, NoiseSchedule, Objective, Perturbed, Streams, Target, init,
    matrix, to_host,
};
use stein_experiment::{Optimizer, Training};
use stein_jet::{Jet, linear};
use stein_networks::{Parameterization, Parameterized};
use stein_objectives::Denoising;
use stein_train::{Layout, Trainee, TrainingState};

use crate::common::{Sigmas, device, gaussian};

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

/// On N(m, s²I) at σ the best score is −(x − m)/(s² + σ²): weight −1/(s² + σ²) times the identity.
#[test]
fn denoising_reaches_the_score_of_the_perturbed_gaussian() {
    let (s, sigma, d) = (0.6, 0.8, 2);
    let target = gaussian(vec![0.5, -1.0], s);
    let schedule = Sigmas::new(&[sigma]);
    let on_tape = device().autodiff();
    let mut layer = init::zero_linear(d, d, &on_tape);
    layer.weight = Param::from_tensor(layer.weight.val());
    let network = Parameterized::new(AnyNetwork::new(Affine { layer }), Parameterization::Score);
    let objective: Arc<dyn Objective> = Component::build(&Denoising::default(), ()).expect("builds");
    let mut trainee = Trainee::new(network, objective.clone());
    let layout = Layout::of(&trainee);
    let training = Training { steps: 800, warm_up: 0, ema: 0.98, clip: 0.0, ..Training::default() };
    let training = Training { optimizer: Optimizer { learning_rate: 0.03, ..Optimizer::default() }, ..training };
    let mut state = TrainingState::new(&layout, &trainee);
    let streams = Streams::new(2);
    for step in 0..training.steps {
        let mut noise = streams.at("proof", step);
        let n = 1024;
        let clean = matrix(target.sample(n, &mut noise), d, &on_tape);
        let z = matrix(noise.normals(n * d), d, &on_tape);
        let levels: Vec<Level> = schedule.draw(&mut noise, n);
        let batch = Perturbed::new(clean, z, Condition::at(&levels, &on_tape));
        let loss = objective.loss(&trainee.network, &batch, &mut noise).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &trainee);
        state.update(layout.gradients(&trainee, &gradients), &training);
        trainee = layout.unflatten(trainee, state.parameters.clone());
    }
    let learned = to_host(state.average);
    let slope = -1.0 / (s * s + sigma * sigma);
    let expected = [slope, 0.0, 0.0, slope, -slope * 0.5, -slope * -1.0];
    for (learned, expected) in learned.iter().zip(expected) {
        assert!((f64::from(*learned) - expected).abs() < 0.02, "{learned:?}, not {expected}");
    }
    // The clean density's score, −1/s², is what forgetting σ would give.
    assert!((f64::from(learned[0]) + 1.0 / (s * s)).abs() > 0.5);
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
