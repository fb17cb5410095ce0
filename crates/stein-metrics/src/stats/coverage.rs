//! Density and coverage.

use super::distances::map_rows;
use super::error::{StatsError, at_least};
use super::estimate::{Estimate, binomial_variance, variance};
use super::manifold::kth_distances;
use super::rows::Rows;

/// The k of the paper.
pub const COVERAGE_NEIGHBOURS: usize = 5;

/// Density and coverage of samples against a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityCoverage {
    /// Balls of the reference that a sample lies in, on average, over k: 1 for equal laws, above 1 where samples crowd.
    pub density: Estimate,
    /// Fraction of the reference's balls that hold a sample.
    pub coverage: Estimate,
}

/// Density and coverage (Naeem et al. 2020, arXiv 2002.09797, eqs. 4 and 5) of `samples [m, D]` against `reference [n, D]`.
///
/// A row of the reference has a closed ball whose radius is the distance to its k-th nearest other row. Unlike k-NN recall, samples far off
/// widen nothing, for balls are the reference's alone. Between equal laws the mean density is 1 and the mean coverage 1 − Π_{j<k} (n − 1 −
/// j)/(n + m − 1 − j), about 1 − 2⁻ᵏ for n = m.
///
/// Standard errors are of both sets: coverage is binomial over the balls, and a jackknife over the samples; density is a mean over
/// samples and over balls.
///
/// # Errors
/// If k is 0, the reference has fewer than k + 2 rows, there are fewer than 2 samples, or the dimensions differ.
pub fn density_coverage(samples: Rows<'_>, reference: Rows<'_>, k: usize) -> Result<DensityCoverage, StatsError> {
    samples.same_dim(&reference)?;
    if k == 0 {
        return Err(StatsError::Parameter { name: "k", value: 0.0, allowed: "at least 1" });
    }
    at_least("samples", samples.len(), 2)?;
    at_least("reference for k nearest neighbours", reference.len(), k.saturating_add(2))?;
    let radii = kth_distances(reference, k)?;
    let held = map_rows(reference, samples, |i, d2| {
        d2.iter().enumerate().filter(|(_, d2)| **d2 <= radii[i]).map(|(j, _)| j).collect::<Vec<usize>>()
    })?;
    Ok(DensityCoverage { density: density(&held, samples.len(), k), coverage: coverage(&held, samples.len()) })
}

/// What the variance between balls is multiplied by: neighbours share their rows, so that one's radius is the other's too. Against
/// repeated draws the standard error is then right within 1.5.
const SHARED: f64 = 2.0 / 3.0;

/// `held`: the samples in each ball.
fn density(held: &[Vec<usize>], samples: usize, k: usize) -> Estimate {
    let (n, m, k) = (held.len() as f64, samples as f64, k as f64);
    let mut balls = vec![0.0; samples];
    held.iter().flatten().for_each(|&j| balls[j] += 1.0 / k);
    let crowds: Vec<f64> = held.iter().map(|held| held.len() as f64 * n / (k * m)).collect();
    let value = balls.iter().sum::<f64>() / m;
    Estimate { value, standard_error: (variance(&balls) / m + SHARED * variance(&crowds) / n).sqrt() }
}

