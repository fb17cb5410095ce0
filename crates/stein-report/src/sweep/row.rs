//! The rows of a comparison: cells gathered by what they are compared, averaged and chosen over.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use stein_record::{AxisRole, Better, Estimate};

use super::{Cell, Numbers, Sweep, is_data};
use crate::statistics::badness;

/// A combination of labels on the compared axes.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// A label for each compared axis.
    pub(crate) labels: Vec<&'a str>,
    /// What was chosen on the axes of which only the best is shown.
    pub(crate) choice: Choice<'a>,
    /// The cell of each repetition of the sweep; `None` where the sweep has none.
    pub(crate) repetitions: Vec<Option<&'a Cell>>,
    /// Rows of one family were measured over the same range of noise levels.
    pub(crate) family: usize,
    /// The same of rows on the same data.
    pub(crate) data: usize,
}

/// The best of some values.
#[derive(Debug, PartialEq)]
pub(crate) struct Choice<'a> {
    /// A label for each axis.
    pub(crate) labels: Vec<&'a str>,
    /// How many there were to choose from.
    pub(crate) among: usize,
    /// How many were passed over because more of their repetitions diverged.
    pub(crate) passed_over: usize,
}

impl<'a> Row<'a> {
    /// The numbers of each repetition that finished.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = &'a Numbers> + '_ {
        self.repetitions.iter().flatten().filter_map(|cell| cell.numbers())
    }

    /// Repetitions that share a trained network: the first of each, and the others.
    pub(crate) fn of_one_training(&self) -> Vec<(usize, Vec<usize>)> {
        let trained = |cell: &Option<&'a Cell>| cell.and_then(|cell| cell.numbers()?.trained.as_deref());
        let mut groups: Vec<(&str, usize, Vec<usize>)> = Vec::new();
        for (i, training) in self.repetitions.iter().map(trained).enumerate() {
            let Some(training) = training else { continue };
            match groups.iter_mut().find(|group| group.0 == training) {
                Some((_, _, others)) => others.push(i),
                None => groups.push((training, i, Vec::new())),
            }
        }
        groups.into_iter().filter(|group| !group.2.is_empty()).map(|(_, first, others)| (first, others)).collect()
    }

    /// The mean seconds of a step of training.
    pub(crate) fn step_seconds(&self) -> Option<f64> {
        let seconds: Vec<f64> = self.numbers().filter_map(|n| n.step_seconds).collect();
        (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
    }

    /// Whether any repetition diverged.
    pub(crate) fn diverged(&self) -> bool {
        self.repetitions.iter().flatten().any(|cell| cell.diverged())
    }

    /// Repetitions that finished, and all that the sweep has.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.numbers().count(), self.repetitions.iter().flatten().count())
    }
}

/// A cell's labels on the axes of one role, in the order of these axes' values.
type Key<'a> = Vec<(usize, &'a str)>;

/// The rows, in the order of the axes' values. `primary` chooses where only the best is shown.
pub(super) fn rows(sweep: &Sweep, better: Better, primary: impl Fn(&Numbers) -> Option<Estimate>) -> Vec<Row<'_>> {
    let mut gathered: BTreeMap<Key<'_>, BTreeMap<Key<'_>, BTreeMap<Key<'_>, &Cell>>> = BTreeMap::new();
    let mut repetitions = BTreeSet::new();
    for cell in &sweep.cells {
        let repetition = key(sweep, cell, AxisRole::Repeat);
        repetitions.insert(repetition.clone());
        let candidates = gathered.entry(key(sweep, cell, AxisRole::Compare)).or_default();
        candidates.entry(key(sweep, cell, AxisRole::Best)).or_default().entry(repetition).or_insert(cell);
    }
    let mut families: Vec<(f64, f64)> = Vec::new();
    // The axes of data are the first: see `Sweep::new`.
    let data_axes = sweep.axes.iter().filter(|a| a.role == AxisRole::Compare && is_data(a)).count();
    let mut labels_of_data: Vec<Key<'_>> = Vec::new();
    let mut out = Vec::new();
    for (labels, candidates) in gathered {
        let Some((choice, chosen)) = choose(&candidates, better, &primary) else { continue };
        labels_of_data.push(labels[..data_axes.min(labels.len())].to_vec());
        let mut row = Row {
            data: 0,
            labels: labels.into_iter().map(|k| k.1).collect(),
            choice,
            repetitions: repetitions.iter().map(|r| chosen.get(r).copied()).collect(),
            family: 0,
        };
        let span = row.numbers().find_map(Numbers::span);
        row.family = span.map_or(usize::MAX, |span| family(&mut families, span));
        out.push(row);
    }
    let data = data(&out, &labels_of_data);
    for (row, data) in out.iter_mut().zip(data) {
        row.data = data;
    }
    out
}

