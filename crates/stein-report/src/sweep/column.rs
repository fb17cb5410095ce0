//! The columns of a comparison: what a row buys and what it costs.

use stein_record::{Better, Estimate};

use super::table::Primary;
use super::{Cell, Numbers, Row, at};
use crate::number::{duration, grouped};
use crate::statistics::{Mark, Repeated, badness, marks, repeated};

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// How near the score is to the truth.
    Quality,
    /// What it cost.
    Cost,
    /// How good the samples are.
    Samples,
}

/// One quantity of every row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) label: String,
    pub(crate) role: Role,
    pub(crate) better: Better,
    /// For each row the mean over its repetitions.
    pub(crate) cells: Vec<Option<Repeated>>,
    pub(crate) marks: Vec<Mark>,
    /// With real data in place of samples.
    pub(crate) floor: Option<Reference>,
    /// With a fitted Gaussian in place of samples.
    pub(crate) baseline: Option<Reference>,
}

/// A value that samples are held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reference {
    /// The same for all cells, within its error.
    One(Estimate),
    /// From the lowest to the highest.
    Between(f64, f64),
}

/// The column of a training step's time.
pub(crate) const STEP_COST: &str = "ms a step";
/// The column of the distance to the clean density.
pub(crate) const CLEAN: &str = "F to the clean density, at the smallest σ";
/// The column of the largest resident set.
pub(crate) const MEMORY: &str = "peak memory, MB";

/// The metric that is the mean of σ²·F over the levels, which has its column already.
const MEAN_OF_LEVELS: &str = "sigma2-fisher";
/// The metric that is the Fisher divergence over the score's mean square.
const RELATIVE_FISHER: &str = "relative-fisher";

/// All columns that any row has a value in; the primary one is first.
pub(super) fn columns(rows: &[Row<'_>], primary: &Primary) -> Vec<Column> {
    let column = |label: &str, role, better| Draft { rows, label: label.into(), role, better, by_levels: false };
    let mut out = Vec::new();
    out.push(primary.column(column("", Role::Quality, primary.better())));
    out.extend(during_training(rows));
    // Where nothing else tells how it ended; losses of different objectives are no comparison, so nobody is marked.
    if out.iter().all(Option::is_none) {
        let last = |n: &Numbers| n.loss.last().map(|l| Estimate::new(l.1, f64::NAN));
        out.push(column("held-out loss", Role::Quality, Better::Lower).of(last).map(unmarked));
    }
    let noiseless = || rows.iter().flat_map(|r| r.numbers()).all(|n| n.span().is_none_or(|s| s.1 == 0.0));
    if !noiseless() {
        out.push(column(CLEAN, Role::Quality, Better::Lower).of(Numbers::clean));
    }
    let exact = |value: f64| Some(Estimate::new(value, f64::NAN));
    let cost = |label| column(label, Role::Cost, Better::Lower);
    out.push(cost(STEP_COST).of(|n| exact(1e3 * n.step_seconds?)));
    out.push(cost("gradient noise").by_levels().of(|n| n.gradient).map(|column| relative(column, rows)));
    out.push(cost("training, s").of(|n| exact(n.training)));
    out.push(cost(MEMORY).of(|n| exact(n.peak_memory? as f64 / 1e6)));
    out.push(cost("NFE a sample").of(|n| exact(n.nfe as f64)));
    out.extend(samples(rows, primary).into_iter().map(Some));
    let mut out: Vec<Column> = out.into_iter().flatten().collect();
    // Groups stand together, in the order of their roles.
    out.sort_by_key(|column| column.role);
    out
}

/// A column without its values.
pub(super) struct Draft<'t, 'a> {
    rows: &'t [Row<'a>],
    label: String,
    role: Role,
    better: Better,
    /// Whether values over different ranges of noise levels are different quantities.
    by_levels: bool,
}

