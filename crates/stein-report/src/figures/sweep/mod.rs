//! The figures of a sweep's comparison.

pub(crate) mod along;
pub(crate) mod by_sigma;
pub(crate) mod design;
pub(crate) mod map;
pub(crate) mod memorising;
pub(crate) mod strip;
pub(crate) mod trade;
pub(crate) mod training;
pub(crate) mod work;

use design::{Design, Line};

use super::axis::Axis;
use super::chart::{Chart, Series};
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::canvas::Svg;
use crate::number::significant;
use crate::sweep::Table;
use crate::text::visible;

/// Rows or lines that a caption names.
const MOST_LISTED: usize = 8;

/// A line's points, and where it is broken.
type Points = (Vec<(f64, f64, f64)>, Vec<f64>);

/// What a figure of line charts shows.
struct Lines<'f> {
    x: Axis,
    /// The axis around all values of y; `None` if each panel has its own.
    y: Option<Axis>,
    x_label: &'f str,
    y_label: &'f str,
    /// Whether errors are bands.
    band: bool,
    /// Lines that every panel has beside those of rows.
    references: Vec<Series>,
    caption: String,
}

impl Lines<'_> {
    /// The figure; `points` has those of each line.
    fn draw(self, table: &Table<'_>, design: &Design, points: impl Fn(&Line) -> Points) -> Drawn {
        let mut panels = Vec::new();
        let mut broken_at_all = 0;
        let mut empty = Vec::new();
        for facet in &design.facets {
            let drawn: Vec<(&Line, Points)> = facet.lines.iter().map(|line| (line, points(line))).collect();
            let series: Vec<Series> = drawn.iter().map(|(line, points)| self.series(line, points)).collect();
            let (series, without): (Vec<Series>, Vec<Series>) =
                series.into_iter().partition(|s| s.values().next().is_some());
            empty.extend(without.into_iter().map(|s| named(&s.label, &facet.title)));
            if series.is_empty() {
                continue;
            }
            let broken: Vec<f64> = drawn.iter().flat_map(|(_, points)| points.1.iter().copied()).collect();
            broken_at_all += broken.len();
            let alt = self.alt(&facet.title, &series);
            let y = self.y.unwrap_or_else(|| Axis::auto(series.iter().flat_map(Series::values)));
            let chart = Chart {
                x: self.x,
                y,
                x_label: self.x_label.into(),
                y_label: self.y_label.into(),
                series: dodged(series).into_iter().chain(self.references.iter().cloned()).collect(),
                broken: broken.into_iter().take(50).collect(),
            };
            panels.push((facet.title.clone(), alt, chart.draw()?));
        }
        let crosses = if broken_at_all > 0 { " Crosses at the top mark values that are not finite." } else { "" };
        let caption = format!("{}{crosses}{}{}", self.caption, nothing_of(&empty), design.omission(table));
        Ok(assemble(panels, caption))
    }

    fn series(&self, line: &Line, (points, _): &Points) -> Series {
        let points = points.iter().copied();
        let make = if self.band { Series::banded } else { Series::measured };
        let series = make(&line.label, line.tone, points);
        if line.dashed { series.dashed() } else { series }
    }

    fn alt(&self, title: &str, series: &[Series]) -> String {
        let ends = series.iter().filter_map(|s| {
            let last = s.points.iter().rev().find(|p| p.1.is_finite())?;
            Some(format!(
                "{} ends at {}",
                if s.label.is_empty() { "the line" } else { &s.label },
                significant(last.1, 2)
            ))
        });
        let ends = ends.collect::<Vec<_>>().join(", ");
        let title = if title.is_empty() { String::new() } else { format!(" ({title})") };
        format!("Line chart of {} against {}{title}: {ends}.", self.y_label, self.x_label)
    }
}

/// An axis around some points with their errors; an error beyond 0 does not take a logarithm away.
fn around(points: &[(f64, f64, f64)]) -> Axis {
    let lowest = points.iter().map(|p| p.1).filter(|y| y.is_finite()).fold(f64::INFINITY, f64::min);
    let ends = points.iter().flat_map(|p| [p.1, p.1 - p.2, p.1 + p.2]);
    Axis::auto(ends.filter(|v| *v > 0.0 || lowest <= 0.0).collect::<Vec<_>>())
}

/// The same with `also` inside; logarithmic where it can be.
fn log_around(points: &[(f64, f64, f64)], also: Option<f64>) -> Axis {
    let finite = || points.iter().filter(|p| p.1.is_finite());
    if finite().all(|p| p.1 > 0.0) {
        // An error bar that reaches to 0 would take the axis with it.
        let ends = finite().flat_map(|p| [p.1, p.1 + p.2, (p.1 - p.2).max(0.3 * p.1)]);
        return Axis::log(ends.chain(also));
    }
    Axis::linear_around(finite().flat_map(|p| [p.1, p.1 - p.2, p.1 + p.2]).chain(also))
}

/// Lines of a single point are set side by side.
fn dodged(mut series: Vec<Series>) -> Vec<Series> {
    if series.len() > 1 && series.iter().all(|s| s.points.len() <= 2) {
        let middle = (series.len() - 1) as f64 / 2.0;
        let step = (60.0 / series.len() as f64).min(7.0);
        for (i, one) in series.iter_mut().enumerate() {
            one.shift = step * (i as f64 - middle);
        }
    }
    series
}

/// A figure of titled charts; `None` of none.
fn assemble(mut panels: Vec<(String, String, Svg)>, caption: String) -> Option<Figure> {
    if panels.len() == 1 && panels[0].0.is_empty() {
        let (_, alt, drawing) = panels.remove(0);
        return Some(Figure::single(drawing, alt, caption));
    }
    let panel = |(title, alt, drawing)| Panel { title, note: String::new(), alt, picture: Picture::Svg(drawing) };
    let panels: Vec<Panel> = panels.into_iter().map(panel).collect();
    (!panels.is_empty()).then_some(Figure { panels, layout: Layout::Facets, legend: None, caption })
}

/// A line's name where panels have titles.
fn named(label: &str, title: &str) -> String {
    let parts: Vec<&str> = [label, title].into_iter().filter(|t| !t.is_empty()).collect();
    if parts.is_empty() { "all cells".into() } else { parts.join(", ") }
}

/// A sentence about lines that have no value; may be empty.
fn nothing_of(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!(" Nothing is known here of: {}.", listed(lines))
}

/// What is said of error bars and bands, and of how many repetitions there are.
fn errors(table: &Table<'_>, what: &str) -> String {
    let single = table.rows.iter().any(|r| r.count().0 == 1);
    let own = if single { "; of a single one, its own where it has one" } else { "" };
    let lacking = table.rows.iter().map(|r| (r, r.count())).filter(|(_, (n, all))| n < all);
    let lacking: Vec<String> =
        lacking.map(|(row, (n, all))| format!("{} ({n} of {all})", visible(&row.labels.join(" · ")))).collect();
    let missing =
        if lacking.is_empty() { String::new() } else { format!(" Repetitions are missing of: {}.", listed(&lacking)) };
    format!(" {what} are ±1 standard error over repetitions{own}.{missing}")
}

/// The first few of a list.
fn listed(items: &[String]) -> String {
    let shown = items.iter().take(MOST_LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = items.len().saturating_sub(MOST_LISTED);
    if more > 0 { format!("{shown}; and {more} more") } else { shown }
}