/// For each row the number of its data, the same for the same data. What the data are is told by their keys in the resolved
/// experiments, whatever the axis is called that sets them; where no experiment was read, by the labels on axes of data.
fn data(rows: &[Row<'_>], labels: &[Key<'_>]) -> Vec<usize> {
    let repeated = repeated_keys(rows);
    let mut known: Vec<(Option<Keys<'_>>, &Key<'_>)> = Vec::new();
    let number = |(row, labels)| {
        let keys: Option<Keys<'_>> = data_keys(row).next().map(|mut keys: Keys<'_>| {
            keys.retain(|key, _| !repeated.contains(key));
            keys
        });
        let same = |other: &(Option<Keys<'_>>, &Key<'_>)| match (&keys, &other.0) {
            (Some(a), Some(b)) => a == b,
            _ => labels == other.1,
        };
        let at = known.iter().position(same).unwrap_or_else(|| {
            known.push((None, labels));
            known.len() - 1
        });
        // The first that tells its keys tells them for all with its labels.
        let told = known[at].0.take().or(keys);
        known[at].0 = told;
        at
    };
    rows.iter().zip(labels).map(number).collect()
}

/// What experiments say of their data.
type Keys<'a> = BTreeMap<&'a str, &'a str>;

/// The keys of the data of each repetition whose experiment was read.
fn data_keys<'a>(row: &Row<'a>) -> impl Iterator<Item = Keys<'a>> {
    let cells: Vec<&'a Cell> = row.repetitions.iter().flatten().copied().collect();
    cells.into_iter().filter(|cell| !cell.configuration.is_empty()).map(|cell| {
        let of_data = |key: &str| key == "data" || key.starts_with("data.");
        let pairs = cell.configuration.iter().filter(|(key, _)| of_data(key));
        pairs.map(|(key, value)| (key.as_str(), value.as_str())).collect()
    })
}

/// Keys of the data that repetitions vary, the seed of a draw, say: they tell no rows apart.
fn repeated_keys<'a>(rows: &[Row<'a>]) -> BTreeSet<&'a str> {
    let mut out = BTreeSet::new();
    for row in rows {
        let all: Vec<Keys<'a>> = data_keys(row).collect();
        let Some((first, others)) = all.split_first() else { continue };
        for other in others {
            out.extend(first.keys().chain(other.keys()).filter(|key| first.get(*key) != other.get(*key)).copied());
        }
    }
    out
}

fn key<'a>(sweep: &'a Sweep, cell: &'a Cell, role: AxisRole) -> Key<'a> {
    let axes = sweep.axes.iter().zip(&cell.labels).filter(|(axis, _)| axis.role == role);
    axes.map(|(axis, label)| (axis.values.iter().position(|v| v == label).unwrap_or(axis.values.len()), label.as_str()))
        .collect()
}

