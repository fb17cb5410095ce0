//! Contour lines of a function on a grid: marching squares, joined to paths.

use std::collections::BTreeMap;

/// The lines on which `values` (row by row, `columns` long) cross `level`, in grid coordinates (column, row).
pub(crate) fn lines(values: &[f64], columns: usize, level: f64) -> Vec<Vec<(f64, f64)>> {
    if columns < 2 || !level.is_finite() {
        return Vec::new();
    }
    let rows = values.len() / columns;
    let above = |column: usize, row: usize| values[row * columns + column] >= level;
    // An edge is named by its lower left end and whether it goes up.
    type Edge = (usize, usize, bool);
    let mut next: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
    for row in 0..rows.saturating_sub(1) {
        for column in 0..columns - 1 {
            let (bottom, top) = ((column, row, false), (column, row + 1, false));
            let (left, right) = ((column, row, true), (column + 1, row, true));
            let corners =
                [above(column, row), above(column + 1, row), above(column + 1, row + 1), above(column, row + 1)];
            let sides = [(bottom, 0, 1), (right, 1, 2), (top, 2, 3), (left, 3, 0)];
            let crossed: Vec<Edge> = sides.into_iter().filter(|s| corners[s.1] != corners[s.2]).map(|s| s.0).collect();
            // A saddle's four crossings are joined in the order found: either way is right between grid points.
            for pair in crossed.chunks_exact(2) {
                next.entry(pair[0]).or_default().push(pair[1]);
                next.entry(pair[1]).or_default().push(pair[0]);
            }
        }
    }
    let point = |(column, row, up): Edge| {
        let (a, b) =
            (values[row * columns + column], values[(row + usize::from(up)) * columns + column + usize::from(!up)]);
        let t = ((level - a) / (b - a)).clamp(0.0, 1.0);
        let t = if t.is_finite() { t } else { 0.5 };
        if up { (column as f64, row as f64 + t) } else { (column as f64 + t, row as f64) }
    };
    let ends: Vec<Edge> = next.iter().filter(|(_, to)| to.len() == 1).map(|(edge, _)| *edge).collect();
    let all: Vec<Edge> = next.keys().copied().collect();
    let mut paths = Vec::new();
    // Open lines from their ends first, then what is left are loops.
    for start in ends.into_iter().chain(all) {
        let mut path = vec![point(start)];
        let mut here = start;
        while let Some(to) = next.get_mut(&here).and_then(Vec::pop) {
            if let Some(back) = next.get_mut(&to)
                && let Some(i) = back.iter().position(|e| *e == here)
            {
                back.swap_remove(i);
            }
            path.push(point(to));
            here = to;
        }
        if path.len() > 1 {
            paths.push(path);
        }
    }
    paths
}

/// The values above which a density on an even grid holds these parts of its mass.
pub(crate) fn mass_levels(density: &[f64], parts: &[f64]) -> Vec<f64> {
    let mut sorted = density.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = sorted.iter().sum();
    if !(total.is_finite() && total > 0.0) {
        return Vec::new();
    }
    let level = |part: f64| {
        let mut held = 0.0;
        sorted.iter().copied().find(|v| {
            held += v;
            held >= part * total
        })
    };
    parts.iter().filter_map(|&part| level(part)).filter(|v| *v > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hill_has_one_closed_line() {
        let n = 21;
        let hill: Vec<f64> = (0..n * n)
            .map(|i| {
                let (x, y) = ((i % n) as f64 - 10.0, (i / n) as f64 - 10.0);
                (-(x * x + y * y) / 18.0).exp()
            })
            .collect();
        let found = lines(&hill, n, (-25.0f64 / 18.0).exp());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].first(), found[0].last());
        assert!(found[0].iter().all(|(x, y)| ((x - 10.0).hypot(y - 10.0) - 5.0).abs() < 0.1));
        let levels = mass_levels(&hill, &[0.5, 0.9]);
        // Half of a Gaussian's mass is within a Mahalanobis radius of √(2 ln 2).
        assert!((levels[0] - 0.5).abs() < 0.05 && levels[1] < levels[0], "{levels:?}");
    }

    #[test]
    fn open_lines_and_odd_inputs() {
        let slope: Vec<f64> = (0..12).map(|i| f64::from(i % 4)).collect();
        assert_eq!(lines(&slope, 4, 1.5), [[(1.5, 0.0), (1.5, 1.0), (1.5, 2.0)]]);
        assert!(
            lines(&[], 4, 1.0).is_empty() && lines(&slope, 4, f64::NAN).is_empty() && lines(&slope, 0, 1.0).is_empty()
        );
        assert!(mass_levels(&[0.0, 0.0], &[0.5]).is_empty());
    }
}
