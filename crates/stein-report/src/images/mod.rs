//! Pictures of samples: what training saves beside the numbers, and what pages embed.
//!
//! Everything here takes plain [`Array`]s; numbers that are not finite are drawn as a colour of their own or left
//! out, and shapes that don't fit are an error, never a panic.

mod animation;
mod last_frame;
mod scatter;

pub use animation::{View, trajectory_gif};
pub use image::{RgbImage, RgbaImage};
pub(crate) use last_frame::last_frame;
pub use scatter::scatter;

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageFormat, Rgba};
use stein_record::arrays::Array;
use stein_record::{RecordError, atomic};

/// The largest width and height of a picture; a grid that would be larger is refused.
const MOST_PIXELS: usize = 8192;

/// A grid of images, `columns` to a row, each pixel `scale` pixels wide, with clear gaps between them.
///
/// `rows` is `[N, D]`, a row an image of `[height, width, channels]`, channel first in memory. `range` is what is
/// drawn black and white; values beyond it are clipped, and those that are not finite are drawn vermilion. Three or more channels are
/// red, green and blue; fewer are grey, the first alone.
///
/// # Errors
/// If the shapes don't fit together, or the picture would be larger than 8192 pixels on a side.
pub fn sample_grid(
    rows: &Array,
    image: [usize; 3],
    range: [f64; 2],
    columns: usize,
    scale: usize,
) -> Result<RgbaImage, RecordError> {
    let [height, width, channels] = image;
    let size = height.checked_mul(width).and_then(|n| n.checked_mul(channels));
    let count = match (rows.shape.as_slice(), size) {
        ([n, d], Some(size)) if *d == size && size > 0 && n.checked_mul(size) == Some(rows.data.len()) => *n,
        _ => return Err(unfit(format!("rows of the shape {:?} are no images of {image:?}", rows.shape))),
    };
    let (columns, scale) = (columns.clamp(1, count.max(1)), scale.max(1));
    let lines = count.div_ceil(columns);
    let gap = scale.div_ceil(2);
    let extent = |cells: usize, pixels: usize| {
        let whole = pixels.checked_mul(scale)?.checked_add(gap)?.checked_mul(cells)?.saturating_sub(gap).max(1);
        (whole <= MOST_PIXELS).then_some(whole as u32)
    };
    let (Some(wide), Some(high)) = (extent(columns, width), extent(lines, height)) else {
        return Err(unfit(format!("{count} images of {image:?} make too large a picture")));
    };
    let mut picture = RgbaImage::new(wide, high);
    for (i, row) in rows.data.chunks_exact(height * width * channels).enumerate() {
        let (left, top) = ((i % columns) * (width * scale + gap), (i / columns) * (height * scale + gap));
        for y in 0..height {
            for x in 0..width {
                let value = |c: usize| level(row[(c * height + y) * width + x], range);
                let colour = pixel(value, channels);
                for (dy, dx) in (0..scale).flat_map(|dy| (0..scale).map(move |dx| (dy, dx))) {
                    picture.put_pixel((left + x * scale + dx) as u32, (top + y * scale + dy) as u32, colour);
                }
            }
        }
    }
    Ok(picture)
}

fn pixel(value: impl Fn(usize) -> Option<u8>, channels: usize) -> Rgba<u8> {
    let colour = if channels >= 3 {
        value(0).zip(value(1)).zip(value(2)).map(|((r, g), b)| [r, g, b])
    } else {
        value(0).map(|v| [v; 3])
    };
    let [r, g, b] = colour.unwrap_or([213, 94, 0]);
    Rgba([r, g, b, 255])
}

/// A value's brightness; `None` if it is not finite.
fn level(value: f32, [low, high]: [f64; 2]) -> Option<u8> {
    let t = (f64::from(value) - low) / (high - low);
    // A range without extent sends everything to its middle.
    let t = if high > low { t } else { 0.5 };
    value.is_finite().then(|| (t.clamp(0.0, 1.0) * 255.0).round() as u8)
}

/// Writes a picture as PNG, atomically.
///
/// # Errors
/// If the file cannot be written.
pub fn write_png(path: &Path, picture: &RgbaImage) -> Result<(), RecordError> {
    let bytes = png_bytes(&DynamicImage::ImageRgba8(picture.clone()))?;
    atomic::write(path, &bytes)
}

/// A picture as the bytes of a PNG file.
pub(crate) fn png_bytes(picture: &DynamicImage) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|e| unfit(e.to_string()))?;
    Ok(bytes.into_inner())
}

/// What is wrong with a picture that was asked for.
fn unfit(problem: impl Into<String>) -> RecordError {
    RecordError::damaged("(picture)", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_its_pixels_where_they_belong() {
        // Two images of 1 × 2 pixels and three channels.
        let rows = Array::new([2, 6], vec![1.0, 0.0, 0.0, 0.0, 0.0, 2.0, f32::NAN, 0.5, 0.5, 0.5, 0.5, 0.5]);
        let grid = sample_grid(&rows, [1, 2, 3], [0.0, 1.0], 1, 2).unwrap();
        assert_eq!(grid.dimensions(), (4, 5));
        assert_eq!(grid.get_pixel(1, 1).0, [255, 0, 0, 255]);
        assert_eq!(grid.get_pixel(2, 0).0, [0, 0, 255, 255]);
        assert_eq!(grid.get_pixel(0, 2).0[3], 0);
        assert_eq!(grid.get_pixel(0, 3).0, [213, 94, 0, 255]);
        assert_eq!(grid.get_pixel(3, 4).0, [128, 128, 128, 255]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let rows = Array::new([2, 6], vec![0.0; 12]);
        for (image, columns, scale) in
            [([1, 2, 2], 1, 1), ([usize::MAX, 2, 3], 1, 1), ([0, 0, 0], 1, 1), ([1, 2, 3], 1, usize::MAX)]
        {
            assert!(sample_grid(&rows, image, [0.0, 1.0], columns, scale).is_err());
        }
        let lies = Array { shape: vec![1, 6], data: vec![] };
        assert!(sample_grid(&lies, [1, 2, 3], [0.0, 1.0], 1, 1).is_err());
        let none = Array::new([0, 6], vec![]);
        assert_eq!(sample_grid(&none, [1, 2, 3], [0.0, 0.0], 0, 0).unwrap().dimensions(), (2, 1));
    }
}
