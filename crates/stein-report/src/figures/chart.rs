//! Line charts: light grid, labels at the lines' ends, error bars.

use plotters::prelude::SVGBackend;

use super::axis::Axis;
use crate::canvas::{Anchor, Canvas, Point, Style, Svg, Trouble, svg, text_width};
use crate::palette::Tone;

const SIZE: (f64, f64) = (480.0, 320.0);
const TEXT: f64 = 13.0;
/// How far a label is from its line's end.
const GAP: f64 = 8.0;
/// Lines that end this near to one another, or to the right, have their labels above one another.
const NEAR: f64 = 24.0;
/// More labels than this all go to the margin: beside their lines' ends they would cover one another.
const MOST_BESIDE: usize = 3;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Stands at the line's right end; empty for none.
    pub(crate) label: String,
    pub(crate) tone: Tone,
    pub(crate) dashed: bool,
    pub(crate) width: f64,
    pub(crate) alpha: f64,
    /// Whether each point is marked.
    pub(crate) dots: bool,
    /// Whether errors are a band, not bars.
    pub(crate) band: bool,
    /// Pixels to the right, so that points at the same x can be told apart.
    pub(crate) shift: f64,
    /// x, y and the standard error of y (NaN for none).
    pub(crate) points: Vec<(f64, f64, f64)>,
}

impl Series {
    /// A line without error bars or dots.
    pub(crate) fn line(label: &str, tone: Tone, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().map(|(x, y)| (x, y, f64::NAN)).collect();
        let label = label.into();
        Self { label, tone, dashed: false, width: 2.0, alpha: 1.0, dots: false, band: false, shift: 0.0, points }
    }

    /// Marked points with error bars, joined by a line.
    pub(crate) fn measured(label: &str, tone: Tone, points: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        Self { dots: true, width: 1.8, points: points.into_iter().collect(), ..Self::line(label, tone, []) }
    }

    /// A line in a band of errors.
    pub(crate) fn banded(label: &str, tone: Tone, points: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        Self { band: true, points: points.into_iter().collect(), ..Self::line(label, tone, []) }
    }

    /// The same, dashed.
    pub(crate) fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    /// The same, thin and see-through.
    pub(crate) fn faint(self) -> Self {
        Self { width: 1.0, alpha: 0.35, ..self }
    }

    /// The finite ys.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.points.iter().map(|p| p.1).filter(|y| y.is_finite())
    }
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) series: Vec<Series>,
    /// Values of x at which something was not finite.
    pub(crate) broken: Vec<f64>,
}

