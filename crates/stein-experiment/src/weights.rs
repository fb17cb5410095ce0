//! λ at each level, from what the tables say together.

use std::sync::Arc;

use stein_core::{Level, NoiseSchedule};
use stein_objectives::{WeightAt, Weighting};

use crate::Experiment;

/// By how much training multiplies the loss of an example at a noise level.
#[derive(Debug, Clone)]
pub struct Weights {
    weighting: Weighting,
    importance_correction: bool,
    sigma_data: f64,
    schedule: Arc<dyn NoiseSchedule>,
}

impl Weights {
    /// What an experiment asks for, over its schedule.
    pub fn new(experiment: &Experiment, schedule: Arc<dyn NoiseSchedule>) -> Self {
        let &Experiment { weighting, importance_correction, sigma_data, .. } = experiment;
        Self { weighting, importance_correction, sigma_data, schedule }
    }

    /// λ. Without noise it is 1.
    pub fn at(&self, level: Level) -> f64 {
        if level.is_clean() {
            return 1.0;
        }
        // Costs a look at the whole ladder, and most weightings don't ask.
        let asked = self.importance_correction || self.weighting == Weighting::Likelihood;
        let draw_density = if asked { self.schedule.draw_density(level) } else { f64::NAN };
        let at = WeightAt { sigma: level.sigma, sigma_data: self.sigma_data, draw_density };
        let weight = self.weighting.at(at);
        if self.importance_correction {
            // As if ln(σ/α) had been drawn uniformly.
            return weight / (draw_density * self.schedule.span());
        }
        weight
    }
}
