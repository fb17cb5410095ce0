//! What the values of an axis stand for: the keys of the resolved experiments that they set.

use std::collections::{BTreeMap, BTreeSet};

use stein_record::{AxisRole, SweepAxis, configuration};

use super::{Cell, Sweep};
use crate::run::Run;

/// A resolved experiment by its key paths, in the file's order.
pub(crate) type Configuration = Vec<(String, String)>;

/// The keys that vary along an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Varied<'a> {
    pub(crate) axis: &'a SweepAxis,
    /// The axis's labels, as far as a cell with them has been begun.
    pub(crate) labels: Vec<&'a str>,
    /// Each key with its value at each of these labels; `None` where it is not there.
    pub(crate) keys: Vec<(String, Vec<Option<String>>)>,
}

/// The resolved experiment of a run; empty if there is none that can be read.
pub(super) fn read(run: &Run) -> Configuration {
    run.toml.as_deref().and_then(|text| configuration::flat(text).ok()).unwrap_or_default()
}

impl Sweep {
    /// What varies along each axis that is compared or chosen over.
    pub(crate) fn varied(&self) -> Vec<Varied<'_>> {
        let axes = self.axes.iter().enumerate().filter(|(_, axis)| axis.role != AxisRole::Repeat);
        axes.map(|(i, axis)| varied(self, i, axis)).collect()
    }
}

fn varied<'a>(sweep: &'a Sweep, index: usize, axis: &'a SweepAxis) -> Varied<'a> {
    let label = |cell: &Cell| cell.labels[index].clone();
    let all: Vec<&Cell> = sweep.cells.iter().filter(|cell| !cell.configuration.is_empty()).collect();
    let labels: Vec<&str> =
        axis.values.iter().map(String::as_str).filter(|l| all.iter().any(|cell| cell.labels[index] == *l)).collect();
    let mut alike: BTreeMap<Vec<&str>, Vec<&Cell>> = BTreeMap::new();
    for cell in &all {
        let others = cell.labels.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, l)| l.as_str());
        alike.entry(others.collect()).or_default().push(cell);
    }
    let alone: Vec<&Vec<&Cell>> = alike
        .values()
        .filter(|cells| cells.iter().map(|cell| label(cell)).collect::<BTreeSet<_>>().len() > 1)
        .collect();
    let varies = |key: &String| {
        if alone.is_empty() {
            // Axes that step together: what depends on the label alone may be of any of them.
            return differ(&all, key) && labels.iter().all(|l| !differ(&with_label(&all, index, l), key));
        }
        alone.iter().any(|cells| differ(cells, key))
    };
    let keys = keys(&all).into_iter().filter(varies);
    let values = |key: &str| labels.iter().map(|l| values(&with_label(&all, index, l), key)).collect();
    let keys = keys.map(|key| (values(&key), key)).map(|(values, key)| (key, values)).collect();
    Varied { axis, labels, keys }
}

fn with_label<'a>(cells: &[&'a Cell], axis: usize, label: &str) -> Vec<&'a Cell> {
    cells.iter().copied().filter(|cell| cell.labels[axis] == label).collect()
}

/// All keys of some cells, in the order of the files; what an experiment is called is no part of what it does.
fn keys(cells: &[&Cell]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = cells.iter().flat_map(|cell| &cell.configuration).map(|(key, _)| key);
    all.filter(|key| *key != "name" && seen.insert(*key)).cloned().collect()
}

fn value<'a>(cell: &'a Cell, key: &str) -> Option<&'a str> {
    cell.configuration.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
}

fn differ(cells: &[&Cell], key: &str) -> bool {
    cells.split_first().is_some_and(|(first, others)| others.iter().any(|cell| value(cell, key) != value(first, key)))
}

/// The value that all of some cells have; all of their values, where another axis varies it too.
fn values(cells: &[&Cell], key: &str) -> Option<String> {
    let all: BTreeSet<&str> = cells.iter().filter_map(|cell| value(cell, key)).collect();
    (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join(" / "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::tests::sweep;

    /// Cells told by their labels what `text` makes of them.
    fn told(axes: &[(&str, AxisRole, &str)], cells: &[&str], text: impl Fn(&[String]) -> String) -> Sweep {
        let cells: Vec<(&str, f64)> = cells.iter().map(|cell| (*cell, 1.0)).collect();
        let mut sweep = sweep(axes, &cells);
        for cell in &mut sweep.cells {
            cell.configuration = configuration::flat(&text(&cell.labels)).unwrap();
        }
        sweep
    }

    fn found(sweep: &Sweep) -> Vec<(String, Vec<Option<String>>)> {
        sweep.varied().into_iter().flat_map(|varied| varied.keys).collect()
    }

    const AXES: [(&str, AxisRole, &str); 3] = [
        ("objective", AxisRole::Compare, "SSM DSM"),
        ("levels", AxisRole::Compare, "5 10"),
        ("seed", AxisRole::Repeat, "0 1"),
    ];

    #[test]
    fn an_axis_has_the_keys_that_it_varies_and_no_others() {
        let cells = ["SSM 5 0", "SSM 10 1", "DSM 5 0", "DSM 10 0"];
        let sweep = told(&AXES, &cells, |labels| {
            let objective = match labels[0].as_str() {
                "SSM" => "kind = \"sliced\"\nprojections = 1",
                _ => "kind = \"denoising\"",
            };
            format!(
                "name = \"x\"\nseed = {}\nsteps = 9\n[schedule]\nlevels = {}\n[objective]\n{objective}",
                labels[2], labels[1]
            )
        });
        let some = |values: &[&str]| values.iter().map(|v| Some((*v).to_owned())).collect::<Vec<_>>();
        // Only denoising was run at both levels with one seed. The wrong twin compares all cells: seeds differ along levels too.
        let expected = [
            ("objective.kind".to_owned(), some(&["\"sliced\"", "\"denoising\""])),
            ("objective.projections".to_owned(), vec![Some("1".to_owned()), None]),
            ("schedule.levels".to_owned(), some(&["5", "10"])),
        ];
        let mut all = found(&sweep);
        all.sort();
        assert_eq!(all, expected);
    }

    #[test]
    fn axes_that_step_together_share_their_keys() {
        let axes = [
            ("width", AxisRole::Compare, "8 16"),
            ("rate", AxisRole::Compare, "a b"),
            ("seed", AxisRole::Repeat, "0 1"),
        ];
        let sweep = told(&axes, &["8 a 0", "8 a 1", "16 b 0", "16 b 1"], |labels| {
            format!("seed = {}\nwidth = {}\nrate = \"{}\"", labels[2], labels[0], labels[1])
        });
        let keys: Vec<String> = found(&sweep).into_iter().map(|key| key.0).collect();
        assert_eq!(keys, ["width", "rate", "width", "rate"]);
    }

    #[test]
    fn cells_that_were_not_begun_say_nothing() {
        let begun = told(&AXES, &["SSM 5 0", "SSM 5 1"], |labels| format!("seed = {}", labels[2]));
        assert_eq!(begun.varied()[0].labels, ["SSM"]);
        assert_eq!(found(&begun), []);
    }
}