/// Where the axes lie.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Chart {
    /// Draws the chart.
    pub(crate) fn draw(&self) -> Result<Svg, Trouble> {
        svg(SIZE, |canvas| {
            let frame = self.frame();
            self.axes(canvas, &frame)?;
            for series in self.series.iter().filter(|s| s.band) {
                self.band(canvas, &frame, series)?;
            }
            for series in &self.series {
                self.series(canvas, &frame, series)?;
            }
            for x in &self.broken {
                if let Some(t) = self.x.place(*x).filter(|t| (0.0..=1.0).contains(t)) {
                    let (x, y, r) = (frame.left + t * (frame.right - frame.left), frame.top + 6.0, 3.5);
                    let style = Style::line(Tone::HeldOut, 1.6);
                    canvas.line(&[(x - r, y - r), (x + r, y + r)], style)?;
                    canvas.line(&[(x - r, y + r), (x + r, y - r)], style)?;
                }
            }
            self.labels(canvas, &frame)
        })
    }

    fn frame(&self) -> Frame {
        let widest = |texts: Vec<String>| texts.iter().map(|t| text_width(t, TEXT)).fold(0.0, f64::max);
        let ticks = widest(self.y.ticks(5).into_iter().map(|(_, label)| label).collect());
        let labels = widest(self.series.iter().map(|s| s.label.clone()).collect());
        let right = SIZE.0 - self.overhang() - if labels > 0.0 { labels + 14.0 } else { 14.0 };
        Frame { left: ticks + 14.0, right: right.max(0.55 * SIZE.0), top: 30.0, bottom: SIZE.1 - 44.0 }
    }

    /// How far points that are shifted may lie right of the frame.
    fn overhang(&self) -> f64 {
        self.series.iter().map(|s| s.shift).fold(0.0, f64::max)
    }

    fn axes<'a>(&self, canvas: &Canvas<SVGBackend<'a>>, frame: &Frame) -> Result<(), Trouble> {
        let Frame { left, right, top, bottom } = *frame;
        let grid = Style::line(Tone::Grid, 1.0);
        for (value, label) in self.y.ticks(5) {
            let Some(t) = self.y.place(value) else { continue };
            let y = bottom - t * (bottom - top);
            canvas.line(&[(left, y), (right, y)], grid)?;
            canvas.text(&label, (left - 7.0, y), Anchor::End, TEXT, Tone::Muted)?;
        }
        for (value, label) in self.x.ticks(5) {
            let Some(t) = self.x.place(value) else { continue };
            let x = left + t * (right - left);
            canvas.line(&[(x, bottom), (x, bottom + 5.0)], Style::line(Tone::Muted, 1.0))?;
            canvas.text(&label, (x, bottom + 14.0), Anchor::Middle, TEXT, Tone::Muted)?;
        }
        canvas.line(&[(left, bottom), (right, bottom)], Style::line(Tone::Muted, 1.0))?;
        canvas.text(&self.y_label, (4.0, 11.0), Anchor::Start, TEXT, Tone::Ink)?;
        canvas.text(&self.x_label, (0.5 * (left + right), SIZE.1 - 9.0), Anchor::Middle, TEXT, Tone::Ink)
    }

    fn series<'a>(&self, canvas: &Canvas<SVGBackend<'a>>, frame: &Frame, series: &Series) -> Result<(), Trouble> {
        let style = Style::line(series.tone, series.width).alpha(series.alpha).dashed(series.dashed);
        let mut run: Vec<Point> = Vec::new();
        let mut before: Option<Point> = None;
        for &(x, y, error) in &series.points {
            let here = self.at(frame, x, y).map(|p| (p.0 + series.shift, p.1));
            match (before, here) {
                (Some(a), Some(b)) => match clip(a, b, frame) {
                    Some((a, b)) => {
                        if run.last() != Some(&a) {
                            canvas.line(&std::mem::take(&mut run), style)?;
                            run.push(a);
                        }
                        run.push(b);
                    }
                    None => canvas.line(&std::mem::take(&mut run), style)?,
                },
                _ => canvas.line(&std::mem::take(&mut run), style)?,
            }
            before = here;
            let Some(at) = here.filter(|p| p.1 >= frame.top - 1.0 && p.1 <= frame.bottom + 1.0) else { continue };
            if error.is_finite() && error > 0.0 && !series.band {
                let ends = [y - error, y + error].map(|y| self.at(frame, x, y).map_or(frame.bottom, |p| p.1));
                let ends = ends.map(|y| (at.0, y.clamp(frame.top, frame.bottom)));
                canvas.line(&ends, Style::line(series.tone, 1.2).alpha(0.7))?;
            }
            if series.dots {
                canvas.disc(at, 2.6, Style::fill(series.tone))?;
            }
        }
        canvas.line(&run, style)
    }

    /// The area of y ± its error, wherever both are known.
    fn band<'a>(&self, canvas: &Canvas<SVGBackend<'a>>, frame: &Frame, series: &Series) -> Result<(), Trouble> {
        let style = Style::fill(series.tone).alpha(0.16);
        for stretch in series.points.split(|p| !(p.1.is_finite() && p.2.is_finite())) {
            let edge = |sign: f64| -> Vec<Point> {
                let at = |p: &(f64, f64, f64)| {
                    // Where a logarithmic axis has no place for the lower edge, it is below the frame.
                    let (x, _) = self.at(frame, p.0, p.1)?;
                    let y = self.at(frame, p.0, p.1 + sign * p.2).map_or(frame.bottom, |q| q.1);
                    Some((x, y.clamp(frame.top, frame.bottom)))
                };
                stretch.iter().filter_map(at).collect()
            };
            let corners: Vec<Point> = edge(1.0).into_iter().chain(edge(-1.0).into_iter().rev()).collect();
            if corners.len() > 2 {
                canvas.polygon(&corners, style)?;
            }
        }
        Ok(())
    }

    fn at(&self, frame: &Frame, x: f64, y: f64) -> Option<Point> {
        let (u, v) = (self.x.place(x)?, self.y.place(y)?);
        Some((frame.left + u * (frame.right - frame.left), frame.bottom - v * (frame.bottom - frame.top)))
    }

    /// Labels at the lines' ends, pushed apart until none covers another: in the margin those of lines that end at the right,
    /// beside their end the others, unless a line would go through one of them.
    fn labels<'a>(&self, canvas: &Canvas<SVGBackend<'a>>, frame: &Frame) -> Result<(), Trouble> {
        let mut labels: Vec<(Point, &Series)> = Vec::new();
        for series in self.series.iter().filter(|s| !s.label.is_empty()) {
            let Some(end) = self.end(frame, series) else { continue };
            labels.push(((end.0, end.1.clamp(frame.top, frame.bottom)), series));
        }
        labels.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
        let margin = frame.right + self.overhang();
        let crossed = |l: &(Point, &Series)| l.0.0 < margin - NEAR && self.is_crossed(frame, l.1, l.0);
        if labels.len() > MOST_BESIDE || labels.iter().any(crossed) {
            return self.column(canvas, frame, labels, margin);
        }
        while let Some((first, _)) = labels.first() {
            let column = if first.0 < margin - NEAR { first.0 } else { margin };
            let (own, others): (Vec<_>, Vec<_>) =
                labels.into_iter().partition(|(end, _)| (end.0 - column).abs() <= NEAR);
            let x = own.iter().map(|l| l.0.0).fold(0.0, f64::max);
            self.column(canvas, frame, own, if x < margin - NEAR { x } else { margin })?;
            labels = others;
        }
        Ok(())
    }

    /// Whether a line goes through the label beside another one's end.
    fn is_crossed(&self, frame: &Frame, own: &Series, end: Point) -> bool {
        let (left, right) = (end.0 + GAP, end.0 + GAP + text_width(&own.label, TEXT));
        let crosses = |from: &(f64, f64, f64), to: &(f64, f64, f64)| {
            let (Some(a), Some(b)) = (self.at(frame, from.0, from.1), self.at(frame, to.0, to.1)) else { return false };
            if a.0 >= b.0 || b.0 < left || a.0 > right {
                return false;
            }
            let y = |x: f64| a.1 + (b.1 - a.1) * (x - a.0) / (b.0 - a.0);
            let (y0, y1) = (y(a.0.max(left)), y(b.0.min(right)));
            y0.min(y1) <= end.1 + 0.5 * TEXT && y0.max(y1) >= end.1 - 0.5 * TEXT
        };
        let mut others = self.series.iter().filter(|s| !std::ptr::eq(*s, own));
        others.any(|s| s.points.windows(2).any(|w| crosses(&w[0], &w[1])))
    }

    /// Where a line ends.
    fn end(&self, frame: &Frame, series: &Series) -> Option<Point> {
        let places = series.points.iter().filter_map(|&(x, y, _)| self.at(frame, x, y));
        let last = places.filter(|p| p.0 <= frame.right + 1.0).max_by(|a, b| a.0.total_cmp(&b.0));
        last.map(|p| (p.0 + series.shift, p.1))
    }

    /// Labels above one another right of `x`, sorted by y.
    fn column<'a>(
        &self,
        canvas: &Canvas<SVGBackend<'a>>,
        frame: &Frame,
        labels: Vec<(Point, &Series)>,
        x: f64,
    ) -> Result<(), Trouble> {
        let places = apart(&labels.iter().map(|l| l.0.1).collect::<Vec<_>>(), TEXT + 2.5, frame.top, frame.bottom);
        let x = x + GAP;
        for ((end, series), y) in labels.iter().zip(places) {
            if (y - end.1).abs() > 3.0 || end.0 < x - 20.0 {
                canvas.line(&[*end, (x - 2.0, y)], Style::line(series.tone, 1.0).alpha(0.45))?;
            }
            canvas.text(&series.label, (x, y), Anchor::Start, TEXT, series.tone)?;
        }
        Ok(())
    }
}

