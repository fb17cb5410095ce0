//! The embedded handwritten digits.

use std::io::Read;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, ImageShape, Invalid, Labels, Streams, Target};
use stein_record::{Array, hash};

use crate::IsotropicMixture;

/// 1797 handwritten digits of 8×8 grey pixels, dequantised to [0, 1) as (v + u)/17; 1437 to train on, 360 held out.
///
/// A row's class is the digit. The split is the same in every run. Embedded in the program: nothing is downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Digits {
    /// Whether uniform noise of one grey level makes a density of the values; without it they are v/16, a law without one.
    pub dequantize: bool,
    /// Whether the law is that of the training rows themselves, point masses, whose score is known wherever there is noise: for
    /// samplers without training. Needs `dequantize = false`.
    pub empirical: bool,
    /// Training rows, the first of 1437; the held-out rows stay the same.
    #[schemars(range(min = 1, max = 1437))]
    pub train: usize,
}

impl Default for Digits {
    fn default() -> Self {
        Self { dequantize: true, empirical: false, train: ROWS - HELD_OUT }
    }
}

const FILE: &[u8] = include_bytes!("../assets/digits.csv.gz");
const SHA256: &str = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22";
const ROWS: usize = 1797;
const HELD_OUT: usize = 360;
const SIDE: usize = 8;
const DIGITS: usize = 10;
/// Pixels are 0 to 16.
const VALUES: f32 = 17.0;

impl Component<DataPart> for Digits {
    const KIND: &'static str = "digits";
    const PAPER: &'static str = "Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits";

    fn check(&self) -> Result<(), Invalid> {
        if self.empirical && self.dequantize {
            let message = "`empirical` is about the rows as they are, and `dequantize` adds noise to them; set dequantize = false";
            return Err(Invalid::key("empirical", message));
        }
        let most = ROWS - HELD_OUT;
        if !(1..=most).contains(&self.train) {
            return Err(Invalid::key("train", format!("`train` is {}; it must be from 1 to {most}", self.train)));
        }
        Ok(())
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let (rows, digits) =
            read().map_err(|problem| Invalid::new(format!("the embedded digits are damaged: {problem}")))?;
        // The split must not depend on the run's seed: runs are compared on the same held-out digits.
        let mut order: Vec<usize> = (0..ROWS).collect();
        Streams::new(0).at("digits split", 0).shuffle(&mut order);
        let divisor = if self.dequantize { VALUES } else { VALUES - 1.0 };
        let pick = |indices: &[usize]| {
            let data = indices.iter().flat_map(|&i| rows[i].iter().map(|&v| f32::from(v) / divisor)).collect();
            Array::new([indices.len(), SIDE * SIDE], data)
        };
        let of = |indices: &[usize]| indices.iter().map(|&i| digits[i]).collect();
        let train_rows = &order[HELD_OUT..][..self.train];
        let train = pick(train_rows);
        let target = self.empirical.then(|| Arc::new(IsotropicMixture::empirical(&train)) as Arc<dyn Target>);
        Ok(Dataset {
            held_out: pick(&order[..HELD_OUT]),
            train,
            image: Some(ImageShape { height: SIDE, width: SIDE, channels: 1 }),
            range: Some([0.0, 1.0]),
            dequantize: self.dequantize.then_some(1.0 / VALUES),
            target,
            labels: Some(Labels { train: of(train_rows), held_out: of(&order[..HELD_OUT]), count: DIGITS }),
            ..Dataset::default()
        })
    }
}

