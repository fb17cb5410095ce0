//! Measured images, their completions and what they were.

use stein_record::arrays::Array;

use super::samples::{first_rows, grid_png};
use super::{Drawn, Figure, Layout, Panel};

/// Measured images that are shown, and completions of each.
const MOST_ROWS: usize = 8;
const MOST_COMPLETIONS: usize = 6;
/// About the width of one image.
const WIDE: usize = 40;

/// A line for each of the first measured images.
pub(crate) fn images(
    measured: &Array,
    drawn: &Array,
    truth: &Array,
    repeats: usize,
    image: [usize; 3],
    range: [f64; 2],
) -> Drawn {
    let (Some(&n), Some(&width)) = (measured.shape.first(), measured.shape.get(1)) else { return Ok(None) };
    let fits = truth.shape == measured.shape && n.checked_mul(repeats).is_some_and(|all| drawn.shape == [all, width]);
    if !fits || repeats == 0 {
        return Err("completions and what was measured do not belong together".into());
    }
    let shown = n.min(MOST_ROWS);
    let number = repeats.min(MOST_COMPLETIONS);
    let row = |i: usize| drawn.data.get(i * width..(i + 1) * width).unwrap_or_default();
    let each = |i: usize, k: usize| row(i * repeats + k).to_vec();
    let completions = (0..shown).flat_map(|i| (0..number).flat_map(move |k| each(i, k))).collect();
    let mean =
        |i: usize| (0..width).map(move |j| (0..repeats).map(|k| row(i * repeats + k)[j]).sum::<f32>() / repeats as f32);
    let means = (0..shown).flat_map(mean).collect();
    let panel = |title: &str, alt: String, rows: Array, columns: usize| {
        let picture = grid_png(&rows, image, range, columns, WIDE * columns)?;
        Ok::<_, crate::canvas::Trouble>(Panel { title: title.into(), note: String::new(), alt, picture })
    };
    let list = |what: &str| format!("{what} of {shown} images, one below the other.");
    let panels = vec![
        panel("Measured", list("What was measured"), first_rows(measured, shown), 1)?,
        panel(
            "Completions",
            format!("{number} completions of each of {shown} images, a line an image."),
            Array { shape: vec![shown * number, width], data: completions },
            number,
        )?,
        panel("Mean", list("The mean completion"), Array { shape: vec![shown, width], data: means }, 1)?,
        panel("Truth", list("The truth"), first_rows(truth, shown), 1)?,
    ];
    let caption = format!(
        "A line for each of the first {shown} measured images, not chosen: what was measured (orange where nothing was), \
         {number} of its {repeats} completions, the mean of them all, and what the image was. Values beyond the data's range \
         are clipped for display."
    );
    Ok((shown > 0).then_some(Figure { panels, layout: Layout::Strip, legend: None, caption }))
}