fn coverage(held: &[Vec<usize>], samples: usize) -> Estimate {
    let (n, m) = (held.len() as f64, samples as f64);
    let covered = held.iter().filter(|held| !held.is_empty()).count() as f64;
    // Balls that would be empty without a sample.
    let mut alone = vec![0.0; samples];
    held.iter().filter(|held| held.len() == 1).for_each(|held| alone[held[0]] += 1.0);
    // As in the manifold's jackknife: products over different balls, so that counting noise does not add up.
    let products: f64 = alone.iter().map(|c| c * c - c).sum();
    let mean = alone.iter().sum::<f64>() / n / m;
    let jackknife = (m - 1.0) / m * (products / (n * (n - 1.0)) - m * mean * mean);
    let variance = binomial_variance(covered, n) + jackknife.max(0.0);
    Estimate { value: covered / n, standard_error: variance.sqrt() }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, same_on_any_threads};
    use super::*;

    fn measure(samples: &[f32], reference: &[f32], dim: usize, k: usize) -> DensityCoverage {
        let (x, y) = (Rows::new(samples, dim).unwrap(), Rows::new(reference, dim).unwrap());
        density_coverage(x, y, k).unwrap()
    }

    #[test]
    fn by_hand() {
        // Reference 0, 1, 3, 7, k = 1: balls [−1, 1], [0, 2], [1, 5], [3, 11]. The samples −1, 1, 4, 12 lie in 1, 3, 2 and 0 of them.
        let got = measure(&[-1.0, 1.0, 4.0, 12.0], &[0.0, 1.0, 3.0, 7.0], 1, 1);
        assert_eq!((got.density.value, got.coverage.value), (6.0 / 4.0, 1.0));
        let got = measure(&[-1.0, 12.0], &[0.0, 1.0, 3.0, 7.0], 1, 1);
        assert_eq!((got.density.value, got.coverage.value), (0.5, 0.25));
        // k = 2: radii 3, 2, 3, 6, and the count is over k.
        let got = measure(&[-3.0, 4.0], &[0.0, 1.0, 3.0, 7.0], 1, 2);
        assert_eq!((got.density.value, got.coverage.value), (3.0 / 4.0, 0.75));
    }

    /// The means between equal laws, whatever the law: which of the other n − 1 + m rows are nearest is a matter of chance alone.
    #[test]
    fn closed_forms_between_equal_laws() {
        let (n, m, k) = (60, 90, 5);
        let got: Vec<DensityCoverage> = (0..60)
            .map(|seed| measure(&normal(m, 3, 0.0, 1.0, 2 * seed), &normal(n, 3, 0.0, 1.0, 2 * seed + 1), 3, k))
            .collect();
        let mean = |of: fn(&DensityCoverage) -> f64| got.iter().map(of).sum::<f64>() / got.len() as f64;
        let missed: f64 = (0..k).map(|j| (n - 1 - j) as f64 / (n + m - 1 - j) as f64).product();
        let (density, coverage) = (mean(|g| g.density.value), mean(|g| g.coverage.value));
        assert!((density - 1.0).abs() < 0.04, "{density}");
        assert!((coverage - (1.0 - missed)).abs() < 0.004, "{coverage} {}", 1.0 - missed);
        // With k − 1 neighbours it would be another number.
        let fewer: f64 = (0..k - 1).map(|j| (n - 1 - j) as f64 / (n + m - 1 - j) as f64).product();
        assert!((coverage - (1.0 - fewer)).abs() > 0.008);
    }

    #[test]
    fn outliers_widen_nothing_and_a_lost_mode_shows() {
        let reference = [normal(100, 2, 0.0, 1.0, 1), normal(100, 2, 30.0, 1.0, 2)].concat();
        let half = measure(&normal(200, 2, 0.0, 1.0, 3), &reference, 2, 5);
        assert!(half.coverage.value <= 0.5 && half.coverage.value > 0.4, "{half:?}");
        // Samples scattered far and wide: their own balls would take in all of the reference.
        let far = measure(&normal(200, 2, 0.0, 500.0, 4), &reference, 2, 5);
        assert!(far.coverage.value < 0.1 && far.density.value < 0.1, "{far:?}");
    }

    #[test]
    fn impossible_input_is_an_error() {
        let x = normal(7, 2, 0.0, 1.0, 1);
        let x = Rows::new(&x, 2).unwrap();
        assert!(density_coverage(x, x, 5).is_ok());
        for k in [0, 6, usize::MAX] {
            assert!(density_coverage(x, x, k).is_err());
        }
        assert!(density_coverage(Rows::new(&[0.0; 2], 2).unwrap(), x, 1).is_err());
        assert!(density_coverage(x, Rows::new(&[0.0; 9], 3).unwrap(), 1).is_err());
        assert!(same_on_any_threads(|| density_coverage(x, x, 2)));
    }
}
