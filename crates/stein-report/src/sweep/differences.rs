//! How far rows are from a reference, repetition by repetition.

use super::Column;
use crate::statistics::{self, Difference, Pair};

/// Repetitions without which a row is no reference.
const FEWEST: usize = 2;

/// A column's differences from the reference of each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Differences {
    /// The row that each is held against; `None` where nothing with the same data and noise levels was repeated and finite.
    pub(crate) reference: Vec<Option<usize>>,
    /// For each row but the references its difference, where both have at least two repetitions in common.
    pub(crate) of: Vec<Option<Difference>>,
    /// Why there is none at all.
    pub(crate) lacking: Option<Lacking>,
}

/// Why no two rows can be held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lacking {
    /// No two rows have two repetitions in common.
    Shared,
    /// Some have, but not all values are finite.
    Finite,
}

impl Column {
    /// From the first of some rows to each of them that can be compared with it.
    pub(crate) fn differences(&self, rows: &[usize]) -> Vec<Option<Difference>> {
        let mut out = vec![None; rows.len()];
        let Some((&first, others)) = rows.split_first() else { return out };
        let comparable: Vec<usize> =
            (1..=others.len()).filter(|&i| self.families[rows[i]] == self.families[first]).collect();
        let pairs: Vec<Pair<'_>> = comparable.iter().map(|&i| self.pair(rows[i], first)).collect();
        for (i, found) in comparable.into_iter().zip(statistics::differences(&pairs)) {
            out[i] = found;
        }
        out
    }

    /// From the first row that was repeated and is finite to each other row, among rows that can be compared. All of the column
    /// are tested together.
    pub(crate) fn against_first(&self) -> Differences {
        let rows = 0..self.each.len();
        let reference: Vec<Option<usize>> = rows
            .clone()
            .map(|row| {
                rows.clone().find(|&other| self.families[other] == self.families[row] && self.is_reference(other))
            })
            .collect();
        let held: Vec<(usize, usize)> =
            reference.iter().enumerate().filter_map(|(row, of)| Some((row, (*of)?))).filter(|(a, b)| a != b).collect();
        let pairs: Vec<Pair<'_>> = held.iter().map(|&(row, of)| self.pair(row, of)).collect();
        let mut of = vec![None; self.each.len()];
        for (&(row, _), found) in held.iter().zip(statistics::differences(&pairs)) {
            of[row] = found;
        }
        let lacking = if self.is_lacking_finite() { Lacking::Finite } else { Lacking::Shared };
        let lacking = of.iter().all(Option::is_none).then_some(lacking);
        Differences { reference, of, lacking }
    }

    fn pair(&self, row: usize, from: usize) -> Pair<'_> {
        let whole = !self.diverged[row] && !self.diverged[from];
        Pair { row: &self.apart[row], from: &self.apart[from], whole }
    }

    /// Whether a row has values enough to be held against, all of them finite.
    fn is_reference(&self, row: usize) -> bool {
        let values = || self.each[row].iter().flatten();
        values().count() >= FEWEST && values().all(|v| v.is_finite())
    }

    /// Whether two rows have repetitions in common, but could not be compared because some are not finite.
    fn is_lacking_finite(&self) -> bool {
        let shared = |a: usize, b: usize| self.each[a].iter().zip(&self.each[b]).filter_map(|(a, b)| (*a).zip(*b));
        let spoilt = |a: usize, b: usize| {
            shared(a, b).count() >= FEWEST && !shared(a, b).all(|(a, b)| a.is_finite() && b.is_finite())
        };
        let rows = self.each.len();
        (0..rows).any(|a| (0..a).any(|b| self.families[a] == self.families[b] && spoilt(a, b)))
    }
}

#[cfg(test)]
mod tests {
    use stein_record::{AxisRole, Estimate, State};

