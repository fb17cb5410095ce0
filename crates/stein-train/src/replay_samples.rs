//! Samples that diverged: kept, and drawn again under a look.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, Jet, NoObserver, Observer, SampleError, ScoreNetwork, StepInfo, to_host};
use stein_experiment::Plan;
use stein_record::file::{ARRAYS, open_at_most};
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
    /// The steps up to the first after which a chain is not finite, or to the end.
    pub steps: Vec<SampleStep>,
    /// How it ended now; `None` if the chains ended as samples.
    pub ended: Option<String>,
    /// Whether it is what was seen then, after the same step.
    again: bool,
}

impl SamplesReplay {
    /// Whether they diverged again.
    pub fn reproduced(&self) -> bool {
        self.again
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
    /// ‖s‖ where the score was evaluated for this step, be it for a proposal that was rejected.
    pub score: Norms,
}

/// The lengths of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Norms {
    /// The largest of those that are finite.
    pub largest: f64,
    /// The row that is so long, where rows are the chains.
    pub longest: Option<usize>,
    /// Rows with a number that is not finite.
    pub not_finite: usize,
    /// The first of these, where rows are the chains.
    pub first: Option<usize>,
}

impl Norms {
    fn of(x: &Tensor<2>) -> Self {
        let d = x.dims()[1].max(1);
        let mut norms = Self::default();
        for (i, row) in to_host(x.clone()).chunks(d).enumerate() {
            let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            if norm.is_finite() {
                norms = norms.and(Self { largest: norm, longest: Some(i), ..Self::default() });
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
            first: if self.not_finite > 0 { self.first } else { other.first },
        }
    }
}

/// Keeps what chains that diverged need to be drawn again: what was drawn, the first of them, the network's training steps.
/// Any other error keeps nothing. Gives whether they are kept.
pub(crate) fn keep(
    error: &RunError,
    plan: &Plan,
    directory: &RunDir,
    (drawing, first, step): (Drawing, usize, u64),
    options: &RunOptions,
) -> bool {
    let RunError::Sampling(error) = error else { return false };
    let (at, sigma) = match error {
        SampleError::Diverged(divergence) => (Some(divergence.step), Some(divergence.sigma)),
        SampleError::NotFinite { .. } => (None, None),
        _ => return false,
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
    let (kept, note) = match written() {
        Ok(_) => (true, format!("stein replay {shown} draws these chains again")),
        Err(error) => (false, format!("what these chains were could not be kept: {error}")),
    };
    options.say(&format!("note    {note}"));
    kept
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
    let file = open_at_most(&path, ARRAYS)?;
    let (file, _) = file.ok_or_else(|| RecordError::damaged(&path, "there are no trained weights"))?;
    hash::sha256_of(file).map_err(|e| RecordError::io(path, "read", e))
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
    let watched = Watched { network: &network, chains, seen: score.clone() };
    let look = || Look { score: score.clone(), steps: steps.clone() };
    // The first of the chains that are drawn.
    let at = Cell::new(first);
    let ended = match drawing {
        Drawing::Samples => {
            let starts = Starts::new(&plan.experiment.start, &plan.dataset);
            let (streams, first) = (plan.streams, first as u64);
            let what = Draw { samples: chains, first, chunk: chains, starts: &starts, streams, device };
            draw_of(plan, &*plan.sampler, &watched, &*plan.schedule, what, |_| Box::new(look())).err()
        }
        Drawing::Completions => completions(plan, &watched, device, |chunk| {
            at.set(chunk);
            if chunk == first { Box::new(look()) } else { Box::new(NoObserver) }
        })
        .err(),
    };
    // How the chains behind these end is not asked.
    let ended = ended.filter(|_| at.get() <= first);
    let again = at.get() == first
        && match &ended {
            Some(SampleError::Diverged(divergence)) => record.step == Some(divergence.step),
            Some(SampleError::NotFinite { .. }) => record.step.is_none(),
            _ => false,
        };
    let (steps, ended) = (steps.take(), ended.map(|error| error.to_string()));
    Ok(SamplesReplay { record, reason, steps, ended, again })
}

/// A network that notes how long its scores are.
struct Watched<'a> {
    network: &'a dyn ScoreNetwork,
    chains: usize,
    seen: Arc<Mutex<Norms>>,
}

impl Watched<'_> {
    fn note(&self, score: &Tensor<2>) {
        let mut norms = Norms::of(score);
        // Whoever asks for some of the chains does not say for which.
        if score.dims()[0] != self.chains {
            (norms.longest, norms.first) = (None, None);
        }
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *seen = seen.and(norms);
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

/// Notes each step up to the first after which a chain is not finite. A score that is not may be asked for, and rejected. It stops
/// nothing: how it ends is told by who told it then.
struct Look {
    score: Arc<Mutex<Norms>>,
    steps: Rc<RefCell<Vec<SampleStep>>>,
}

impl Observer for Look {
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()> {
        let score = std::mem::take(&mut *self.score.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let mut seen = self.steps.borrow_mut();
        if seen.last().is_none_or(|last| last.x.not_finite == 0) {
            let StepInfo { step, steps, level, .. } = info;
            seen.push(SampleStep { step, steps, sigma: level.sigma, x: Norms::of(x), score });
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use stein_core::matrix;

    use super::*;

    /// s(x) = x.
    struct Itself;

    impl ScoreNetwork for Itself {
        fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
            x
        }

        fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
            None
        }
    }

    /// What is noted of three chains whose score is asked for at one place after another.
    fn noted(places: &[&[f32]]) -> Norms {
        let (device, seen) = (Device::flex(), Arc::new(Mutex::new(Norms::default())));
        let watched = Watched { network: &Itself, chains: 3, seen: seen.clone() };
        for x in places {
            watched.score(matrix(x.to_vec(), 2, &device), &Condition::clean());
        }
        *seen.lock().unwrap()
    }

    #[test]
    fn no_chain_is_told_where_not_all_are_asked_for() {
        let all: &[f32] = &[3.0, 4.0, 6.0, 8.0, f32::NAN, 0.0];
        let some: &[f32] = &[0.0, f32::INFINITY, f32::NAN, 1.0];
        let far: &[f32] = &[30.0, 40.0];
        let norms = |largest, longest, not_finite, first| Norms { largest, longest, not_finite, first };
        assert_eq!(noted(&[all]), norms(10.0, Some(1), 1, Some(2)));
        assert_eq!(noted(&[some]), norms(0.0, None, 2, None));
        assert_eq!(noted(&[some, all]), norms(10.0, Some(1), 2, None));
        assert_eq!(noted(&[far, all]), norms(50.0, None, 1, Some(2)));
    }
}
