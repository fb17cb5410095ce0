//! The columns of a comparison: what a row buys and what it costs.

use stein_record::{Better, Estimate, MetricRecord};

use super::measure::{Measure, is_of_score};
use super::{Cell, Numbers, Row, at};
use crate::number::{duration, grouped};
use crate::statistics::{Mark, Repeated, Repetitions, badness, marks, repeated};

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
    /// What files call it: a metric's name, or what it is and in which unit.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) role: Role,
    /// Which values are good; `None` if none is better than another.
    pub(crate) better: Option<Better>,
    /// For each row the mean over its repetitions.
    pub(crate) cells: Vec<Option<Repeated>>,
    /// The same for each repetition, where those of one training are one.
    pub(crate) each: Vec<Vec<Option<f64>>>,
    /// The same where they are apart.
    pub(crate) apart: Vec<Repetitions>,
    /// Rows of which a repetition diverged, and so has no value here that could count against them.
    pub(crate) diverged: Vec<bool>,
    /// Rows of one family can be compared.
    pub(crate) families: Vec<(usize, usize)>,
    pub(crate) marks: Vec<Mark>,
    /// With real data in place of samples.
    pub(crate) floor: Option<Reference>,
    /// With a fitted Gaussian in place of samples.
    pub(crate) baseline: Option<Reference>,
    /// Each row's own of these two, the mean over its repetitions.
    pub(crate) own: Vec<[Option<Estimate>; 2]>,
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
pub(crate) const STEP_COST: &str = "step-ms";
/// The column of the distance to the clean density.
pub(crate) const CLEAN: &str = "clean-fisher";
/// The column of the largest resident set.
pub(crate) const MEMORY: &str = "peak-memory-mb";
/// The column of score evaluations.
pub(crate) const NFE: &str = "nfe";
/// The column of the share of proposals that were accepted.
pub(crate) const ACCEPTANCE: &str = "acceptance";
/// The column of a sample's time.
pub(crate) const SAMPLING: &str = "sampling-ms";