/// Sorted places, moved as little as needs be until neighbours are `gap` apart, between `low` and `high` if they fit.
pub(super) fn apart(sorted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut places = sorted.to_vec();
    for _ in 0..200 {
        let mut moved = false;
        for i in 1..places.len() {
            let overlap = gap - (places[i] - places[i - 1]);
            if overlap > 0.01 {
                places[i - 1] -= overlap / 2.0;
                places[i] += overlap / 2.0;
                moved = true;
            }
        }
        if let Some(first) = places.first_mut() {
            *first = first.max(low);
        }
        if let Some(last) = places.last_mut() {
            *last = last.min(high);
        }
        if !moved {
            break;
        }
    }
    places
}

/// The part of a line between the frame's top and bottom.
fn clip(a: Point, b: Point, frame: &Frame) -> Option<(Point, Point)> {
    let (low, high) = (frame.top - 1.0, frame.bottom + 1.0);
    if a.1.max(b.1) < low || a.1.min(b.1) > high {
        return None;
    }
    let cut = |p: Point, q: Point| {
        let y = p.1.clamp(low, high);
        if y == p.1 { p } else { (p.0 + (q.0 - p.0) * (y - p.1) / (q.1 - p.1), y) }
    };
    Some((cut(a, b), cut(b, a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart() {
        let places = apart(&[50.0, 50.0, 52.0, 200.0], 15.0, 30.0, 280.0);
        assert!(places.windows(2).all(|w| w[1] - w[0] > 14.5), "{places:?}");
        assert_eq!(places[3], 200.0);
        assert_eq!(apart(&[], 15.0, 0.0, 1.0), [0.0; 0]);
    }

    #[test]
    fn points_that_are_shifted_over_the_edge_keep_their_labels() {
        let series = ["left", "right"].map(|label| Series {
            shift: if label == "right" { 9.0 } else { -9.0 },
            ..Series::measured(label, Tone::Ink, [(1.0, 1.0, f64::NAN), (2.0, 2.0, f64::NAN)])
        });
        let (x, y) = (Axis::linear(1.0, 2.0), Axis::linear(1.0, 2.0));
        let (x_label, y_label) = ("x".into(), "y".into());
        let chart = Chart { x, y, x_label, y_label, series: series.into(), broken: Vec::new() };
        let drawn = chart.draw().unwrap().inner;
        assert!(drawn.contains(">\nleft\n<") && drawn.contains(">\nright\n<"), "{drawn}");
        let frame = chart.frame();
        assert!(frame.right + 9.0 + text_width("right", TEXT) < SIZE.0);
    }

    #[test]
    fn no_line_goes_through_a_label() {
        let short = |y: f64| Series::line("short", Tone::Ink, [(0.0, y), (1.0, y)]);
        let long = Series::line("long", Tone::Ink, [(0.0, 4.0), (4.0, 0.0)]);
        let (x, y) = (Axis::linear(0.0, 4.0), Axis::linear(0.0, 4.0));
        let chart = Chart { x, y, x_label: "x".into(), y_label: "y".into(), series: vec![long], broken: Vec::new() };
        let frame = chart.frame();
        let crossed = |y: f64| chart.is_crossed(&frame, &short(y), chart.at(&frame, 1.0, y).unwrap());
        assert_eq!([0.5, 2.75, 3.9].map(crossed), [false, true, false]);
    }

    #[test]
    fn lines_are_cut_at_the_frame() {
        let frame = Frame { left: 0.0, right: 100.0, top: 1.0, bottom: 99.0 };
        assert_eq!(clip((0.0, -100.0), (10.0, 100.0), &frame), Some(((5.0, 0.0), (10.0, 100.0))));
        assert_eq!(clip((0.0, -100.0), (10.0, -1.0), &frame), None);
    }
}
