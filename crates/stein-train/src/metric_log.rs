//! burn-train's metrics, written to `metrics.jsonl`.
//!
//! burn-train hands a logger the values of one event without the step, and from another thread. So the step travels as a
//! metric of its own, first in every event.

use std::sync::{Arc, Mutex};

use burn::tensor::TensorReadError;
use burn_train::logger::MetricLogger;
use burn_train::metric::store::{EpochSummary, MetricsUpdate, Split as BurnSplit};
use burn_train::metric::{
    Metric, MetricAttributes, MetricDefinition, MetricId, MetricMetadata, MetricName, Numeric, NumericAttributes,
    NumericEntry, SerializedEntry,
};
use stein_record::{MetricLine, MetricsLog, RecordError, Split};

use crate::trainee::Measurement;

/// The name under which the step travels.
const STEP: &str = "step";

/// One series of numbers, picked from a [`Measurement`] by name.
#[derive(Clone)]
pub(crate) struct Series {
    name: Arc<String>,
    last: Option<f64>,
}

impl Series {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: Arc::new(name.to_owned()), last: None }
    }

    pub(crate) fn step() -> Self {
        Self::new(STEP)
    }

    fn entry(&self) -> SerializedEntry {
        match self.last {
            None => SerializedEntry::not_available(None),
            Some(x) => SerializedEntry::new(format!("{x:.5}"), x.to_string()),
        }
    }
}

impl Metric for Series {
    type Input = Measurement;

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn attributes(&self) -> MetricAttributes {
        NumericAttributes { unit: None, higher_is_better: false }.into()
    }

    fn update(&mut self, item: &Measurement, _: &MetricMetadata) -> Result<SerializedEntry, TensorReadError> {
        self.last = if *self.name == STEP {
            Some(item.step as f64)
        } else {
            item.values.iter().find(|(name, _)| *name == *self.name).map(|(_, value)| *value)
        };
        Ok(self.entry())
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry())
    }

    fn clear(&mut self) {
        self.last = None;
    }
}

impl Numeric for Series {
    fn value(&self) -> Option<NumericEntry> {
        self.last.map(NumericEntry::Value)
    }

    fn running_value(&self) -> Option<NumericEntry> {
        self.value()
    }

    fn final_value(&self) -> NumericEntry {
        NumericEntry::Value(self.last.unwrap_or(f64::NAN))
    }
}

/// Writes what burn-train measures to the run directory.
#[derive(Clone)]
pub(crate) struct JsonLines {
    shared: Arc<Mutex<Shared>>,
    names: Vec<(MetricId, String)>,
    /// Steps of an epoch.
    period: u64,
}

struct Shared {
    log: MetricsLog,
    lines: Vec<MetricLine>,
}

impl JsonLines {
    /// A logger that goes on after `lines`, which an earlier session wrote.
    pub(crate) fn new(log: MetricsLog, lines: Vec<MetricLine>, period: u64) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { log, lines })), names: Vec::new(), period }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes what was logged durable; gives the first error of any write.
    pub(crate) fn sync(&self) -> Result<(), RecordError> {
        self.shared().log.sync()
    }

    fn name(&self, id: &MetricId) -> Option<&str> {
        self.names.iter().find(|(i, _)| i == id).map(|(_, name)| name.as_str())
    }
}

fn split(split: &BurnSplit) -> Split {
    match split {
        BurnSplit::Train => Split::Train,
        BurnSplit::Valid | BurnSplit::Test(_) => Split::HeldOut,
    }
}

impl MetricLogger for JsonLines {
    fn log(&mut self, update: MetricsUpdate, _epoch: usize, at: &BurnSplit) {
        let values: Vec<(String, f64)> = update
            .entries_numeric
            .iter()
            .filter_map(|u| Some((self.name(&u.entry.metric_id)?.to_owned(), u.numeric_entry.as_ref()?.current())))
            .collect();
        let Some(step) = values.iter().find(|(name, _)| name == STEP).map(|(_, step)| *step as u64) else { return };
        let mut shared = self.shared();
        for (name, value) in values.into_iter().filter(|(name, _)| name != STEP) {
            let line = MetricLine { step, split: split(at), name, value };
            // The log keeps its first error for whoever syncs it.
            let _ = shared.log.append(&line);
            shared.lines.push(line);
        }
    }

    fn read_numeric(&mut self, name: &str, epoch: usize, at: &BurnSplit) -> Result<Vec<NumericEntry>, String> {
        let (at, epoch, period) = (split(at), epoch as u64, self.period);
        let steps = (epoch.saturating_sub(1) * period + 1)..=(epoch * period);
        let shared = self.shared();
        let mine = shared.lines.iter().filter(|l| l.name == name && l.split == at && steps.contains(&l.step));
        Ok(mine.map(|l| NumericEntry::Value(l.value)).collect())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        self.names.push((definition.metric_id, definition.name.to_string()));
    }

    fn log_epoch_summary(&mut self, _: EpochSummary) {}
}
