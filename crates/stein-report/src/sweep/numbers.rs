//! What a comparison keeps of a run.

use stein_record::{
    Estimate, EstimatorRecord, Evaluation, LevelRecord, MetricLine, MetricRecord, RunRecord, Split, State,
};

use crate::number::grouped;
use crate::run::Run;
use crate::statistics::mean_of_independent;

/// Points that are kept of a curve.
const MOST_POINTS: usize = 240;

/// The numbers of a finished run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    /// Metrics of the samples, without what they are about.
    pub(crate) metrics: Vec<MetricRecord>,
    /// Distances to the true score, largest σ first.
    pub(crate) levels: Vec<Distance>,
    /// The losses at noise levels.
    pub(crate) losses: Vec<LevelRecord>,
    /// Training rows.
    pub(crate) train: usize,
    /// The Fisher divergence on held-out rows, at steps of training.
    pub(crate) fisher: Vec<(f64, f64)>,
    /// The loss on held-out rows, at steps of training.
    pub(crate) loss: Vec<(f64, f64)>,
    /// Seconds of one step of training.
    pub(crate) step_seconds: Option<f64>,
    /// Seconds of training.
    pub(crate) training: f64,
    /// Trainable numbers of the network; none of the target's own score.
    pub(crate) parameters: usize,
    /// Evaluations of the score a sample.
    pub(crate) nfe: u64,
    /// Seconds of drawing one sample.
    pub(crate) sampling: Option<f64>,
    /// The mean probability with which proposals were accepted.
    pub(crate) acceptance: Option<f64>,
    /// Bytes.
    pub(crate) peak_memory: Option<u64>,
    /// The variance of one example's gradient, by its geometric mean over the levels.
    pub(crate) gradient: Option<Estimate>,
    /// The training that the network is of, where it may be shared.
    pub(crate) trained: Option<String>,
    /// What it ran on.
    pub(crate) device: String,
    /// Whether that is a software adapter.
    pub(crate) software: bool,
}

/// The distance to the true score at one noise level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Distance {
    pub(crate) sigma: f64,
    /// σ²·F; F itself without noise, where σ² would make anything 0.
    pub(crate) scaled: Option<Estimate>,
    /// F to the clean density.
    pub(crate) clean: Option<Estimate>,
}

impl Numbers {
    /// The mean of σ²·F over the levels.
    pub(crate) fn scaled(&self) -> Option<Estimate> {
        mean_of_independent(&self.levels.iter().filter_map(|l| l.scaled).collect::<Vec<_>>())
    }

    /// F to the clean density at the smallest σ: at large ones even the true noisy score is far from the clean one.
    pub(crate) fn clean(&self) -> Option<Estimate> {
        self.levels.iter().min_by(|a, b| a.sigma.total_cmp(&b.sigma))?.clean
    }

    /// The metric of that name.
    pub(crate) fn metric(&self, name: &str) -> Option<&MetricRecord> {
        self.metrics.iter().find(|m| m.name == name)
    }

    /// The smallest and the largest σ.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        let sigmas = || self.levels.iter().map(|l| l.sigma);
        Some((sigmas().reduce(f64::min)?, sigmas().reduce(f64::max)?))
    }
}

/// The numbers of a run; or its state, and why there are none.
pub(super) fn of(run: &Run) -> Result<Numbers, (Option<State>, String)> {
    let Some(record) = &run.record else {
        let damaged = run.notes.iter().any(|note| note.starts_with("run.json"));
        let why = if damaged { "its run record cannot be read" } else { "it has no run record yet" };
        return Err((None, why.into()));
    };
    let RunRecord { state, progress, .. } = record;
    if *state != State::Finished {
        let at = || match progress.steps {
            0 => "while samples were drawn or measured".into(),
            steps => format!("at step {} of {}", grouped(progress.step as f64), grouped(steps as f64)),
        };
        return Err((Some(*state), record.reason.clone().unwrap_or_else(at)));
    }
    let Some(evaluation) = &run.evaluation else {
        return Err((Some(*state), "but its evaluation is missing or cannot be read".into()));
    };
    let Evaluation { metrics, levels, estimators, nfe, samples, sampling_seconds, acceptance, .. } = evaluation;
    Ok(Numbers {
        metrics: metrics.iter().map(|m| MetricRecord { about: String::new(), ..m.clone() }).collect(),
        levels: levels.iter().filter(|l| l.sigma.is_finite() && l.sigma >= 0.0).map(distance).collect(),
        losses: levels.iter().filter(|l| l.sigma.is_finite() && l.sigma > 0.0).cloned().collect(),
        train: record.data.train,
        fisher: thin(series(&run.metrics, "fisher")),
        loss: thin(series(&run.metrics, "loss")),
        step_seconds: Some(1.0 / record.timings.steps_per_second).filter(|s| s.is_finite() && *s > 0.0),
        training: record.timings.training,
        parameters: record.network.parameters,
        nfe: *nfe,
        sampling: Some(sampling_seconds / *samples as f64).filter(|s| s.is_finite() && *s > 0.0),
        acceptance: *acceptance,
        peak_memory: record.peak_memory,
        gradient: gradient(estimators),
        trained: record.trained.clone(),
        device: record.device.description.clone(),
        software: record.device.software,
    })
}

