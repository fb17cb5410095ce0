//! How far rows are from a reference, repetition by repetition.

use super::Column;
use crate::statistics::{self, Difference};

/// Finite repetitions without which a row is no reference.
const FEWEST: usize = 2;

/// A column's differences from the reference of each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Differences {
    /// The row that each is held against; `None` where nothing with the same data and noise levels was repeated.
    pub(crate) reference: Vec<Option<usize>>,
    /// For each row but the references its difference, where both have at least two repetitions in common.
    pub(crate) of: Vec<Option<Difference>>,
}

impl Column {
    /// From the first of some rows to each of them that can be compared with it.
    pub(crate) fn differences(&self, rows: &[usize]) -> Vec<Option<Difference>> {
        let mut out = vec![None; rows.len()];
        let Some((&first, others)) = rows.split_first() else { return out };
        let comparable: Vec<usize> =
            (1..=others.len()).filter(|&i| self.families[rows[i]] == self.families[first]).collect();
        let values: Vec<Vec<Option<f64>>> = comparable.iter().map(|&i| self.each[rows[i]].clone()).collect();
        for (i, found) in comparable.into_iter().zip(statistics::differences(&values, &self.each[first])) {
            out[i] = found;
        }
        out
    }

    /// From the first row that was repeated to each other row, among rows that can be compared; `None` if no row has any.
    pub(crate) fn against_first(&self) -> Option<Differences> {
        let mut out = Differences { reference: vec![None; self.each.len()], of: vec![None; self.each.len()] };
        let mut families = self.families.clone();
        families.sort_unstable();
        families.dedup();
        for family in families {
            let members: Vec<usize> = (0..self.each.len()).filter(|&i| self.families[i] == family).collect();
            let repeated = |row: &&usize| self.each[**row].iter().flatten().filter(|v| v.is_finite()).count() >= FEWEST;
            let Some(&first) = members.iter().find(repeated) else { continue };
            let rows: Vec<usize> =
                std::iter::once(first).chain(members.iter().copied().filter(|&i| i != first)).collect();
            for (&row, found) in rows.iter().zip(self.differences(&rows)) {
                out.reference[row] = Some(first);
                out.of[row] = found;
            }
        }
        out.of.iter().any(Option::is_some).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Table};

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
        let found = table.primary_column().unwrap().against_first().unwrap();
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
        let found = table.primary_column().unwrap().against_first().unwrap();
        assert_eq!(found.reference, [Some(1); 3]);
        // The one seed that they share is no difference with an interval.
        assert_eq!((found.of[0], found.of[1]), (None, None));
        assert!((found.of[2].unwrap().mean.value - (-1.0 - 2.0 - 1.5) / 3.0).abs() < 1e-12);
        drop(table);
        for cell in &mut sweep.cells[4..] {
            cell.found = Found::Nothing;
        }
        assert_eq!(Table::of(&sweep).primary_column().unwrap().against_first(), None);
    }
}
