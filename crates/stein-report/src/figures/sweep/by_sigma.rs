//! How far rows are from the true score, and from any gradient, per noise level.

use stein_record::Estimate;

use super::design::{Design, Line};
use super::{Lines, Points, around, errors, listed, named};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::figures::by_level::{ABOUT_CURL, is_rounding};
use crate::statistics::repeated;
use crate::sweep::{CURL, Distance, Numbers, Row, Table};

/// σ²·F per level.
pub(crate) fn scaled(table: &Table<'_>) -> Drawn {
    let caption = "σ²F with F = ½E‖s − ∇log p‖² to the density at each noise level. Without noise there is no σ² to scale by: that point is F itself, on another scale.";
    draw(table, by_level(table), |n| distances(n, |d| d.scaled), "σ² × Fisher divergence", caption)
}

/// F to the clean density per level.
pub(crate) fn clean(table: &Table<'_>) -> Drawn {
    let caption = "½E‖s(x, σ) − ∇log p(x)‖² over clean x: how far the score at each level is from that of the clean density. Even the true noisy score is some way from it, the further the larger σ.";
    draw(table, by_level(table), |n| distances(n, |d| d.clean), "Fisher divergence to the clean density", caption)
}

/// ‖J − Jᵀ‖/‖J‖ per level, of rows where that is more than rounding.
pub(crate) fn curl(table: &Table<'_>) -> Drawn {
    let values = |n: &Numbers| {
        let levels = n.metric(CURL).map_or(&[][..], |m| &m.by_level);
        levels.iter().filter(|l| l.sigma.is_finite() && l.sigma >= 0.0).map(|l| (l.sigma, l.estimate)).collect()
    };
    let mut design = by_level(table);
    let without = |row: usize| has_no_curl(&table.rows[row]);
    let mut names = Vec::new();
    for facet in &mut design.facets {
        let (title, lines) = (&facet.title, &mut facet.lines);
        let (none, some): (Vec<Line>, Vec<Line>) =
            std::mem::take(lines).into_iter().partition(|l| l.rows.iter().all(|&row| without(row)));
        *lines = some;
        names.extend(none.iter().map(|line| named(&line.label, title)));
    }
    design.facets.retain(|facet| !facet.lines.is_empty());
    let left_out = match names.as_slice() {
        [] => String::new(),
        names => format!(" None, to rounding, and so not drawn: {}.", listed(names)),
    };
    draw(table, design, values, "curl of the score", &format!("{ABOUT_CURL}{left_out}"))
}

/// Whether curls were measured and are nothing but rounding.
pub(crate) fn are_without_curl(table: &Table<'_>) -> bool {
    let mut measured = table.rows.iter().filter(|row| row.numbers().any(|n| n.metric(CURL).is_some())).peekable();
    measured.peek().is_some() && measured.all(has_no_curl)
}

/// Whether a row's curl was measured and is nothing but rounding.
fn has_no_curl(row: &Row<'_>) -> bool {
    let mut curls = row.numbers().filter_map(|n| n.metric(CURL)).peekable();
    curls.peek().is_some() && curls.all(is_rounding)
}

/// What a row has at each σ.
type Values = Vec<(f64, Estimate)>;

fn distances(numbers: &Numbers, pick: fn(&Distance) -> Option<Estimate>) -> Values {
    numbers.levels.iter().filter_map(|l| Some((l.sigma, pick(l)?))).collect()
}

fn by_level(table: &Table<'_>) -> Design {
    Design::of(table, ladder_axis(table))
}