/// Pixels and the digit of each row.
fn read() -> Result<(Vec<Vec<u8>>, Vec<u32>), String> {
    if hash::sha256(FILE) != SHA256 {
        return Err("the checksum differs".into());
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE).read_to_string(&mut text).map_err(|e| e.to_string())?;
    let mut rows: Vec<Vec<u8>> = text
        .lines()
        .map(|line| line.split(',').take(SIDE * SIDE + 1).map(|v| v.parse::<u8>().map_err(|e| e.to_string())).collect())
        .collect::<Result<_, _>>()?;
    let digits: Vec<u32> = rows.iter_mut().filter_map(|row| row.pop()).map(u32::from).collect();
    let whole = rows.len() == ROWS && rows.iter().all(|r| r.len() == SIDE * SIDE && r.iter().all(|&v| v <= 16));
    let whole = whole && digits.iter().all(|&digit| digit < DIGITS as u32);
    whole.then_some((rows, digits)).ok_or_else(|| "rows are missing or out of range".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_fixed_and_covers_every_row() {
        let a = Digits::default().build(Streams::new(1)).unwrap();
        let b = Digits::default().build(Streams::new(2)).unwrap();
        assert_eq!((a.train.rows(), a.held_out.rows(), a.dimension()), (1437, 360, 64));
        assert_eq!(a.sha256(), b.sha256());
        let sum = |x: &Array| x.data.iter().map(|&v| f64::from(v * VALUES)).sum::<f64>();
        let all: f64 = read().unwrap().0.iter().flatten().map(|&v| f64::from(v)).sum();
        assert!((sum(&a.train) + sum(&a.held_out) - all).abs() < 0.5);
    }

    #[test]
    fn rows_of_one_digit_look_alike() {
        let data = Digits::default().build(Streams::new(1)).unwrap();
        let labels = data.labels.as_ref().unwrap();
        assert_eq!((labels.train.len(), labels.held_out.len(), labels.count), (1437, 360, 10));
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let nearest = |x: &[f32]| {
            let nearer =
                |i: &usize, j: &usize| distance(x, data.train.row(*i)).total_cmp(&distance(x, data.train.row(*j)));
            labels.train[(0..1437).min_by(nearer).unwrap()]
        };
        // The nearest neighbour's digit is right for some 98 %; labels of other rows would agree for 10 %.
        let right = (0..360).filter(|&i| nearest(data.held_out.row(i)) == labels.held_out[i]).count();
        assert!(right > 340, "{right} of 360");
    }

    #[test]
    fn raw_digits_are_sixteenths() {
        let data = Digits { dequantize: false, empirical: true, ..Digits::default() }.build(Streams::new(1)).unwrap();
        assert!(data.train.data.iter().all(|x| (x * 16.0).fract() == 0.0));
        assert_eq!(data.train.data.iter().copied().fold(0.0, f32::max), 1.0);
        assert_eq!(data.batch(4, &mut Streams::new(1).at("batch", 0)).len(), 4 * 64);
        assert!(data.dequantize.is_none());
        assert!(data.target.is_some_and(|t| t.is_empirical() && t.dimension() == 64));
        assert!(Digits { empirical: true, ..Digits::default() }.check().is_err());
    }

    #[test]
    fn batches_are_dequantised_within_the_range() {
        let data = Digits::default().build(Streams::new(1)).unwrap();
        let batch = data.batch(64, &mut Streams::new(1).at("batch", 0));
        assert_eq!(batch.len(), 64 * 64);
        assert!(batch.iter().all(|x| (0.0..1.0).contains(x)));
        assert!(batch.iter().filter(|x| (*x * VALUES).fract() > 1e-3).count() > 3900);
    }

    #[test]
    fn fewer_training_rows_leave_the_held_out_ones_alone() {
        let build = |train| Digits { train, ..Digits::default() }.build(Streams::new(1)).unwrap();
        let (all, few) = (build(1437), build(50));
        assert_eq!(few.held_out, all.held_out);
        assert_eq!(few.train, all.train.slice(0..50));
        assert_eq!(few.labels.unwrap().train[..], all.labels.unwrap().train[..50]);
        for train in [0, 1438] {
            let refused = Digits { train, ..Digits::default() }.check().unwrap_err();
            assert_eq!(refused.key.as_deref(), Some("train"));
        }
    }
}