/// All columns that any row has a value in; those of the measures are first, in their order.
pub(super) fn columns(rows: &[Row<'_>], measures: &[&Measure], trained: bool) -> Vec<Column> {
    let mut out: Vec<Column> = Vec::new();
    for measure in measures {
        let draft = Draft::new(rows, measure.name(), measure.label(), Role::Quality, measure.better());
        let better = if measure.is_levels() { draft.better } else { agreed(rows, measure.name()) };
        out.extend(measure.column(Draft { better, ..draft }));
    }
    if trained {
        out.extend(of_score(rows, out.is_empty()));
    }
    let named = |metric: &str| measures.iter().any(|m| m.name() == metric);
    out.extend(costs(rows, trained).into_iter().filter(|column| !named(&column.name)));
    // An exact score is at no distance from itself.
    out.extend(samples(rows, |metric| named(metric) || !trained && is_of_score(metric)));
    // Groups stand together, in the order of their roles.
    out.sort_by_key(|column| column.role);
    out
}

/// How near the learned score is to the truth, beside the measures; `alone` if these say nothing.
fn of_score(rows: &[Row<'_>], alone: bool) -> Vec<Column> {
    let quality = |name, label| Draft::new(rows, name, label, Role::Quality, Better::Lower);
    let mut out: Vec<Column> = during_training(rows).into_iter().flatten().collect();
    // Where nothing else tells how it ended; losses of different objectives are no comparison, so nobody is marked.
    if alone && out.is_empty() {
        let last = |n: &Numbers| n.loss.last().map(|l| Estimate::new(l.1, f64::NAN));
        out.extend(quality("held-out-loss", "held-out loss").of(last).map(unmarked));
    }
    let noiseless = rows.iter().flat_map(|r| r.numbers()).all(|n| n.span().is_none_or(|s| s.1 == 0.0));
    if !noiseless {
        out.extend(quality(CLEAN, "F to the clean density, at the smallest σ").of(Numbers::clean));
    }
    out
}

/// What rows cost: training where there was some, drawing where rows differ in it or nothing else was done.
fn costs(rows: &[Row<'_>], trained: bool) -> Vec<Column> {
    let exact = |value: f64| Some(Estimate::new(value, f64::NAN));
    let cost = |name, label| Draft::new(rows, name, label, Role::Cost, Better::Lower);
    let mut out = Vec::new();
    if trained {
        out.push(cost(STEP_COST, "ms a step").of(|n| exact(1e3 * n.step_seconds?)));
        let noise = cost("gradient-noise", "gradient noise").by_levels().of(|n| n.gradient);
        out.push(noise.map(|column| relative(column, rows)));
        out.push(cost("training-seconds", "training, s").of(|n| exact(n.training)));
    }
    out.push(cost(MEMORY, "peak memory, MB").of(|n| exact(n.peak_memory? as f64 / 1e6)));
    let nfe = cost(NFE, "NFE a sample").of(|n| exact(n.nfe as f64));
    let draws_differ = nfe.as_ref().is_some_and(Column::varies);
    out.push(nfe);
    if !trained || draws_differ {
        out.push(cost(SAMPLING, "sampling, ms a sample").of(|n| exact(1e3 * n.sampling?)));
    }
    let acceptance = Draft { better: None, ..cost(ACCEPTANCE, "proposals accepted") };
    out.push(acceptance.of(|n| exact(n.acceptance?)));
    out.into_iter().flatten().collect()
}

impl Column {
    /// A row's mean, if all its repetitions are finite.
    pub(crate) fn finite(&self, row: usize) -> Option<Estimate> {
        let cell = self.cells.get(row).copied().flatten()?;
        (cell.not_finite == 0 && cell.mean.value.is_finite()).then_some(cell.mean)
    }

    /// Whether rows differ in it.
    pub(crate) fn varies(&self) -> bool {
        let mut values = self.cells.iter().flatten().map(|c| c.mean.value).filter(|v| v.is_finite());
        let first = values.next();
        values.any(|v| Some(v) != first)
    }
}

/// A column without its values.
pub(super) struct Draft<'t, 'a> {
    rows: &'t [Row<'a>],
    name: String,
    label: String,
    role: Role,
    better: Option<Better>,
    /// Whether values over different ranges of noise levels are different quantities.
    by_levels: bool,
}

impl<'t, 'a> Draft<'t, 'a> {
    /// One that is compared between all rows on the same data.
    fn new(rows: &'t [Row<'a>], name: &str, label: &str, role: Role, better: Better) -> Self {
        Self { rows, name: name.into(), label: label.into(), role, better: Some(better), by_levels: false }
    }

    /// The rows that it is about.
    pub(super) fn rows(&self) -> &'t [Row<'a>] {
        self.rows
    }

    /// The same, compared only between rows with the same range of noise levels.
    pub(super) fn by_levels(self) -> Self {
        Self { by_levels: true, ..self }
    }

    /// The column of a quantity; `None` if no row has it.
    pub(super) fn of(self, quantity: impl Fn(&Numbers) -> Option<Estimate>) -> Option<Column> {
        let Self { rows, name, label, role, better, by_levels } = self;
        let each = |row: &Row<'_>| -> Vec<Option<Estimate>> {
            row.repetitions.iter().map(|cell| quantity(cell.as_ref()?.numbers()?)).collect()
        };
        let apart: Vec<Vec<Option<Estimate>>> = rows.iter().map(each).collect();
        let values: Vec<Vec<Option<Estimate>>> =
            rows.iter().zip(&apart).map(|(row, values)| independent(row, values.clone())).collect();
        let cells: Vec<Option<Repeated>> =
            values.iter().map(|row| repeated(&row.iter().flatten().copied().collect::<Vec<_>>())).collect();
        // A run that diverged has no numbers, and is as bad as can be; its cost is another matter.
        let score = |cell: &Option<&Cell>, value: &Option<Estimate>| match value {
            Some(value) => better.map(|better| badness(better, value.value)),
            None => (role != Role::Cost && cell.is_some_and(Cell::diverged)).then_some(f64::INFINITY),
        };
        let scored = |row: &Row<'_>, values: &[Option<Estimate>]| -> Vec<Option<f64>> {
            row.repetitions.iter().zip(values).map(|(cell, value)| score(cell, value)).collect()
        };
        let scores: Vec<Vec<Option<f64>>> = rows.iter().zip(&values).map(|(row, values)| scored(row, values)).collect();
        let scores_apart: Vec<Repetitions> =
            rows.iter().zip(&apart).map(|(row, values)| repetitions(row, scored(row, values))).collect();
        let family = |i: usize| (rows[i].data, if by_levels { rows[i].family } else { 0 });
        let marks = marks_within(&scores, &scores_apart, family);
        let families = (0..rows.len()).map(family).collect();
        let plain = |values: &Vec<Option<Estimate>>| values.iter().map(|value| value.map(|v| v.value)).collect();
        let each = values.iter().map(plain).collect();
        let apart = rows.iter().zip(&apart).map(|(row, values)| repetitions(row, plain(values))).collect();
        let found = cells.iter().any(Option::is_some);
        let diverged = rows.iter().map(|row| role != Role::Cost && row.diverged()).collect();
        let own = vec![[None; 2]; rows.len()];
        let (floor, baseline) = (None, None);
        found.then_some(Column {
            name,
            label,
            role,
            better,
            cells,
            each,
            apart,
            diverged,
            families,
            marks,
            floor,
            baseline,
            own,
        })
    }
}

