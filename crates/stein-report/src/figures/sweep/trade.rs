//! Quality against cost.

use plotters::prelude::SVGBackend;
use stein_record::{Better, Estimate};

use super::design::{Design, Facet, Line};
use super::{assemble, errors, named, nothing_of};
use crate::canvas::{Anchor, Canvas, Point, Style, Svg, Trouble, svg, text_width};
use crate::figures::Drawn;
use crate::figures::axis::Axis;
use crate::figures::chart::apart;
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
        let until = |right| Frame { left: ticks + 14.0, right, top: 30.0, bottom: SIZE.1 - 44.0 };
        let wide = until(SIZE.0 - 14.0);
        let bars = self.bars(&wide, dots);
        let (frame, bars, labels) = match beside(&wide, &bars) {
            Some(labels) => (wide, bars, labels),
            None => {
                let labels = dots.iter().map(|d| text_width(&d.line.label, TEXT)).fold(0.0, f64::max);
                let narrow = until((SIZE.0 - labels - 16.0).max(0.5 * SIZE.0));
                let bars = self.bars(&narrow, dots);
                let labels = in_margin(&narrow, &bars);
                (narrow, bars, labels)
            }
        };
        svg(SIZE, |canvas| {
            self.axes(canvas, &frame)?;
            for Label { line, at, from, .. } in &labels {
                if let Some(from) = from {
                    canvas.line(&[*from, (at.0 - 2.0, at.1)], Style::line(line.tone, 1.0).alpha(0.3))?;
                }
            }
            for Bars { line, at, horizontal, vertical } in &bars {
                let style = Style::line(line.tone, 1.4).alpha(0.7);
                canvas.line(horizontal, style)?;
                canvas.line(vertical, style)?;
                canvas.disc(*at, 4.2, Style::fill(line.tone))?;
                if line.dashed {
                    canvas.disc(*at, 2.2, Style::fill(Tone::Paper))?;
                }
            }
            labels.iter().try_for_each(|l| canvas.text(&l.line.label, l.at, l.anchor, TEXT, l.line.tone))
        })
    }

    /// The dots with their bars, where they lie in a frame.
    fn bars<'d>(&self, frame: &Frame, dots: &[Dot<'d>]) -> Vec<Bars<'d>> {
        let at = |cost: f64, quality: f64| {
            let (u, v) = (self.x.place(cost)?, self.y.place(quality)?);
            let x = frame.left + u * (frame.right - frame.left);
            Some((x, (frame.bottom - v * (frame.bottom - frame.top)).clamp(frame.top, frame.bottom)))
        };
        dots.iter().filter_map(|dot| Bars::of(dot, frame, at)).collect()
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

/// A row's name, and the dot that it has to be joined to.
struct Label<'d> {
    line: &'d Line,
    at: Point,
    anchor: Anchor,
    from: Option<Point>,
}

/// Labels beside, above or below their dots; `None` if some would cover another one, a dot or a bar.
fn beside<'d>(frame: &Frame, bars: &[Bars<'d>]) -> Option<Vec<Label<'d>>> {
    let mut taken: Vec<[f64; 4]> = bars.iter().flat_map(Bars::boxes).collect();
    bars.iter().map(|bars| free(frame, bars, &mut taken)).collect()
}

/// The first place around a dot that nothing has taken.
fn free<'d>(frame: &Frame, bars: &Bars<'d>, taken: &mut Vec<[f64; 4]>) -> Option<Label<'d>> {
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
    let is_free = |own: [f64; 4]| {
        let inside = own[0] >= frame.left && own[2] <= SIZE.0 && own[3] <= frame.bottom;
        inside && taken.iter().all(|other| overlap(own, *other) == 0.0)
    };
    let place = places.into_iter().find(|place| is_free(extent(*place)))?;
    taken.push(extent(place));
    Some(Label { line, at: (place.0, place.1), anchor: place.2, from: None })
}

/// Labels above one another right of the frame, in the order of their dots.
fn in_margin<'d>(frame: &Frame, bars: &[Bars<'d>]) -> Vec<Label<'d>> {
    let mut sorted: Vec<&Bars<'d>> = bars.iter().collect();
    sorted.sort_by(|a, b| a.at.1.total_cmp(&b.at.1));
    let heights: Vec<f64> = sorted.iter().map(|b| b.at.1).collect();
    let places = apart(&heights, TEXT + 2.5, frame.top, frame.bottom);
    let label = |(b, y): (&Bars<'d>, f64)| Label {
        line: b.line,
        at: (frame.right + 8.0, y),
        anchor: Anchor::Start,
        from: Some(b.at),
    };
    sorted.into_iter().zip(places).map(label).collect()
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

    #[test]
    fn labels_that_have_no_room_go_to_the_margin() {
        let line = |label: &str| Line { label: label.into(), tone: Tone::Ink, dashed: false, rows: vec![0] };
        let lines = ["one", "two", "three", "four", "five"].map(line);
        let frame = Frame { left: 40.0, right: 300.0, top: 30.0, bottom: 270.0 };
        let bars = |gap: f64| -> Vec<Bars<'_>> {
            let at = |i: usize| (150.0, 150.0 + gap * i as f64);
            let bars = |(i, line)| Bars { line, at: at(i), horizontal: [at(i); 2], vertical: [at(i); 2] };
            lines.iter().enumerate().map(bars).collect()
        };
        let labels = beside(&frame, &bars(25.0)).unwrap();
        assert!(labels.iter().all(|l| l.from.is_none() && l.at.0 < 200.0));
        assert!(beside(&frame, &bars(0.1)).is_none());
        let labels = in_margin(&frame, &bars(0.1));
        assert!(labels.windows(2).all(|l| l[1].at.1 - l[0].at.1 > TEXT && l[0].at.0 > frame.right));
        assert_eq!((labels[0].line.label.as_str(), labels[0].from), ("one", Some((150.0, 150.0))));
    }
}