/// The candidate whose mean of `primary` is best, of those with the fewest repetitions that diverged: one that survived by
/// luck in one of three runs is not the best. A run that failed for another reason says nothing.
fn choose<'a, 'c>(
    candidates: &'c BTreeMap<Key<'a>, BTreeMap<Key<'a>, &'a Cell>>,
    better: Better,
    primary: impl Fn(&Numbers) -> Option<Estimate>,
) -> Option<(Choice<'a>, &'c BTreeMap<Key<'a>, &'a Cell>)> {
    let score = |cells: &BTreeMap<Key<'a>, &'a Cell>| {
        let values = cells.values().filter_map(|c| primary(c.numbers()?)).map(|e| badness(better, e.value));
        let (finite, not): (Vec<f64>, Vec<f64>) = values.partition(|v| v.is_finite());
        let diverged = not.len() + cells.values().filter(|c| c.diverged()).count();
        // Without a finite one the mean is 0/0, which comes last.
        (diverged, finite.iter().sum::<f64>() / finite.len() as f64)
    };
    let scored: Vec<_> = candidates.iter().map(|(key, cells)| (score(cells), key, cells)).collect();
    let order = |a: f64, b: f64| (a.is_nan(), a).partial_cmp(&(b.is_nan(), b)).unwrap_or(Ordering::Equal);
    // Where nothing is finite, the number that diverged is no reason to prefer it.
    let fewest = scored.iter().filter(|s| !s.0.1.is_nan()).map(|s| s.0.0).min();
    let fit = scored.iter().filter(|s| fewest.is_none_or(|f| s.0.0 <= f));
    let (_, key, cells) = fit.min_by(|a, b| order(a.0.1, b.0.1))?;
    let choice = Choice {
        labels: key.iter().map(|k| k.1).collect(),
        among: scored.len(),
        passed_over: scored.iter().filter(|s| fewest.is_some_and(|f| s.0.0 > f)).count(),
    };
    Some((choice, cells))
}

