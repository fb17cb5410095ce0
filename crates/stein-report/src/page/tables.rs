//! What a run's page shows, for other programs.

use std::path::Path;

use stein_record::{EstimatorRecord, LevelRecord, MetricRecord, RecordError};

use crate::run::Run;
use crate::tables::{Data, Line};

/// Writes the tables of a run into a folder.
pub(crate) fn write(run: &Run, folder: &Path) -> Result<(), RecordError> {
    let evaluation = run.evaluation.as_ref();
    Data::of(run.metrics_of_interest().map(metric)).write(&folder.join("metrics"))?;
    Data::of(levels(run)).write(&folder.join("levels"))?;
    Data::of(evaluation.iter().flat_map(|e| &e.estimators).map(estimator)).write(&folder.join("estimators"))
}

/// Removes those that an earlier report left in a folder.
pub(crate) fn remove(folder: &Path) -> Result<(), RecordError> {
    ["metrics", "levels", "estimators"].iter().try_for_each(|table| Data::default().write(&folder.join(table)))
}

fn metric(metric: &MetricRecord) -> Line {
    let line = Line::default().with("metric", metric.name.clone()).with("label", metric.label.clone());
    let line = line.better(metric.better).estimate("samples", Some(&metric.estimate));
    line.estimate("real-data", metric.floor.as_ref()).estimate("fitted-gaussian", metric.baseline.as_ref())
}

/// A line a noise level: the losses, and the metrics that are measured level by level.
fn levels(run: &Run) -> Vec<Line> {
    let levels = run.evaluation.as_ref().map_or(&[][..], |e| &e.levels);
    let by_level = |level: &LevelRecord| {
        let at = |m: &MetricRecord| m.by_level.iter().find(|l| l.sigma == level.sigma).map(|l| l.estimate);
        let metrics = run.metrics_of_interest().filter(|m| !m.by_level.is_empty());
        metrics.fold(self::level(level), |line, m| line.estimate(&m.name, at(m).as_ref()))
    };
    if run.is_trained() { levels.iter().map(by_level).collect() } else { Vec::new() }
}

fn level(level: &LevelRecord) -> Line {
    Line::default()
        .number("sigma", Some(level.sigma))
        .number("weight", Some(level.weight))
        .estimate("train", Some(&level.train))
        .estimate("held-out", Some(&level.held_out))
        .estimate("true-score", level.floor.as_ref())
        .estimate("memorising-train", level.memorising_train.as_ref())
        .estimate("memorising-held-out", level.memorising_held_out.as_ref())
        .estimate("fitted-gaussian-held-out", level.gaussian_held_out.as_ref())
        .estimate("fisher", level.fisher.as_ref())
        .estimate("relative-fisher", level.relative_fisher.as_ref())
        .estimate("clean-fisher", level.clean_fisher.as_ref())
}

fn estimator(record: &EstimatorRecord) -> Line {
    Line::default()
        .with("estimator", record.name.clone())
        .number("sigma", Some(record.sigma))
        .estimate("loss", Some(&record.loss))
        .estimate("difference", Some(&record.difference))
        .estimate("difference-variance", Some(&record.difference_variance))
        .estimate("gradient-square", Some(&record.gradient_square))
        .estimate("gradient-difference", Some(&record.gradient_difference))
        .estimate("gradient-variance", Some(&record.gradient_variance))
        .estimate("seconds", Some(&record.seconds))
        .number("memory-bytes", record.memory.map(|bytes| bytes as f64))
}
