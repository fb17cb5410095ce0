//! How far a solver of the probability flow ends from where the flow itself ends.

use burn::tensor::Device;
use stein_core::{Level, NoObserver, NoiseSchedule, ScoreNetwork};
use stein_experiment::Plan;
use stein_record::{Array, Better, Estimate, MetricRecord};
use stein_samplers::{Draw, ProbabilityFlow, Starts};

use crate::RunError;
use crate::sampling::draw_of;

/// Steps of the reference for one of the solver's.
const FINER: usize = 16;
/// Chains that are followed.
const CHAINS: usize = 256;

/// The root mean square of a number's distance from where Heun's method on a grid [`FINER`] times as fine ends, from the same
/// starts and in the same functional: at σ_L, or after the same last step to the Tweedie mean.
pub(crate) fn measure(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    samples: &Array,
    device: &Device,
) -> Result<MetricRecord, RunError> {
    let starts = Starts::new(&plan.experiment.start, &plan.dataset);
    let chains = samples.rows().min(CHAINS);
    let what = Draw {
        samples: chains,
        first: 0,
        chunk: plan.experiment.evaluation.chunk,
        starts: &starts,
        streams: plan.streams,
        device,
    };
    let reference = ProbabilityFlow { denoise: denoises(plan), ..ProbabilityFlow::default() };
    let drawn = draw_of(plan, &reference, network, &Finer::new(&*plan.schedule), what, |_| Box::new(NoObserver))?;
    let d = samples.row_length();
    let squares = |i: usize| {
        let pairs = samples.row(i).iter().zip(drawn.samples.row(i));
        pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>() / d as f64
    };
    let mean = Estimate::mean_of(&(0..chains).map(squares).collect::<Vec<_>>());
    let root = mean.value.sqrt();
    // Delta method for the root.
    let error = if root > 0.0 { mean.standard_error / (2.0 * root) } else { 0.0 };
    Ok(MetricRecord {
        name: "solver-error".into(),
        label: "distance to where the flow ends".into(),
        about: format!(
            "Root mean square over the numbers of the first {chains} samples, each against Heun's method with {FINER} times as \
             many steps from the same start. It falls with the number of steps to the power of the solver's order."
        ),
        better: Better::Lower,
        estimate: Estimate::new(root, error),
        floor: None,
        baseline: None,
    })
}

/// Whether the sampler ends in a Tweedie mean.
fn denoises(plan: &Plan) -> bool {
    plan.experiment.sampler.resolved().get("denoise").and_then(toml::Value::as_bool).unwrap_or(false)
}

/// A ladder with rungs between those of another, even in ln(σ/α).
#[derive(Debug)]
struct Finer<'a> {
    coarse: &'a dyn NoiseSchedule,
    levels: Vec<Level>,
}

impl<'a> Finer<'a> {
    fn new(coarse: &'a dyn NoiseSchedule) -> Self {
        let between = |pair: &[Level]| {
            let (from, to) = (pair[0].log_ratio(), pair[1].log_ratio());
            let rung = |i: usize| match i {
                // The rung itself, not what rounding makes of it.
                0 => pair[0],
                i => coarse.at_ratio((from + (to - from) * i as f64 / FINER as f64).exp()),
            };
            (0..FINER).map(rung).collect::<Vec<_>>()
        };
        let mut levels: Vec<Level> = coarse.levels().windows(2).flat_map(between).collect();
        levels.push(coarse.last());
        Self { coarse, levels }
    }
}

impl NoiseSchedule for Finer<'_> {
    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn at_ratio(&self, ratio: f64) -> Level {
        self.coarse.at_ratio(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Three([Level; 3]);

    impl NoiseSchedule for Three {
        fn levels(&self) -> &[Level] {
            &self.0
        }
    }

    #[test]
    fn finer_ladders_keep_the_rungs() {
        let coarse = Three([4.0, 1.0, 0.1].map(Level::exploding));
        let finer = Finer::new(&coarse);
        let levels = finer.levels();
        assert_eq!(levels.len(), 2 * FINER + 1);
        assert_eq!((levels[0], levels[FINER], levels[2 * FINER]), (coarse.0[0], coarse.0[1], coarse.0[2]));
        assert!(levels.windows(2).all(|pair| pair[1].sigma < pair[0].sigma));
        assert!((levels[FINER / 2].sigma - 2.0).abs() < 1e-12);
    }
}
