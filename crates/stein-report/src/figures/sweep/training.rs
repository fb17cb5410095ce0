//! Quality and loss over training, by steps and by time.

use super::design::{Design, Line};
use super::{Lines, Points, errors};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::sweep::{Numbers, Row, Table, mean};

/// Rows at most whose losses have a panel each.
const MOST_APART: usize = 6;

/// The Fisher divergence against steps.
pub(crate) fn by_steps(table: &Table<'_>) -> Drawn {
    let caption = "σ² times the Fisher divergence on held-out rows during training, at equal steps; without noise the divergence itself.";
    let lines = Lines {
        caption: caption.into(),
        y: Some(fisher_axis(table)),
        ..lines("training step", "σ² × Fisher divergence")
    };
    draw(table, lines, |n| &n.fisher, |_| Some(1.0))
}

/// The Fisher divergence against seconds.
pub(crate) fn by_seconds(table: &Table<'_>) -> Drawn {
    let caption = "The same at equal time: steps times the row's mean time of a step, without what lies between steps. A row that is worse at equal steps can be better here, because its steps are cheaper.";
    let lines = Lines {
        caption: caption.into(),
        y: Some(fisher_axis(table)),
        ..lines("seconds of training", "σ² × Fisher divergence")
    };
    draw(table, lines, |n| &n.fisher, |row| row.step_seconds())
}

/// The held-out loss against steps.
pub(crate) fn losses(table: &Table<'_>) -> Drawn {
    let caption = "The weighted loss on held-out rows. Different objectives' losses are different quantities, whose heights are no comparison.";
    let lines = Lines { caption: caption.into(), ..lines("training step", "held-out loss") };
    let reach = |row: &Row<'_>| {
        let values = curve(row, |n| &n.loss, 1.0).0.into_iter().map(|p| p.1.abs());
        values.filter(|v| v.is_finite()).fold(0.0, f64::max)
    };
    let reaches: Vec<f64> = table.rows.iter().map(reach).filter(|r| *r > 0.0).collect();
    let (low, high) = reaches.iter().fold((f64::INFINITY, 0.0f64), |(l, h), r| (l.min(*r), h.max(*r)));
    // One that runs away would make flat lines of the others.
    let design =
        if high > 50.0 * low && reaches.len() <= MOST_APART { Design::apart(table) } else { Design::of(table, None) };
    draw_in(design, table, lines, |n| &n.loss, |_| Some(1.0))
}

fn lines<'f>(x_label: &'f str, y_label: &'f str) -> Lines<'f> {
    Lines {
        x: Axis::linear(0.0, 1.0),
        y: None,
        x_label,
        y_label,
        band: true,
        references: Vec::new(),
        caption: String::new(),
    }
}

/// One axis for steps and seconds.
fn fisher_axis(table: &Table<'_>) -> Axis {
    let means = table.rows.iter().flat_map(|row| curve(row, |n| &n.fisher, 1.0).0);
    Axis::log(means.map(|p| p.1))
}

/// Lines of the means of `pick`; x is the step times `scale`.
fn draw(
    table: &Table<'_>,
    lines: Lines<'_>,
    pick: fn(&Numbers) -> &Vec<(f64, f64)>,
    scale: impl Fn(&Row<'_>) -> Option<f64>,
) -> Drawn {
    draw_in(Design::of(table, None), table, lines, pick, scale)
}

fn draw_in(
    design: Design,
    table: &Table<'_>,
    lines: Lines<'_>,
    pick: fn(&Numbers) -> &Vec<(f64, f64)>,
    scale: impl Fn(&Row<'_>) -> Option<f64>,
) -> Drawn {
    let points = |line: &Line| -> Points {
        let Some(row) = line.rows.first().map(|&i| &table.rows[i]) else { return Points::default() };
        scale(row).map(|scale| curve(row, pick, scale)).unwrap_or_default()
    };
    let end = design.lines().flat_map(|line| points(line).0).map(|p| p.0).fold(0.0, f64::max);
    let caption = format!("{}{}", lines.caption, errors(table, "Bands"));
    Lines { x: Axis::linear(0.0, end), caption, ..lines }.draw(table, &design, points)
}

/// The mean over the row's repetitions that have the curve.
fn curve(row: &Row<'_>, pick: fn(&Numbers) -> &Vec<(f64, f64)>, scale: f64) -> Points {
    let curves: Vec<&[(f64, f64)]> = row.numbers().map(|n| pick(n).as_slice()).filter(|c| !c.is_empty()).collect();
    let curve = mean(&curves);
    let points = curve.points.into_iter().map(|(step, y, error)| (scale * step, y, error));
    (points.collect(), curve.broken.into_iter().map(|step| scale * step).collect())
}
