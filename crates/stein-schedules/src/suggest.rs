//! Levels and step sizes that follow from the data's dimension and the ends of a geometric ladder: techniques 2 and 4 of NCSNv2
//! (Song & Ermon 2020, arXiv 2006.09011).
//!
//! Step sizes are of the repository's convention, x ← x + ε_i s + √(2ε_i) z.

use stein_core::Dataset;

/// The largest distance between training rows, technique 1's σ₁; beyond [`MOST_ROWS`], between so many of them.
pub fn largest_distance(data: &Dataset) -> f64 {
    let n = data.train.rows();
    let rows: Vec<&[f32]> = (0..n.min(MOST_ROWS)).map(|i| data.train.row(i * n / n.min(MOST_ROWS))).collect();
    let pairs = (1..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.map(|(i, j)| squared_distance(rows[i], rows[j])).fold(0.0, f64::max).sqrt()
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

/// What technique 2 and technique 4 need to know.
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

/// T Langevin steps at each level of a ladder of ratio γ, on data whose perturbed density is a Gaussian of variance σ_i².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// γ.
    pub gamma: f64,
    /// T.
    pub steps_per_level: usize,
}

impl Walk {
    /// The variance after a level over σ_i², for one of `before` over the σ² of this level at its start; `relative` is ε/σ_L².
    fn level(self, relative: f64, before: f64) -> f64 {
        // A step multiplies by 1 − a and adds 2a: the variance goes to 2/(2 − a).
        let limit = 2.0 / (2.0 - relative);
        let kept = (2.0 * self.steps_per_level as f64 * (-relative).ln_1p()).exp();
        kept * (before - limit) + limit
    }

    /// Technique 4's r, the variance over σ_i² at the end of a level that began at exactly σ_{i−1}².
    pub fn variance_ratio(self, relative: f64) -> f64 {
        self.level(relative, self.gamma * self.gamma)
    }

    /// The variance over σ_i² at the end of each level when each begins where the one before ended, the first at σ₁².
    pub fn accumulated(self, relative: f64, levels: usize) -> Vec<f64> {
        let first = self.level(relative, 1.0);
        std::iter::successors(Some(first), |v| Some(self.level(relative, self.gamma * self.gamma * v)))
            .take(levels)
            .collect()
    }

    /// ε/σ_L² with the least |r − 1|.
    pub fn best_step(self) -> f64 {
        least(|a| (self.variance_ratio(a) - 1.0).abs())
    }

    /// ε/σ_L² with the least |v_L − 1| at the end of a ladder, by the accumulated variance.
    pub fn best_step_accumulated(self, levels: usize) -> f64 {
        let end = |a: f64| {
            let first = self.level(a, 1.0);
            (1..levels).fold(first, |v, _| self.level(a, self.gamma * self.gamma * v))
        };
        least(|a| (end(a) - 1.0).abs())
    }
}

/// Where in (0, 1) a function with one valley is least: a grid of logarithms, then golden section about its best point.
fn least(f: impl Fn(f64) -> f64) -> f64 {
    const POINTS: u32 = 200;
    const LOWEST: f64 = 1e-12;
    let at = |i: u32| LOWEST.ln() * (1.0 - f64::from(i) / f64::from(POINTS));
    let value = |x: f64| f(x.exp());
    // The last point would be 1, at which a step forgets everything.
    let best = (0..POINTS).min_by(|&i, &j| value(at(i)).total_cmp(&value(at(j)))).unwrap_or(0);
    let (mut low, mut high) = (at(best.saturating_sub(1)), at(best + 1));
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    while high - low > 1e-9 {
        let (x, y) = (high - golden * (high - low), low + golden * (high - low));
        if value(x) < value(y) {
            high = y;
        } else {
            low = x;
        }
    }
    (0.5 * (low + high)).exp()
}

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

    #[test]
    fn steps_and_ratios_are_ncsnv2s() {
        let walk = Walk { gamma: CIFAR.gamma(232), steps_per_level: 5 };
        let a = walk.best_step();
        near(a * 1e-4, 6.184025e-6, 1e-6);
        near(walk.variance_ratio(a), 1.055474514, 1e-9);
        let walk = Walk { gamma: CELEBA.gamma(500), steps_per_level: 5 };
        let a = walk.best_step();
        near(a * 1e-4, 3.336982e-6, 1e-6);
        near(walk.variance_ratio(a), 1.031353746, 1e-9);
        // FFHQ's three steps a level.
        let ends = Ends { dimension: 196_608, sigma_max: 348.0, sigma_min: 0.01 };
        let walk = Walk { gamma: ends.gamma(2311), steps_per_level: 3 };
        near(walk.variance_ratio(walk.best_step()), 1.008853554, 1e-9);
    }

    #[test]
    fn one_step_has_a_closed_form() {
        // T = 1: r = (1 − a)²γ² + 2a, least at a = 1 − 1/γ².
        let walk = Walk { gamma: 1.7, steps_per_level: 1 };
        let a = 0.3;
        near(walk.variance_ratio(a), 0.49 * 2.89 + 0.6, 1e-12);
        near(walk.best_step(), 1.0 - 1.0 / 2.89, 1e-6);
    }

    #[test]
    fn errors_accumulate_down_the_ladder() {
        let walk = Walk { gamma: CIFAR.gamma(232), steps_per_level: 5 };
        // What they ship, 6.2e-6.
        let levels = walk.accumulated(0.062, 232);
        assert_eq!(levels.len(), 232);
        for (found, expected) in levels.iter().zip([1.0151236389, 1.0640590339, 1.0918355131]) {
            near(*found, expected, 1e-9);
        }
        near(levels[231], 1.128299232873, 1e-9);
        near(walk.accumulated(walk.best_step(), 232)[231], 1.128586678, 1e-8);
        let a = walk.best_step_accumulated(232);
        near(a * 1e-4, 1.148930e-5, 1e-6);
        near(walk.accumulated(a, 232)[231], 1.096062229, 1e-9);
    }

    #[test]
    fn the_recursion_is_that_of_single_steps() {
        let walk = Walk { gamma: 1.3, steps_per_level: 4 };
        let a = 0.2f64;
        let mut v = 1.0;
        for (i, found) in walk.accumulated(a, 6).into_iter().enumerate() {
            v *= if i == 0 { 1.0 } else { 1.3 * 1.3 };
            for _ in 0..4 {
                v = (1.0 - a) * (1.0 - a) * v + 2.0 * a;
            }
            near(found, v, 1e-12);
        }
    }
}
