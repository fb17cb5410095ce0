//! How noisy objectives are at one network, and whether they agree.

use stein_record::{Estimate, EstimatorRecord};

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::sweep::design::short;
use super::{Drawn, Figure};
use crate::number::significant;
use crate::palette::{MOST_LINES, Tone, line};

/// The estimators' names, in the order in which they first appear.
pub(crate) fn names(records: &[EstimatorRecord]) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    for record in records {
        if !out.contains(&record.name.as_str()) {
            out.push(&record.name);
        }
    }
    out
}

/// The noise levels, largest first.
pub(crate) fn sigmas(records: &[EstimatorRecord]) -> Vec<f64> {
    let mut out: Vec<f64> = records.iter().map(|r| r.sigma).filter(|s| s.is_finite() && *s >= 0.0).collect();
    out.sort_by(|a, b| b.total_cmp(a));
    out.dedup();
    out
}

/// The difference in units in which levels can be compared: times σ², or itself without noise.
pub(crate) fn scaled_difference(record: &EstimatorRecord) -> Estimate {
    let scale = if record.sigma == 0.0 { 1.0 } else { record.sigma * record.sigma };
    Estimate::new(scale * record.difference.value, scale * record.difference.standard_error)
}

/// The gradient's variance per level.
pub(crate) fn variance(records: &[EstimatorRecord]) -> Drawn {
    let points = |r: &EstimatorRecord| (r.gradient_variance.value, r.gradient_variance.standard_error);
    let series = series(records, names(records).as_slice(), 0, points);
    let caption = "The trace of the covariance of one example's gradient, weighted by λ(σ) as in training, at the trained network: what a batch divides by its size. Bars are ±1 standard error.";
    draw(records, series, Axis::log, "gradient variance", caption)
}

/// The losses' differences from the first estimator's per level.
pub(crate) fn difference(records: &[EstimatorRecord]) -> Drawn {
    let names = names(records);
    let [first, others @ ..] = names.as_slice() else { return Ok(None) };
    let twice = |r: &EstimatorRecord| {
        let Estimate { value, standard_error } = scaled_difference(r);
        (value, 2.0 * standard_error)
    };
    let mut series = series(records, others, 1, twice);
    if series.is_empty() {
        return Ok(None);
    }
    let ends = sigmas(records).into_iter().map(|s| (s, 0.0));
    series.insert(0, Series { width: 1.2, ..Series::line("", Tone::Muted, ends) });
    let caption = format!(
        "The mean loss minus that of “{}” on the same examples, times σ² (by itself without noise), so that levels can be compared. Bars are ±2 standard errors: about one in twenty misses 0 by chance.",
        crate::text::visible(first)
    );
    draw(records, series, Axis::linear_around, "σ² × difference", &caption)
}

/// A line for each of `names`, whose colours are counted from `skipped`.
fn series(
    records: &[EstimatorRecord],
    names: &[&str],
    skipped: usize,
    value: impl Fn(&EstimatorRecord) -> (f64, f64),
) -> Vec<Series> {
    let one = |(i, name): (usize, &&str)| {
        let mut points: Vec<_> = records.iter().filter(|r| r.name == **name).map(|r| (r.sigma, value(r))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (tone, dashed) = line(i + skipped);
        let series = Series::measured(&short(name), tone, points.into_iter().map(|(x, (y, e))| (x, y, e)));
        if dashed { series.dashed() } else { series }
    };
    let all = names.iter().take(MOST_LINES - skipped).enumerate().map(one);
    all.filter(|s| s.values().next().is_some()).collect()
}

fn draw(
    records: &[EstimatorRecord],
    series: Vec<Series>,
    y: impl Fn(Vec<f64>) -> Axis,
    label: &str,
    caption: &str,
) -> Drawn {
    let sigmas = sigmas(records);
    if sigmas.len() < 2 || series.is_empty() {
        return Ok(None);
    }
    let ends = series.iter().filter(|s| !s.label.is_empty()).filter_map(|s| {
        let first = s.points.iter().find(|p| p.1.is_finite())?;
        Some(format!("{} {} at the smallest σ", s.label, significant(first.1, 2)))
    });
    let alt =
        format!("Line chart of the {label} at {} noise levels: {}.", sigmas.len(), ends.collect::<Vec<_>>().join(", "));
    let reach = series.iter().flat_map(|s| s.points.iter().flat_map(|p| [p.1, p.1 - p.2, p.1 + p.2]));
    let left_out = names(records).len().saturating_sub(MOST_LINES);
    let more = if left_out > 0 { format!(" The last {left_out} of the table have no line.") } else { String::new() };
    let chart = Chart {
        x: Axis::log_with_zero(sigmas.iter().copied(), "no noise"),
        y: y(reach.collect()),
        x_label: "noise level σ".into(),
        y_label: label.into(),
        series,
        broken: Vec::new(),
    };
    Ok(Some(Figure::single(chart.draw()?, alt, format!("{caption}{more}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_scaled_where_there_is_noise() {
        let one = Estimate::new(1.0, 0.1);
        let record = |sigma| EstimatorRecord {
            name: "sliced".into(),
            sigma,
            loss: one,
            difference: Estimate::new(3.0, 1.0),
            difference_variance: one,
            gradient_square: one,
            gradient_difference: one,
            gradient_variance: one,
            seconds: one,
            memory: None,
        };
        assert_eq!(scaled_difference(&record(2.0)), Estimate::new(12.0, 4.0));
        assert_eq!(scaled_difference(&record(0.0)), Estimate::new(3.0, 1.0));
        assert_eq!(sigmas(&[record(0.0), record(2.0), record(2.0), record(f64::NAN)]), [2.0, 0.0]);
        assert_eq!(variance(&[record(2.0)]), Ok(None), "a single level is no line");
    }
}
