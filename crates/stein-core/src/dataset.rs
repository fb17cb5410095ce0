//! Data in host memory.

use std::sync::Arc;

use stein_record::{Array, hash};

use crate::{Level, Noise, Target};

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

/// Training and held-out rows, and what is known of them.
#[derive(Debug, Clone)]
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
        let mut all = self.train.data.clone();
        all.extend_from_slice(&self.held_out.data);
        hash::sha256_f32(&all)
    }

    /// The mean of the training rows, after dequantisation.
    pub fn mean(&self) -> Vec<f32> {
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
        let (n, mean) = (self.train.rows(), self.mean());
        let shift = f64::from(self.dequantize.unwrap_or(0.0)) / 2.0;
        let squares = (0..n).flat_map(|i| {
            self.train.row(i).iter().zip(&mean).map(|(&x, &m)| (f64::from(x) + shift - f64::from(m)).powi(2))
        });
        // Uniform noise of width w adds w²/12.
        (squares.sum::<f64>() / (n * self.dimension()).max(1) as f64 + shift * shift / 3.0).sqrt()
    }

    /// Which rows a training batch has, drawn with replacement.
    pub fn indices(&self, batch: usize, noise: &mut Noise) -> Vec<usize> {
        (0..batch).map(|_| noise.index(self.train.rows())).collect()
    }

    /// Draws a training batch, row major `[batch, D]`: rows with replacement, dequantised.
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
        self.add_dequantization(&mut out, noise);
        let labels = self.labels.as_ref().map(|labels| indices.into_iter().map(|i| labels.train[i]).collect());
        (out, labels)
    }

    /// Rows with dequantisation noise.
    pub fn dequantized(&self, rows: &Array, noise: &mut Noise) -> Array {
        let mut out = rows.clone();
        self.add_dequantization(&mut out.data, noise);
        out
    }

    fn add_dequantization(&self, values: &mut [f32], noise: &mut Noise) {
        if let Some(width) = self.dequantize {
            let uniforms = noise.uniforms(values.len());
            for (x, u) in values.iter_mut().zip(uniforms) {
                *x += width * u;
            }
        }
    }
}
