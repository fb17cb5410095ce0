//! Score-matching objectives.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::{Condition, Invalid, Noise, ScoreNetwork};

/// A batch with its perturbation x̃ = α x + σ z.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Perturbed {
    /// The clean examples x, `[B, D]`.
    pub clean: Tensor<2>,
    /// The standard normal noise z, `[B, D]`; `None` where no noise is added.
    pub noise: Option<Tensor<2>>,
    /// The noisy examples x̃, `[B, D]`; the clean ones where no noise is added.
    pub noisy: Tensor<2>,
    /// α and σ of each example.
    pub condition: Condition,
    /// ∇ log p_σ(x̃), `[B, D]`, where the data know it.
    pub exact_score: Option<Tensor<2>>,
    /// Directions that an objective takes in place of random ones, `[B, D]` each: for checks against other implementations.
    pub probes: Option<Vec<Tensor<2>>>,
}

impl Perturbed {
    /// Perturbs `clean` by standard normals `noise` at the levels of `condition`.
    pub fn new(clean: Tensor<2>, noise: Tensor<2>, condition: Condition) -> Self {
        let noisy = match &condition.levels {
            None => clean.clone(),
            Some(levels) => {
                let column = |t: &Tensor<1>| t.clone().unsqueeze_dim::<2>(1);
                clean.clone() * column(&levels.alpha) + noise.clone() * column(&levels.sigma)
            }
        };
        let noise = condition.levels.is_some().then_some(noise);
        Self { clean, noise, noisy, condition, exact_score: None, probes: None }
    }

    /// Examples without noise: the objective is about the score of the data's own density.
    pub fn clean(examples: Tensor<2>) -> Self {
        let (clean, noisy) = (examples.clone(), examples);
        Self { clean, noise: None, noisy, condition: Condition::clean(), exact_score: None, probes: None }
    }

    /// The same with the exact score at x̃.
    pub fn with_exact_score(mut self, score: Tensor<2>) -> Self {
        self.exact_score = Some(score);
        self
    }

    /// The part for the examples `from..from + count`.
    pub fn narrow(&self, from: usize, count: usize) -> Self {
        let rows = |x: &Tensor<2>| x.clone().narrow(0, from, count);
        Self {
            clean: rows(&self.clean),
            noise: self.noise.as_ref().map(rows),
            noisy: rows(&self.noisy),
            condition: self.condition.narrow(from, count),
            exact_score: self.exact_score.as_ref().map(rows),
            probes: self.probes.as_ref().map(|probes| probes.iter().map(rows).collect()),
        }
    }

    /// The same with directions in place of random ones.
    pub fn with_probes(mut self, probes: Vec<Tensor<2>>) -> Self {
        self.probes = Some(probes);
        self
    }
}

/// An objective: one number an example, least in expectation when the network is the score.
///
/// ½ is kept, dimensions are summed. The trainer applies the weight λ(σ) and takes the mean over the batch, so every
/// objective works at one noise level, at none, and over a whole ladder.
pub trait Objective: Debug + Send + Sync {
    /// The unweighted loss of each example, `[B]`. `noise` is the objective's own stream at this step (probes).
    fn loss(&self, network: &dyn ScoreNetwork, batch: &Perturbed, noise: &mut Noise) -> Tensor<1>;

    /// Whether the objective is about the score of perturbed data only, and so needs σ > 0.
    fn needs_noise(&self) -> bool {
        false
    }

    /// Whether it can be taken on [energies](ScoreNetwork::energy), whose score is a constant to the parameters: it must be
    /// written with the energy's derivatives.
    fn takes_energies(&self) -> bool {
        false
    }

    /// Random directions that [`loss`](Self::loss) draws for each example, or takes from [`Perturbed::probes`].
    fn probes(&self) -> usize {
        0
    }

    /// All that [`loss`](Self::loss) would draw for a batch, in its order, for [`Perturbed::probes`]. The examples of a batch may
    /// then go in parts, each with its own of these, to the same losses. `None` where they must stay together.
    fn directions(&self, _batch: &Perturbed, _noise: &mut Noise) -> Option<Vec<Tensor<2>>> {
        None
    }

    /// Whether it can take `count` directions from [`Perturbed::probes`].
    fn takes_probes(&self, count: usize) -> bool {
        count == self.probes()
    }

    /// Refuses examples of `dimension` numbers that it can't be taken on.
    ///
    /// # Errors
    /// Why not, and the key that has to do with it.
    fn accepts(&self, _dimension: usize) -> Result<(), Invalid> {
        Ok(())
    }

    /// Whether it wants [`Perturbed::exact_score`], which costs an evaluation of the target a step.
    fn needs_exact_score(&self) -> bool {
        false
    }
}
