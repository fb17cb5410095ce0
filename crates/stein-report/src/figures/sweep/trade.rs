//! Quality against cost.

use plotters::prelude::SVGBackend;
use stein_record::{Better, Estimate};

use super::design::{Design, Facet, Line};
use super::{assemble, errors, named, nothing_of};
use crate::canvas::{Anchor, Canvas, Point, Style, Svg, Trouble, svg, text_width};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::number::estimate;
use crate::palette::Tone;
use crate::sweep::{Column, Table};
use crate::text::visible;

const SIZE: (f64, f64) = (480.0, 320.0);
const TEXT: f64 = 13.0;
/// How far a label is from its dot.
const GAP: f64 = 8.0;

/// A dot a row: the primary quantity against `cost`.
pub(crate) fn figure(table: &Table<'_>, cost: &Column) -> Drawn {
    let Some(quality) = table.primary_column() else { return Ok(None) };
    let design = Design::of(table, None);
    let plot = Plot { x: roomy(cost), y: roomy(quality), cost, quality };
    let mut panels = Vec::new();
    let mut empty = Vec::new();
    for facet in &design.facets {
        let dots = plot.dots(facet);
        let without = facet.lines.iter().filter(|line| !dots.iter().any(|d| d.line == *line));
        empty.extend(without.map(|line| named(&line.label, &facet.title)));
        if !dots.is_empty() {
            panels.push((facet.title.clone(), plot.alt(&facet.title, &dots), plot.draw(&dots)?));
        }
    }
    let corner = match quality.better {
        Some(Better::Lower) => "lower left is better on both counts",
        Some(Better::Higher) => "upper left is better on both counts",
        Some(Better::Near(_) | Better::Neither) | None => "left is cheaper",
    };
    let caption = format!(
        "What a row buys against what a step of its training costs: {corner}.{}{}{}",
        errors(table, "Bars"),
        nothing_of(&empty),
        design.omission(table)
    );
    Ok(assemble(panels, caption))
}

/// An axis around a column's values and their errors; logarithmic where it can be, since a trade is one of ratios.
fn roomy(column: &Column) -> Axis {
    let means = || column.cells.iter().flatten().map(|c| c.mean).filter(|m| m.value.is_finite());
    let ends = || means().flat_map(|m| [m.value, m.value - m.standard_error, m.value + m.standard_error]);
    if means().all(|m| m.value > 0.0) { Axis::log(ends()) } else { Axis::linear_around(ends()) }
}

/// A row's dot.
struct Dot<'d> {
    line: &'d Line,
    cost: Estimate,
    quality: Estimate,
}

struct Plot<'t> {
    x: Axis,
    y: Axis,
    cost: &'t Column,
    quality: &'t Column,
}

/// Where the axes lie.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plot<'_> {
    fn dots<'d>(&self, facet: &'d Facet) -> Vec<Dot<'d>> {
        let finite = |column: &Column, row: usize| {
            column.cells[row].filter(|c| c.not_finite == 0 && c.mean.value.is_finite()).map(|c| c.mean)
        };
        let dot = |line: &'d Line| {
            let row = *line.rows.first()?;
            Some(Dot { line, cost: finite(self.cost, row)?, quality: finite(self.quality, row)? })
        };
        facet.lines.iter().filter_map(dot).collect()
    }

    fn alt(&self, title: &str, dots: &[Dot<'_>]) -> String {
        let told = dots.iter().map(|d| format!("{} {} at {}", d.line.label, estimate(&d.quality), estimate(&d.cost)));
        format!(
            "Scatter plot of {} against {}{}: {}.",
            visible(&self.quality.label),
            visible(&self.cost.label),
            if title.is_empty() { String::new() } else { format!(" ({title})") },
            told.collect::<Vec<_>>().join(", ")
        )
    }

    fn draw(&self, dots: &[Dot<'_>]) -> Result<Svg, Trouble> {
        let ticks = self.y.ticks(5).into_iter().map(|(_, t)| text_width(&t, TEXT)).fold(0.0, f64::max);
        let frame = Frame { left: ticks + 14.0, right: SIZE.0 - 14.0, top: 30.0, bottom: SIZE.1 - 44.0 };
        svg(SIZE, |canvas| {
            self.axes(canvas, &frame)?;
            let at = |cost: f64, quality: f64| {
                let (u, v) = (self.x.place(cost)?, self.y.place(quality)?);
                let x = frame.left + u * (frame.right - frame.left);
                Some((x, (frame.bottom - v * (frame.bottom - frame.top)).clamp(frame.top, frame.bottom)))
            };
            let bars: Vec<Bars<'_>> = dots.iter().filter_map(|dot| Bars::of(dot, &frame, at)).collect();
            for Bars { line, at, horizontal, vertical } in &bars {
                let style = Style::line(line.tone, 1.4).alpha(0.7);
                canvas.line(horizontal, style)?;
                canvas.line(vertical, style)?;
                canvas.disc(*at, 4.2, Style::fill(line.tone))?;
                if line.dashed {
                    canvas.disc(*at, 2.2, Style::fill(Tone::Paper))?;
                }
            }
            let mut taken: Vec<[f64; 4]> = bars.iter().flat_map(Bars::boxes).collect();
            bars.iter().try_for_each(|bars| label(canvas, &frame, bars, &mut taken))
        })
    }

    fn axes<'a>(&self, canvas: &Canvas<SVGBackend<'a>>, frame: &Frame) -> Result<(), Trouble> {
        let Frame { left, right, top, bottom } = *frame;
        for (value, label) in self.y.ticks(5) {
            let Some(t) = self.y.place(value) else { continue };
            let y = bottom - t * (bottom - top);
            canvas.line(&[(left, y), (right, y)], Style::line(Tone::Grid, 1.0))?;
            canvas.text(&label, (left - 7.0, y), Anchor::End, TEXT, Tone::Muted)?;
        }
        for (value, label) in self.x.ticks(5) {
            let Some(t) = self.x.place(value) else { continue };
            let x = left + t * (right - left);
            canvas.line(&[(x, top), (x, bottom)], Style::line(Tone::Grid, 1.0))?;
            canvas.text(&label, (x, bottom + 14.0), Anchor::Middle, TEXT, Tone::Muted)?;
        }
        canvas.line(&[(left, bottom), (right, bottom)], Style::line(Tone::Muted, 1.0))?;
        canvas.text(&visible(&self.quality.label), (4.0, 11.0), Anchor::Start, TEXT, Tone::Ink)?;
        let middle = (0.5 * (left + right), SIZE.1 - 9.0);
        canvas.text(&visible(&self.cost.label), middle, Anchor::Middle, TEXT, Tone::Ink)
    }
}

