//! Noise levels and what a network is told of them.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::vector;

/// One perturbation kernel x̃ = α x + σ z.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// The factor of the clean example; 1 for variance-exploding schedules.
    pub alpha: f64,
    /// The standard deviation of the added noise.
    pub sigma: f64,
}

impl Level {
    /// The variance-exploding level x̃ = x + σ z.
    pub fn exploding(sigma: f64) -> Self {
        Self { alpha: 1.0, sigma }
    }

    /// No noise: the clean density.
    pub const CLEAN: Self = Self { alpha: 1.0, sigma: 0.0 };

    /// Whether no noise is added.
    pub fn is_clean(self) -> bool {
        self.sigma == 0.0
    }

    /// ln(σ/α), the logarithm of the noise-to-signal ratio.
    pub fn log_ratio(self) -> f64 {
        (self.sigma / self.alpha).ln()
    }
}

/// Up to `most` of the levels, evenly spread, the ends among them.
pub fn evenly_spread(levels: &[Level], most: usize) -> Vec<Level> {
    let n = levels.len().min(most);
    (0..n).map(|i| levels[if n == 1 { 0 } else { i * (levels.len() - 1) / (n - 1) }]).collect()
}

/// α and σ of each example of a batch, `[B]` each.
#[derive(Debug, Clone)]
pub struct Levels {
    /// α, `[B]`.
    pub alpha: Tensor<1>,
    /// σ, `[B]`.
    pub sigma: Tensor<1>,
}

/// What a network is told beside x: the noise level of each example, or that there is none, and its class, where one is meant.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Condition {
    /// The levels; `None` where the score of the clean density is meant.
    pub levels: Option<Levels>,
    /// The class of each example, `[B]`: 0 to K − 1, and K for the null token. `None` is the null token for all: the score is that
    /// of the whole law, and a network of classes and one without are asked for it alike.
    pub class: Option<Tensor<1, Int>>,
}

impl Condition {
    /// No noise: the score of the clean density.
    pub fn clean() -> Self {
        Self { levels: None, class: None }
    }

    /// A level an example.
    pub fn new(levels: Levels) -> Self {
        Self { levels: Some(levels), class: None }
    }

    /// The same of the given classes, `[B]`; `None` for the null token.
    pub fn with_class(&self, class: Option<Tensor<1, Int>>) -> Self {
        Self { levels: self.levels.clone(), class }
    }

    /// A level an example, from the host; [`clean`](Self::clean) where none has noise.
    pub fn at(levels: &[Level], device: &Device) -> Self {
        if levels.iter().all(|l| l.is_clean()) {
            return Self::clean();
        }
        let column = |f: fn(&Level) -> f64| vector(levels.iter().map(|l| f(l) as f32).collect(), device);
        Self::new(Levels { alpha: column(|l| l.alpha), sigma: column(|l| l.sigma) })
    }

    /// The same level for `batch` examples.
    pub fn uniform(level: Level, batch: usize, device: &Device) -> Self {
        if level.is_clean() {
            return Self::clean();
        }
        let full = |value: f64| Tensor::full([batch], value as f32, device);
        Self::new(Levels { alpha: full(level.alpha), sigma: full(level.sigma) })
    }

    /// The part for the examples `from..from + count`.
    pub fn narrow(&self, from: usize, count: usize) -> Self {
        Self {
            levels: self.levels.as_ref().map(|l| Levels {
                alpha: l.alpha.clone().narrow(0, from, count),
                sigma: l.sigma.clone().narrow(0, from, count),
            }),
            class: self.class.as_ref().map(|c| c.clone().narrow(0, from, count)),
        }
    }
}

/// Classes from the host, for [`Condition::class`].
pub fn class_tensor(classes: &[u32], device: &Device) -> Tensor<1, Int> {
    let data: Vec<i32> = classes.iter().map(|&c| c.cast_signed()).collect();
    Tensor::from_data(TensorData::new(data, [classes.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_spread_from_end_to_end() {
        let levels: Vec<Level> = (0..37).map(|i| Level::exploding(40.0 - f64::from(i))).collect();
        let spread = evenly_spread(&levels, 10);
        assert_eq!((spread.len(), spread[0], spread[9]), (10, levels[0], levels[36]));
        assert_eq!(evenly_spread(&levels[..1], 10), levels[..1]);
        assert!(evenly_spread(&[], 10).is_empty() && evenly_spread(&levels, 0).is_empty());
    }
}
