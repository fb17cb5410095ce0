//! Metrics: how good samples, or a score, are.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use stein_record::{Array, LevelRecord, MetricRecord};

use crate::{Dataset, Invalid, NoiseSchedule, ScoreNetwork, Streams};

/// What a metric may look at.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct MetricContext<'a> {
    /// The samples, `[N, D]`.
    pub samples: &'a Array,
    /// Held-out rows as they are compared with: dequantised, as many as there are samples if there are that many.
    pub held_out: &'a Array,
    /// Training rows, dequantised.
    pub train: &'a Array,
    /// As many rows of a Gaussian fitted to the training rows as there are samples, clipped to the data's range.
    pub gaussian: &'a Array,
    /// The data set.
    pub dataset: &'a Dataset,
    /// The trained (averaged) network.
    pub network: &'a dyn ScoreNetwork,
    /// Its losses and Fisher divergences at each level.
    pub levels: &'a [LevelRecord],
    /// The noise schedule.
    pub schedule: &'a dyn NoiseSchedule,
    /// Where to compute.
    pub device: &'a Device,
    /// Noise.
    pub streams: Streams,
    /// A folder where a metric may keep what it has computed of the data, for the next run.
    pub cache: Option<&'a Path>,
    /// The file with the weights of the Inception network, where the user has named one.
    pub inception: Option<&'a Path>,
    /// Hears of long work: what, steps done, steps in all. It may stop it; the metric then fails with whatever error.
    pub watch: &'a Watch<'a>,
}

/// Who hears of a metric's long work.
pub type Watch<'a> = dyn Fn(&'static str, usize, usize) -> ControlFlow<()> + 'a;

fn unwatched(_: &'static str, _: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl<'a> MetricContext<'a> {
    /// A context of all that a metric may look at.
    #[expect(clippy::too_many_arguments, reason = "one argument a field; a builder would say no more")]
    pub fn new(
        samples: &'a Array,
        held_out: &'a Array,
        train: &'a Array,
        gaussian: &'a Array,
        dataset: &'a Dataset,
        network: &'a dyn ScoreNetwork,
        levels: &'a [LevelRecord],
        schedule: &'a dyn NoiseSchedule,
        device: &'a Device,
        streams: Streams,
    ) -> Self {
        Self {
            samples,
            held_out,
            train,
            gaussian,
            dataset,
            network,
            levels,
            schedule,
            device,
            streams,
            cache: None,
            inception: None,
            watch: &unwatched,
        }
    }

    /// The same with a folder for what is worth keeping, and somebody who hears of long work.
    pub fn with(self, cache: &'a Path, watch: &'a Watch<'a>) -> Self {
        Self { cache: Some(cache), watch, ..self }
    }

    /// The same with the Inception network's weights, if there are any.
    pub fn with_inception(self, inception: Option<&'a Path>) -> Self {
        Self { inception, ..self }
    }
}

/// A metric of samples (or of the score), with standard errors, floors and baselines.
pub trait Metric: Debug + Send + Sync {
    /// Whether it says anything about such data at such levels.
    fn applies(&self, _dataset: &Dataset, _schedule: &dyn NoiseSchedule) -> bool {
        true
    }

    /// Whether it is measured of such data where nobody names it.
    fn by_default(&self, _dataset: &Dataset) -> bool {
        true
    }

    /// Whether it is about what the network has learned, so that it says nothing of a score that was not.
    fn is_of_learning(&self) -> bool {
        false
    }

    /// How many samples it needs.
    fn least_samples(&self) -> usize {
        2
    }

    /// Whether it needs the file that `[evaluation] inception` names: without one it is not measured where nobody names it, and refused
    /// where somebody does.
    fn needs_inception(&self) -> bool {
        false
    }

    /// Looks at that file, where it needs one, as far as can be done at once.
    ///
    /// # Errors
    /// If there is none, or it is another.
    fn accepts_inception(&self, _weights: &Path) -> Result<(), Invalid> {
        Ok(())
    }

    /// The values.
    ///
    /// # Errors
    /// If the sets are too small for it, say.
    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid>;
}
