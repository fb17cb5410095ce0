//! Data in host memory.

use std::borrow::Cow;
use std::sync::Arc;

use stein_record::{Array, Units, hash};

use crate::{Level, Noise, Streams, Target};

/// Height, width and channels of images; rows hold them channel first, row major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
    /// 1 for grey, 3 for colour.
    pub channels: usize,
}

impl ImageShape {
    /// Numbers in one image, D.
    pub fn dimension(&self) -> usize {
        self.height * self.width * self.channels
    }
}

/// The class of each row, 0 to `count` − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Of the training rows, `[N]`.
    pub train: Vec<u32>,
    /// Of the held-out rows, `[M]`.
    pub held_out: Vec<u32>,
    /// K.
    pub count: usize,
}

/// λ of the logit transform of values in [0, 1], y = ln x′/(1 − x′) with x′ = λ + (1 − 2λ) x (Dinh, Sohl-Dickstein & Bengio 2017,
/// arXiv 1605.08803; λ as the repository of NCSN has it).
pub const LOGIT: f64 = 1e-6;

/// Training and held-out rows, and what is known of them. Its default has no rows.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// Training rows `[N, D]`, not dequantised.
    pub train: Array,
    /// Held-out rows `[M, D]`, not dequantised.
    pub held_out: Array,
    /// The shape of an image, where a row is one.
    pub image: Option<ImageShape>,
    /// The values' lower and upper bound, where they have one (after dequantisation).
    pub range: Option<[f32; 2]>,
    /// The width w of the uniform noise w·u, u ∈ [0, 1), that turns integer values into a density.
    pub dequantize: Option<f32>,
    /// The density that the rows come from, where it is known: at which levels, [`target_at`](Self::target_at) tells.
    pub target: Option<Arc<dyn Target>>,
    /// The rows' classes, where they have any.
    pub labels: Option<Labels>,
    /// Whether each picture of a training batch is mirrored left to right, or not, with equal probability.
    pub flip: bool,
    /// Whether networks see the logits of dequantised values (see [`LOGIT`]). Rows are the values themselves; what is shown and
    /// measured is, too.
    pub logit: bool,
    /// What the numbers were before they were standardised, if they are.
    pub units: Option<Units>,
    /// What is to be said to whoever uses the data: files that were left out, say.
    pub notes: Vec<String>,
}

impl Dataset {
    /// D.
    pub fn dimension(&self) -> usize {
        self.train.row_length()
    }

    /// The density that the rows come from, where it is known at each of `levels`.
    pub fn target_at(&self, levels: &[Level]) -> Option<&Arc<dyn Target>> {
        self.target.as_ref().filter(|target| levels.iter().all(|&level| target.knows(level)))
    }

    /// SHA-256 of the rows, train then held-out.
    pub fn sha256(&self) -> String {
        hash::sha256_f32(&[&self.train.data, &self.held_out.data])
    }

