//! One picture: decoded, laid over a colour, cut to the proportions that are wanted, resized.

use std::io::Cursor;
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, ImageDecoder, ImageReader, Limits, RgbImage, RgbaImage, SubImage};
use serde::{Deserialize, Serialize};

/// The most pixels a side of a picture that is decoded.
pub const MOST_SIDE: u32 = 1 << 15;
/// The most pixels of it.
pub const MOST_PIXELS: u64 = 1 << 26;
/// What a decoder may have in memory: pixels of four times 16 bits.
const MOST_MEMORY: u64 = 8 * MOST_PIXELS + (64 << 20);

/// The most pixels of pictures of which several are in memory at a time: a larger one takes 100 MB and more.
const LARGE: u64 = 8 << 20;
/// Held by whoever has a larger one.
static ALONE: Mutex<()> = Mutex::new(());

/// What pictures are made into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// Pixels from top to bottom.
    pub height: u32,
    /// Pixels from left to right.
    pub width: u32,
    /// Whether to grey, 0.2126 R + 0.7152 G + 0.0722 B, instead of red, green and blue.
    pub grey: bool,
    /// What is behind transparent pixels.
    pub background: [u8; 3],
}

impl Form {
    /// Numbers in a picture.
    pub fn dimension(&self) -> usize {
        self.height as usize * self.width as usize * if self.grey { 1 } else { 3 }
    }
}

/// A sheet of pictures of equal size, side by side in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// Pixels from one picture to the next, both ways.
    pub cell: u32,
    /// Pixels of a cell on each side that are left out.
    pub inset: u32,
}

/// Decodes a PNG, JPEG, GIF (its first frame), BMP or WebP, turned as its Exif data say.
///
/// # Errors
/// If it is none, is damaged, or has more pixels than are read.
pub fn decode(bytes: &[u8]) -> Result<RgbaImage, String> {
    decode_alone(bytes).map(|(picture, _)| picture)
}

/// As [`decode`]; a large picture comes with what keeps other large ones waiting.
pub(crate) fn decode_alone(bytes: &[u8]) -> Result<(RgbaImage, Option<MutexGuard<'static, ()>>), String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    if reader.format().is_none() {
        let hint = stein_record::file::page_hint(bytes);
        return Err(format!("it is no picture of a kind that is read: PNG, JPEG, GIF, BMP or WebP{hint}"));
    }
    let mut limits = Limits::no_limits();
    (limits.max_image_width, limits.max_image_height) = (Some(MOST_SIDE), Some(MOST_SIDE));
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("it has {width}×{height} pixels; at most {MOST_PIXELS} are read"));
    }
    // Whoever panicked with it left nothing behind.
    let alone =
        (u64::from(width) * u64::from(height) > LARGE).then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
    // What is wrong with what is said beside a picture does not make the picture worse.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    picture.apply_orientation(orientation);
    Ok((picture.into_rgba8(), alone))
}

/// The pictures of a sheet, row by row, without those that are nothing but transparent.
///
/// # Errors
/// If the sheet is no whole number of cells, or nothing of a cell is left.
pub fn cells(sheet: &RgbaImage, how: Sheet) -> Result<impl Iterator<Item = SubImage<&RgbaImage>>, String> {
    let (Sheet { cell, inset }, (width, height)) = (how, sheet.dimensions());
    if u64::from(cell) <= 2 * u64::from(inset) || width % cell != 0 || height % cell != 0 {
        return Err(format!("it has {width}×{height} pixels, which are no whole number of cells of {cell}×{cell}"));
    }
    let corners =
        (0..height / cell).flat_map(move |y| (0..width / cell).map(move |x| (x * cell + inset, y * cell + inset)));
    let side = cell - 2 * inset;
    let pictures = corners.map(move |(x, y)| imageops::crop_imm(sheet, x, y, side, side));
    Ok(pictures.filter(|picture| picture.pixels().any(|(_, _, p)| p.0[3] > 0)))
}

/// A picture in a form, channel first: over the background, cut about its centre to the form's proportions, resized by Lanczos' filter
/// of three lobes, which is stretched where it shrinks (as Pillow's).
pub fn fit(picture: &RgbaImage, form: &Form) -> Vec<u8> {
    let opaque = over(picture, form.background);
    let (x, y, width, height) = centre(opaque.dimensions(), form);
    let part = opaque.view(x, y, width, height).to_image();
    let sized = match (width, height) == (form.width, form.height) {
        true => part,
        false => imageops::resize(&part, form.width, form.height, FilterType::Lanczos3),
    };
    if form.grey {
        return DynamicImage::ImageRgb8(sized).into_luma8().into_raw();
    }
    (0..3).flat_map(|channel| sized.pixels().map(move |p| p.0[channel])).collect()
}

/// Laid over a colour, rounded to whole levels.
fn over(picture: &RgbaImage, background: [u8; 3]) -> RgbImage {
    let mut out = RgbImage::new(picture.width(), picture.height());
    for (to, from) in out.pixels_mut().zip(picture.pixels()) {
        let [colour @ .., alpha] = from.0.map(u32::from);
        let mixed = |i: usize| (colour[i] * alpha + u32::from(background[i]) * (255 - alpha) + 127) / 255;
        to.0 = [mixed(0), mixed(1), mixed(2)].map(|v| v as u8);
    }
    out
}

