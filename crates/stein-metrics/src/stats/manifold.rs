//! k-nearest-neighbour precision and recall.

use super::distances::map_rows;
use super::error::{StatsError, at_least};
use super::estimate::{Estimate, binomial_variance};
use super::rows::Rows;

/// The usual k.
pub const NEIGHBOURS: usize = 3;

/// Precision and recall of samples against a reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Fraction of samples in the manifold of the reference: quality.
    pub precision: Estimate,
    /// Fraction of the reference in the manifold of the samples: coverage.
    pub recall: Estimate,
}

/// Improved precision and recall (Kynkäänniemi et al. 2019) of `samples [n, D]` against `reference [m, D]`.
///
/// The manifold of a set is the union of closed balls about its rows, the radius of each the distance to its k-th
/// nearest other row. Both values depend on k and on n and m, so compare only at equal sizes, against a floor of
/// real data. Precision above that floor with falling recall is sharpening, not quality.
///
/// Two sets are drawn, so the standard error has two parts. Given the manifold the counted rows are independent:
/// binomial. The manifold itself moves by what leaving out one of its rows does (jackknife): its ball goes, and
/// the balls that had it among their k nearest grow to the (k+1)-th. Squares of these changes, which are counted on few
/// rows, are taken as products over different rows, so that counting noise doesn't add up. A place is covered by several
/// balls or by none, and the jackknife counts such an interaction of r rows r times (Efron & Stein 1981). Pairs lead, so
/// its variance is halved: against repeated draws that is right within 1.4 for k = 3 and within 1.5 for k = 1 to 5, but for values within a row or two of
/// 0 or 1, where the smoothed binomial is deliberately larger.
///
/// # Errors
/// If k is 0 or either set has fewer than k + 2 rows, or if the dimensions differ.
pub fn precision_recall(samples: Rows<'_>, reference: Rows<'_>, k: usize) -> Result<PrecisionRecall, StatsError> {
    samples.same_dim(&reference)?;
    if k == 0 {
        return Err(StatsError::Parameter { name: "k", value: 0.0, allowed: "at least 1" });
    }
    at_least("samples for k nearest neighbours", samples.len(), k.saturating_add(2))?;
    at_least("reference for k nearest neighbours", reference.len(), k.saturating_add(2))?;
    Ok(PrecisionRecall { precision: coverage(samples, reference, k)?, recall: coverage(reference, samples, k)? })
}

/// The k + 1 nearest other rows of a row, nearest first: squared distance and index.
type Neighbours = Vec<(f64, usize)>;

/// Nearest `count` other rows of each row; ties go to the lower index.
fn neighbours(rows: Rows<'_>, count: usize) -> Result<Vec<Neighbours>, StatsError> {
    map_rows(rows, rows, |i, d2| {
        let mut nearest: Neighbours = Vec::with_capacity(count + 1);
        for (j, &d2) in d2.iter().enumerate() {
            if j == i || (nearest.len() == count && d2 >= nearest[count - 1].0) {
                continue;
            }
            let at = nearest.partition_point(|other| other.0 <= d2);
            nearest.insert(at, (d2, j));
            nearest.truncate(count);
        }
        nearest
    })
}

/// Squared distance of each row to its k-th nearest other row; there are more than `k`.
pub(crate) fn kth_distances(rows: Rows<'_>, k: usize) -> Result<Vec<f64>, StatsError> {
    Ok(neighbours(rows, k)?.into_iter().map(|nearest| nearest[k - 1].0).collect())
}

/// What the jackknife of the manifold is multiplied by, because its rows act in pairs.
const INTERACTION: f64 = 0.5;

/// What one row counts, and how leaving out a row of the manifold changes that.
struct Row {
    covered: bool,
    /// Rows of the manifold whose absence turns `covered` around.
    pivotal: Vec<usize>,
}

