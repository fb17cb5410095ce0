//! log ∫ p̃ over the plane, by the midpoint rule.

use burn::tensor::Device;
use stein_core::{Condition, Level, ScoreNetwork, matrix, to_host};
use stein_experiment::Plan;

/// Grid points along each axis: at first, and at most.
const POINTS: [usize; 2] = [128, 1024];
/// Points at a time: few enough for wide layers.
const CHUNK: usize = 1 << 11;
/// The part of the rectangle's width, on each side, that is its border.
const BORDER: f64 = 0.05;

/// The share of a border that says that there is more beyond.
const MUCH: f64 = 1e-3;

/// A rectangle of the plane: bounds along x, and along y.
pub(crate) type Rectangle = [[f64; 2]; 2];

/// An integral over a rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Integral {
    /// log ∫ p̃.
    pub(crate) log: f64,
    /// By how much the last refinement changed that.
    pub(crate) change: f64,
    /// The share of the rectangle's border: where it is not small, there is more beyond.
    pub(crate) border: f64,
}

impl Integral {
    /// Whether there is more beyond the rectangle.
    pub(crate) fn has_more_beyond(&self) -> bool {
        self.border >= MUCH
    }
}

/// What holds the noisy training rows with a margin: half the data's spread is three standard deviations of what they may be like
/// beyond the outermost, and five of the noise.
pub(crate) fn around(plan: &Plan, level: Level) -> Rectangle {
    let (data, margin) = (&plan.dataset, 3.0 * level.alpha * plan.dataset.spread() + 5.0 * level.sigma);
    [0, 1].map(|axis| {
        let values = || data.train.data.iter().skip(axis).step_by(2).map(|&x| level.alpha * f64::from(x));
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        [low - margin, high + margin]
    })
}

/// log ∫ p̃ of a network's density at a level, on grids twice as fine until it changes by less than `tolerance`; `None` if the network
/// has no density.
pub(crate) fn integrate(
    network: &dyn ScoreNetwork,
    level: Level,
    within: Rectangle,
    tolerance: f64,
    device: &Device,
) -> Option<Integral> {
    let [first, last] = POINTS;
    let (mut points, mut before) = (first, f64::NAN);
    loop {
        let found = on_grid(network, level, within, points, device)?;
        let change = (found.log - before).abs();
        if change < tolerance || points >= last {
            return Some(Integral { change, ..found });
        }
        (points, before) = (2 * points, found.log);
    }
}

fn on_grid(
    network: &dyn ScoreNetwork,
    level: Level,
    within: Rectangle,
    points: usize,
    device: &Device,
) -> Option<Integral> {
    let middle = |i: usize| (i as f64 + 0.5) / points as f64;
    let at = |i: usize, [low, high]: [f64; 2]| (low + (high - low) * middle(i)) as f32;
    let mut logs = Vec::with_capacity(points * points);
    for start in (0..points * points).step_by(CHUNK) {
        let places = start..(start + CHUNK).min(points * points);
        let condition = Condition::uniform(level, places.len(), device);
        let rows = places.flat_map(|k| [at(k % points, within[0]), at(k / points, within[1])]).collect();
        logs.extend(to_host(network.log_density(matrix(rows, 2, device), &condition)?));
    }
    let is_border = |i: usize| !(BORDER..=1.0 - BORDER).contains(&middle(i));
    let largest = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut border) = (0.0, 0.0);
    for (k, log) in logs.iter().enumerate() {
        let mass = f64::from(log - largest).exp();
        sum += mass;
        border += if is_border(k % points) || is_border(k / points) { mass } else { 0.0 };
    }
    let [width, height] = within.map(|[low, high]| (high - low) / points as f64);
    let log = f64::from(largest) + sum.ln() + (width * height).ln();
    Some(Integral { log, change: f64::NAN, border: border / sum })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stein_core::ExactScore;
    use stein_data::IsotropicMixture;

    use super::*;

    #[test]
    fn a_mixture_is_normalised_and_what_is_cut_off_is_missed() {
        let modes = IsotropicMixture::new(vec![vec![-2.0, 0.0], vec![3.0, 1.0]], vec![0.1, 0.4], vec![0.6, 0.4]);
        let network = ExactScore::new(Arc::new(modes));
        let of = |within, level| integrate(&network, level, within, 1e-4, &Device::flex()).expect("a density");
        let whole = of([[-9.0, 9.0], [-8.0, 8.0]], Level::CLEAN);
        assert!(whole.log.abs() < 1e-4 && whole.change < 1e-4 && whole.border < 1e-6, "{whole:?}");
        // The first mode alone, and a quarter of it in the corner.
        let left = of([[-9.0, 1.0], [-8.0, 8.0]], Level::CLEAN);
        assert!((left.log - 0.6f64.ln()).abs() < 1e-4, "{left:?}");
        let corner = of([[-2.0, 1.0], [0.0, 2.0]], Level::CLEAN);
        assert!((corner.log - 0.15f64.ln()).abs() < 1e-2 && corner.border > 0.5, "{corner:?}");
        assert!(corner.has_more_beyond() && !whole.has_more_beyond());
        let noisy = of([[-9.0, 9.0], [-8.0, 8.0]], Level { alpha: 0.5, sigma: 0.7 });
        assert!(noisy.log.abs() < 1e-4, "{noisy:?}");
    }
}
