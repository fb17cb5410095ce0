//! A value's place among those of its column, small enough for a table.

use crate::canvas::{Style, Svg, Trouble, svg};
use crate::figures::axis::Axis;
use crate::palette::Tone;
use crate::sweep::Column;

const SIZE: (f64, f64) = (96.0, 14.0);

/// A dot with its standard error on the column's axis; nothing where the value is not finite.
pub(crate) fn draw(column: &Column, row: usize, tone: Tone) -> Result<Option<Svg>, Trouble> {
    let means = || column.cells.iter().flatten().map(|c| c.mean);
    let axis = Axis::auto(means().map(|m| m.value));
    let Some(mean) = column.cells.get(row).copied().flatten().map(|c| c.mean) else { return Ok(None) };
    let (left, right, y) = (5.0, SIZE.0 - 5.0, 0.5 * SIZE.1);
    let at = |v: f64| axis.place(v).map(|t| left + t.clamp(0.0, 1.0) * (right - left));
    let Some(x) = at(mean.value) else { return Ok(None) };
    let drawn = svg(SIZE, |canvas| {
        canvas.line(&[(left, y), (right, y)], Style::line(Tone::Grid, 2.0))?;
        let error = mean.standard_error;
        if error.is_finite() {
            let ends = (at(mean.value - error).unwrap_or(left), at(mean.value + error).unwrap_or(right));
            canvas.line(&[(ends.0, y), (ends.1, y)], Style::line(tone, 2.0))?;
        }
        canvas.disc((x, y), 4.4, Style::fill(Tone::Paper))?;
        canvas.disc((x, y), 3.6, Style::fill(tone))
    })?;
    Ok(Some(drawn))
}