fn distance(level: &LevelRecord) -> Distance {
    let scaled = if level.sigma == 0.0 { level.clean_fisher } else { level.fisher };
    Distance { sigma: level.sigma, scaled, clean: level.clean_fisher }
}

/// A series of held-out rows in the order of steps; of a step that was done twice, the last.
fn series(metrics: &[MetricLine], name: &str) -> Vec<(f64, f64)> {
    let lines = metrics.iter().filter(|m| m.name == name && m.split == Split::HeldOut);
    let points: std::collections::BTreeMap<u64, f64> = lines.map(|m| (m.step, m.value)).collect();
    points.into_iter().map(|(step, value)| (step as f64, value)).collect()
}

/// About [`MOST_POINTS`] points, evenly taken so that repetitions keep the same steps; the last is always there.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points.into_iter().enumerate().filter(|(i, _)| (last - i).is_multiple_of(every)).map(|(_, p)| p).collect()
}

/// The geometric mean over the levels of the gradient variance of each level's first estimator: the run's own objective.
fn gradient(estimators: &[EstimatorRecord]) -> Option<Estimate> {
    let mut seen = Vec::new();
    let mut logarithms = Vec::new();
    for record in estimators {
        if !seen.contains(&record.sigma.to_bits()) {
            seen.push(record.sigma.to_bits());
            let Estimate { value, standard_error } = record.gradient_variance;
            logarithms.push(Estimate::new(value.ln(), standard_error / value));
        }
    }
    let mean = mean_of_independent(&logarithms)?;
    let value = mean.value.exp();
    Some(Estimate::new(value, value * mean.standard_error))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Numbers {
        /// Numbers with one noise level.
        pub(crate) fn synthetic(fisher: Estimate) -> Self {
            Self {
                metrics: Vec::new(),
                levels: vec![Distance { sigma: 1.0, scaled: Some(fisher), clean: None }],
                losses: Vec::new(),
                train: 0,
                fisher: Vec::new(),
                loss: Vec::new(),
                step_seconds: Some(0.01),
                training: 1.0,
                parameters: 1000,
                nfe: 100,
                sampling: None,
                acceptance: None,
                peak_memory: None,
                gradient: None,
                trained: None,
                device: "CPU".into(),
                software: false,
            }
        }
    }

    #[test]
    fn a_series_is_in_order_and_repeated_steps_count_once() {
        let line = |step, split, value| MetricLine { step, split, name: "loss".into(), value };
        let lines = [
            line(20, Split::HeldOut, 2.0),
            line(10, Split::HeldOut, 1.0),
            line(20, Split::HeldOut, 3.0),
            line(5, Split::Train, 9.0),
        ];
        assert_eq!(series(&lines, "loss"), [(10.0, 1.0), (20.0, 3.0)]);
        assert!(series(&lines, "fisher").is_empty());
    }

    #[test]
    fn thinning_keeps_the_last_point() {
        let points: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 0.0)).collect();
        let kept = thin(points);
        assert!(kept.len() <= MOST_POINTS && kept.len() > MOST_POINTS / 2);
        assert_eq!(kept.last().unwrap().0, 999.0);
        assert!(thin(Vec::new()).is_empty());
    }

    #[test]
    fn without_noise_the_divergence_is_not_scaled() {
        let level = |sigma| LevelRecord {
            sigma,
            weight: 1.0,
            train: Estimate::new(1.0, 0.0),
            held_out: Estimate::new(1.0, 0.0),
            floor: None,
            memorising_train: None,
            memorising_held_out: None,
            gaussian_held_out: None,
            fisher: Some(Estimate::new(0.0, 0.0)),
            relative_fisher: None,
            clean_fisher: Some(Estimate::new(0.7, 0.1)),
        };
        assert_eq!(distance(&level(0.0)).scaled.unwrap().value, 0.7);
        assert_eq!(distance(&level(1.0)).scaled.unwrap().value, 0.0);
    }

    #[test]
    fn gradient_noise_is_the_first_estimator_of_each_level() {
        let one = Estimate::new(1.0, 0.1);
        let record = |name: &str, sigma, variance| EstimatorRecord {
            name: name.into(),
            sigma,
            loss: one,
            difference: one,
            difference_variance: one,
            gradient_square: one,
            gradient_difference: one,
            gradient_variance: Estimate::new(variance, 0.1 * variance),
            seconds: one,
            memory: None,
        };
        let records = [record("a", 1.0, 4.0), record("b", 1.0, 1e9), record("a", 0.1, 100.0), record("b", 0.1, 1e9)];
        let of = gradient(&records).unwrap();
        assert!((of.value - 20.0).abs() < 1e-12 && (of.standard_error - 2f64.sqrt()).abs() < 1e-12, "{of:?}");
        assert!(!gradient(&[record("a", 1.0, -1.0)]).unwrap().value.is_finite());
        assert_eq!(gradient(&[]), None);
    }
}
