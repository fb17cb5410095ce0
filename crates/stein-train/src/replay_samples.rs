//! Samples that diverged: kept, and drawn again under a look.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, Jet, Observer, SampleError, ScoreNetwork, StepInfo, to_host};
use stein_experiment::Plan;
use stein_record::file::{ARRAYS, read};
use stein_record::{DivergedRecord, Divergent, Drawing, RecordError, RunDir, SamplesRecord, diverged, hash};
use stein_samplers::{Draw, Starts};

use crate::run::RunOptions;
use crate::sampling::{completions, draw_of};
use crate::{RunError, load_network};

/// Chains, step by step.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplesReplay {
    /// What was seen then.
    pub record: SamplesRecord,
    /// What the run said then.
    pub reason: String,
    /// The steps up to the first number that is not finite, or to the end.
    pub steps: Vec<SampleStep>,
    /// How it ended now; `None` if the chains ended as samples.
    pub ended: Option<String>,
}

impl SamplesReplay {
    /// Whether they diverged again.
    pub fn reproduced(&self) -> bool {
        self.ended.is_some()
    }
}

/// Chains after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleStep {
    /// The step, from 1.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// σ at which it was taken.
    pub sigma: f64,
    /// ‖x‖ of the chains.
    pub x: Norms,
    /// ‖s‖ where the score was evaluated for this step.
    pub score: Norms,
}

/// The lengths of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Norms {
    /// The largest of those that are finite.
    pub largest: f64,
    /// The row that is so long.
    pub longest: usize,
    /// Rows with a number that is not finite.
    pub not_finite: usize,
    /// The first of these.
    pub first: Option<usize>,
}

impl Norms {
    fn of(x: &Tensor<2>) -> Self {
        let d = x.dims()[1].max(1);
        let mut norms = Self::default();
        for (i, row) in to_host(x.clone()).chunks(d).enumerate() {
            let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            if norm.is_finite() {
                norms = norms.and(Self { largest: norm, longest: i, ..Self::default() });
            } else {
                norms.not_finite += 1;
                norms.first.get_or_insert(i);
            }
        }
        norms
    }

    fn and(self, other: Self) -> Self {
        let longer = if other.largest > self.largest { other } else { self };
        Self {
            largest: longer.largest,
            longest: longer.longest,
            not_finite: self.not_finite.max(other.not_finite),
            first: self.first.or(other.first),
        }
    }
}

/// Keeps what chains that diverged need to be drawn again: what was drawn, the first of them, the network's training steps.
/// Any other error keeps nothing.
pub(crate) fn keep(
    error: &RunError,
    plan: &Plan,
    directory: &RunDir,
    (drawing, first, step): (Drawing, usize, u64),
    options: &RunOptions,
) {
    let RunError::Sampling(error) = error else { return };
    let (at, sigma) = match error {
        SampleError::Diverged(divergence) => (Some(divergence.step), Some(divergence.sigma)),
        SampleError::NotFinite { .. } => (None, None),
        _ => return,
    };
    let written = || -> Result<_, RecordError> {
        let all = samples(plan, drawing);
        let record = SamplesRecord {
            drawing,
            first,
            chains: plan.experiment.evaluation.chunk.min(all - first),
            step: at,
            sigma,
            weights: weights(directory)?,
        };
        let record = DivergedRecord {
            schema: diverged::SCHEMA,
            configuration: plan.experiment.cell().hash,
            seed: plan.experiment.seed,
            reason: error.to_string(),
            at: Divergent::Samples(record),
        };
        diverged::write(directory, step, &record, BTreeMap::new())
    };
    let shown = directory.path().display();
    match written() {
        Ok(_) => options.say(&format!("note    stein replay {shown} draws these chains again")),
        Err(error) => options.say(&format!("note    what these chains were could not be kept: {error}")),
    }
}

/// How many samples are drawn in all.
fn samples(plan: &Plan, drawing: Drawing) -> usize {
    match (drawing, &plan.experiment.inverse) {
        (Drawing::Samples, _) => plan.experiment.evaluation.samples,
        (Drawing::Completions, Some(inverse)) => inverse.conditioning.observed * inverse.conditioning.repeats,
        (Drawing::Completions, None) => 0,
    }
}

/// SHA-256 of a run's weights.
fn weights(directory: &RunDir) -> Result<String, RecordError> {
    let path = directory.network();
    let bytes = read(&path, ARRAYS)?.ok_or_else(|| RecordError::damaged(&path, "there are no trained weights"))?;
    Ok(hash::sha256(&bytes))
}

/// Draws the chains of a record again, each step looked at.
///
/// # Errors
/// If the record does not fit the run, or its weights are others.
pub(crate) fn replay(
    plan: &Plan,
    run: &RunDir,
    (reason, record): (String, SamplesRecord),
    device: &Device,
) -> Result<SamplesReplay, RunError> {
    let all = samples(plan, record.drawing);
    let &SamplesRecord { drawing, first, chains, .. } = &record;
    if chains == 0 || chains > plan.experiment.evaluation.chunk || first.checked_add(chains).is_none_or(|end| end > all)
    {
        let problem = format!("it is about {chains} chains from {first} on; the run draws {all}, in chunks");
        return Err(RecordError::damaged(run.diverged(), problem).into());
    }
    if weights(run)? != record.weights {
        return Err(
            RecordError::damaged(run.network(), "these are not the weights that the chains were drawn with").into()
        );
    }
    let network = load_network(plan, run, device)?;
    let (score, steps) = (Arc::new(Mutex::new(Norms::default())), Rc::new(RefCell::new(Vec::new())));
    let watched = Watched { network: &network, seen: score.clone() };
    let look = || Look { score: score.clone(), steps: steps.clone() };
    let ended = match drawing {
        Drawing::Samples => {
            let starts = Starts::new(&plan.experiment.start, &plan.dataset);
            let (streams, first) = (plan.streams, first as u64);
            let what = Draw { samples: chains, first, chunk: chains, starts: &starts, streams, device };
            draw_of(plan, &*plan.sampler, &watched, &*plan.schedule, what, |_| Box::new(look())).err()
        }
        Drawing::Completions => completions(plan, &watched, device, |chunk| {
            if chunk == first { Box::new(look()) } else { Box::new(stein_core::NoObserver) }
        })
        .err(),
    };
    let ended = ended.map(|error| match error {
        SampleError::Stopped { step } => format!("not finite after step {step}"),
        other => other.to_string(),
    });
    let steps = steps.take();
    Ok(SamplesReplay { record, reason, steps, ended })
}

/// A network that notes how long its scores are.
struct Watched<'a> {
    network: &'a dyn ScoreNetwork,
    seen: Arc<Mutex<Norms>>,
}

impl Watched<'_> {
    fn note(&self, score: &Tensor<2>) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *seen = seen.and(Norms::of(score));
    }
}

impl ScoreNetwork for Watched<'_> {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let jet = self.network.jet(x, condition);
        self.note(&jet.value());
        jet
    }

    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        let score = self.network.score(x, condition);
        self.note(&score);
        score
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        self.network.log_density(x, condition)
    }
}

/// Notes each step; stops at the first number that is not finite.
struct Look {
    score: Arc<Mutex<Norms>>,
    steps: Rc<RefCell<Vec<SampleStep>>>,
}

impl Observer for Look {
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()> {
        let score = std::mem::take(&mut *self.score.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let StepInfo { step, steps, level, .. } = info;
        let seen = SampleStep { step, steps, sigma: level.sigma, x: Norms::of(x), score };
        self.steps.borrow_mut().push(seen);
        if seen.x.not_finite + seen.score.not_finite > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
