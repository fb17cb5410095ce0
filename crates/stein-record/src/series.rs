//! Measurements as series: what `metrics.jsonl` holds, a column for each thing measured.

use std::collections::BTreeMap;

use crate::{MetricLine, Split};

/// The most series of a run. Each is a column of every table: a log that names something else on every line would make tables
/// as large as the square of its length.
pub const MAX_SERIES: usize = 256;

/// The series of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Their names, `loss/train`, in the order of their first measurements.
    pub names: Vec<String>,
    /// A value for each name at each step; of a step that was done twice, the last.
    pub steps: BTreeMap<u64, Vec<Option<f64>>>,
}

impl Series {
    /// The series of some lines; those that begin beyond [`MAX_SERIES`] are left out.
    pub fn of(lines: &[MetricLine]) -> Self {
        let mut out = Self::default();
        for line in lines {
            let name = format!("{}/{}", line.name, line.split);
            let known = out.names.iter().position(|n| *n == name);
            if known.is_none() && out.names.len() == MAX_SERIES {
                continue;
            }
            let column = known.unwrap_or_else(|| {
                out.names.push(name);
                out.names.len() - 1
            });
            let row = out.steps.entry(line.step).or_default();
            row.resize(row.len().max(column + 1), None);
            row[column] = Some(line.value);
        }
        out
    }

    /// The value of a series at a step.
    pub fn at(&self, step: u64, name: &str) -> Option<f64> {
        let column = self.names.iter().position(|n| n == name)?;
        self.steps.get(&step)?.get(column).copied().flatten()
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::HeldOut => "held-out",
        })
    }
}

/// The series of some runs as one table: `step` and a column a series, empty where nothing was measured at a step. A first
/// column `run` tells several runs apart.
pub fn csv(runs: &[(String, Series)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in runs.iter().flat_map(|(_, series)| &series.names) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let several = runs.len() > 1;
    let mut out = String::new();
    let head = several.then_some("run").into_iter().chain(["step"]).chain(names.iter().copied());
    crate::csv::line(&mut out, head.map(str::to_owned));
    for (run, series) in runs {
        for step in series.steps.keys() {
            let value = |name: &&str| series.at(*step, name).map(|v| v.to_string()).unwrap_or_default();
            let run = several.then(|| run.clone());
            let fields = run.into_iter().chain([step.to_string()]).chain(names.iter().map(value));
            crate::csv::line(&mut out, fields);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64, split: Split, name: &str, value: f64) -> MetricLine {
        MetricLine { step, split, name: name.into(), value }
    }

    #[test]
    fn a_column_a_series_and_a_line_a_step() {
        let lines = [
            line(10, Split::Train, "loss", 2.0),
            line(10, Split::HeldOut, "loss", 3.0),
            line(20, Split::Train, "loss", f64::NAN),
            line(20, Split::Train, "odd,\"name", 1.5),
            line(10, Split::HeldOut, "loss", 2.5),
        ];
        let series = Series::of(&lines);
        assert_eq!(series.names, ["loss/train", "loss/held-out", "odd,\"name/train"]);
        assert_eq!((series.at(10, "loss/held-out"), series.at(20, "loss/held-out")), (Some(2.5), None));
        let one = csv(&[("a".into(), series)]);
        assert_eq!(one, "step,loss/train,loss/held-out,\"odd,\"\"name/train\"\r\n10,2,2.5,\r\n20,NaN,,1.5\r\n");
    }

    #[test]
    fn a_name_a_line_makes_no_square() {
        let lines: Vec<_> = (0..20_000).map(|i| line(i, Split::Train, &i.to_string(), 1.0)).collect();
        let series = Series::of(&lines);
        assert_eq!((series.names.len(), series.steps.len()), (MAX_SERIES, MAX_SERIES));
        assert_eq!(series.at(255, "255/train"), Some(1.0));
    }

    #[test]
    fn several_runs_are_told_apart_and_share_their_columns() {
        let a = Series::of(&[line(1, Split::Train, "loss", 1.0)]);
        let b = Series::of(&[line(1, Split::HeldOut, "fisher", 0.5), line(1, Split::Train, "loss", 2.0)]);
        let both = csv(&[("a".into(), a), ("b".into(), b)]);
        assert_eq!(both, "run,step,loss/train,fisher/held-out\r\na,1,1,\r\nb,1,2,0.5\r\n");
        assert_eq!(csv(&[]), "step\r\n");
    }
}
