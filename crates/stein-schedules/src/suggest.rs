//! Levels that follow from the data and the ends of a geometric ladder: techniques 1 and 2 of NCSNv2 (Song & Ermon 2020,
//! arXiv 2006.09011).

use stein_core::Dataset;

/// The largest distance between training rows, technique 1's σ₁; beyond [`MOST_ROWS`], between so many of them.
pub fn largest_distance(data: &Dataset) -> f64 {
    let n = data.train.rows();
    let rows: Vec<_> = (0..n.min(MOST_ROWS)).map(|i| data.seen(i * n / n.min(MOST_ROWS))).collect();
    let pairs = (1..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.map(|(i, j)| squared_distance(&rows[i], &rows[j])).fold(0.0, f64::max).sqrt()
}

/// As many rows as have all their distances taken.
pub const MOST_ROWS: usize = 4096;

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    // Sums side by side, which the compiler makes a vector of.
    const LANES: usize = 8;
    let ((a_lanes, a_rest), (b_lanes, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let square = |a: f32, b: f32| (f64::from(a) - f64::from(b)).powi(2);
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += square(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(&a, &b)| square(a, b)).sum::<f64>()
}

/// What technique 2 needs to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ends {
    /// D.
    pub dimension: usize,
    /// σ₁.
    pub sigma_max: f64,
    /// σ_L.
    pub sigma_min: f64,
}

impl Ends {
    fn log_range(self) -> f64 {
        (self.sigma_max / self.sigma_min).ln()
    }

    /// γ of a ladder of `levels`, at least two.
    pub fn gamma(self, levels: usize) -> f64 {
        (self.log_range() / (levels as f64 - 1.0)).exp()
    }

    /// Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ): how much of one level's noise the next one below covers.
    pub fn overlap(self, gamma: f64) -> f64 {
        let shift = (2.0 * self.dimension as f64).sqrt() * (gamma - 1.0);
        let phi = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
        phi(shift + 3.0 * gamma) - phi(shift - 3.0 * gamma)
    }

    /// The number of levels, not rounded, at which neighbours overlap by `overlap`, below [`MOST_OVERLAP`].
    ///
    /// Two, where the ends themselves overlap by more.
    pub fn levels(self, overlap: f64) -> f64 {
        let (mut low, mut high) = (0.0, self.log_range());
        if self.overlap(high.exp()) >= overlap {
            return 2.0;
        }
        // From γ = 1 the overlap rises a little and then falls: it meets a smaller value once.
        for _ in 0..100 {
            let middle = 0.5 * (low + high);
            if self.overlap(middle.exp()) >= overlap {
                low = middle;
            } else {
                high = middle;
            }
        }
        1.0 + self.log_range() / low
    }
}

/// Φ(3) − Φ(−3), the overlap of a level with itself.
pub const MOST_OVERLAP: f64 = 0.997_300_203_936_739_8;

#[cfg(test)]
mod tests {
    use super::*;

    const CIFAR: Ends = Ends { dimension: 3072, sigma_max: 50.0, sigma_min: 0.01 };
    const CELEBA: Ends = Ends { dimension: 12288, sigma_max: 90.0, sigma_min: 0.01 };

    fn near(found: f64, expected: f64, relative: f64) {
        assert!((found / expected - 1.0).abs() < relative, "{found}, not {expected}");
    }

    #[test]
    fn distances_count_every_number() {
        for d in [1u8, 7, 8, 19] {
            let a: Vec<f32> = (0..d).map(|i| f32::from(i) * 0.5).collect();
            let b: Vec<f32> = (0..d).map(|i| 3.0 - f32::from(i)).collect();
            let expected: f64 = (0..d).map(|i| (1.5 * f64::from(i) - 3.0).powi(2)).sum();
            near(squared_distance(&a, &b), expected, 1e-12);
        }
    }

    #[test]
    fn overlaps_and_levels_are_ncsnv2s() {
        near(CIFAR.overlap(CIFAR.gamma(232)), 0.5669658815, 1e-9);
        near(CIFAR.levels(0.5), 219.249997403, 1e-9);
        near(CELEBA.overlap(CELEBA.gamma(500)), 0.5669199490, 1e-9);
        near(CELEBA.levels(0.5), 472.220684742, 1e-9);
        // Back again.
        near(CIFAR.levels(CIFAR.overlap(CIFAR.gamma(100))), 100.0, 1e-9);
        // The twin with √D for √(2D) would be content with fewer.
        let wrong = Ends { dimension: 1536, ..CIFAR };
        assert!(wrong.levels(0.5) < 180.0);
        near(CIFAR.overlap(1.0), MOST_OVERLAP, 1e-12);
    }

    #[test]
    fn ends_that_overlap_by_themselves_need_two_levels() {
        // Below five dimensions wider levels overlap more, however far apart.
        assert_eq!(Ends { dimension: 2, sigma_max: 8.0, sigma_min: 0.05 }.levels(0.5), 2.0);
        assert_eq!(Ends { dimension: 3072, sigma_max: 1.0, sigma_min: 0.99 }.levels(0.5), 2.0);
        assert!(CIFAR.levels(0.997) > CIFAR.levels(0.9));
    }
}
