//! Quality and cost along an axis of numbers.

use super::design::{Design, Line};
use super::{Lines, Points, around, errors};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::sweep::{Column, Table};
use crate::text::visible;

/// An axis of fewer numbers has no course.
const FEWEST: usize = 3;
/// Numbers that span this factor are drawn logarithmically.
const WIDE: f64 = 8.0;

/// The compared axes that can be drawn, by their place among them.
pub(crate) fn axes(table: &Table<'_>) -> Vec<usize> {
    let drawable = |&axis: &usize| {
        let mut numbers: Vec<f64> = numbers(table, axis).into_iter().map(|n| n.1).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        numbers.len() >= FEWEST
    };
    (0..table.compared.len()).filter(drawable).collect()
}

/// A column against the numbers of an axis, a line for each combination of the other axes.
pub(crate) fn figure(table: &Table<'_>, axis: usize, column: &Column) -> Drawn {
    let numbers = numbers(table, axis);
    let number = |row: usize| numbers.iter().find(|n| n.0 == table.rows[row].labels[axis]).map(|n| n.1);
    let design = Design::of(table, Some(axis));
    let points = |line: &Line| -> Points {
        let at = |&row: &usize| {
            let mean = column.cells[row]?;
            let y = if mean.not_finite > 0 { f64::NAN } else { mean.mean.value };
            Some((number(row)?, y, mean.mean.standard_error))
        };
        let mut points: Vec<_> = line.rows.iter().filter_map(at).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let broken = points.iter().filter(|p| !p.1.is_finite()).map(|p| p.0).collect();
        (points, broken)
    };
    let all: Vec<(f64, f64, f64)> = design.lines().flat_map(|line| points(line).0).collect();
    let name = visible(&table.compared[axis].name);
    let label = visible(&column.label);
    let lines = Lines {
        x: scale(all.iter().map(|p| p.0)),
        y: Some(around(&all)),
        x_label: &name,
        y_label: &label,
        band: false,
        caption: format!("{label} along {name}.{}", errors(table, "Bars")),
    };
    lines.draw(table, &design, points)
}

/// The labels of an axis with their numbers, where these are finite.
fn numbers<'a>(table: &Table<'a>, axis: usize) -> Vec<(&'a str, f64)> {
    let axis = table.compared[axis];
    let numbers = axis.numbers.as_deref().unwrap_or_default();
    let all = axis.values.iter().map(String::as_str).zip(numbers.iter().copied());
    all.filter(|n| n.1.is_finite()).collect()
}

/// Logarithmic if the numbers are positive and span a factor of [`WIDE`].
fn scale(numbers: impl Iterator<Item = f64> + Clone) -> Axis {
    let (low, high) = numbers.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > 0.0 && high >= WIDE * low {
        return Axis::log(numbers);
    }
    let pad = 0.05 * (high - low);
    Axis::linear(low - pad, high + pad)
}
