//! A known density's score in a network's place.

use std::sync::Arc;

use burn::tensor::Tensor;
use stein_jet::Jet;

use crate::{Condition, ScoreNetwork, Target};

/// The score of a [`Target`] as a [`ScoreNetwork`]: what the best network would be. Its loss is an objective's floor.
#[derive(Debug, Clone)]
pub struct ExactScore {
    target: Arc<dyn Target>,
}

impl ExactScore {
    /// The score of `target`.
    pub fn new(target: Arc<dyn Target>) -> Self {
        Self { target }
    }
}

impl ScoreNetwork for ExactScore {
    /// # Panics
    /// If derivatives are asked for that the target does not know: see [`Target::score_derivative`].
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let score = self.target.score(x.value(), condition);
        let tangents = (0..x.directions())
            .map(|i| {
                let derivative = self.target.score_derivative(x.value(), x.tangent(i), condition);
                derivative.expect("the target knows the derivatives of its score")
            })
            .collect();
        Jet::seed(score, tangents)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Some(self.target.log_density(x, condition))
    }
}
