//! The probability flow dy/dρ = −σ s in y = x/α and ρ = σ/α, for chains that are each at a level of their own.
//!
//! Why ρ and not ln ρ? Where the noise hides all else the paths are straight lines in ρ, and below the data's finest scale
//! the slope −σ s goes to 0 with σ: in both the steps can be as long as ρ itself. In ln ρ the slope is y − x̂, which grows like
//! ρ where the noise hides all else, so that no step there is much longer than 1 however simple the data are.

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, Level, NoiseSchedule, ScoreNetwork, matrix, to_host};

use crate::denoise::score_at;

/// Where chains live: on the host as y, in double precision, and for the network as x.
pub(crate) struct Rows<'a> {
    pub(crate) schedule: &'a dyn NoiseSchedule,
    pub(crate) dimension: usize,
    pub(crate) device: Device,
}

impl Rows<'_> {
    /// y of chains `x` `[N, D]` that are all at one level.
    pub(crate) fn signal(&self, x: Tensor<2>, level: Level) -> Vec<f64> {
        to_host(x).into_iter().map(|x| f64::from(x) / level.alpha).collect()
    }

    /// x `[N, D]` of chains that are all at one level.
    pub(crate) fn noisy(&self, y: &[f64], level: Level) -> Tensor<2> {
        matrix(y.iter().map(|y| (level.alpha * y) as f32).collect(), self.dimension, &self.device)
    }

    /// The levels of chains at `ratios` σ/α, with their x `[N, D]`.
    pub(crate) fn at(&self, ratios: &[f64], y: &[f64]) -> (Vec<Level>, Tensor<2>) {
        let levels: Vec<Level> = ratios.iter().map(|&ratio| self.schedule.at_ratio(ratio)).collect();
        let each = y.chunks(self.dimension.max(1)).zip(&levels);
        let x = each.flat_map(|(row, level)| row.iter().map(|y| (level.alpha * y) as f32)).collect();
        (levels, matrix(x, self.dimension, &self.device))
    }

    /// −σ s of each row.
    pub(crate) fn slopes(&self, levels: &[Level], score: Tensor<2>) -> Vec<f64> {
        let score = to_host(score);
        let each = score.chunks(self.dimension.max(1)).zip(levels);
        each.flat_map(|(row, level)| row.iter().map(|&s| -level.sigma * f64::from(s))).collect()
    }
}

/// Heun's step along dy/dρ = −σ s from one level to the next, for chains that are all at `from`, given as x and as y = x/α.
/// Gives x there.
pub(crate) fn heun_step(score: &dyn ScoreNetwork, x: &Tensor<2>, y: Tensor<2>, from: Level, next: Level) -> Tensor<2> {
    let step = next.sigma / next.alpha - from.sigma / from.alpha;
    let slope = score_at(score, x, from) * -from.sigma;
    let euler = (y.clone() + slope.clone() * step) * next.alpha;
    let slope_there = score_at(score, &euler, next) * -next.sigma;
    (y + (slope + slope_there) * (step / 2.0)) * next.alpha
}

/// dy/dρ at `ratios` `[N]` and y `[N, D]`.
pub(crate) fn slopes(score: &dyn ScoreNetwork, rows: &Rows<'_>, ratios: &[f64], y: &[f64]) -> Vec<f64> {
    let (levels, x) = rows.at(ratios, y);
    let condition = Condition::at(&levels, &rows.device);
    rows.slopes(&levels, score.score(x, &condition))
}
