//! A measure over two axes of numbers.

use plotters::prelude::SVGBackend;
use stein_record::{Better, Estimate, State};

use super::along::{distinct, number};
use super::listed;
use crate::canvas::{Anchor, Canvas, Style, Svg, Trouble, svg, text_width};
use crate::figures::axis::Axis;
use crate::figures::{Drawn, Figure, Layout, Panel, Picture};
use crate::number::{significant, tick};
use crate::palette::Tone;
use crate::sweep::{Column, Row, Table};
use crate::text::visible;

const WIDTH: f64 = 480.0;
const TEXT: f64 = 13.0;
/// Smaller text is left out.
const LEAST_TEXT: f64 = 8.5;
/// The height of a cell of the map.
const HEIGHT: f64 = 40.0;
/// The strongest colour, on which text can still be read.
const STRONGEST: f64 = 0.72;
/// An axis of fewer numbers is no side of a map.
const FEWEST: usize = 2;
/// Panels at most.
const MOST_PANELS: usize = 6;

/// The two axes that a map has, by their places among the compared ones: the first two of numbers.
pub(crate) fn axes(table: &Table<'_>) -> Option<(usize, usize)> {
    let mut numeric = (0..table.compared.len()).filter(|&axis| distinct(table, axis).len() >= FEWEST);
    Some((numeric.next()?, numeric.next()?))
}

