//! Pictures as a file of 8 bits would have them, and as the network takes them.

use stein_core::{Dataset, ImageShape, Invalid};
use stein_record::Array;

/// Pixels of a side that the network takes.
pub(super) const SIDE: usize = 299;
/// Of a colour picture.
const CHANNELS: usize = 3;

/// Pictures of 8 bits: what a PNG of each would hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    shape: ImageShape,
    /// `[N, C, H, W]`.
    values: Vec<u8>,
}

impl Pictures {
    /// Of rows `[N, D]` of values themselves: from the data's range to 0…255, cut there and rounded to the nearest whole number, as the
    /// pictures of a run are, and as torchvision's `save_image` and EDM do, by which published numbers are. Where data came from fewer
    /// values than 256, as those of `digits`, a number is first put in the middle of its cell, as [`of_data`](Self::of_data) puts the
    /// data's: or a perfect sample would be told by its dequantisation.
    ///
    /// # Errors
    /// If the data are no images, of no range, or of neither one nor three channels; or a number is not finite.
    pub fn of(rows: &Array, dataset: &Dataset) -> Result<Self, Invalid> {
        let (shape, range) = described(dataset)?;
        let rows = crate::compare::rows(rows)?;
        Ok(Self { shape, values: rows.data().iter().map(|&x| level(whole(x, dataset, range), range)).collect() })
    }

    /// Of rows of the data set itself, before dequantisation: with it, of the middle of each value's cell, which for data that came from
    /// 8 bits are these very bits.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_data(rows: &Array, dataset: &Dataset) -> Result<Self, Invalid> {
        let (shape, range) = described(dataset)?;
        let half = dataset.dequantize.unwrap_or(0.0) / 2.0;
        Ok(Self { shape, values: rows.data.iter().map(|&x| level(whole(x + half, dataset, range), range)).collect() })
    }

    /// N.
    pub fn len(&self) -> usize {
        self.values.len() / self.shape.dimension()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The numbers, `[N, C, H, W]`.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// Height, width, channels.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Picture `i` as the network takes it, `[3, 299, 299]` from −1 to 1: of grey three times the same, resized.
    pub(super) fn seen(&self, i: usize) -> Vec<f32> {
        let ImageShape { height, width, channels } = self.shape;
        let (rows, columns) = (places(height), places(width));
        let picture = &self.values[i * self.shape.dimension()..][..self.shape.dimension()];
        let mut out = Vec::with_capacity(CHANNELS * SIDE * SIDE);
        for channel in picture.chunks_exact(height * width) {
            let unit: Vec<f32> = channel.iter().map(|&v| f32::from(v) / 255.0).collect();
            resized(&unit, width, &rows, &columns, &mut out);
        }
        out.iter_mut().for_each(|v| *v = 2.0 * *v - 1.0);
        (channels..CHANNELS).for_each(|_| out.extend_from_within(..SIDE * SIDE));
        out
    }
}

fn described(dataset: &Dataset) -> Result<(ImageShape, [f32; 2]), Invalid> {
    match (dataset.image, dataset.range) {
        (Some(shape), Some(range)) if [1, CHANNELS].contains(&shape.channels) => Ok((shape, range)),
        _ => Err(Invalid::new(
            "Inception takes images of one or three channels, whose values have a range; these data are none",
        )),
    }
}

/// Whether data are pictures that the network can see.
pub(super) fn takes(dataset: &Dataset) -> bool {
    described(dataset).is_ok()
}

/// The middle of the cell that a number lies in, where cells are wider than those of 8 bits.
fn whole(x: f32, dataset: &Dataset, [low, high]: [f32; 2]) -> f32 {
    let Some(width) = dataset.dequantize.filter(|&width| 255.0 * width > 1.01 * (high - low)) else { return x };
    let last = ((high - low) / width).round() - 1.0;
    low + width * (((x - low) / width).floor().clamp(0.0, last) + 0.5)
}