    use super::Lacking;
    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Numbers, Table};

    const AXES: [(&str, AxisRole, &str); 2] =
        [("sampler", AxisRole::Compare, "a b c"), ("seed", AxisRole::Repeat, "0 1 2")];
    const CELLS: [(&str, f64); 9] = [
        ("a 0", 10.0),
        ("a 1", 20.0),
        ("a 2", 30.0),
        ("b 0", 11.0),
        ("b 1", 22.0),
        ("b 2", 33.0),
        ("c 0", 10.0),
        ("c 1", 20.0),
        ("c 2", 31.5),
    ];

    #[test]
    fn rows_are_held_against_the_first_seed_by_seed() {
        let sweep = sweep(&AXES, &CELLS);
        let table = Table::of(&sweep);
        let found = table.primary_column().unwrap().against_first();
        assert_eq!(found.reference, [Some(0); 3]);
        assert_eq!(found.of[0], None, "the first is the reference");
        // 1, 2, 3: mean 2, standard error 1/√3; Student's t with 2 degrees of freedom at 97.5% is 4.302 652 730.
        let b = found.of[1].unwrap();
        let half = 4.302_652_729_749_464 / 3.0f64.sqrt();
        assert!((b.mean.value - 2.0).abs() < 1e-12 && b.n == 3, "{b:?}");
        assert!((b.interval[0] - (2.0 - half)).abs() < 1e-6 && (b.interval[1] - (2.0 + half)).abs() < 1e-6, "{b:?}");
        // The wrong twin takes the rows apart, whose seeds differ by more than the samplers: √(100/3 + 121/3) for 1/√3.
        let apart = 4.302_652_729_749_464 * ((100.0 + 121.0) / 3.0f64).sqrt();
        assert!((b.interval[1] - b.mean.value) < apart / 10.0);
        // 0, 0, 1.5.
        assert!((found.of[2].unwrap().mean.value - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_row_that_was_not_repeated_is_no_reference() {
        let mut sweep = sweep(&AXES, &CELLS);
        sweep.cells[1].found = Found::Nothing;
        sweep.cells[2].found = Found::Nothing;
        let table = Table::of(&sweep);
        let found = table.primary_column().unwrap().against_first();
        assert_eq!(found.reference, [Some(1); 3]);
        // The one seed that they share is no difference with an interval.
        assert_eq!((found.of[0], found.of[1]), (None, None));
        assert!((found.of[2].unwrap().mean.value - (-1.0 - 2.0 - 1.5) / 3.0).abs() < 1e-12);
        drop(table);
        for cell in &mut sweep.cells[4..] {
            cell.found = Found::Nothing;
        }
        let none = Table::of(&sweep).primary_column().unwrap().against_first();
        assert_eq!((none.of, none.lacking), (vec![None; 3], Some(Lacking::Shared)));
    }

    #[test]
    fn a_row_that_was_not_always_finite_is_no_reference() {
        let mut sweep = sweep(&AXES, &CELLS);
        let not_finite = || Found::Numbers(Box::new(Numbers::synthetic(Estimate::new(f64::INFINITY, 0.1))));
        sweep.cells[1].found = not_finite();
        let found = Table::of(&sweep).primary_column().unwrap().against_first();
        assert_eq!((&found.reference, found.lacking), (&vec![Some(1); 3], None));
        // The wrong twin holds all against the first, and has no difference of any.
        assert!(found.of[0].is_none() && found.of[2].is_some());
        for cell in [4, 7] {
            sweep.cells[cell].found = not_finite();
        }
        let none = Table::of(&sweep).primary_column().unwrap().against_first();
        assert_eq!((none.of, none.lacking), (vec![None; 3], Some(Lacking::Finite)));
    }

    #[test]
    fn a_row_that_diverged_is_not_told() {
        let axes = [("sampler", AxisRole::Compare, "a b"), ("seed", AxisRole::Repeat, "0 1 2 3")];
        let cells = [1.0, 2.0, 3.0, 4.0, 2.0, 3.01, 4.0, 5.01];
        let names = ["a 0", "a 1", "a 2", "a 3", "b 0", "b 1", "b 2", "b 3"];
        let cells: Vec<(&str, f64)> = names.into_iter().zip(cells).collect();
        let mut sweep = sweep(&axes, &cells);
        let short = |state| Found::Short { file: String::new(), state: Some(state), why: String::new() };
        let mut found = |state| {
            sweep.cells[7].found = short(state);
            Table::of(&sweep).primary_column().unwrap().against_first().of[1].unwrap()
        };
        let (failed, diverged) = (found(State::Failed), found(State::Diverged));
        assert!(failed.told && !diverged.told && failed.n == 3 && diverged.n == 3);
    }

    #[test]
    fn all_families_of_a_column_are_tested_together() {
        let axes = [
            ("data", AxisRole::Compare, "x y"),
            ("sampler", AxisRole::Compare, "a b"),
            ("seed", AxisRole::Repeat, "0 1 2"),
        ];
        // Differences 0.8, 1.1, 1.6, whose p is 0.038: told alone, not beside another test.
        let differences = [0.8, 1.1, 1.6];
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for data in ["x", "y"] {
            for sampler in ["a", "b"] {
                for (seed, difference) in differences.iter().enumerate() {
                    names.push(format!("{data} {sampler} {seed}"));
                    values.push(seed as f64 + if sampler == "b" { *difference } else { 0.0 });
                }
            }
        }
        let cells: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(values).collect();
        let told = |cells: &[(&str, f64)]| -> Vec<bool> {
            let sweep = sweep(&axes, cells);
            let found = Table::of(&sweep).primary_column().unwrap().against_first();
            found.of.into_iter().flatten().map(|difference| difference.told).collect()
        };
        assert_eq!(told(&cells[..6]), [true]);
        // The wrong twin tests each family by itself.
        assert_eq!(told(&cells), [false, false]);
    }
}