impl<'t, 'a> Draft<'t, 'a> {
    /// The rows that it is about.
    pub(super) fn rows(&self) -> &'t [Row<'a>] {
        self.rows
    }

    /// The same with another label.
    pub(super) fn named(self, label: String) -> Self {
        Self { label, ..self }
    }

    /// The same, compared only between rows with the same range of noise levels.
    pub(super) fn by_levels(self) -> Self {
        Self { by_levels: true, ..self }
    }

    /// The column of a quantity; `None` if no row has it.
    pub(super) fn of(self, quantity: impl Fn(&Numbers) -> Option<Estimate>) -> Option<Column> {
        let Self { rows, label, role, better, by_levels } = self;
        let each = |row: &Row<'_>| -> Vec<Option<Estimate>> {
            row.repetitions.iter().map(|cell| quantity(cell.as_ref()?.numbers()?)).collect()
        };
        let values: Vec<Vec<Option<Estimate>>> = rows.iter().map(each).collect();
        let cells: Vec<Option<Repeated>> =
            values.iter().map(|row| repeated(&row.iter().flatten().copied().collect::<Vec<_>>())).collect();
        // A run that diverged has no numbers, and is as bad as can be; its cost is another matter.
        let score = |cell: &Option<&Cell>, value: &Option<Estimate>| match value {
            Some(value) => Some(badness(better, value.value)),
            None => (role != Role::Cost && cell.is_some_and(Cell::diverged)).then_some(f64::INFINITY),
        };
        let scores: Vec<Vec<Option<f64>>> = rows
            .iter()
            .zip(&values)
            .map(|(row, values)| row.repetitions.iter().zip(values).map(|(cell, value)| score(cell, value)).collect())
            .collect();
        let family = |i: usize| (rows[i].data, if by_levels { rows[i].family } else { 0 });
        let marks = marks_within(&scores, family);
        let found = cells.iter().any(Option::is_some);
        found.then_some(Column { label, role, better, cells, marks, floor: None, baseline: None })
    }
}

/// Marks within each family of rows.
fn marks_within<F: Ord>(scores: &[Vec<Option<f64>>], family: impl Fn(usize) -> F) -> Vec<Mark> {
    let mut out = vec![Mark::Plain; scores.len()];
    let mut families: Vec<F> = (0..scores.len()).map(&family).collect();
    families.sort_unstable();
    families.dedup();
    for one in families {
        let members: Vec<usize> = (0..scores.len()).filter(|&i| family(i) == one).collect();
        let theirs: Vec<_> = members.iter().map(|&i| scores[i].clone()).collect();
        for (i, mark) in members.into_iter().zip(marks(&theirs)) {
            out[i] = mark;
        }
    }
    out
}