/// A dot and its error bars, in pixels.
struct Bars<'d> {
    line: &'d Line,
    at: Point,
    horizontal: [Point; 2],
    vertical: [Point; 2],
}

impl<'d> Bars<'d> {
    fn of(dot: &Dot<'d>, frame: &Frame, at: impl Fn(f64, f64) -> Option<Point>) -> Option<Self> {
        let (cost, quality) = (dot.cost, dot.quality);
        let place = at(cost.value, quality.value)?;
        let ends = |e: Estimate| {
            let error = if e.standard_error.is_finite() { e.standard_error } else { 0.0 };
            [e.value - error, e.value + error]
        };
        // Below 0 a logarithmic axis has no place: the bar goes to the axis' end.
        let horizontal = ends(cost).map(|c| at(c, quality.value).unwrap_or((frame.left, place.1)));
        let vertical = ends(quality).map(|q| at(cost.value, q).unwrap_or((place.0, frame.bottom)));
        Some(Self { line: dot.line, at: place, horizontal, vertical })
    }

    /// What labels should not cover.
    fn boxes(&self) -> [[f64; 4]; 3] {
        let (x, y) = self.at;
        let ([left, right], [low, high]) = (self.horizontal.map(|p| p.0), self.vertical.map(|p| p.1));
        [[x - 5.0, y - 5.0, x + 5.0, y + 5.0], [left, y - 1.0, right, y + 1.0], [x - 1.0, high, x + 1.0, low]]
    }
}

/// A label beside, above or below its dot, wherever it covers least.
fn label<'a>(
    canvas: &Canvas<SVGBackend<'a>>,
    frame: &Frame,
    bars: &Bars<'_>,
    taken: &mut Vec<[f64; 4]>,
) -> Result<(), Trouble> {
    let (line, (x, y)) = (bars.line, bars.at);
    let width = text_width(&line.label, TEXT);
    let places = [
        (x + GAP, y, Anchor::Start),
        (x - GAP, y, Anchor::End),
        (x + GAP, y - 12.0, Anchor::Start),
        (x + GAP, y + 12.0, Anchor::Start),
        (x - GAP, y - 12.0, Anchor::End),
        (x - GAP, y + 12.0, Anchor::End),
        (x, y - 2.2 * GAP, Anchor::Middle),
        (x, y + 2.2 * GAP, Anchor::Middle),
    ];
    let extent = |(x, y, anchor): (f64, f64, Anchor)| {
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - 0.5 * width,
            Anchor::End => x - width,
        };
        [left, y - 0.5 * TEXT, left + width, y + 0.5 * TEXT]
    };
    let cost = |place: &(f64, f64, Anchor)| {
        let own = extent(*place);
        let outside = (frame.left - own[0]).max(0.0) + (own[2] - SIZE.0).max(0.0);
        taken.iter().map(|other| overlap(own, *other)).sum::<f64>() + 100.0 * outside
    };
    let Some(best) = places.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b))) else { return Ok(()) };
    taken.push(extent(best));
    canvas.text(&line.label, (best.0, best.1), best.2, TEXT, line.tone)
}

/// The area that two boxes (left, top, right, bottom) share.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    side(0) * side(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_share_what_lies_in_both() {
        assert_eq!(overlap([0.0, 0.0, 4.0, 2.0], [3.0, 1.0, 9.0, 9.0]), 1.0);
        assert_eq!(overlap([0.0, 0.0, 4.0, 2.0], [4.0, 0.0, 9.0, 9.0]), 0.0);
    }
}
