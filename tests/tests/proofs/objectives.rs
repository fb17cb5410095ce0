//! Objectives against what theory says of their values.

use burn::tensor::Tensor;
use stein_core::{Component, Condition, Level, Objective, Perturbed, ScoreNetwork, Target, to_host};
use stein_jet::Jet;
use stein_objectives::Denoising;

use crate::common::{at, draws, exact, gaussian, half_squares, mean, noise, three_modes};

/// −a (x − b): a linear score that is wrong on purpose.
struct Linear {
    a: f64,
    b: f64,
}

impl ScoreNetwork for Linear {
    fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
        let shift = x.value().zeros_like() - self.b;
        x.add_constant(shift).scale_by(-self.a)
    }
    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}

fn denoising() -> std::sync::Arc<dyn Objective> {
    Component::build(&Denoising {}, ()).expect("denoising builds")
}

fn loss(network: &dyn ScoreNetwork, target: &dyn Target, level: Level, n: usize, name: &str) -> Vec<f32> {
    let (clean, z) = draws(target, n, name);
    let batch = Perturbed::new(clean, z, at(level, n));
    to_host(denoising().loss(network, &batch, &mut noise("objective")))
}

#[test]
fn denoising_has_its_closed_form_on_a_gaussian() {
    // x ~ N(0, s² I), s(x̃) = −a (x̃ − b), x̃ = αx + σz:
    // ½E‖s + z/σ‖² = D/2 [a² (α² s² + b²) + (1/σ − a σ)²].
    let (s, a, b, level) = (0.7, 1.3, 0.4, Level { alpha: 0.8, sigma: 0.6 });
    let (value, error) = mean(&loss(&Linear { a, b }, &gaussian(vec![0.0; 3], s), level, 100_000, "closed form"));
    let signal = level.alpha * level.alpha * s * s + b * b;
    let closed = 1.5 * (a * a * signal + (1.0 / level.sigma - a * level.sigma).powi(2));
    assert!((value - closed).abs() < 4.0 * error, "{value} ± {error}, closed form {closed}");
    let wrong_sign = 1.5 * (a * a * signal + (1.0 / level.sigma + a * level.sigma).powi(2));
    for twin in [wrong_sign, 2.0 * closed, closed / 3.0] {
        assert!((value - twin).abs() > 20.0 * error, "{twin} must be told from {closed}");
    }
}

#[test]
fn denoising_minus_its_floor_is_the_explicit_objective() {
    let (target, network) = (three_modes(), Linear { a: 0.4, b: -0.3 });
    for level in [Level::exploding(0.3), Level::exploding(2.0), Level { alpha: 0.6, sigma: 0.8 }] {
        let n = 60_000;
        let (clean, z) = draws(&target, n, "floor");
        let batch = Perturbed::new(clean, z, at(level, n));
        let mut unused = noise("objective");
        let of = |network: &dyn ScoreNetwork, unused: &mut _| to_host(denoising().loss(network, &batch, unused));
        let (learned, floor) = (of(&network, &mut unused), of(&exact(three_modes()), &mut unused));
        let score = network.score(batch.noisy.clone(), &batch.condition);
        let truth = target.score(batch.noisy.clone(), &batch.condition);
        let explicit = half_squares(score - truth);
        let differences: Vec<f32> = learned.iter().zip(&floor).zip(&explicit).map(|((l, f), e)| l - f - e).collect();
        let (gap, error) = mean(&differences);
        assert!(gap.abs() < 4.0 * error, "σ = {}: {gap} ± {error}", level.sigma);
        let twin: Vec<f32> = learned.iter().zip(&floor).zip(&explicit).map(|((l, f), e)| l - f - 2.0 * e).collect();
        let (gap, error) = mean(&twin);
        assert!(gap.abs() > 10.0 * error, "a factor of 2 must be seen");
    }
}

#[test]
fn floors_of_the_three_modes() {
    let target = three_modes();
    for (sigma, floor) in [(0.1, 96.15), (0.3, 8.173), (1.0, 0.3501)] {
        let (value, error) = mean(&loss(&exact(three_modes()), &target, Level::exploding(sigma), 60_000, "floors"));
        assert!((value - floor).abs() < 4.0 * error + 5e-4 * floor, "σ = {sigma}: {value} ± {error}, not {floor}");
    }
}