/// The Fisher divergence at the last step that all runs reach, and at the time at which the first of them is done.
fn during_training(rows: &[Row<'_>]) -> [Option<Column>; 2] {
    let column = |label| Draft { rows, label, role: Role::Quality, better: Better::Lower, by_levels: true };
    let ends = rows.iter().flat_map(|r| r.numbers()).filter_map(|n| Some((n.fisher.last()?.0, n.step_seconds)));
    let (mut steps, mut seconds) = (f64::INFINITY, f64::INFINITY);
    for (end, step_seconds) in ends {
        steps = steps.min(end);
        seconds = step_seconds.map_or(seconds, |s| seconds.min(end * s));
    }
    let estimate = |value: Option<f64>| value.map(|v| Estimate::new(v, f64::NAN));
    let at_step = column(format!("σ²F at step {}", grouped(steps))).of(|n| estimate(at(&n.fisher, steps)));
    // Rounding must not push the end of the shortest run beyond its end.
    let at_time = |n: &Numbers| at(&n.fisher, (seconds / n.step_seconds?).min(n.fisher.last()?.0));
    [at_step, column(format!("after {}", duration(seconds).replace(' ', "\u{a0}"))).of(|n| estimate(at_time(n)))]
}

fn unmarked(column: Column) -> Column {
    Column { marks: vec![Mark::Plain; column.marks.len()], ..column }
}

/// Relative to the smallest of the rows with the same data and noise levels.
fn relative(mut column: Column, rows: &[Row<'_>]) -> Column {
    let family = |i: usize| (rows[i].data, rows[i].family);
    let mean = |cell: &Option<Repeated>| cell.map(|c| c.mean.value).filter(|v| v.is_finite() && *v > 0.0);
    let smallest: Vec<Option<f64>> = (0..rows.len())
        .map(|i| {
            (0..rows.len()).filter(|&j| family(j) == family(i)).filter_map(|j| mean(&column.cells[j])).reduce(f64::min)
        })
        .collect();
    for (cell, smallest) in column.cells.iter_mut().zip(smallest) {
        if let (Some(cell), Some(smallest)) = (cell, smallest) {
            cell.mean = Estimate::new(cell.mean.value / smallest, cell.mean.standard_error / smallest);
        }
    }
    column
}

/// The metrics of the samples, each with what real data and a fitted Gaussian get.
fn samples(rows: &[Row<'_>], primary: &Primary) -> Vec<Column> {
    let mut names: Vec<(String, String, Better)> = Vec::new();
    for metric in rows.iter().flat_map(|r| r.numbers()).flat_map(|n| &n.metrics) {
        let has_column = primary.is_metric(&metric.name) || primary.is_levels() && metric.name == MEAN_OF_LEVELS;
        if !has_column && !names.iter().any(|n| n.0 == metric.name) {
            names.push((metric.name.clone(), metric.label.clone(), metric.better));
        }
    }
    let column = |(name, label, better): (String, String, Better)| {
        // What is relative to the score's own size is about the score, at its own noise levels.
        let of_score = name == RELATIVE_FISHER;
        let role = if of_score { Role::Quality } else { Role::Samples };
        let draft = Draft { rows, label, role, better, by_levels: of_score };
        Some(with_references(draft.of(|n| n.metric(&name).map(|m| m.estimate))?, rows, &name))
    };
    names.into_iter().filter_map(column).collect()
}

/// The column with the metric's floor and baseline.
pub(super) fn with_references(mut column: Column, rows: &[Row<'_>], name: &str) -> Column {
    let metrics = || rows.iter().flat_map(|r| r.numbers()).filter_map(|n| n.metric(name));
    column.floor = reference(metrics().filter_map(|m| m.floor));
    column.baseline = reference(metrics().filter_map(|m| m.baseline));
    column
}

/// One value if all agree within two standard errors of a difference, else their range.
fn reference(estimates: impl Iterator<Item = Estimate>) -> Option<Reference> {
    let all: Vec<Estimate> = estimates.filter(|e| e.value.is_finite()).collect();
    let mean = |pick: fn(&Estimate) -> f64| all.iter().map(pick).sum::<f64>() / all.len() as f64;
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), e| (l.min(e.value), h.max(e.value)));
    let error = mean(|e| e.standard_error);
    // The errors of cells that share their data are not independent, so their mean has no smaller error than each.
    let agree = low == high || high - low <= 2.0 * std::f64::consts::SQRT_2 * error;
    (!all.is_empty()).then(|| {
        if agree { Reference::One(Estimate::new(mean(|e| e.value), error)) } else { Reference::Between(low, high) }
    })
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Table};

    #[test]
    fn references_that_disagree_are_a_range() {
        let one = |v| Estimate::new(v, 0.1);
        assert_eq!(reference([one(1.0), one(1.1)].into_iter()), Some(Reference::One(Estimate::new(1.05, 0.1))));
        assert_eq!(reference([one(1.0), one(3.0)].into_iter()), Some(Reference::Between(1.0, 3.0)));
        assert_eq!(reference([one(f64::NAN)].into_iter()), None);
    }

    #[test]
    fn rows_are_compared_at_equal_steps_and_at_equal_time() {
        let mut sweep = sweep(&[("objective", AxisRole::Compare, "quick slow")], &[("quick", 1.0), ("slow", 1.0)]);
        let curves = [(vec![(100.0, 4.0), (200.0, 2.0)], 0.01), (vec![(50.0, 9.0), (150.0, 7.0), (300.0, 4.0)], 0.02)];
        for (cell, (fisher, seconds)) in sweep.cells.iter_mut().zip(curves) {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            (numbers.fisher, numbers.step_seconds) = (fisher, Some(seconds));
        }
        let rows = Table::of(&sweep).rows;
        let [steps, time] = during_training(&rows).map(Option::unwrap);
        let values = |c: &Column| c.cells.iter().map(|c| c.unwrap().mean.value).collect::<Vec<_>>();
        // The quick one ends at step 200, after two seconds; the slow one is at step 100 then.
        assert_eq!((steps.label.as_str(), values(&steps)), ("σ²F at step 200", vec![2.0, 6.0]));
        assert_eq!((time.label.as_str(), values(&time)), ("after 2.0\u{a0}s", vec![2.0, 8.0]));
    }

    #[test]
    fn gradient_noise_is_relative_to_the_least() {
        let mut sweep = sweep(&[("objective", AxisRole::Compare, "a b")], &[("a", 1.0), ("b", 1.0)]);
        for (cell, variance) in sweep.cells.iter_mut().zip([30.0, 10.0]) {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.gradient = Some(Estimate::new(variance, 1.0));
        }
        let table = Table::of(&sweep);
        let noise: Vec<_> = table.column("gradient noise").unwrap().cells.iter().map(|c| c.unwrap().mean).collect();
        assert_eq!(noise, [Estimate::new(3.0, 0.1), Estimate::new(1.0, 0.1)]);
    }

    #[test]
    fn marks_stay_within_a_family() {
        let row = |v: f64| [0.0, 0.1, 0.2].map(|d| Some(v + d)).to_vec();
        let scores = [row(1.0), row(2.0), row(10.0), row(20.0)];
        assert_eq!(marks_within(&scores, |_| 0), [Mark::Best, Mark::Plain, Mark::Plain, Mark::Plain]);
        assert_eq!(marks_within(&scores, |i| i / 2), [Mark::Best, Mark::Plain, Mark::Best, Mark::Plain]);
    }
}