/// The largest part in the middle that has a form's proportions: its corner and its extents.
fn centre((width, height): (u32, u32), form: &Form) -> (u32, u32, u32, u32) {
    let scaled = |a: u32, b: u32, c: u32| {
        let (a, b, c) = (u64::from(a), u64::from(b), u64::from(c).max(1));
        ((a * b + c / 2) / c).max(1)
    };
    let w = scaled(height, form.width, form.height).min(width.into()) as u32;
    let h = scaled(width, form.height, form.width).min(height.into()) as u32;
    ((width - w) / 2, (height - h) / 2, w, h)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgba};

    fn form(height: u32, width: u32) -> Form {
        Form { height, width, grey: false, background: [255, 0, 0] }
    }

    fn encoded(picture: &RgbaImage, format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let picture = DynamicImage::ImageRgba8(picture.clone());
        let picture = if format == ImageFormat::Jpeg { picture.into_rgb8().into() } else { picture };
        picture.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn pictures_come_as_they_are_where_nothing_is_to_do() {
        let picture = RgbaImage::from_fn(3, 2, |x, y| Rgba([10 * x as u8, 20 * y as u8, 7, 255]));
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let again = decode(&encoded(&picture, format)).unwrap();
            assert_eq!(again, picture, "{format:?}");
        }
        for format in [ImageFormat::Gif, ImageFormat::Jpeg] {
            let again = decode(&encoded(&picture, format)).unwrap();
            let far = again.pixels().zip(picture.pixels()).any(|(a, b)| (0..3).any(|c| a.0[c].abs_diff(b.0[c]) > 40));
            assert!(again.dimensions() == (3, 2) && !far, "{format:?}");
        }
        assert_eq!(fit(&picture, &form(2, 3)), [0, 10, 20, 0, 10, 20, 0, 0, 0, 20, 20, 20, 7, 7, 7, 7, 7, 7]);
        let grey = Form { grey: true, ..form(2, 3) };
        let luma = |r: f64, g: f64, b: f64| (0.2126 * r + 0.7152 * g + 0.0722 * b) as u8;
        assert_eq!(fit(&picture, &grey)[5], luma(20.0, 20.0, 7.0));
    }

    #[test]
    fn the_middle_is_taken_and_shrunk_without_aliases() {
        // Stripes of a pixel, which taking every fourth would make black or white, between margins.
        let stripes = RgbaImage::from_fn(128, 64, |x, _| match x {
            32..96 => Rgba(
                [255 * (x % 2) as u8; 3].map(|v| v).into_iter().chain([255]).collect::<Vec<_>>().try_into().unwrap(),
            ),
            _ => Rgba([255, 0, 255, 255]),
        });
        let small = fit(&stripes, &form(16, 16));
        assert_eq!(small.len(), 3 * 256);
        assert!(small.iter().all(|v| (100..156).contains(v)), "{:?}", &small[..16]);
        assert_eq!(centre((100, 50), &form(16, 16)), (25, 0, 50, 50));
        assert_eq!(centre((50, 101), &form(10, 20)), (0, 38, 50, 25));
        // However thin, something is left of it.
        assert_eq!(centre((1, 30_000), &form(16, 16)), (0, 14_999, 1, 1));
        assert_eq!(fit(&RgbaImage::new(1, 300), &form(4, 4)).len(), 48);
    }

    #[test]
    fn what_is_transparent_shows_the_background() {
        let picture = RgbaImage::from_raw(3, 1, vec![0, 200, 0, 255, 0, 200, 0, 0, 0, 200, 0, 128]).unwrap();
        assert_eq!(fit(&picture, &form(1, 3)), [0, 255, 127, 200, 0, 100, 0, 0, 0]);
    }

    #[test]
    fn sheets_are_cut_into_their_pictures() {
        let sheet = RgbaImage::from_fn(8, 4, |x, y| {
            let border = [x % 4, y % 4].into_iter().any(|i| i == 0 || i == 3);
            // The second cell has nothing but a border.
            Rgba([x as u8, y as u8, 0, if border || x < 4 { 255 } else { 0 }])
        });
        let found: Vec<_> = cells(&sheet, Sheet { cell: 4, inset: 1 }).unwrap().collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].dimensions(), found[0].get_pixel(0, 1).0), ((2, 2), [1, 2, 0, 255]));
        assert_eq!(cells(&sheet, Sheet { cell: 4, inset: 0 }).unwrap().count(), 2);
        for wrong in [Sheet { cell: 3, inset: 0 }, Sheet { cell: 2, inset: 1 }, Sheet { cell: 0, inset: 0 }] {
            assert!(cells(&sheet, wrong).err().unwrap().contains("8×4 pixels"));
        }
    }

    #[test]
    fn large_pictures_come_one_by_one() {
        let small = encoded(&RgbaImage::new(4, 4), ImageFormat::Png);
        assert!(decode_alone(&small).unwrap().1.is_none());
        let large = encoded(&RgbaImage::new(4096, 2049), ImageFormat::Png);
        let (_, alone) = decode_alone(&large).unwrap();
        assert!(alone.is_some() && ALONE.try_lock().is_err());
        drop(alone);
        decode(&large).unwrap();
    }

    #[test]
    fn bombs_and_what_is_none_are_refused() {
        assert!(decode(b"<html>").unwrap_err().contains("web page"));
        assert!(decode(b"").unwrap_err().contains("no picture"));
        let whole = encoded(&RgbaImage::new(40, 40), ImageFormat::Png);
        assert!(decode(&whole[..whole.len() / 2]).is_err());
        // A header that promises what is not behind it: 2³¹ pixels a side, and sides that are allowed with an area that is not.
        for (side, said) in [(1u32 << 31, ""), (1 << 14, "16384×16384 pixels; at most")] {
            let mut bomb = vec![b'B', b'M'];
            bomb.extend([[54, 0, 0, 0], [0; 4], [54, 0, 0, 0], [40, 0, 0, 0]].concat());
            bomb.extend([side.to_le_bytes(), side.to_le_bytes(), [1, 0, 24, 0]].concat());
            bomb.resize(54, 0);
            let problem = decode(&bomb).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }
}