/// A row's values with what they were trained as.
fn repetitions(row: &Row<'_>, values: Vec<Option<f64>>) -> Repetitions {
    let mut training: Vec<usize> = (0..values.len()).collect();
    for (first, others) in row.of_one_training() {
        others.into_iter().for_each(|i| training[i] = first);
    }
    Repetitions { values, training }
}

/// The values of a row's repetitions, where those of one trained network count as one, their mean: training's chance is the same
/// for them.
fn independent(row: &Row<'_>, mut values: Vec<Option<Estimate>>) -> Vec<Option<Estimate>> {
    for (first, others) in row.of_one_training() {
        let all: Vec<Estimate> =
            std::iter::once(first).chain(others.iter().copied()).filter_map(|i| values[i].take()).collect();
        let mean = |pick: fn(&Estimate) -> f64| all.iter().map(pick).sum::<f64>() / all.len() as f64;
        values[first] = (!all.is_empty()).then(|| Estimate::new(mean(|e| e.value), mean(|e| e.standard_error)));
    }
    values
}

/// Marks within each family of rows.
fn marks_within<F: Ord>(scores: &[Vec<Option<f64>>], apart: &[Repetitions], family: impl Fn(usize) -> F) -> Vec<Mark> {
    let mut out = vec![Mark::Plain; scores.len()];
    let mut families: Vec<F> = (0..scores.len()).map(&family).collect();
    families.sort_unstable();
    families.dedup();
    for one in families {
        let members: Vec<usize> = (0..scores.len()).filter(|&i| family(i) == one).collect();
        let theirs: Vec<_> = members.iter().map(|&i| scores[i].clone()).collect();
        let theirs_apart: Vec<_> = members.iter().map(|&i| apart[i].clone()).collect();
        for (i, mark) in members.into_iter().zip(marks(&theirs, &theirs_apart)) {
            out[i] = mark;
        }
    }
    out
}