/// Fraction of `rows` in the manifold of `centres`.
fn coverage(rows: Rows<'_>, centres: Rows<'_>, k: usize) -> Result<Estimate, StatsError> {
    let balls = neighbours(centres, k + 1)?;
    let grows_without = |l: usize, j: usize| balls[l][..k].iter().any(|&(_, near)| near == j);
    let counted = map_rows(rows, centres, |_, d2| {
        let (mut owners, mut first) = (0, 0);
        let mut within_grown = Vec::new();
        for (l, (&d2, ball)) in d2.iter().zip(&balls).enumerate() {
            if d2 <= ball[k - 1].0 {
                owners += 1;
                first = if owners == 1 { l } else { first };
            } else if d2 <= ball[k].0 {
                within_grown.push(l);
            }
        }
        let pivotal = match owners {
            0 => {
                let mut gains: Vec<usize> =
                    within_grown.iter().flat_map(|&l| balls[l][..k].iter().map(|&(_, near)| near)).collect();
                gains.sort_unstable();
                gains.dedup();
                gains
            }
            1 if !within_grown.iter().any(|&l| grows_without(l, first)) => vec![first],
            _ => Vec::new(),
        };
        Row { covered: owners > 0, pivotal }
    })?;

    let (n, m) = (rows.len() as f64, centres.len() as f64);
    let hits = counted.iter().filter(|row| row.covered).count() as f64;
    let (mut change, mut own) = (vec![0.0f64; centres.len()], vec![0.0f64; centres.len()]);
    for row in &counted {
        for &j in &row.pivotal {
            change[j] += if row.covered { -1.0 } else { 1.0 };
            own[j] += 1.0;
        }
    }
    let products: f64 = change.iter().zip(&own).map(|(c, own)| c * c - own).sum();
    let mean = change.iter().sum::<f64>() / n / m;
    let jackknife = (m - 1.0) / m * (products / (n * (n - 1.0)) - m * mean * mean);
    let variance = binomial_variance(hits, n) + INTERACTION * jackknife.max(0.0);
    Ok(Estimate { value: hits / n, standard_error: variance.sqrt() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, same_on_any_threads};
    use super::*;

    fn measure(samples: &[f32], reference: &[f32], dim: usize, k: usize) -> PrecisionRecall {
        let (x, y) = (Rows::new(samples, dim).unwrap(), Rows::new(reference, dim).unwrap());
        precision_recall(x, y, k).unwrap()
    }

    #[test]
    fn by_hand() {
        // Reference 0, 1, 3, 7, k = 1: radii 1, 1, 2, 4: balls [−1, 1], [0, 2], [1, 5], [3, 11].
        // Samples −1 (on the edge: in), −1.5 (out), 6, 12 (out).
        // Samples −1, −1.5, 6, 12: radii ½, ½, 6, 6: balls [−1.5, −½], [−2, −1], [0, 12], [6, 18]: all of the reference.
        let (samples, reference) = ([-1.0, -1.5, 6.0, 12.0], [0.0, 1.0, 3.0, 7.0]);
        let got = measure(&samples, &reference, 1, 1);
        assert_eq!((got.precision.value, got.recall.value), (0.5, 1.0));
        let swapped = measure(&reference, &samples, 1, 1);
        assert_eq!((swapped.precision, swapped.recall), (got.recall, got.precision));
        // k = 2: radii 3, 2, 3, 6: the ball of 0 takes in −1.5, that of 7 [1, 13] takes in 12.
        assert_eq!(measure(&samples, &reference, 1, 2).precision.value, 1.0);
    }

    #[test]
    fn a_row_is_not_its_own_neighbour() {
        // Were it, every radius for k = 1 were 0, and nothing but copies covered.
        let got = measure(&[0.4, 0.6, 5.0], &[0.0, 1.0, 2.0], 1, 1);
        assert_eq!(got.precision.value, 2.0 / 3.0);
        // Copies are neighbours at distance 0, and a ball of radius 0 still holds its centre.
        let copies = [2.0, 2.0, 5.0, 5.0];
        assert_eq!(measure(&[2.0, 5.0, 2.1, 4.9], &copies, 1, 1).precision.value, 0.5);
    }

    #[test]
    fn sharpening_and_dropping_a_mode_show() {
        let floor = measure(&normal(300, 4, 0.0, 1.0, 1), &normal(300, 4, 0.0, 1.0, 2), 4, 3);
        let sharp = measure(&normal(300, 4, 0.0, 0.5, 3), &normal(300, 4, 0.0, 1.0, 2), 4, 3);
        assert!(sharp.precision.value > floor.precision.value);
        assert!(sharp.recall.value < floor.recall.value - 0.2);
        let apart = measure(&normal(50, 4, 0.0, 1.0, 1), &normal(50, 4, 90.0, 1.0, 2), 4, 3);
        assert_eq!((apart.precision.value, apart.recall.value), (0.0, 0.0));
        assert!(apart.precision.standard_error > 0.0);
    }

    /// What leaving out one row of the manifold does, against leaving it out.
    #[test]
    fn pivotal_rows_are_those_whose_absence_counts() {
        let (rows, centres) = (normal(60, 3, 0.0, 1.2, 4), normal(40, 3, 0.0, 1.0, 5));
        let k = 2;
        let x = Rows::new(&rows, 3).unwrap();
        let y = Rows::new(&centres, 3).unwrap();
        let value = |y: Rows<'_>| coverage(x, y, k).unwrap();
        let (n, m) = (60.0, 40.0);
        let full = value(y);
        let without: Vec<f64> = (0..40)
            .map(|out| {
                let kept: Vec<usize> = (0..40).filter(|&j| j != out).collect();
                let kept = y.select(&kept).unwrap();
                value(Rows::new(&kept, 3).unwrap()).value - full.value
            })
            .collect();
        // The reported jackknife, less the correction for counting noise that this can't see, brackets it.
        let mean = without.iter().sum::<f64>() / m;
        let plain = (m - 1.0) / m * without.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
        let jackknife = (full.standard_error.powi(2) - binomial_variance(full.value * n, n)) / INTERACTION;
        assert!(jackknife <= plain && jackknife > 0.2 * plain, "{jackknife} {plain}");
    }

    #[test]
    fn impossible_input_is_an_error() {
        let x = normal(5, 2, 0.0, 1.0, 1);
        let x = Rows::new(&x, 2).unwrap();
        assert!(precision_recall(x, x, 3).is_ok());
        for k in [0, 4, 5, 6, usize::MAX] {
            assert!(precision_recall(x, x, k).is_err());
        }
        assert!(precision_recall(x, Rows::new(&[], 2).unwrap(), 1).is_err());
        assert!(precision_recall(Rows::new(&[], 2).unwrap(), x, 1).is_err());
        assert!(precision_recall(x, Rows::new(&[0.0; 9], 3).unwrap(), 1).is_err());
        assert!(same_on_any_threads(|| precision_recall(x, x, 2)));
    }
}
