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
    /// If derivatives are asked for that the target does not know: see [`Target::score_derivatives`].
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let score = self.target.score(x.value(), condition);
        if x.directions() == 0 {
            return Jet::plain(score);
        }
        let directions = (0..x.directions()).map(|i| x.tangent(i)).collect();
        let derivatives = self.target.score_derivatives(x.value(), directions, condition);
        Jet::seed(score, derivatives.expect("the target knows the derivatives of its score"))
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Some(self.target.log_density(x, condition))
    }
}
