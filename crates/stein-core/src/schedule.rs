//! Noise schedules.

use std::fmt::Debug;

use crate::{Level, Noise};

/// The noise levels, from the largest σ to the smallest, and how training draws them.
pub trait NoiseSchedule: Debug + Send + Sync {
    /// The levels, σ strictly descending; at least one.
    fn levels(&self) -> &[Level];

    /// Draws the levels of a training batch. By default uniformly over [`levels`](Self::levels).
    fn draw(&self, noise: &mut Noise, batch: usize) -> Vec<Level> {
        let levels = self.levels();
        (0..batch).map(|_| levels[noise.index(levels.len())]).collect()
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
