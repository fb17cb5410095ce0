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
    /// If derivatives are asked for: targets know their score, not its derivatives.
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        assert_eq!(x.directions(), 0, "a target's score has no directional derivatives");
        Jet::plain(self.target.score(x.value(), condition))
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Some(self.target.log_density(x, condition))
    }
}
