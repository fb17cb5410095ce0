//! Noise schedules.

use std::fmt::Debug;

use crate::{Level, Noise};

/// The noise levels, from the largest σ to the smallest, and how training draws them.
pub trait NoiseSchedule: Debug + Send + Sync {
    /// The levels, σ strictly descending; at least one. [`Level::CLEAN`] alone means that no noise is added.
    fn levels(&self) -> &[Level];

    /// Draws the levels of a training batch. By default uniformly over [`levels`](Self::levels).
    fn draw(&self, noise: &mut Noise, batch: usize) -> Vec<Level> {
        let levels = self.levels();
        (0..batch).map(|_| levels[noise.index(levels.len())]).collect()
    }

    /// The level whose σ/α is `ratio`, for densities over a continuum of levels. By default variance-exploding.
    fn at_ratio(&self, ratio: f64) -> Level {
        Level::exploding(ratio)
    }

    /// The density at which [`draw`](Self::draw) meets `level`, per unit of ln(σ/α). A ladder's levels each stand for the
    /// stretch of ln(σ/α) around them. Of no meaning below two levels.
    fn draw_density(&self, level: Level) -> f64 {
        let ratios: Vec<f64> = self.levels().iter().map(|l| l.log_ratio()).collect();
        let stretch = |i: usize| {
            let above = (i > 0).then(|| ratios[i - 1] - ratios[i]);
            let below = (i + 1 < ratios.len()).then(|| ratios[i] - ratios[i + 1]);
            // At an end the missing half is as long as the other: a geometric ladder's stretches are all alike.
            (above.or(below).unwrap_or(0.0) + below.or(above).unwrap_or(0.0)) / 2.0
        };
        let nearest = |ratio: f64| {
            let distance = |i: &usize| (ratios[*i] - ratio).abs();
            (0..ratios.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
        };
        // The stretches together are as long as the ladder.
        let total: f64 = (0..ratios.len()).map(stretch).sum();
        total / (self.span() * ratios.len() as f64 * stretch(nearest(level.log_ratio())))
    }

    /// ln(σ/α) of the first level minus that of the last.
    fn span(&self) -> f64 {
        self.first().log_ratio() - self.last().log_ratio()
    }

    /// The level with the largest σ.
    ///
    /// # Panics
    /// If the schedule breaks its promise and has no level.
    fn first(&self) -> Level {
        self.levels()[0]
    }

    /// The level with the smallest σ.
    ///
    /// # Panics
    /// If the schedule breaks its promise and has no level.
    fn last(&self) -> Level {
        self.levels()[self.levels().len() - 1]
    }
}
