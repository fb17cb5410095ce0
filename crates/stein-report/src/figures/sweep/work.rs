//! Quality against work: a measure against score evaluations.

use stein_record::{Better, Estimate};

use super::design::{Design, Line};
use super::{Lines, Points, errors, log_around};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::figures::chart::Series;
use crate::number::estimate;
use crate::palette::Tone;
use crate::sweep::{Column, NFE, Reference, Table};
use crate::text::visible;

/// A measure against the evaluations of the score that a sample took: a point a row, rows along an axis of numbers joined.
/// Nothing where all rows take equally many.
pub(crate) fn figure(table: &Table<'_>, column: &Column) -> Drawn {
    let Some(nfe) = table.column(NFE).filter(|nfe| nfe.varies()) else { return Ok(None) };
    let along = joined(table, nfe);
    let design = Design::together(table, along);
    let at = |&row: &usize| {
        column.cells[row]?;
        let mean = column.finite(row).unwrap_or(Estimate::new(f64::NAN, f64::NAN));
        Some((nfe.finite(row)?.value, mean.value, mean.standard_error))
    };
    let points = |line: &Line| -> Points {
        let mut points: Vec<_> = line.rows.iter().filter_map(at).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let broken = points.iter().filter(|p| !p.1.is_finite()).map(|p| p.0).collect();
        (points, broken)
    };
    let all: Vec<(f64, f64, f64)> = design.lines().flat_map(|line| points(line).0).collect();
    let floor = floor(column);
    // An error is read in ratios; a share is not.
    let y = match column.better {
        Some(Better::Lower) => log_around(&all, floor.filter(|f| *f > 0.0)),
        Some(Better::Higher | Better::Near(_) | Better::Neither) | None => {
            let ends = all.iter().flat_map(|p| [p.1, p.1 - p.2, p.1 + p.2]);
            Axis::linear_around(ends.chain(floor))
        }
    };
    let label = visible(&column.label);
    let joined = match along {
        Some(axis) => format!(" Lines join rows that differ in {} only.", visible(&table.compared[axis].name)),
        None => String::new(),
    };
    let lines = Lines {
        x: Axis::log(all.iter().map(|p| p.0)),
        y: Some(y),
        x_label: "score evaluations a sample (NFE)",
        y_label: &label,
        band: false,
        references: floor.filter(|f| y.place(*f).is_some()).map(|f| real(f, &all)).into_iter().collect(),
        caption: format!("{label} against what a sample takes.{joined}{}{}", told(column), errors(table, "Bars")),
    };
    lines.draw(table, &design, points)
}

/// The axis of numbers along which evaluations grow, that with the most values if there are several.
fn joined(table: &Table<'_>, nfe: &Column) -> Option<usize> {
    let grows = |&axis: &usize| {
        let differ_there = |a: usize, b: usize| {
            let (a, b) = (&table.rows[a].labels, &table.rows[b].labels);
            (0..a.len()).all(|i| (a[i] == b[i]) != (i == axis))
        };
        let rows = 0..table.rows.len();
        let value = |row: usize| nfe.finite(row).map(|m| m.value);
        let more = |a: usize, b: usize| value(a).zip(value(b)).is_some_and(|(a, b)| a < b);
        rows.clone().any(|a| rows.clone().any(|b| differ_there(a, b) && more(a, b)))
    };
    let numeric = (0..table.compared.len()).filter(|&axis| table.compared[axis].numbers.is_some());
    numeric.filter(grows).max_by_key(|&axis| (table.compared[axis].values.len(), std::cmp::Reverse(axis)))
}

/// What real data get, where it is one number for all rows.
fn floor(column: &Column) -> Option<f64> {
    match column.floor {
        Some(Reference::One(floor)) => Some(floor.value),
        Some(Reference::Between(..)) | None => None,
    }
}

/// A dashed line at what real data get.
fn real(floor: f64, points: &[(f64, f64, f64)]) -> Series {
    let ends = points.iter().fold((f64::INFINITY, 0.0f64), |(l, h), p| (l.min(p.0), h.max(p.0)));
    Series::line("real data", Tone::Muted, [(ends.0, floor), (ends.1, floor)]).dashed()
}

/// A sentence about real data; empty if nothing is known of them.
fn told(column: &Column) -> String {
    match column.floor {
        None => String::new(),
        Some(Reference::One(floor)) => format!(" Real data in place of samples get {}.", estimate(&floor)),
        Some(Reference::Between(low, high)) => {
            let of = |v| estimate(&Estimate::new(v, f64::NAN));
            format!(" Real data in place of samples get {} to {}.", of(low), of(high))
        }
    }
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Sweep};

    /// Two solvers at three numbers of levels, which take 1 and 2 evaluations a level.
    fn solvers() -> Sweep {
        let axes = [("levels", AxisRole::Compare, "5 10 20"), ("solver", AxisRole::Compare, "euler heun")];
        let cells = ["5 euler", "10 euler", "20 euler", "5 heun", "10 heun", "20 heun"].map(|c| (c, 0.5));
        let mut sweep = sweep(&axes, &cells);
        sweep.axes[0].numbers = Some(vec![5.0, 10.0, 20.0]);
        for (cell, nfe) in sweep.cells.iter_mut().zip([5, 10, 20, 10, 20, 40]) {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.nfe = nfe;
        }
        sweep
    }

    #[test]
    fn rows_along_numbers_are_one_line() {
        let sweep = solvers();
        let table = Table::of(&sweep);
        assert_eq!(joined(&table, table.column(NFE).unwrap()), Some(0));
        let figure = figure(&table, table.primary_column().unwrap()).unwrap().unwrap();
        assert!(figure.caption.contains("Lines join rows that differ in levels only."), "{}", figure.caption);
        assert!(figure.panels[0].alt.contains("euler ends at 0.50, heun ends at 0.50"), "{}", figure.panels[0].alt);
    }

    #[test]
    fn a_row_without_a_value_is_no_reason_to_join() {
        let axes = [("alpha", AxisRole::Compare, "1 2 3"), ("steps", AxisRole::Compare, "4 16")];
        let mut sweep = sweep(&axes, &["1 4", "1 16", "2 4", "2 16", "3 4", "3 16"].map(|c| (c, 0.5)));
        (sweep.axes[0].numbers, sweep.axes[1].numbers) = (Some(vec![1.0, 2.0, 3.0]), Some(vec![4.0, 16.0]));
        for (i, cell) in sweep.cells.iter_mut().enumerate() {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.nfe = [4, 16][i % 2];
        }
        sweep.cells[5].found = Found::Nothing;
        let table = Table::of(&sweep);
        assert_eq!(joined(&table, table.column(NFE).unwrap()), Some(1));
    }

    #[test]
    fn equal_work_has_no_figure() {
        let mut sweep = solvers();
        for cell in &mut sweep.cells {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.nfe = 7;
        }
        let table = Table::of(&sweep);
        assert_eq!(figure(&table, table.primary_column().unwrap()), Ok(None));
    }

    #[test]
    fn real_data_are_a_dashed_line_from_end_to_end() {
        let line = real(0.1, &[(20.0, 1.0, 0.1), (5.0, 2.0, 0.1)]);
        assert_eq!(line.points.iter().map(|p| (p.0, p.1)).collect::<Vec<_>>(), [(5.0, 0.1), (20.0, 0.1)]);
        assert!(line.dashed);
    }
}
