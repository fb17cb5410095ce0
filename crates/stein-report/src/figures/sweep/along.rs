//! Quality and cost along an axis of numbers.

use stein_record::{Better, Estimate};

use super::design::{Design, Line};
use super::{Lines, Points, around, errors, listed, log_around, named};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::number::estimate;
use crate::statistics::log_log_slope;
use crate::sweep::{Column, Table};
use crate::text::visible;

/// An axis of fewer numbers has no course.
const FEWEST: usize = 3;
/// Numbers that span this factor are drawn logarithmically.
const WIDE: f64 = 8.0;
/// Numbers and values that both span this factor too, where lines have slopes: a power is a straight line then.
const WIDE_POWERS: f64 = 3.0;

/// The compared axes that can be drawn, by their place among them.
pub(crate) fn axes(table: &Table<'_>) -> Vec<usize> {
    (0..table.compared.len()).filter(|&axis| distinct(table, axis).len() >= FEWEST).collect()
}

/// The numbers of an axis, smallest first, each once.
pub(super) fn distinct(table: &Table<'_>, axis: usize) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers(table, axis).into_iter().map(|n| n.1).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    numbers
}

/// The number that a row has on an axis.
pub(super) fn number(table: &Table<'_>, axis: usize, row: usize) -> Option<f64> {
    numbers(table, axis).into_iter().find(|n| n.0 == table.rows[row].labels[axis]).map(|n| n.1)
}

/// A column against the numbers of an axis, a line for each combination of the other axes.
pub(crate) fn figure(table: &Table<'_>, axis: usize, column: &Column) -> Drawn {
    let design = Design::of(table, Some(axis));
    let points = |line: &Line| -> Points {
        let points = course(table, axis, column, line);
        let broken = points.iter().filter(|p| !p.1.is_finite()).map(|p| p.0).collect();
        (points, broken)
    };
    let all: Vec<(f64, f64, f64)> = design.lines().flat_map(|line| points(line).0).collect();
    let name = visible(&table.compared[axis].name);
    let label = visible(&column.label);
    let slopes = slopes(table, axis, column);
    let wide = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) =
            values.filter(|v| v.is_finite()).fold((f64::INFINITY, 0.0f64), |(l, h), v| (l.min(v), h.max(v)));
        low > 0.0 && high >= WIDE_POWERS * low
    };
    let powers = !slopes.is_empty() && wide(&mut all.iter().map(|p| p.0)) && wide(&mut all.iter().map(|p| p.1));
    let x = if powers { Axis::log(all.iter().map(|p| p.0)) } else { scale(all.iter().map(|p| p.0)) };
    let told: Vec<String> = slopes.iter().map(|(line, slope)| format!("{line} {}", estimate(slope))).collect();
    let told = if told.is_empty() {
        String::new()
    } else {
        format!(" Slopes d ln y / d ln x by least squares: {}.", listed(&told))
    };
    let lines = Lines {
        x,
        y: Some(if powers { log_around(&all, None) } else { around(&all) }),
        x_label: &name,
        y_label: &label,
        band: false,
        references: Vec::new(),
        caption: format!("{label} along {name}.{}{told}", errors(table, "Bars")),
    };
    lines.draw(table, &design, points)
}

/// For each line of that figure the slope of ln y on ln x, where the smaller y is the better: the order of an error, or of a
/// cost.
pub(crate) fn slopes(table: &Table<'_>, axis: usize, column: &Column) -> Vec<(String, Estimate)> {
    if column.better != Some(Better::Lower) {
        return Vec::new();
    }
    let design = Design::of(table, Some(axis));
    let lines = design.facets.iter().flat_map(|facet| facet.lines.iter().map(move |line| (facet, line)));
    let slope = |line: &Line| {
        let points: Vec<(f64, f64)> = course(table, axis, column, line).iter().map(|p| (p.0, p.1)).collect();
        log_log_slope(&points)
    };
    lines.filter_map(|(facet, line)| Some((named(&line.label, &facet.title), slope(line)?))).collect()
}

/// x, y and the error of y along a line; y is NaN where a repetition was not finite.
fn course(table: &Table<'_>, axis: usize, column: &Column, line: &Line) -> Vec<(f64, f64, f64)> {
    let at = |&row: &usize| {
        let mean = column.cells[row]?;
        let y = if mean.not_finite > 0 { f64::NAN } else { mean.mean.value };
        Some((number(table, axis, row)?, y, mean.mean.standard_error))
    };
    let mut points: Vec<_> = line.rows.iter().filter_map(at).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
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

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::tests::sweep;

    #[test]
    fn each_line_has_its_slope() {
        let axes = [("solver", AxisRole::Compare, "euler heun"), ("steps", AxisRole::Compare, "10 20 40")];
        let orders = [("euler", 1.0), ("heun", 2.0)];
        let cells: Vec<(String, f64)> = orders
            .iter()
            .flat_map(|(solver, order)| [10.0, 20.0, 40.0f64].map(|n| (format!("{solver} {n}"), n.powf(-order))))
            .collect();
        let cells: Vec<(&str, f64)> = cells.iter().map(|(labels, value)| (labels.as_str(), *value)).collect();
        let mut sweep = sweep(&axes, &cells);
        sweep.axes[1].numbers = Some(vec![10.0, 20.0, 40.0]);
        let table = Table::of(&sweep);
        let told = |column: &Column| -> Vec<(String, f64)> {
            slopes(&table, 1, column).into_iter().map(|(line, s)| (line, (1e6 * s.value).round() / 1e6)).collect()
        };
        let column = table.primary_column().unwrap();
        assert_eq!(told(column), [("euler".to_owned(), -1.0), ("heun".to_owned(), -2.0)]);
        let caption = figure(&table, 1, column).unwrap().unwrap().caption;
        assert!(caption.contains("by least squares: euler −1.0"), "{caption}");
        // Where larger is better, a slope is no order.
        let higher = Column { better: Some(Better::Higher), ..column.clone() };
        assert_eq!(told(&higher), []);
    }
}