    /// Training row `i` as networks see it, without dequantisation noise: with logits, those of the middle of its cell.
    pub fn seen(&self, i: usize) -> Cow<'_, [f32]> {
        let row = self.train.row(i);
        if !self.logit {
            return Cow::Borrowed(row);
        }
        let half = self.dequantize.unwrap_or(0.0) / 2.0;
        Cow::Owned(row.iter().map(|&x| logit(x + half)).collect())
    }

    /// Makes dequantised values what networks see.
    pub fn transform(&self, values: &mut [f32]) {
        if self.logit {
            values.iter_mut().for_each(|x| *x = logit(*x));
        }
    }

    /// What networks have made, as the values that it stands for.
    pub fn shown(&self, rows: Array) -> Array {
        let Array { shape, mut data } = rows;
        if self.logit {
            data.iter_mut().for_each(|x| *x = from_logit(*x));
        }
        Array { shape, data }
    }

    /// The mean of the training rows, after dequantisation, as networks see them: with logits, over one draw of its noise.
    pub fn mean(&self) -> Vec<f32> {
        if self.logit {
            return self.drawn_once().mean();
        }
        let (n, d) = (self.train.rows(), self.dimension());
        let mut mean = vec![0.0f64; d];
        for i in 0..n {
            for (m, &x) in mean.iter_mut().zip(self.train.row(i)) {
                *m += f64::from(x) / n as f64;
            }
        }
        let shift = f64::from(self.dequantize.unwrap_or(0.0)) / 2.0;
        mean.into_iter().map(|m| (m + shift) as f32).collect()
    }

    /// The standard deviation of the training rows' numbers about [`mean`](Self::mean): the root of the mean variance.
    pub fn spread(&self) -> f64 {
        if self.logit {
            return self.drawn_once().spread();
        }
        let (n, mean) = (self.train.rows(), self.mean());
        let shift = f64::from(self.dequantize.unwrap_or(0.0)) / 2.0;
        let squares = (0..n).flat_map(|i| {
            self.train.row(i).iter().zip(&mean).map(|(&x, &m)| (f64::from(x) + shift - f64::from(m)).powi(2))
        });
        // Uniform noise of width w adds w²/12.
        (squares.sum::<f64>() / (n * self.dimension()).max(1) as f64 + shift * shift / 3.0).sqrt()
    }

    /// The training rows as networks see them, with one draw of the noise, the same whenever it is asked for.
    fn drawn_once(&self) -> Self {
        let train = self.dequantized(&self.train, &mut Streams::new(0).at("moments", 0));
        Self { train, ..Self::default() }
    }

    /// Which rows a training batch has, drawn with replacement.
    pub fn indices(&self, batch: usize, noise: &mut Noise) -> Vec<usize> {
        (0..batch).map(|_| noise.index(self.train.rows())).collect()
    }

    /// Draws a training batch as networks see it, row major `[batch, D]`: rows with replacement, dequantised and mirrored.
    pub fn batch(&self, batch: usize, noise: &mut Noise) -> Vec<f32> {
        self.batch_with_labels(batch, noise).0
    }

    /// The same with the rows' classes, where they have any.
    pub fn batch_with_labels(&self, batch: usize, noise: &mut Noise) -> (Vec<f32>, Option<Vec<u32>>) {
        let indices = self.indices(batch, noise);
        let mut out = Vec::with_capacity(batch * self.dimension());
        for &i in &indices {
            out.extend_from_slice(self.train.row(i));
        }
        self.dequantize_and_transform(&mut out, noise);
        self.flip_some(&mut out, noise);
        let labels = self.labels.as_ref().map(|labels| indices.into_iter().map(|i| labels.train[i]).collect());
        (out, labels)
    }

    /// Rows with dequantisation noise, as networks see them.
    pub fn dequantized(&self, rows: &Array, noise: &mut Noise) -> Array {
        self.dequantize(rows.clone(), noise)
    }

    /// The same without a second copy.
    pub fn dequantize(&self, mut rows: Array, noise: &mut Noise) -> Array {
        self.dequantize_and_transform(&mut rows.data, noise);
        rows
    }

    /// The law of training batches as rows: with flips, each row and its mirror image.
    pub fn with_mirrored(&self, rows: &Array) -> Array {
        let mut out = rows.clone();
        if let Some(image) = self.image.filter(|_| self.flip) {
            out.data.extend_from_slice(&rows.data);
            out.data[rows.data.len()..].chunks_exact_mut(image.width).for_each(<[f32]>::reverse);
            out.shape[0] *= 2;
        }
        out
    }

    /// Drawn behind everything else of a batch: without flips, batches are what they always were.
    fn flip_some(&self, rows: &mut [f32], noise: &mut Noise) {
        let Some(image) = self.image.filter(|_| self.flip) else { return };
        for row in rows.chunks_exact_mut(image.dimension()) {
            if noise.uniform() < 0.5 {
                row.chunks_exact_mut(image.width).for_each(<[f32]>::reverse);
            }
        }
    }

    fn dequantize_and_transform(&self, values: &mut [f32], noise: &mut Noise) {
        if let Some(width) = self.dequantize {
            // In pieces, which are drawn as the whole would be.
            for some in values.chunks_mut(1 << 16) {
                let uniforms = noise.uniforms(some.len());
                some.iter_mut().zip(uniforms).for_each(|(x, u)| *x += width * u);
            }
        }
        self.transform(values);
    }
}

fn logit(x: f32) -> f32 {
    let x = LOGIT + (1.0 - 2.0 * LOGIT) * f64::from(x);
    (x / (1.0 - x)).ln() as f32
}