pub(super) fn draw(
    table: &Table<'_>,
    mut design: Design,
    pick: fn(&Numbers) -> Values,
    label: &str,
    caption: &str,
) -> Drawn {
    let points = |line: &Line| -> Points {
        let mut points: Vec<_> = line.rows.iter().flat_map(|&row| levels(&table.rows[row], pick)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let broken = points.iter().filter(|p| !p.1.is_finite()).map(|p| p.0).collect();
        (points, broken)
    };
    // A panel of one level is a column of dots; the table says as much.
    let (single, facets): (Vec<_>, Vec<_>) =
        design.facets.into_iter().partition(|f| f.lines.iter().all(|line| points(line).0.len() < 2));
    design.facets = facets;
    let single: Vec<String> = single.into_iter().map(|f| f.title).filter(|title| !title.is_empty()).collect();
    let left_out = match single.as_slice() {
        [] => String::new(),
        titles => format!(" With one noise level each, and so in the table only: {}.", titles.join("; ")),
    };
    let all: Vec<(f64, f64, f64)> = design.lines().flat_map(|line| points(line).0).collect();
    let lines = Lines {
        x: Axis::log_with_zero(all.iter().map(|p| p.0), "no noise"),
        y: Some(around(&all)),
        x_label: "noise level σ",
        y_label: label,
        band: false,
        references: Vec::new(),
        caption: format!("{caption}{}{left_out}", errors(table, "Bars")),
    };
    lines.draw(table, &design, points)
}

/// For each σ of a row the mean over repetitions.
fn levels(row: &Row<'_>, pick: fn(&Numbers) -> Values) -> Vec<(f64, f64, f64)> {
    let all: Values = row.numbers().flat_map(pick).collect();
    let mut sigmas: Vec<f64> = all.iter().map(|l| l.0).collect();
    sigmas.sort_by(f64::total_cmp);
    sigmas.dedup();
    let at = |sigma: f64| {
        let values: Vec<Estimate> = all.iter().filter(|l| l.0 == sigma).map(|l| l.1).collect();
        let mean = repeated(&values).filter(|r| r.not_finite == 0);
        let mean = mean.map_or(Estimate::new(f64::NAN, f64::NAN), |r| r.mean);
        (sigma, mean.value, mean.standard_error)
    };
    sigmas.into_iter().map(at).collect()
}

/// The compared axis that σ is, where each row has a single noise level: then rows along it are points of a line, not
/// panels of a point each.
fn ladder_axis(table: &Table<'_>) -> Option<usize> {
    let finished: Vec<&Row<'_>> = table.rows.iter().filter(|r| r.count().0 > 0).collect();
    let sigmas: Vec<f64> = finished.iter().map(|r| only_sigma(r)).collect::<Option<_>>()?;
    let varies = sigmas.windows(2).any(|w| w[0] != w[1]);
    // Two rows that differ on the axis alone must be two points.
    let apart = |axis: usize, a: usize, b: usize| {
        let mut others = (0..table.compared.len()).filter(|o| *o != axis);
        sigmas[a] != sigmas[b] || others.any(|o| finished[a].labels[o] != finished[b].labels[o])
    };
    let is_ladder = |&axis: &usize| (0..finished.len()).all(|a| (0..a).all(|b| apart(axis, a, b)));
    (0..table.compared.len()).filter(|_| varies).find(is_ladder)
}

/// The noise level of a row that has just one.
fn only_sigma(row: &Row<'_>) -> Option<f64> {
    let mut sigmas = row.numbers().map(|n| (n.levels.len() == 1).then(|| n.levels[0].sigma));
    let first = sigmas.next()??;
    sigmas.all(|s| s == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Sweep};

    fn with_sigmas(sigmas: &[&[f64]]) -> Sweep {
        let axes = [("objective", AxisRole::Compare, "a b"), ("noise", AxisRole::Compare, "none some")];
        let mut sweep = sweep(&axes, &[("a none", 1.0), ("a some", 2.0), ("b none", 3.0), ("b some", 4.0)]);
        for (cell, sigmas) in sweep.cells.iter_mut().zip(sigmas) {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            let level = numbers.levels[0];
            numbers.levels = sigmas.iter().map(|&sigma| Distance { sigma, ..level }).collect();
        }
        sweep
    }

    #[test]
    fn rows_of_one_level_each_are_points_of_a_line() {
        let sweep = with_sigmas(&[&[0.0], &[0.3], &[0.0], &[0.3]]);
        let table = Table::of(&sweep);
        assert_eq!(ladder_axis(&table), Some(1));
        assert_eq!(scaled(&table).unwrap().unwrap().panels.len(), 1);
    }

    #[test]
    fn rows_with_ladders_have_lines_of_their_own() {
        let sweep = with_sigmas(&[&[0.0][..], &[0.3, 0.1], &[0.0], &[0.3]]);
        let table = Table::of(&sweep);
        assert_eq!(ladder_axis(&table), None);
        let figure = scaled(&table).unwrap().unwrap();
        assert_eq!(figure.panels.len(), 1, "the panel without noise has one level");
        assert!(figure.caption.contains("in the table only: noise: none."), "{}", figure.caption);
        let sweep = with_sigmas(&[&[0.3], &[0.3], &[0.3], &[0.3]]);
        assert_eq!(scaled(&Table::of(&sweep)), Ok(None));
    }
}