/// The Fisher divergence at the last step that all runs reach, and at the time at which the first of them is done.
fn during_training(rows: &[Row<'_>]) -> [Option<Column>; 2] {
    let column = |name, label: String| Draft::new(rows, name, &label, Role::Quality, Better::Lower).by_levels();
    let ends = rows.iter().flat_map(|r| r.numbers()).filter_map(|n| Some((n.fisher.last()?.0, n.step_seconds)));
    let (mut steps, mut seconds) = (f64::INFINITY, f64::INFINITY);
    for (end, step_seconds) in ends {
        steps = steps.min(end);
        seconds = step_seconds.map_or(seconds, |s| seconds.min(end * s));
    }
    let estimate = |value: Option<f64>| value.map(|v| Estimate::new(v, f64::NAN));
    let at_step = column("sigma2-fisher-at-step", format!("σ²F at step {}", grouped(steps)))
        .of(|n| estimate(at(&n.fisher, steps)));
    // Rounding must not push the end of the shortest run beyond its end.
    let at_time = |n: &Numbers| at(&n.fisher, (seconds / n.step_seconds?).min(n.fisher.last()?.0));
    let after = format!("after {}", duration(seconds).replace(' ', "\u{a0}"));
    [at_step, column("sigma2-fisher-after", after).of(|n| estimate(at_time(n)))]
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
    let each = column.each.iter_mut().zip(&mut column.apart);
    for ((cell, (each, apart)), smallest) in column.cells.iter_mut().zip(each).zip(smallest) {
        if let (Some(cell), Some(smallest)) = (cell, smallest) {
            cell.mean = Estimate::new(cell.mean.value / smallest, cell.mean.standard_error / smallest);
            each.iter_mut().chain(&mut apart.values).flatten().for_each(|value| *value /= smallest);
        }
    }
    column
}

/// The metrics of the samples that are not `told` elsewhere, each with what real data and a fitted Gaussian get.
fn samples(rows: &[Row<'_>], told: impl Fn(&str) -> bool) -> Vec<Column> {
    let mut names: Vec<(String, String, Better)> = Vec::new();
    for metric in rows.iter().flat_map(|r| r.numbers()).flat_map(|n| &n.metrics) {
        if !told(&metric.name) && !names.iter().any(|n| n.0 == metric.name) {
            names.push((metric.name.clone(), metric.label.clone(), metric.better));
        }
    }
    let column = |(name, label, better): (String, String, Better)| {
        // What is relative to the score's own size is about the score, at its own noise levels.
        let role = if is_of_score(&name) { Role::Quality } else { Role::Samples };
        let draft = Draft { by_levels: is_of_score(&name), ..Draft::new(rows, &name, &label, role, better) };
        let draft = Draft { better: agreed(rows, &name), ..draft };
        Some(with_references(draft.of(|n| n.metric(&name).map(|m| m.estimate))?, rows, &name))
    };
    names.into_iter().filter_map(column).collect()
}

/// Which values of a metric are good, where any are and all rows agree on it: rows on different data may have different goals.
fn agreed(rows: &[Row<'_>], name: &str) -> Option<Better> {
    let mut all = rows.iter().flat_map(|r| r.numbers()).filter_map(|n| n.metric(name)).map(|m| m.better);
    let first = all.next()?;
    let same = |other: Better| match (first, other) {
        (Better::Near(a), Better::Near(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
        (a, b) => a == b,
    };
    all.all(same).then_some(first).filter(|better| *better != Better::Neither)
}

/// The column with the metric's floor and baseline.
pub(super) fn with_references(mut column: Column, rows: &[Row<'_>], name: &str) -> Column {
    let metrics = || rows.iter().flat_map(|r| r.numbers()).filter_map(|n| n.metric(name));
    column.floor = reference(metrics().filter_map(|m| m.floor));
    column.baseline = reference(metrics().filter_map(|m| m.baseline));
    column.own = rows.iter().map(|row| own_references(row, name)).collect();
    column
}

/// A row's own floor and baseline: the means over its repetitions.
fn own_references(row: &Row<'_>, name: &str) -> [Option<Estimate>; 2] {
    let picks: [fn(&MetricRecord) -> Option<Estimate>; 2] = [|m| m.floor, |m| m.baseline];
    picks.map(|pick| mean(&row.numbers().filter_map(|n| pick(n.metric(name)?)).collect::<Vec<_>>()))
}

/// The mean of those that are finite. The errors of cells that share their data are not independent, so it has no smaller error
/// than each.
fn mean(estimates: &[Estimate]) -> Option<Estimate> {
    let all: Vec<&Estimate> = estimates.iter().filter(|e| e.value.is_finite()).collect();
    let over = |pick: fn(&Estimate) -> f64| all.iter().map(|e| pick(e)).sum::<f64>() / all.len() as f64;
    (!all.is_empty()).then(|| Estimate::new(over(|e| e.value), over(|e| e.standard_error)))
}

/// One value if all agree within two standard errors of a difference, else their range.
fn reference(estimates: impl Iterator<Item = Estimate>) -> Option<Reference> {
    let all: Vec<Estimate> = estimates.filter(|e| e.value.is_finite()).collect();
    let mean = mean(&all)?;
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), e| (l.min(e.value), h.max(e.value)));
    let agree = low == high || high - low <= 2.0 * std::f64::consts::SQRT_2 * mean.standard_error;
    Some(if agree { Reference::One(mean) } else { Reference::Between(low, high) })
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
        let noise: Vec<_> = table.column("gradient-noise").unwrap().cells.iter().map(|c| c.unwrap().mean).collect();
        assert_eq!(noise, [Estimate::new(3.0, 0.1), Estimate::new(1.0, 0.1)]);
    }

    #[test]
    fn marks_stay_within_a_family() {
        let row = |v: f64| [0.0, 0.1, 0.2].map(|d| Some(v + d)).to_vec();
        let scores = [row(1.0), row(2.0), row(10.0), row(20.0)];
        let apart = scores.clone().map(|values| Repetitions { values, training: vec![0, 1, 2] });
        assert_eq!(marks_within(&scores, &apart, |_| 0), [Mark::Best, Mark::Plain, Mark::Plain, Mark::Plain]);
        assert_eq!(marks_within(&scores, &apart, |i| i / 2), [Mark::Best, Mark::Plain, Mark::Best, Mark::Plain]);
    }

    #[test]
    fn repetitions_of_one_training_count_as_one() {
        let axes = [("objective", AxisRole::Compare, "a"), ("seed", AxisRole::Repeat, "0 1 2")];
        let mut sweep = sweep(&axes, &[("a 0", 1.0), ("a 1", 3.0), ("a 2", 5.0)]);
        let measured = |sweep: &crate::sweep::Sweep| {
            let table = Table::of(sweep);
            let cell = table.measured().next().unwrap().cells[0].unwrap();
            (cell.mean.value, cell.n)
        };
        assert_eq!(measured(&sweep), (3.0, 3));
        for (cell, training) in sweep.cells.iter_mut().zip(["x", "x", "y"]) {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.trained = Some(training.into());
        }
        assert_eq!(measured(&sweep), (3.5, 2));
    }
}