/// The column over the two axes, a panel for each combination of the others.
pub(crate) fn figure(table: &Table<'_>, (across, up): (usize, usize), column: &Column) -> Drawn {
    let map = Map {
        table,
        column,
        across,
        up,
        xs: distinct(table, across),
        ys: distinct(table, up),
        scale: Scale::of(column),
    };
    let mut facets: Vec<(String, Vec<usize>)> = Vec::new();
    for (i, row) in table.rows.iter().enumerate() {
        let others = (0..table.compared.len()).filter(|axis| ![across, up].contains(axis));
        let told = others.map(|a| format!("{}: {}", visible(&table.compared[a].name), visible(row.labels[a])));
        let title = told.collect::<Vec<_>>().join(", ");
        match facets.iter_mut().find(|f| f.0 == title) {
            Some(facet) => facet.1.push(i),
            None => facets.push((title, vec![i])),
        }
    }
    let left_out: Vec<String> = facets.iter().skip(MOST_PANELS).map(|f| f.0.clone()).collect();
    let mut panels = Vec::new();
    for (title, rows) in facets.into_iter().take(MOST_PANELS) {
        let squares = map.squares(&rows);
        if squares.iter().any(|s| s.value.is_some()) {
            let alt = map.alt(&title, &squares);
            panels.push(Panel { title, note: String::new(), alt, picture: Picture::Svg(map.draw(&squares)?) });
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let caption = map.caption(&left_out);
    Ok(Some(Figure {
        panels,
        layout: Layout::Facets,
        legend: Some(map.scale.legend(&visible(&column.label))?),
        caption,
    }))
}

/// How values become colours.
struct Scale {
    axis: Axis,
    /// The value that is best, from which distances are taken.
    goal: Option<f64>,
}

impl Scale {
    fn of(column: &Column) -> Self {
        let goal = match column.better {
            Some(Better::Near(goal)) => Some(goal),
            Some(Better::Lower | Better::Higher | Better::Neither) | None => None,
        };
        let values = column.cells.iter().flatten().map(|c| c.mean.value);
        let axis = match goal {
            Some(goal) => Axis::from_zero(values.map(|v| (v - goal).abs())),
            None if column.better == Some(Better::Higher) => Axis::linear_around(values),
            None => Axis::auto(values),
        };
        Self { axis, goal }
    }

    /// How strong a value's colour is.
    fn strength(&self, value: f64) -> Option<f64> {
        let shown = self.goal.map_or(value, |goal| (value - goal).abs());
        self.axis.place(shown).map(|t| STRONGEST * t.clamp(0.0, 1.0))
    }

    /// A bar with the axis' ticks, and what it says.
    fn legend(&self, label: &str) -> Result<(Svg, String), Trouble> {
        let (left, width, top, height, steps) = (10.0, 260.0, 20.0, 11.0, 52);
        let what = match self.goal {
            Some(goal) => format!("{label}: distance from {}", significant(goal, 3)),
            None => label.to_owned(),
        };
        let ticks = self.axis.ticks(4);
        let bar = svg((left + width + 50.0, 50.0), |canvas| {
            canvas.text(&what, (left, 8.0), Anchor::Start, 12.0, Tone::Muted)?;
            for i in 0..steps {
                let at = |i: usize| left + width * i as f64 / steps as f64;
                let (a, b) = (at(i), at(i + 1));
                let corners = [(a, top), (b, top), (b, top + height), (a, top + height)];
                let strength = STRONGEST * (i as f64 + 0.5) / steps as f64;
                canvas.polygon(&corners, Style::fill(Tone::Scale).alpha(strength))?;
            }
            for (value, label) in &ticks {
                let Some(t) = self.axis.place(*value).filter(|t| (0.0..=1.0).contains(t)) else { continue };
                let x = left + t * width;
                canvas.line(&[(x, top + height), (x, top + height + 3.0)], Style::line(Tone::Muted, 1.0))?;
                canvas.text(label, (x, top + height + 11.0), Anchor::Middle, 12.0, Tone::Muted)?;
            }
            Ok(())
        })?;
        let ends = [ticks.first(), ticks.last()].map(|t| t.map_or("", |t| t.1.as_str()));
        Ok((bar, format!("Colour scale of {what}, from {} (faint) to {} (strong).", ends[0], ends[1])))
    }
}

struct Map<'t, 'a> {
    table: &'t Table<'a>,
    column: &'t Column,
    across: usize,
    up: usize,
    xs: Vec<f64>,
    ys: Vec<f64>,
    scale: Scale,
}

/// One cell of the map.
#[derive(Debug, Clone, PartialEq)]
struct Square {
    /// Its place: from the left, from below.
    at: (usize, usize),
    value: Option<Estimate>,
    /// What became of repetitions that have no value.
    lost: Option<&'static str>,
}

impl Map<'_, '_> {
    fn squares(&self, rows: &[usize]) -> Vec<Square> {
        let place = |all: &[f64], axis: usize, row: usize| {
            let own = number(self.table, axis, row)?;
            all.iter().position(|v| *v == own)
        };
        let square = |&row: &usize| {
            let at = (place(&self.xs, self.across, row)?, place(&self.ys, self.up, row)?);
            let cell = self.column.cells.get(row).copied().flatten();
            let value = cell.map(|c| c.mean).filter(|m| m.value.is_finite());
            let not_finite = cell.is_some_and(|c| c.not_finite > 0).then_some("not finite");
            Some(Square { at, value, lost: lost(&self.table.rows[row]).or(not_finite) })
        };
        rows.iter().filter_map(square).collect()
    }

    fn name(&self, axis: usize) -> String {
        visible(&self.table.compared[axis].name)
    }

    fn caption(&self, left_out: &[String]) -> String {
        let order = match self.scale.goal {
            Some(_) => "the fainter, the nearer to the goal",
            None => match self.column.better {
                Some(Better::Higher) => "the stronger the larger, and the larger the better",
                Some(_) => "the stronger the larger, and the smaller the better",
                None => "the stronger the larger",
            },
        };
        let more = if left_out.is_empty() { String::new() } else { format!(" Not drawn: {}.", listed(left_out)) };
        format!(
            "{} over {} and {}, mean over repetitions ± one standard error; {order}. A cross marks what has repetitions that failed, diverged or are not finite: its value is the mean of the others.{more}",
            visible(&self.column.label),
            self.name(self.across),
            self.name(self.up),
        )
    }

    fn alt(&self, title: &str, squares: &[Square]) -> String {
        let told = squares.iter().map(|s| {
            let value = s.value.map_or_else(|| s.lost.unwrap_or("nothing").to_owned(), |v| significant(v.value, 2));
            format!("{value} at {}, {}", tick(self.xs[s.at.0]), tick(self.ys[s.at.1]))
        });
        format!(
            "Heat map of {} over {} and {}{}: {}.",
            visible(&self.column.label),
            self.name(self.across),
            self.name(self.up),
            if title.is_empty() { String::new() } else { format!(" ({title})") },
            listed(&told.collect::<Vec<_>>())
        )
    }

    fn draw(&self, squares: &[Square]) -> Result<Svg, Trouble> {
        let widest = self.ys.iter().map(|y| text_width(&tick(*y), TEXT)).fold(0.0, f64::max);
        let (left, top) = (widest + 14.0, 28.0);
        let bottom = top + HEIGHT * self.ys.len() as f64;
        let width = (WIDTH - 4.0 - left) / self.xs.len() as f64;
        svg((WIDTH, bottom + 44.0), |canvas| {
            for square in squares {
                let x = left + width * square.at.0 as f64;
                let y = bottom - HEIGHT * (square.at.1 + 1) as f64;
                self.square(canvas, square, [x, y, x + width, y + HEIGHT])?;
            }
            for (i, x) in self.xs.iter().enumerate() {
                let middle = left + width * (i as f64 + 0.5);
                fitted(canvas, &tick(*x), (middle, bottom + 14.0), width, Tone::Muted)?;
            }
            for (i, y) in self.ys.iter().enumerate() {
                let middle = bottom - HEIGHT * (i as f64 + 0.5);
                canvas.text(&tick(*y), (left - 7.0, middle), Anchor::End, TEXT, Tone::Muted)?;
            }
            canvas.text(&self.name(self.up), (4.0, 11.0), Anchor::Start, TEXT, Tone::Ink)?;
            let middle = (left + 0.5 * width * self.xs.len() as f64, bottom + 35.0);
            canvas.text(&self.name(self.across), middle, Anchor::Middle, TEXT, Tone::Ink)
        })
    }

    /// A cell in the box (left, top, right, bottom).
    fn square<'b>(
        &self,
        canvas: &Canvas<SVGBackend<'b>>,
        square: &Square,
        [left, top, right, bottom]: [f64; 4],
    ) -> Result<(), Trouble> {
        let (x, y, width) = (0.5 * (left + right), 0.5 * (top + bottom), right - left);
        let corners = [
            (left + 1.0, top + 1.0),
            (right - 1.0, top + 1.0),
            (right - 1.0, bottom - 1.0),
            (left + 1.0, bottom - 1.0),
        ];
        match square.value.and_then(|v| Some((v, self.scale.strength(v.value)?))) {
            Some((Estimate { value, standard_error }, strength)) => {
                canvas.polygon(&corners, Style::fill(Tone::Scale).alpha(strength))?;
                let known = standard_error.is_finite() && standard_error > 0.0;
                fitted(canvas, &significant(value, 3), (x, if known { y - 7.0 } else { y }), width, Tone::Ink)?;
                if known {
                    fitted(canvas, &format!("± {}", significant(standard_error, 2)), (x, y + 8.0), width, Tone::Ink)?;
                }
            }
            None => {
                let outline: Vec<_> = corners.iter().chain(corners.first()).copied().collect();
                canvas.line(&outline, Style::line(Tone::Grid, 1.0))?;
                fitted(canvas, square.lost.unwrap_or("–"), (x, y), width, Tone::HeldOut)?;
            }
        }
        if square.value.is_some() && square.lost.is_some() {
            let (x, y, r) = (right - 7.0, top + 7.0, 3.0);
            let style = Style::line(Tone::Ink, 1.6);
            canvas.line(&[(x - r, y - r), (x + r, y + r)], style)?;
            canvas.line(&[(x - r, y + r), (x + r, y - r)], style)?;
        }
        Ok(())
    }
}

/// What became of a row's repetitions that did not finish; `None` if none was lost.
fn lost(row: &Row<'_>) -> Option<&'static str> {
    let states = || row.repetitions.iter().flatten().filter_map(|cell| cell.state());
    [(State::Diverged, "diverged"), (State::TimedOut, "timed out"), (State::Failed, "failed")]
        .into_iter()
        .find_map(|(state, word)| states().any(|s| s == state).then_some(word))
}

/// Text as large as its cell has room for; none where that is too small.
fn fitted<'b>(
    canvas: &Canvas<SVGBackend<'b>>,
    text: &str,
    at: (f64, f64),
    width: f64,
    tone: Tone,
) -> Result<(), Trouble> {
    let size = TEXT.min(TEXT * (width - 4.0) / text_width(text, TEXT).max(1.0));
    if size < LEAST_TEXT {
        return Ok(());
    }
    canvas.text(text, at, Anchor::Middle, size, tone)
}

#[cfg(test)]
mod tests {
    use stein_record::AxisRole;

    use super::*;
    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Sweep};

    /// α × T with the value 10 α + T, whose axes are not in order.
    fn grid() -> Sweep {
        let axes = [("alpha", AxisRole::Compare, "3 1 2"), ("steps", AxisRole::Compare, "20 10")];
        let cells = [("3 20", 50.0), ("1 20", 30.0), ("2 20", 40.0), ("3 10", 40.5), ("1 10", 20.0), ("2 10", 30.5)];
        let mut sweep = sweep(&axes, &cells);
        sweep.axes[0].numbers = Some(vec![3.0, 1.0, 2.0]);
        sweep.axes[1].numbers = Some(vec![20.0, 10.0]);
        sweep
    }

    fn squares(sweep: &Sweep) -> Vec<Square> {
        let table = Table::of(sweep);
        let (across, up) = axes(&table).unwrap();
        let column = table.primary_column().unwrap();
        let (xs, ys) = (distinct(&table, across), distinct(&table, up));
        let map = Map { table: &table, column, across, up, xs, ys, scale: Scale::of(column) };
        map.squares(&(0..table.rows.len()).collect::<Vec<_>>())
    }

    #[test]
    fn cells_stand_where_their_numbers_are() {
        let at = |x: usize, y: usize| {
            let all = squares(&grid());
            all.iter().find(|s| s.at == (x, y)).unwrap().value.unwrap().value
        };
        // From the left α = 1, 2, 3; from below T = 10, 20. The wrong twin takes the file's order, or turns the axes.
        assert_eq!([at(0, 0), at(1, 0), at(2, 0)], [20.0, 30.5, 40.5]);
        assert_eq!([at(0, 1), at(1, 1), at(2, 1)], [30.0, 40.0, 50.0]);
        let sweep = grid();
        let table = Table::of(&sweep);
        let figure = figure(&table, (0, 1), table.primary_column().unwrap()).unwrap().unwrap();
        assert!(figure.panels[0].alt.contains("50 at 3, 20; 40 at 3, 10;"), "{}", figure.panels[0].alt);
        assert_eq!(figure.panels.len(), 1);
    }

    #[test]
    fn larger_values_are_stronger_unless_there_is_a_goal() {
        let sweep = grid();
        let table = Table::of(&sweep);
        let column = table.primary_column().unwrap();
        let scale = Scale::of(column);
        assert!(scale.strength(50.0) > scale.strength(20.0));
        let near = Scale::of(&Column { better: Some(Better::Near(40.0)), ..column.clone() });
        assert!(near.strength(40.0) < near.strength(50.0) && near.strength(50.0) < near.strength(20.0));
        assert_eq!(near.strength(f64::NAN), None);
    }

    #[test]
    fn what_diverged_is_marked() {
        let mut sweep = grid();
        sweep.cells[0].found = Found::Short { file: String::new(), state: Some(State::Diverged), why: String::new() };
        let all = squares(&sweep);
        let corner = all.iter().find(|s| s.at == (2, 1)).unwrap();
        assert_eq!((corner.value, corner.lost), (None, Some("diverged")));
        assert_eq!(all.iter().filter(|s| s.lost.is_some()).count(), 1);
    }
}