fn level(x: f32, [low, high]: [f32; 2]) -> u8 {
    let (low, high) = (f64::from(low), f64::from(high));
    ((f64::from(x) - low) / (high - low) * 255.0).clamp(0.0, 255.0).round() as u8
}

/// Between which pixels a pixel of the resized picture lies, and how near the second one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    first: usize,
    second: usize,
    towards_second: f32,
}

/// Bilinear with pixels as squares, whose corners are kept and not their centres (`align_corners=False`), and no smoothing before
/// pictures are made smaller: as PyTorch has it.
fn places(side: usize) -> Vec<Place> {
    let scale = side as f32 / SIDE as f32;
    let place = |i: usize| {
        let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (at as usize).min(side - 1);
        Place { first, second: (first + 1).min(side - 1), towards_second: at - first as f32 }
    };
    (0..SIDE).map(place).collect()
}

/// Appends a channel, resized to where `rows` and `columns` lie.
fn resized(channel: &[f32], width: usize, rows: &[Place], columns: &[Place], out: &mut Vec<f32>) {
    let mix = |a: f32, b: f32, towards: f32| (1.0 - towards) * a + towards * b;
    for row in rows {
        let [upper, lower] = [row.first, row.second].map(|y| &channel[y * width..][..width]);
        out.extend(columns.iter().map(|column| {
            let of = |line: &[f32]| mix(line[column.first], line[column.second], column.towards_second);
            mix(of(upper), of(lower), row.towards_second)
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(height: usize, width: usize, channels: usize, range: [f32; 2]) -> Dataset {
        let image = Some(ImageShape { height, width, channels });
        Dataset { image, range: Some(range), ..Dataset::default() }
    }

    #[test]
    fn values_are_rounded_as_a_file_would_have_them() {
        let data = images(1, 4, 1, [-1.0, 1.0]);
        let of = |row: [f32; 4]| Pictures::of(&Array::new([1, 4], row.to_vec()), &data).unwrap().values;
        assert_eq!(of([-1.0, 1.0, -3.0, 1e30]), [0, 255, 0, 255]);
        // 127.5 is rounded up; so is what lies less than half below.
        assert_eq!(of([0.0, -0.001, 0.0039, 0.005]), [128, 127, 128, 128]);
        // Cutting off would give 127 for 127.9.
        assert_eq!(of([0.0033, 0.0, 0.0, 0.0])[0], 128);
    }

    #[test]
    fn rows_of_the_data_are_the_bits_of_their_files() {
        let row: Vec<f32> = (0..256).map(|v| v as f32 / 256.0).collect();
        let data = Dataset { dequantize: Some(1.0 / 256.0), ..images(16, 16, 1, [0.0, 1.0]) };
        let all: Vec<u8> = (0..=255).collect();
        let rows = Array::new([1, 256], row);
        assert_eq!(Pictures::of_data(&rows, &data).unwrap().values, all);
        // From the lower ends of the cells, half of them would be another.
        let lower = Pictures::of(&rows, &data).unwrap().values;
        assert!(lower.iter().zip(&all).filter(|(a, b)| a != b).count() > 100);
        let plain = Array::new([1, 256], (0..256).map(|v| v as f32 / 255.0).collect());
        assert_eq!(Pictures::of_data(&plain, &images(16, 16, 1, [0.0, 1.0])).unwrap().values, all);
    }

    /// Of 17 values, whatever noise makes of them within their cells is the same picture; 4 levels of 255 are 0.27 of a cell.
    #[test]
    fn noise_within_coarse_cells_is_not_seen() {
        let data = Dataset { dequantize: Some(1.0 / 17.0), ..images(1, 17, 1, [0.0, 1.0]) };
        let row = |u: f32| Array::new([1, 17], (0..17).map(|v| (v as f32 + u) / 17.0).collect());
        let whole = Pictures::of_data(&row(0.0), &data).unwrap().values;
        for u in [0.01, 0.3, 0.7, 0.99] {
            assert_eq!(Pictures::of(&row(u), &data).unwrap().values, whole, "{u}");
        }
        let [first, .., last] = whole[..] else { panic!() };
        let beyond = Pictures::of(&Array::new([1, 17], [[-2.0; 8].as_slice(), &[7.0; 9]].concat()), &data).unwrap();
        assert_eq!((beyond.values[0], beyond.values[16]), (first, last));
        // Of 8 bits it is, as of any number.
        let fine = Dataset { dequantize: Some(1.0 / 256.0), ..images(1, 2, 1, [0.0, 1.0]) };
        let of = |x: f32| Pictures::of(&Array::new([1, 2], vec![x; 2]), &fine).unwrap().values[0];
        assert_eq!((of(0.9 / 256.0), of(0.1 / 256.0)), (1, 0));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let rows = Array::new([1, 4], vec![0.0; 4]);
        assert!(Pictures::of(&rows, &Dataset::default()).is_err());
        assert!(Pictures::of(&rows, &Dataset { range: None, ..images(2, 2, 1, [0.0, 1.0]) }).is_err());
        assert!(Pictures::of(&rows, &images(1, 2, 2, [0.0, 1.0])).is_err() && !takes(&images(1, 2, 2, [0.0, 1.0])));
        let broken = Array::new([1, 4], vec![0.0, 0.0, f32::NAN, 0.0]);
        assert!(Pictures::of(&broken, &images(2, 2, 1, [0.0, 1.0])).unwrap_err().message.contains("NaN"));
        assert!(takes(&images(2, 2, 1, [0.0, 1.0])) && takes(&images(2, 2, 3, [0.0, 1.0])));
    }

    /// From 2 to 299 pixels, pixel i lies at (i + ½) 2/299 − ½: before the first centre up to i = 74, where it is −0.0017, and at
    /// 0.0050 for i = 75; in the middle, i = 149, at ½.
    #[test]
    fn places_by_hand() {
        let two = places(2);
        assert_eq!(two[74], Place { first: 0, second: 1, towards_second: 0.0 });
        assert!((two[75].towards_second - (75.5 * 2.0 / 299.0 - 0.5)).abs() < 1e-6 && two[75].first == 0);
        assert!((two[149].towards_second - 0.5).abs() < 1e-6);
        assert_eq!((two[298].first, two[298].second), (1, 1));
        // With aligned corners the second pixel would lie at 1/298.
        assert!(two[1].towards_second == 0.0);
        let same = places(SIDE);
        assert!((0..SIDE).all(|i| same[i].first == i || same[i].towards_second > 0.999));
        // Made smaller, only the two nearest count: 598 pixels at 2 i + ½.
        let larger = places(2 * SIDE);
        assert!((0..SIDE).all(|i| larger[i].first == 2 * i && (larger[i].towards_second - 0.5).abs() < 1e-4));
        assert!(places(1).iter().all(|place| (place.first, place.second) == (0, 0)));
    }

    #[test]
    fn a_picture_is_stretched_to_both_sides_and_to_three_channels() {
        // Brightness 0, 85, 170 and 255: −1, −⅓, ⅓ and 1.
        let pictures =
            Pictures { shape: ImageShape { height: 2, width: 2, channels: 1 }, values: vec![0, 85, 170, 255] };
        let seen = pictures.seen(0);
        assert_eq!(seen.len(), 3 * SIDE * SIDE);
        let at = |y: usize, x: usize| seen[y * SIDE + x];
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5;
        assert!(near(at(0, 0), -1.0) && near(at(0, 298), -1.0 / 3.0) && near(at(298, 0), 1.0 / 3.0));
        assert!(near(at(149, 149), 0.0) && near(at(149, 0), -1.0 / 3.0) && near(at(0, 149), -2.0 / 3.0));
        assert_eq!(seen[..SIDE * SIDE], seen[SIDE * SIDE..2 * SIDE * SIDE]);
        assert_eq!(seen[..SIDE * SIDE], seen[2 * SIDE * SIDE..]);
    }
}
