//! The score of a trained run where somebody asks for it.

use burn::tensor::Device;
use stein_core::{Condition, Invalid, Level, NoiseSchedule, ScoreNetwork, class_tensor, to_host, to_tensor};
use stein_experiment::Plan;
use stein_record::{Array, RunDir};

use crate::{RunError, load_network};

/// The score of a run's averaged network at points `[N, D]`, at one level and of one class, or of the whole law; `[N, D]`.
///
/// # Errors
/// If the weights cannot be read.
pub fn score_of_run(
    plan: &Plan,
    run: &RunDir,
    points: &Array,
    (level, class): (Level, Option<u32>),
    device: &Device,
) -> Result<Array, RunError> {
    let network = load_network(plan, run, device)?;
    let (rows, chunk) = (points.rows(), plan.experiment.evaluation.chunk);
    let mut scores = Vec::with_capacity(points.data.len());
    for from in (0..rows).step_by(chunk) {
        let own = points.slice(from..rows.min(from + chunk));
        let class = class.map(|class| class_tensor(&vec![class; own.rows()], device));
        let condition = Condition::uniform(level, own.rows(), device).with_class(class);
        scores.extend(to_host(network.score(to_tensor(&own, device), &condition)));
    }
    Ok(Array::new(points.shape.clone(), scores))
}

/// How far beyond the ends of its ladder a schedule is asked, as a factor of σ/α.
const BEYOND: f64 = 1e6;

/// The level of a schedule with that σ: α follows from it.
///
/// # Errors
/// If the schedule has no such level.
pub fn level_at(schedule: &dyn NoiseSchedule, sigma: f64) -> Result<Level, Invalid> {
    let (first, last) = (schedule.first(), schedule.last());
    if first.is_clean() {
        let none = "this run is without noise: its score is asked for without a σ";
        return if sigma == 0.0 { Ok(Level::CLEAN) } else { Err(Invalid::new(none)) };
    }
    let ratio = |level: Level| level.sigma / level.alpha;
    let (mut low, mut high) = (ratio(last) / BEYOND, ratio(first) * BEYOND);
    let at = |ratio: f64| schedule.at_ratio(ratio).sigma;
    if !(at(low)..=at(high)).contains(&sigma) {
        let levels = format!("this run's levels have σ from {} to {}", first.sigma, last.sigma);
        return Err(Invalid::new(format!("there is no level with σ = {sigma}; {levels}")));
    }
    // Where σ is σ/α itself nothing need be searched, and nothing is rounded.
    if at(sigma) == sigma {
        return Ok(schedule.at_ratio(sigma));
    }
    // σ rises with σ/α. A double's bits are used up long before.
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if at(middle) < sigma { low = middle } else { high = middle }
    }
    Ok(schedule.at_ratio(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Preserving([Level; 2]);

    fn preserving(ratio: f64) -> Level {
        let alpha = 1.0f64.hypot(ratio).recip();
        Level { alpha, sigma: ratio * alpha }
    }

    impl NoiseSchedule for Preserving {
        fn levels(&self) -> &[Level] {
            &self.0
        }
        fn at_ratio(&self, ratio: f64) -> Level {
            preserving(ratio)
        }
    }

    #[derive(Debug)]
    struct Exploding([Level; 1]);

    impl NoiseSchedule for Exploding {
        fn levels(&self) -> &[Level] {
            &self.0
        }
    }

    #[test]
    fn alpha_follows_from_sigma() {
        let schedule = Preserving([preserving(50.0), preserving(0.01)]);
        for sigma in [0.02, 0.6, 0.99] {
            let level = level_at(&schedule, sigma).unwrap();
            assert!((level.sigma - sigma).abs() < 1e-12, "{level:?}");
            assert!((level.alpha - (1.0 - sigma * sigma).sqrt()).abs() < 1e-12, "{level:?}");
        }
        let problem = level_at(&schedule, 1.5).unwrap_err();
        assert!(problem.message.contains("no level with σ = 1.5"), "{}", problem.message);
    }

    #[test]
    fn an_exploding_level_is_the_sigma_itself() {
        let schedule = Exploding([Level::exploding(3.0)]);
        assert_eq!(level_at(&schedule, 0.1).unwrap(), Level::exploding(0.1));
        assert!([0.0, -1.0, f64::NAN, f64::INFINITY].iter().all(|&sigma| level_at(&schedule, sigma).is_err()));
        let clean = Exploding([Level::CLEAN]);
        assert_eq!(level_at(&clean, 0.0).unwrap(), Level::CLEAN);
        assert!(level_at(&clean, 0.5).is_err());
    }
}