fn from_logit(y: f32) -> f32 {
    let x = 1.0 / (1.0 + (-f64::from(y)).exp());
    ((x - LOGIT) / (1.0 - 2.0 * LOGIT)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Streams;

    /// Two channels of 2×3 pixels, no two alike; row i begins at 100 i.
    fn pictures(flip: bool) -> Dataset {
        let data = (0..4 * 12).map(|i| (100 * (i / 12) + i % 12) as f32).collect();
        let train = Array::new([4, 12], data);
        let image = Some(ImageShape { height: 2, width: 3, channels: 2 });
        Dataset { held_out: train.clone(), train, image, flip, ..Dataset::default() }
    }

    #[test]
    fn half_the_pictures_are_mirrored_left_to_right() {
        let noise = || Streams::new(1).at("batch", 0);
        let (plain, flipped) = (pictures(false).batch(1000, &mut noise()), pictures(true).batch(1000, &mut noise()));
        // Rows are those that they are without flips, and in a row no number leaves its line.
        let mut mirrored = 0;
        for (a, b) in plain.chunks(12).zip(flipped.chunks(12)) {
            let other: Vec<f32> = [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9].map(|i| a[i]).into();
            assert!(a == b || other == b, "{a:?} became {b:?}");
            mirrored += usize::from(other == b);
        }
        assert!((430..570).contains(&mirrored), "{mirrored} of 1000");
    }

    #[test]
    fn the_law_of_batches_has_each_row_twice() {
        let data = pictures(true);
        let law = data.with_mirrored(&data.train);
        assert_eq!(law.shape, [8, 12]);
        assert_eq!(law.row(1), data.train.row(1));
        assert_eq!(law.row(5)[..6], [102.0, 101.0, 100.0, 105.0, 104.0, 103.0]);
        let batch = data.batch(100, &mut Streams::new(1).at("batch", 0));
        assert!(batch.chunks(12).all(|row| (0..8).any(|i| law.row(i) == row)));
        assert_eq!(pictures(false).with_mirrored(&data.train), data.train);
    }

    #[test]
    fn logits_are_those_of_values_a_little_away_from_their_ends() {
        for (x, y) in [(0.0, -13.815509557963773), (0.5, 0.0), (0.25, -1.0986096219), (1.0, 13.815509557963773)] {
            assert!((f64::from(logit(x)) - y).abs() < 1e-5, "{x} gives {}", logit(x));
            assert!((from_logit(logit(x)) - x).abs() < 1e-6);
        }
        // The twin without λ knows no end.
        assert!((0.0f32 / (1.0 - 0.0)).ln().is_infinite());
    }

    #[test]
    fn networks_see_logits_and_everybody_else_the_values() {
        let train = Array::new([1000, 2], [0.25, 0.75].repeat(1000));
        let plain = Dataset { held_out: train.clone(), train, dequantize: Some(0.25), ..Dataset::default() };
        let data = Dataset { logit: true, ..plain.clone() };
        let noise = || Streams::new(1).at("batch", 0);
        let (values, seen) = (plain.batch(50, &mut noise()), data.batch(50, &mut noise()));
        assert!(values.iter().zip(&seen).all(|(&x, &y)| y == logit(x)));
        let shown = data.shown(data.dequantized(&data.train, &mut noise()));
        let values = plain.dequantized(&plain.train, &mut noise());
        assert!(shown.data.iter().zip(&values.data).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!((&*data.seen(3), &*plain.seen(3)), (&[logit(0.375), logit(0.875)][..], &[0.25, 0.75][..]));
        // Over a cell from a to b the mean logit is (H(b) − H(a))/(b − a), H(x) = x ln x + (1 − x) ln(1 − x).
        let h = |x: f64| x * x.ln() + (1.0 - x) * (1.0 - x).ln();
        let mean = data.mean();
        assert!((f64::from(mean[0]) - (h(0.5) - h(0.25)) / 0.25).abs() < 0.03, "{mean:?}");
        let of_logits = data.seen(0)[0];
        assert!((mean[0] - of_logits).abs() < 0.1 && (data.spread() - plain.spread()).abs() > 0.1);
    }

    #[test]
    fn sums_are_of_all_rows_in_order() {
        let mut data = pictures(false);
        let all: Vec<u8> = (0..2).flat_map(|_| data.train.data.iter().flat_map(|x| x.to_le_bytes())).collect();
        assert_eq!(data.sha256(), hash::sha256(&all));
        data.held_out.data[47] += 1.0;
        assert_ne!(data.sha256(), hash::sha256(&all));
    }
}
