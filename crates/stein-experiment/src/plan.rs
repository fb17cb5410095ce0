//! A plan: components built, tables in agreement.

use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use stein_core::{
    Component, Condition, Dataset, Invalid, Metric, Network, NetworkContext, NoiseSchedule, Objective, Registry,
    Sampler, SamplerContext, ScoreNetwork, Streams, Target, matrix,
};
use stein_networks::{ExactConfig, NcsnppConfig, Parameterized};
use stein_objectives::Weighting;
use stein_record::Array;
use stein_record::source::{Diagnostic, Span};
use stein_samplers::{MOST_EXACT, Trace};

use crate::section::Places;
use crate::{Experiment, Inverse, LEAST_ROWS, Terminal, Weights};

/// An objective with the name that reports give it.
pub type NamedObjective = (String, Arc<dyn Objective>);
/// A metric with its kind.
pub type NamedMetric = (&'static str, Box<dyn Metric>);

/// An experiment that is ready to run.
#[derive(Debug)]
pub struct Plan {
    /// What was asked for.
    pub experiment: Experiment,
    /// The data: shared, for they may be large.
    pub dataset: Arc<Dataset>,
    /// The noise levels.
    pub schedule: Arc<dyn NoiseSchedule>,
    /// The objective.
    pub objective: Arc<dyn Objective>,
    /// K, if the network is told the class of an example.
    pub classes: Option<usize>,
    /// The sampler.
    pub sampler: Box<dyn Sampler>,
    /// A of `[inverse]`, `[m, D]`, if there is one.
    pub inverse: Option<Array>,
    /// The metrics that say something about these data, by kind.
    pub metrics: Vec<NamedMetric>,
    /// The objectives that are measured at the trained network, by name.
    pub estimators: Vec<NamedObjective>,
    /// The run's noise.
    pub streams: Streams,
}

impl Plan {
    /// Looks at the files that only evaluations need. Who draws from a run, or looks at it, does without them.
    ///
    /// # Errors
    /// If one is not there, or is another.
    pub fn for_evaluation(&self) -> Result<(), Vec<Diagnostic>> {
        let Some(path) = &self.experiment.evaluation.inception else { return Ok(()) };
        // What one of them refuses, all do.
        let Some((_, reader)) = self.metrics.iter().find(|(_, metric)| metric.needs_inception()) else { return Ok(()) };
        let at = |e: Invalid| self.experiment.places.evaluation.diagnostic(&Invalid::key("inception", e.message));
        reader.accepts_inception(Path::new(path)).map_err(|e| vec![at(e)])
    }

    /// Builds what can be built without a device and checks what the tables have to do with each other.
    ///
    /// # Errors
    /// Each disagreement, at the tables that disagree.
    pub fn build(experiment: Experiment, registry: &Registry) -> Result<Self, Vec<Diagnostic>> {
        let places = &experiment.places;
        let streams = Streams::new(experiment.seed);
        let at = |places: &crate::section::Places, invalid: Invalid| vec![places.diagnostic(&invalid)];

        let dataset = experiment.data.build(streams).map_err(|e| at(&places.data, e))?;
        let schedule = experiment.schedule.build(&dataset).map_err(|e| at(&places.schedule, e))?;
        let schedule = experiment.density.over(schedule).map_err(|e| at(&places.schedule, e))?;
        let objective = experiment.objective.build(()).map_err(|e| at(&places.objective, e))?;

        let mut problems = Vec::new();
        let batch = experiment.training.batch_size;
        if experiment.training.steps > 0 && batch > dataset.train.rows() {
            let rows = dataset.train.rows();
            problems.push(
                Diagnostic::new(format!("`batch-size` is {batch}, but the data have only {rows} training rows"))
                    .at(places.training.of(Some("batch-size")), "")
                    .related(places.data.of(None), format!("{rows} training rows"))
                    .help(format!("set training.batch-size to at most {rows}")),
            );
        }
        if dataset.train.data.iter().chain(&dataset.held_out.data).any(|x| !x.is_finite()) {
            problems.push(
                Diagnostic::new("[data]: rows have numbers that are not finite in single precision")
                    .at(places.data.of(None), "")
                    .help("numbers up to about 1e38 can be computed with, and their squares should stay below that"),
            );
        }
        if let Err(e) = objective.accepts(dataset.dimension()) {
            problems.push(places.objective.diagnostic(&e).related(places.data.of(None), "with these data"));
        }
        problems.extend(noise_problems(&experiment, &*schedule, &*objective, &dataset));
        problems.extend(likelihood_problem(&experiment, &*schedule, &dataset));
        problems.extend(logit_problems(&experiment, &dataset));
        if dataset.train.rows() < 2 {
            problems.push(
                Diagnostic::new("there is only one training row; at least 2 are needed").at(places.data.of(None), ""),
            );
        }
        // Losses divide by σ², in single precision.
        let usable = |sigma: f64| ((sigma * sigma) as f32).is_normal() && ((sigma * sigma).recip() as f32).is_normal();
        if let Some(level) = schedule.levels().iter().find(|l| l.sigma > 0.0 && !usable(l.sigma)) {
            let sigma = level.sigma;
            problems.push(
                Diagnostic::new(format!(
                    "[schedule]: a level has σ = {sigma:e}, whose square is no number in single precision"
                ))
                .at(places.schedule.of(None), "")
                .help("σ from about 1e-18 to 1e18 can be computed with"),
            );
        }
        if dataset.held_out.rows() < LEAST_ROWS {
            let rows = dataset.held_out.rows();
            problems.push(
                Diagnostic::new(format!("there are {rows} held-out rows; metrics need at least {LEAST_ROWS}"))
                    .at(places.data.of(None), ""),
            );
        }
        if let Err(e) = experiment.start.accepts(dataset.dimension()) {
            problems.push(places.sampler.diagnostic(&e).related(places.data.of(None), "these data"));
        }
        let context = SamplerContext { schedule: &*schedule, dimension: dataset.dimension() };
        let sampler = experiment
            .sampler
            .build(context)
            .map_err(|e| {
                let diagnostic = places.sampler.diagnostic(&e);
                problems.push(diagnostic.related(places.schedule.of(None), "with this schedule"));
            })
            .ok();
        let inverse = inverse(&experiment, &dataset, &*schedule, sampler.as_deref()).map_err(|e| problems.push(e)).ok();
        if experiment.evaluation.solver_error && sampler.as_ref().is_some_and(|s| !s.solves_flow()) {
            let kind = experiment.sampler.kind();
            problems.push(
                Diagnostic::new(format!(
                    "`solver-error` is about solvers of the probability flow; `{kind}` as it is set draws noise"
                ))
                .at(places.evaluation.of(Some("solver-error")), "")
                .related(places.sampler.of(Some("kind")), "this sampler")
                .help("`ddim`, `edm` without churn, `dpm-solver-pp-2m` and `probability-flow` solve it"),
            );
        }
        let estimators = estimators(&experiment, &objective, &*schedule, &dataset).map_err(|e| problems.extend(e)).ok();
        let metrics = metrics(&experiment, &dataset, &*schedule, registry).map_err(|e| problems.push(e)).ok();
        // The network is built once here, on the CPU, to see whether it can be; the run builds its own.
        let mut classes = None;
        match network(&experiment, &dataset, &*schedule, streams, &Device::flex()) {
            Ok(network) => {
                classes = network.classes();
                problems.extend(class_problem(&experiment, classes, &*objective, sampler.as_deref()));
                problems.extend(too_many_gradients(&experiment, network.num_params()));
                problems.extend(nothing_to_train(&experiment, network.num_params()));
                problems.extend(decays_what_is_fixed(&experiment));
                if Network::energy(&network).is_some() {
                    problems.extend(not_of_energies(&experiment, &*objective, estimators.as_deref()));
                }
                let needed = sampler.as_ref().is_some_and(|sampler| sampler.needs_log_density());
                // A density is asked for only where nothing else is wrong with the network or its levels.
                if (needed || experiment.evaluation.log_z.is_some())
                    && problems.is_empty()
                    && !has_log_density(&network, &*schedule, dataset.dimension())
                {
                    problems.extend(needed.then(|| no_log_density_to_sample(&experiment)));
                    problems.extend(
                        experiment.evaluation.log_z.is_some().then(|| no_log_density_to_normalise(&experiment)),
                    );
                }
            }
            Err(e) => problems.push(places.network.diagnostic(&e).related(places.data.of(None), "with these data")),
        }
        match (sampler, metrics, estimators, inverse) {
            (Some(sampler), Some(metrics), Some(estimators), Some(inverse)) if problems.is_empty() => Ok(Self {
                experiment,
                dataset: Arc::new(dataset),
                schedule,
                objective,
                classes,
                sampler,
                inverse,
                metrics,
                estimators,
                streams,
            }),
            _ => Err(problems),
        }
    }

    /// By how much training multiplies the loss of an example at a level.
    pub fn weights(&self) -> Weights {
        Weights::new(&self.experiment, self.schedule.clone())
    }

    /// Builds the score network on a device, its initial weights from the run's noise.
    ///
    /// # Errors
    /// None that [`Plan::build`] has not met before.
    pub fn network(&self, device: &Device) -> Result<Parameterized, Invalid> {
        network(&self.experiment, &self.dataset, &*self.schedule, self.streams, device)
    }

    /// Trainable numbers of the network.
    pub fn parameters(&self) -> usize {
        self.network(&Device::flex()).map_or(0, |network| network.num_params())
    }
}

/// Numbers that all gradients of a level may have together: they are held at once, for their scatter about their mean.
const MOST_GRADIENTS: usize = 1 << 28;

fn too_many_gradients(experiment: &Experiment, parameters: usize) -> Option<Diagnostic> {
    let (batches, objectives) = (experiment.evaluation.estimator_batches, experiment.estimators.len().max(1));
    let most = MOST_GRADIENTS / parameters.saturating_mul(objectives).max(1);
    (batches > most).then(|| {
        Diagnostic::new(format!(
            "`estimator-batches` is {batches}: so many gradients of {parameters} parameters, for {objectives} objectives, are more than fit"
        ))
        .at(experiment.places.evaluation.of(Some("estimator-batches")), "")
        .help(format!("at most {most} fit"))
    })
}

/// What does not go together with a network of `classes` classes, or of none.
fn class_problem(
    experiment: &Experiment,
    classes: Option<usize>,
    objective: &dyn Objective,
    sampler: Option<&dyn Sampler>,
) -> Option<Diagnostic> {
    let (places, guidance) = (&experiment.places, experiment.guidance);
    if let Err(e) = guidance.accepts(classes) {
        return Some(places.sampler.diagnostic(&e).related(places.network.of(None), "this network"));
    }
    classes?;
    if objective.needs_exact_score() {
        let message =
            "the objective is about the score of the whole law, and a network of classes is to learn each class's own";
        let diagnostic = Diagnostic::new(message).at(places.objective.of(Some("kind")), "");
        return Some(diagnostic.related(places.network.of(None), "this network").help("`denoising` learns them"));
    }
    if guidance.is_mixed() && experiment.evaluation.solver_error {
        let message = "`solver-error` follows chains at their own pace: all must be of one class";
        let diagnostic = Diagnostic::new(message).at(places.evaluation.of(Some("solver-error")), "");
        return Some(diagnostic.related(places.network.of(None), "a network of classes").help("set sampler.class"));
    }
    (guidance.is_mixed() && sampler.is_some_and(|sampler| !sampler.conditions())).then(|| {
        let kind = experiment.sampler.kind();
        Diagnostic::new(format!("`{kind}` as it is set moves each chain at its own pace: all must be of one class"))
            .at(places.sampler.of(Some("kind")), "")
            .related(places.network.of(None), "a network of classes")
            .help("set sampler.class, or sampler.guidance = -1 for samples of no class")
    })
}

fn nothing_to_train(experiment: &Experiment, parameters: usize) -> Option<Diagnostic> {
    let (steps, kind) = (experiment.training.steps, experiment.network.kind());
    (parameters == 0 && steps > 0).then(|| {
        Diagnostic::new(format!("`steps` is {steps}, but the network `{kind}` has nothing to train"))
            .at(experiment.places.training.of(Some("steps")), "")
            .related(experiment.places.network.of(Some("kind")), "this network")
            .help("set training.steps = 0")
    })
}

/// Frequencies that are drawn once lie among the weights, and AdamW shrinks all of these.
fn decays_what_is_fixed(experiment: &Experiment) -> Option<Diagnostic> {
    let network = &experiment.network;
    let is_fixed = network.kind() == NcsnppConfig::KIND
        && network.resolved().get("embedding").and_then(toml::Value::as_str) == Some("fourier");
    let trains = experiment.training.steps > 0 && experiment.training.optimizer.decay() > 0.0;
    (is_fixed && trains).then(|| {
        Diagnostic::new("weight decay would shrink the frequencies of `fourier`, which are not trained")
            .at(experiment.places.training.of(Some("optimizer")), "")
            .related(experiment.places.network.of(Some("kind")), "this network")
            .help("take `optimizer = { kind = \"adam\" }`, as the authors do")
    })
}

/// Objectives that cannot be taken on an energy: that of training, and those to be measured.
fn not_of_energies(
    experiment: &Experiment,
    objective: &dyn Objective,
    estimators: Option<&[(String, Arc<dyn Objective>)]>,
) -> Vec<Diagnostic> {
    let places = &experiment.places;
    let trained = (!objective.takes_energies()).then(|| (experiment.objective.kind(), &places.objective));
    let measured = experiment.estimators.iter().zip(estimators.unwrap_or_default());
    let measured = measured.filter(|(_, (_, objective))| !objective.takes_energies());
    let measured = measured.map(|(estimator, _)| (estimator.objective.kind(), &estimator.places));
    let refused = |(kind, at): (&str, &Places)| {
        Diagnostic::new(format!("`{kind}` cannot be taken on an energy, whose score is a constant to the parameters"))
            .at(at.of(Some("kind")), "")
            .related(places.network.of(Some("kind")), "this network")
            .help("the objectives that come with stein can; one of your own says so by `takes_energies`")
    };
    trained.into_iter().chain(measured).map(refused).collect()
}

fn has_log_density(network: &Parameterized, schedule: &dyn NoiseSchedule, dimension: usize) -> bool {
    let device = Device::flex();
    let condition = Condition::uniform(schedule.last(), 1, &device);
    ScoreNetwork::log_density(network, Tensor::zeros([1, dimension], &device), &condition).is_some()
}

fn no_log_density_to_sample(experiment: &Experiment) -> Diagnostic {
    let (sampler, kind) = (experiment.sampler.kind(), experiment.network.kind());
    Diagnostic::new(format!(
        "`{sampler}` needs the log density, which a network of kind `{kind}` does not have"
    ))
    .at(experiment.places.sampler.of(Some("kind")), "")
    .related(experiment.places.network.of(Some("kind")), "this network")
    .help("`exact` and `energy-mlp` have one, and any network with conservative = true; `langevin` needs the score alone")
}

fn no_log_density_to_normalise(experiment: &Experiment) -> Diagnostic {
    let kind = experiment.network.kind();
    Diagnostic::new(format!("`log-z` normalises a density, and a network of kind `{kind}` has a score alone"))
        .at(experiment.places.evaluation.of(Some("log-z")), "")
        .related(experiment.places.network.of(Some("kind")), "this network")
        .help("`energy-mlp`, `exact` and any network with `conservative = true` have a density")
}

/// What the tables say of noise that does not go together.
fn noise_problems(
    experiment: &Experiment,
    schedule: &dyn NoiseSchedule,
    objective: &dyn Objective,
    dataset: &Dataset,
) -> Vec<Diagnostic> {
    let places = &experiment.places;
    let mut problems = Vec::new();
    let mut problem = |message: &str, place: Option<Span>, help: &str| {
        let diagnostic = Diagnostic::new(message).at(place, "").related(places.schedule.of(None), "this schedule");
        problems.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    };
    let levels = schedule.levels();
    if let [level] = levels
        && level.is_clean()
    {
        // An objective that nothing is trained by says nothing.
        if objective.needs_noise() && experiment.training.steps > 0 {
            let place = places.objective.of(Some("kind"));
            problem(
                "the objective needs noise, but there is none",
                place,
                "`implicit`, `sliced` and `explicit` need none",
            );
        }
        if experiment.parameterization.needs_sigma() {
            let place = places.network.of(Some("parameterization"));
            let help = "set network.parameterization = \"score\"";
            problem("the parameterization divides by σ, but there is no noise", place, help);
        }
        if objective.needs_exact_score() && dataset.target_at(levels).is_none() && experiment.training.steps > 0 {
            let message = "without noise the objective needs data whose score is known";
            problem(message, places.objective.of(Some("kind")), "`gaussian-mixture` knows its score");
        }
    } else if let Some(level) = levels.iter().find(|l| l.sigma.is_nan() || l.sigma <= 0.0) {
        let sigma = level.sigma;
        problem(
            &format!("a level has σ = {sigma}"),
            places.schedule.of(None),
            "levels must be above 0; for no noise take kind = \"none\"",
        );
    }
    if experiment.importance_correction && experiment.weighting == Weighting::Likelihood {
        let message =
            "`importance-correction` would divide by the density of σ twice: the weighting `likelihood` does already";
        problem(message, places.objective.of(Some("importance-correction")), "leave it out");
    }
    if levels.len() < 2 {
        if experiment.weighting == Weighting::Likelihood {
            let message = "the weighting `likelihood` is about a range of σ";
            problem(message, places.objective.of(Some("weighting")), "it needs a schedule of at least two levels");
        }
        if experiment.importance_correction {
            let message = "`importance-correction` is about a range of σ";
            problem(
                message,
                places.objective.of(Some("importance-correction")),
                "it needs a schedule of at least two levels",
            );
        }
    }
    problems
}

/// What a log-likelihood needs and is not there.
fn likelihood_problem(experiment: &Experiment, schedule: &dyn NoiseSchedule, dataset: &Dataset) -> Option<Diagnostic> {
    let asked = experiment.evaluation.likelihood.as_ref()?;
    let (places, d) = (&experiment.places, dataset.dimension());
    let problem = |key: &str, message: String, other: &crate::section::Places, which: &str, help: &str| {
        let diagnostic = Diagnostic::new(message).at(places.evaluation.of(Some(key)), "");
        Some(diagnostic.related(other.of(None), which).help(help))
    };
    if schedule.levels().len() < 2 || schedule.first().is_clean() {
        let message = "`likelihood` follows the probability flow from the smallest noise level up to the largest";
        return problem(
            "likelihood",
            message.into(),
            &places.schedule,
            "this schedule",
            "it needs a schedule of at least two levels",
        );
    }
    if asked.divergence == Trace::Exact && d > MOST_EXACT {
        let message =
            format!("an exact divergence of {d} numbers takes as many directions; at most {MOST_EXACT} are sensible");
        let help = "set evaluation.likelihood.divergence = \"hutchinson\"";
        return problem("likelihood.divergence", message, &places.data, "these data", help);
    }
    let known = dataset.target.as_ref().is_some_and(|target| target.knows(schedule.first()));
    if asked.terminal == Terminal::Target && !known {
        let message = "the data's density is not known, so neither is it at the largest noise level";
        let help = "set evaluation.likelihood.terminal = \"gaussian\", what samplers start from";
        return problem("likelihood.terminal", message.into(), &places.data, "these data", help);
    }
    if experiment.network.kind() == "exact"
        && dataset.target_at(schedule.levels()).is_some_and(|target| !knows_derivatives(&**target, schedule))
    {
        let message = "`likelihood` needs the derivatives of the score, and the data's own score knows none";
        let help = "take another network, or leave the likelihood out";
        return problem("likelihood", message.into(), &places.data, "these data", help);
    }
    None
}

/// What is about the values themselves, where networks see their logits.
fn logit_problems(experiment: &Experiment, dataset: &Dataset) -> Vec<Diagnostic> {
    let places = &experiment.places;
    let inverse = experiment
        .inverse
        .is_some()
        .then(|| (places.inverse.of(None), "what `[inverse]` measures is linear in the values"));
    let asked = experiment.evaluation.likelihood.is_some();
    let likelihood = asked.then(|| (places.evaluation.of(Some("likelihood")), "`likelihood` is of what networks see"));
    let problem = |(place, message): (Option<Span>, &str)| {
        let message = format!("{message}, and with `logit` the network sees logits");
        Diagnostic::new(message)
            .at(place, "")
            .related(places.data.of(Some("logit")), "these data")
            .help("set data.logit = false")
    };
    inverse.into_iter().chain(likelihood).filter(|_| dataset.logit).map(problem).collect()
}

fn knows_derivatives(target: &dyn Target, schedule: &dyn NoiseSchedule) -> bool {
    let device = Device::flex();
    let row = || matrix(vec![0.0; target.dimension()], target.dimension(), &device);
    target.score_derivatives(row(), vec![row()], &Condition::uniform(schedule.last(), 1, &device)).is_some()
}

/// The objectives to measure at the trained network: those of the list, else the trained one itself.
fn estimators(
    experiment: &Experiment,
    own: &Arc<dyn Objective>,
    schedule: &dyn NoiseSchedule,
    dataset: &Dataset,
) -> Result<Vec<NamedObjective>, Vec<Diagnostic>> {
    if experiment.evaluation.estimator_batches == 0 {
        return Ok(Vec::new());
    }
    if experiment.estimators.is_empty() {
        return Ok(vec![(experiment.objective.kind().to_owned(), own.clone())]);
    }
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    for estimator in &experiment.estimators {
        let built = estimator.objective.build(()).and_then(|objective| {
            objective.accepts(dataset.dimension())?;
            if objective.needs_noise() && schedule.first().is_clean() {
                return Err(Invalid::key("kind", "the objective needs noise, but there is none"));
            }
            let exact = dataset.target_at(schedule.levels());
            if objective.needs_exact_score() && exact.is_none() && schedule.first().is_clean() {
                return Err(Invalid::key("kind", "without noise the objective needs data whose score is known"));
            }
            Ok(objective)
        });
        match built {
            Ok(objective) => out.push((estimator.name.clone(), objective)),
            Err(e) => problems.push(estimator.places.diagnostic(&e)),
        }
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

fn network(
    experiment: &Experiment,
    dataset: &Dataset,
    schedule: &dyn NoiseSchedule,
    streams: Streams,
    device: &Device,
) -> Result<Parameterized, Invalid> {
    let mut noise = streams.at("network", 0);
    let &Experiment { parameterization, sigma_data, conservative, .. } = experiment;
    let context = NetworkContext { dataset, schedule, device, noise: &mut noise, conservative };
    let raw = experiment.network.build(context)?;
    Parameterized::new(raw, parameterization).with_sigma_data(sigma_data).conservative(conservative)
}

/// A of `[inverse]`, if it goes with the other tables.
fn inverse(
    experiment: &Experiment,
    dataset: &Dataset,
    schedule: &dyn NoiseSchedule,
    sampler: Option<&dyn Sampler>,
) -> Result<Option<Array>, Diagnostic> {
    let (places, Some(inverse)) = (&experiment.places, &experiment.inverse) else { return Ok(None) };
    if let Some(sampler) = sampler {
        Inverse::accepts(sampler, experiment.sampler.kind())
            .map_err(|e| places.inverse.diagnostic(&e).related(places.sampler.of(Some("kind")), "this sampler"))?;
    }
    let a = inverse.build(dataset, schedule);
    a.map(Some).map_err(|e| places.inverse.diagnostic(&e).related(places.data.of(None), "with these data"))
}

fn metrics(
    experiment: &Experiment,
    dataset: &Dataset,
    schedule: &dyn NoiseSchedule,
    registry: &Registry,
) -> Result<Vec<NamedMetric>, Diagnostic> {
    let places = &experiment.places.evaluation;
    let named = experiment.evaluation.metrics.as_deref();
    if experiment.evaluation.inception.is_some() && dataset.image.is_none() {
        return Err(Diagnostic::new("`inception` is about images, and these data are none")
            .at(places.of(Some("inception")), "")
            .related(experiment.places.data.of(None), "these data"));
    }
    let mut out = Vec::new();
    for entry in registry.metrics.entries() {
        if named.is_some_and(|names| !names.iter().any(|n| n == entry.kind)) {
            continue;
        }
        let empty = toml::Spanned::new(0..0, toml::de::DeTable::new());
        let config = entry
            .parse(empty)
            .map_err(|e| Diagnostic::new(format!("the metric `{}` has no defaults: {}", entry.kind, e.message())))?;
        let metric = config.build(()).map_err(|e| places.diagnostic(&e))?;
        let learned = experiment.network.kind() != ExactConfig::KIND;
        if named.is_none() && !metric.by_default(dataset) {
            continue;
        }
        if metric.applies(dataset, schedule) && (learned || !metric.is_of_learning()) {
            if metric.needs_inception() && !has_inception(experiment, entry.kind)? {
                continue;
            }
            enough_samples(experiment, entry.kind, &*metric)?;
            out.push((entry.kind, metric));
        } else if let Some(i) = named.and_then(|names| names.iter().position(|n| n == entry.kind)) {
            let at = places.of(Some(&format!("metrics.{i}")));
            if !learned && metric.is_of_learning() {
                let what = format!("the metric `{}` is about what was learned, and an exact score was not", entry.kind);
                let network = experiment.places.network.of(Some("kind"));
                return Err(Diagnostic::new(what).at(at, "").related(network, "this network"));
            }
            let what = format!("the metric `{}` says nothing about these data", entry.kind);
            return Err(Diagnostic::new(what)
                .at(at, "")
                .related(experiment.places.data.of(None), "these data")
                .related(experiment.places.schedule.of(None), "at these levels"));
        }
    }
    Ok(out)
}

fn enough_samples(experiment: &Experiment, kind: &str, metric: &dyn Metric) -> Result<(), Diagnostic> {
    let (places, evaluation) = (&experiment.places.evaluation, &experiment.evaluation);
    let least = metric.least_samples();
    if evaluation.samples >= least {
        return Ok(());
    }
    let what = format!("the metric `{kind}` needs {least} samples, and `samples` is {}", evaluation.samples);
    let named = evaluation.metrics.iter().flatten().position(|name| name == kind);
    let diagnostic = Diagnostic::new(what).at(places.of(Some("samples")), "");
    Err(match named {
        Some(i) => diagnostic.related(places.of(Some(&format!("metrics.{i}"))), "this metric"),
        None => diagnostic,
    })
}

/// Whether weights are named for a metric that needs Inception's.
fn has_inception(experiment: &Experiment, kind: &str) -> Result<bool, Diagnostic> {
    let (places, evaluation) = (&experiment.places.evaluation, &experiment.evaluation);
    if evaluation.inception.is_some() {
        return Ok(true);
    }
    let Some(i) = evaluation.metrics.iter().flatten().position(|name| name == kind) else { return Ok(false) };
    let what = format!("the metric `{kind}` needs the network's weights, and `inception` names none");
    Err(Diagnostic::new(what)
        .at(places.of(Some(&format!("metrics.{i}"))), "")
        .help("set evaluation.inception to where pytorch-fid's pt_inception-2015-12-05-6726825d.pth is, of its release `fid_weights`"))
}
