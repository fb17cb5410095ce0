//! How far a solver of the probability flow ends from where the flow itself ends.

use burn::tensor::Device;
use stein_core::{NoObserver, ScoreNetwork};
use stein_experiment::Plan;
use stein_record::{Array, Better, Estimate, MetricRecord};
use stein_samplers::{Draw, Method, ProbabilityFlow, Starts};

use crate::RunError;
use crate::sampling::draw_of;

/// How exactly the reference is solved: about as scores in single precision allow.
const TOLERANCE: f64 = 1e-6;
/// Chains that are followed.
const CHAINS: usize = 256;

/// The root mean square of a number's distance from where the adaptive method ends at a tolerance of [`TOLERANCE`], from the same
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
    let (tolerance, denoise) = (Some(TOLERANCE), denoises(plan));
    let reference = ProbabilityFlow { method: Method::DormandPrince, rtol: tolerance, atol: tolerance, denoise };
    let drawn = draw_of(plan, &reference, network, &*plan.schedule, what, |_| Box::new(NoObserver))?;
    let (d, reference) = (samples.row_length(), plan.dataset.shown(drawn.samples));
    let squares = |i: usize| {
        let pairs = samples.row(i).iter().zip(reference.row(i));
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
            "Root mean square over the numbers of the first {chains} samples, each against the flow solved adaptively to \
             {TOLERANCE:e} from the same start. It falls as the number of steps to minus the solver's order, down to that."
        ),
        better: Better::Lower,
        estimate: Estimate::new(root, error),
        floor: None,
        baseline: None,
        by_level: Vec::new(),
        parts: Vec::new(),
    })
}

/// Whether the sampler ends in a Tweedie mean.
fn denoises(plan: &Plan) -> bool {
    plan.experiment.sampler.resolved().get("denoise").and_then(toml::Value::as_bool).unwrap_or(false)
}