/// The number of the range of noise levels, a new one if it is new.
fn family(known: &mut Vec<(f64, f64)>, span: (f64, f64)) -> usize {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(b.abs());
    known.iter().position(|k| near(k.0, span.0) && near(k.1, span.1)).unwrap_or_else(|| {
        known.push(span);
        known.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use stein_record::State;

    use super::*;
    use crate::sweep::Found;
    use crate::sweep::tests::sweep;

    /// Primary values of a row's repetitions.
    fn values(row: &Row<'_>) -> Vec<f64> {
        row.numbers().filter_map(Numbers::scaled).map(|e| e.value).collect()
    }

    #[test]
    fn rows_are_combinations_of_compared_labels_in_their_order() {
        let axes = [("objective", AxisRole::Compare, "sliced denoising"), ("seed", AxisRole::Repeat, "0 1")];
        let sweep = sweep(&axes, &[("denoising 1", 1.0), ("sliced 0", 2.0), ("denoising 0", 3.0), ("sliced 1", 4.0)]);
        let rows = rows(&sweep, Better::Lower, Numbers::scaled);
        assert_eq!(rows.iter().map(|r| r.labels.clone()).collect::<Vec<_>>(), [["sliced"], ["denoising"]]);
        assert_eq!(rows.iter().map(values).collect::<Vec<_>>(), [[2.0, 4.0], [3.0, 1.0]]);
        assert_eq!(rows[0].choice, Choice { labels: vec![], among: 1, passed_over: 0 });
    }

    #[test]
    fn the_best_of_an_axis_is_chosen_by_its_mean() {
        let axes = [("rate", AxisRole::Best, "big small"), ("seed", AxisRole::Repeat, "0 1")];
        // The wrong twin takes the single best run, which is a big one.
        let cells = [("big 0", 0.1), ("big 1", 9.0), ("small 0", 2.0), ("small 1", 3.0)];
        let sweep = sweep(&axes, &cells);
        let rows = rows(&sweep, Better::Lower, Numbers::scaled);
        assert_eq!(rows[0].choice, Choice { labels: vec!["small"], among: 2, passed_over: 0 });
        assert_eq!(super::rows(&sweep, Better::Higher, Numbers::scaled)[0].choice.labels, ["big"]);
    }

    #[test]
    fn a_lucky_survivor_is_passed_over() {
        let axes = [("rate", AxisRole::Best, "big small"), ("seed", AxisRole::Repeat, "0 1")];
        let cells = [("big 0", 0.1), ("big 1", f64::NAN), ("small 0", 2.0), ("small 1", 3.0)];
        let mut sweep = sweep(&axes, &cells);
        let small = Choice { labels: vec!["small"], among: 2, passed_over: 1 };
        assert_eq!(rows(&sweep, Better::Lower, Numbers::scaled)[0].choice, small);
        // The same by its state; a run that failed for another reason does not count against its value.
        let short = |state| Found::Short { file: String::new(), state: Some(state), why: String::new() };
        sweep.cells[1].found = short(State::Diverged);
        assert_eq!(rows(&sweep, Better::Lower, Numbers::scaled)[0].choice, small);
        sweep.cells[1].found = short(State::Failed);
        let row = &rows(&sweep, Better::Lower, Numbers::scaled)[0];
        assert_eq!((&row.choice, row.count()), (&Choice { labels: vec!["big"], among: 2, passed_over: 0 }, (1, 2)));
        // Nor does a value win of which nothing has finished.
        sweep.cells[0].found = Found::Nothing;
        assert_eq!(rows(&sweep, Better::Lower, Numbers::scaled)[0].choice.labels, ["small"]);
    }

    #[test]
    fn data_are_told_by_their_keys_whatever_the_axis_is_called() {
        let axes = [("case", AxisRole::Compare, "wide narrow deep"), ("seed", AxisRole::Repeat, "0 1")];
        let cells = [("wide 0", 1.0), ("wide 1", 1.0), ("narrow 0", 2.0), ("narrow 1", 2.0), ("deep 0", 3.0)];
        let mut sweep = sweep(&axes, &cells);
        let data =
            |sweep: &Sweep| rows(sweep, Better::Lower, Numbers::scaled).iter().map(|r| r.data).collect::<Vec<_>>();
        assert_eq!(data(&sweep), [0, 0, 0], "nothing is known of the data, and no axis is of data");
        for cell in &mut sweep.cells {
            let spread = if cell.labels[0] == "narrow" { 1 } else { 4 };
            // Each seed draws its own data, which tells no rows apart.
            let text =
                format!("seed = 7\n[data]\nspread = {spread}\nseed = {}\n[network]\nx = {spread}", cell.labels[1]);
            cell.configuration = stein_record::configuration::flat(&text).unwrap();
        }
        assert_eq!(data(&sweep), [0, 1, 0]);
        let table = crate::sweep::Table::of(&sweep);
        assert!(table.is_over_data());
        let column = table.primary_column().unwrap();
        assert!(column.families[0] == column.families[2] && column.families[0] != column.families[1]);
    }

    #[test]
    fn where_no_experiment_was_read_axes_of_data_tell_them() {
        let axes = [("data", AxisRole::Compare, "x y"), ("sampler", AxisRole::Compare, "a b")];
        let mut sweep = sweep(&axes, &[("x a", 1.0), ("x b", 1.0), ("y a", 1.0), ("y b", 1.0)]);
        let data =
            |sweep: &Sweep| rows(sweep, Better::Lower, Numbers::scaled).iter().map(|r| r.data).collect::<Vec<_>>();
        assert_eq!(data(&sweep), [0, 0, 1, 1]);
        for cell in &mut sweep.cells[1..3] {
            cell.configuration = vec![("data.kind".into(), cell.labels[0].clone())];
        }
        assert_eq!(data(&sweep), [0, 0, 1, 1]);
    }

    #[test]
    fn families_share_their_noise_levels() {
        let mut known = Vec::new();
        let found = [(0.05, 8.0), (0.0, 0.0), (0.05 * (1.0 + 1e-9), 8.0), (0.05, 4.0), (0.0, 0.0)];
        assert_eq!(found.map(|span| family(&mut known, span)), [0, 1, 0, 2, 1]);
    }
}
