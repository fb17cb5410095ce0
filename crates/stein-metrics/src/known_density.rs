//! Metrics against a density that is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, ModesView, NoiseSchedule};
use stein_record::{Array, Better, Estimate, MetricRecord, Modes};

use crate::compare::{Reading, estimate, invalid, rows};
use crate::stats::{self, Mixture, Rows, mode_weights, stray_radius};
use crate::two_sample::metric;

metric! {
    /// The Fisher divergence ½E‖s − ∇log p_σ‖² to the known density, times σ² and over ½E‖∇log p_σ‖², mean over the levels.
    FisherDivergence, "fisher-divergence", "Hyvärinen 2005; Johnson 2004"
}

impl Metric for FisherDivergence {
    fn applies(&self, dataset: &Dataset, schedule: &dyn NoiseSchedule) -> bool {
        dataset.target_at(schedule.levels()).is_some()
    }

    fn is_of_learning(&self) -> bool {
        true
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let fisher: Vec<Estimate> = context.levels.iter().filter_map(|l| l.fisher).collect();
        let relative: Vec<Estimate> = context.levels.iter().filter_map(|l| l.relative_fisher).collect();
        let readings = [
            Reading {
                name: "sigma2-fisher",
                label: "mean σ²·Fisher divergence",
                about: "½E‖s − ∇log p_σ‖² times σ², mean over the levels; fresh draws. Times 2 ln(σ₁/σ_L) it bounds the KL \
                        divergence that the learned score adds to the reverse SDE.",
                better: Better::Lower,
            },
            Reading {
                name: "relative-fisher",
                label: "relative Fisher divergence",
                about: "The same over ½E‖∇log p_σ‖², mean over the levels: the share of the score that is wrong.",
                better: Better::Lower,
            },
        ];
        let mean = |list: &[Estimate]| {
            let n = list.len() as f64;
            let value = list.iter().map(|e| e.value).sum::<f64>() / n;
            Estimate::new(value, list.iter().map(|e| e.standard_error.powi(2)).sum::<f64>().sqrt() / n)
        };
        Ok(readings.iter().zip([fisher, relative]).map(|(r, list)| r.record(mean(&list), None, None)).collect())
    }
}

metric! {
    /// How samples spread over the modes of a known mixture: the largest error of a weight, and the share of strays.
    ModeWeights, "mode-weights", ""
}

/// Mixtures with more components than this have no modes to count.
const MOST_MODES: usize = 64;

/// The modes, where they can be counted.
fn modes(dataset: &Dataset) -> Option<ModesView<'_>> {
    dataset.target.as_ref()?.modes().filter(|view| (2..=MOST_MODES).contains(&view.means.len()))
}

impl Metric for ModeWeights {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        modes(dataset).is_some()
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let count = |rows: &Array| count_modes(context.dataset, rows);
        let Some(((weights, modes), (real, floor))) = count(context.samples)?.zip(count(context.held_out)?) else {
            return Ok(Vec::new());
        };
        let (gaussian, baseline) = count(context.gaussian)?.unwrap_or_else(|| (real.clone(), floor.clone()));
        let readings = [
            Reading {
                name: "mode-weight-error",
                label: "largest error of a mode's weight",
                about: "Samples counted by the mode that most likely made them. Langevin dynamics that does not mix gets this \
                        wrong first.",
                better: Better::Lower,
            },
            Reading {
                name: "stray",
                label: "share of stray samples",
                about: "Samples far from every mode; the floor is the share among held-out rows.",
                better: Better::Lower,
            },
        ];
        let worst = |weights: &[f64], modes: &Modes| {
            let errors = weights.iter().zip(&modes.truth).zip(&modes.standard_error);
            let worst = errors.map(|((w, t), se)| ((w - t).abs(), *se)).max_by(|a, b| a.0.total_cmp(&b.0));
            worst.map_or(Estimate::new(f64::NAN, f64::NAN), |(error, se)| Estimate::new(error, se))
        };
        Ok(vec![
            readings[0].record(worst(&weights, &modes), Some(worst(&real, &floor)), Some(worst(&gaussian, &baseline))),
            readings[1].record(modes.stray, Some(floor.stray), Some(baseline.stray)),
        ])
    }
}

/// Counts rows by the mode that most likely made them: the weights `[K]`, and what belongs to them. `None` where the data
/// have no modes to count.
///
/// # Errors
/// If the rows are not of the data's dimension, or not finite.
pub fn count_modes(dataset: &Dataset, samples: &Array) -> Result<Option<(Vec<f64>, Modes)>, Invalid> {
    let Some(view) = modes(dataset) else { return Ok(None) };
    let d = dataset.dimension();
    let means: Vec<f32> = view.means.iter().flatten().map(|&x| x as f32).collect();
    let mixture = Mixture { means: Rows::new(&means, d).map_err(invalid)?, std: view.std, weights: view.weights };
    let radius = stray_radius(d);
    let count = |set: &Array| -> Result<stats::ModeWeights, Invalid> {
        mode_weights(rows(set)?, &mixture, radius).map_err(invalid)
    };
    let (counted, real) = (count(samples)?, count(&dataset.held_out)?);
    let modes = Modes {
        truth: view.weights.to_vec(),
        standard_error: counted.weights.iter().map(|e| e.standard_error).collect(),
        stray: estimate(counted.stray),
        stray_truth: estimate(real.stray),
    };
    Ok(Some((counted.weights.iter().map(|e| e.value).collect(), modes)))
}
