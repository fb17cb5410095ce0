//! From samples to `evaluation.json`.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use stein_core::{Component, MetricContext, MetricPart, ScoreNetwork};
use stein_experiment::Plan;
use stein_metrics::stats::{Gaussian, RIDGE, Rows, nearest_rows};
use stein_metrics::{ClassifierMetrics, nearest_by_features};
use stein_record::{Array, ClassRecord, EstimatorRecord, Evaluation, LevelRecord, MetricRecord, RecordError, RunDir};

use crate::RunError;
use crate::completions::evaluate_completions;
use crate::progress::Bar;
use crate::run::RunOptions;
use crate::sampling::{Completed, Drawn};

/// Samples whose nearest training rows a report shows.
const SHOWN: usize = 64;

/// Of rows of more numbers than this,
const MANY_NUMBERS: usize = 1024;
/// a Gaussian is fitted to so many at most: each costs D².
const MOST_FITTED: usize = 10_000;

/// The sets that samples are compared with.
pub(crate) struct References {
    train: Array,
    held_out: Array,
    gaussian: Array,
}

impl References {
    /// Dequantised rows, the training rows shuffled, and as many draws of a fitted Gaussian as there are samples.
    pub(crate) fn of(plan: &Plan) -> Result<Self, RunError> {
        let (data, streams) = (&plan.dataset, plan.streams);
        let count = plan.experiment.evaluation.samples;
        let d = data.dimension();
        let mut order: Vec<usize> = (0..data.train.rows()).collect();
        streams.at("reference order", 0).shuffle(&mut order);
        let mut shuffled = Vec::with_capacity(data.train.data.len());
        order.iter().for_each(|&i| shuffled.extend_from_slice(data.train.row(i)));
        let shuffled = Array::new([order.len(), d], shuffled);
        let train = data.shown(data.dequantize(shuffled, &mut streams.at("reference train", 0)));
        let held_out = data.held_out.slice(0..data.held_out.rows().min(count));
        let held_out = data.shown(data.dequantize(held_out, &mut streams.at("reference held-out", 0)));
        let failed = |e: stein_metrics::stats::StatsError| stein_core::Invalid::new(e.to_string());
        let most = if d > MANY_NUMBERS { MOST_FITTED } else { train.rows() };
        let rows = Rows::new(&train.data[..d * most.min(train.rows())], d).map_err(failed)?;
        let fitted = Gaussian::fit(rows, RIDGE).map_err(failed)?;
        let seed = streams.at("gaussian baseline", 0).seed();
        let draws = match data.range {
            Some([low, high]) => fitted.sample_clipped(count, seed, low, high).map_err(failed)?,
            None => fitted.sample(count, seed),
        };
        Ok(Self { train, held_out, gaussian: Array::new([count, d], draws) })
    }
}

/// What was measured of the network.
pub(crate) struct Measured {
    pub(crate) levels: Vec<LevelRecord>,
    pub(crate) estimators: Vec<EstimatorRecord>,
    pub(crate) completed: Option<Completed>,
    /// Log-likelihoods, and what they took.
    pub(crate) likelihood: Vec<MetricRecord>,
}

/// Writes the samples, what they are shown beside, and the evaluation.
pub(crate) fn evaluate(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    drawn: &Drawn,
    measured: Measured,
    device: &Device,
    run: &RunDir,
    options: &RunOptions,
) -> Result<Evaluation, RunError> {
    let (stop, quiet) = (&options.stop, options.quiet);
    let (samples, levels) = (&drawn.samples, measured.levels);
    let references = References::of(plan)?;
    references.held_out.write_npy(&run.sample("held-out.npy"))?;
    drawn.trajectory.write_npy(&run.sample("trajectory.npy"))?;
    let context = MetricContext::new(
        samples,
        &references.held_out,
        &references.train,
        &references.gaussian,
        &plan.dataset,
        network,
        &levels,
        &*plan.schedule,
        device,
        plan.streams,
    );
    let bar: RefCell<Option<Bar>> = RefCell::new(None);
    let watch = |what: &'static str, done: usize, of: usize| {
        let mut bar = bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| Bar::new(what, "steps", 0, of as u64, quiet));
        bar.update(done as u64, "");
        if stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let cache = run.features()?;
    let inception = plan.experiment.evaluation.inception.as_deref().map(Path::new);
    let context = context.with(&cache, &watch).with_inception(inception);
    let mut metrics = Vec::new();
    for (_, metric) in &plan.metrics {
        if let Some(asked) = stop.requested() {
            return Err(asked);
        }
        let found = metric.evaluate(&context);
        if let Some(mut bar) = bar.borrow_mut().take() {
            bar.finish();
        }
        metrics.extend(found.map_err(|e| stop.requested().unwrap_or_else(|| e.into()))?);
    }
    let mut inverse = None;
    if let Some((asked, completed)) = plan.experiment.inverse.as_ref().zip(measured.completed.as_ref()) {
        let (record, more) = evaluate_completions(plan, asked, completed, &references.train, run)?;
        metrics.extend(more);
        inverse = Some(record);
    }
    if plan.experiment.evaluation.solver_error {
        metrics.push(crate::solver_error::measure(plan, network, samples, device)?);
    }
    metrics.extend(measured.likelihood);
    let counted = stein_metrics::count_modes(&plan.dataset, samples)?;
    let (mode_weights, modes) = counted.unzip();

    let nearest_distances = write_nearest(samples, &references.train, plan, run)?;
    let by_classifier =
        plan.metrics.iter().any(|(kind, _)| *kind == <ClassifierMetrics as Component<MetricPart>>::KIND);
    let mut nearest_classifier_distances = Vec::new();
    if by_classifier {
        let found = nearest_by_features(&context, SHOWN);
        let (nearest, distances) = found.map_err(|e| stop.requested().unwrap_or_else(|| e.into()))?;
        nearest.write_npy(&run.sample("nearest-classifier.npy"))?;
        nearest_classifier_distances = distances;
    }
    crate::field::write(plan, network, samples, device, run)?;

    let asked = plan.experiment.guidance;
    let evaluation = Evaluation {
        samples: samples.rows(),
        nfe: drawn.evaluations.round() as u64,
        acceptance: drawn.acceptance,
        sampling_seconds: drawn.seconds,
        step: drawn.step,
        metrics,
        levels,
        mode_weights,
        modes,
        classes: plan.classes.map(|count| ClassRecord { count, class: asked.class, guidance: asked.guidance }),
        inverse,
        estimators: measured.estimators,
        trajectory_sigmas: drawn.sigmas.clone(),
        nearest_distances,
        nearest_classifier_distances,
    };
    run.write_evaluation(&evaluation)?;
    Ok(evaluation)
}

/// Writes the nearest training image of the first samples; gives the distances. Only for images.
fn write_nearest(samples: &Array, train: &Array, plan: &Plan, run: &RunDir) -> Result<Vec<f64>, RecordError> {
    if plan.dataset.image.is_none() {
        return Ok(Vec::new());
    }
    let d = samples.row_length();
    let shown = samples.slice(0..samples.rows().min(SHOWN));
    let (Ok(a), Ok(b)) = (Rows::new(&shown.data, d), Rows::new(&train.data, d)) else { return Ok(Vec::new()) };
    let Ok(nearest) = nearest_rows(a, b) else { return Ok(Vec::new()) };
    let data = nearest.iter().flat_map(|n| train.row(n.index).iter().copied()).collect();
    Array::new([nearest.len(), d], data).write_npy(&run.sample("nearest.npy"))?;
    Ok(nearest.iter().map(|n| n.distance).collect())
}
