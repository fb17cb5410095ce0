//! Leave-one-out nearest-neighbour two-sample test.

use super::distances::map_rows;
use super::error::{StatsError, at_least};
use super::estimate::{Estimate, binomial_variance};
use super::random::{Purpose, Stream};
use super::rows::Rows;

/// Leave-one-out accuracy of the 1-nearest-neighbour classifier that tells `x [n, D]` from `y [m, D]` (Lopez-Paz & Oquab
/// 2017). ½ is ideal; 1 means that the sets lie apart; below ½, rows of one set sit closer to the other than to their
/// own, as copies of training rows do.
///
/// The larger set is cut to a random subset of the size of the smaller. Where several rows tie for the nearest, the
/// row counts the fraction of them that is of its own set: the expectation over random ties.
///
/// The standard error is not binomial: two rows that are each other's nearest are right or wrong together, which in the
/// plane is six rows of ten and makes the variance 1.6 times binomial. So products of deviations from the
/// accuracy of their set are summed over pairs that share a neighbour or are one another's (a sum over the dependency
/// graph, compare Schilling 1986 and Henze 1988), and never counted below the binomial.
///
/// # Errors
/// With fewer than 2 rows in a set, or sets of different dimension.
pub fn one_nearest_neighbour_accuracy(x: Rows<'_>, y: Rows<'_>, seed: u64) -> Result<Estimate, StatsError> {
    x.same_dim(&y)?;
    let n = x.len().min(y.len());
    at_least("smaller set", n, 2)?;
    let mut pool = cut(x, n, seed)?;
    pool.extend(cut(y, n, seed)?);
    let pool = Rows::new(&pool, x.dim())?;

    let scored = map_rows(pool, pool, |i, d2| {
        let nearest =
            d2.iter().enumerate().filter(|&(j, _)| j != i).fold(f64::INFINITY, |least, (_, &d2)| least.min(d2));
        let (mut own, mut ties, mut first) = (0.0, 0.0, None);
        for (j, _) in d2.iter().enumerate().filter(|&(j, &d2)| j != i && d2 <= nearest) {
            ties += 1.0;
            own += f64::from(u8::from((j < n) == (i < n)));
            first = first.or(Some(j));
        }
        (own / ties, first.unwrap_or(i))
    })?;

    let total = (2 * n) as f64;
    let right = |set: &[(f64, usize)]| set.iter().map(|(score, _)| score).sum::<f64>();
    let (in_x, in_y) = (right(&scored[..n]), right(&scored[n..]));
    let deviation = |i: usize| scored[i].0 - if i < n { in_x } else { in_y } / n as f64;
    // Pairs (i, j), i ≠ j, twice each: i has j for nearest, or both have the same nearest.
    let mut products = 0.0;
    let (mut shared, mut shared_squares) = (vec![0.0; 2 * n], 0.0);
    for (i, &(_, nearest)) in scored.iter().enumerate() {
        let mutual = scored[nearest].1 == i;
        products += if mutual { 1.0 } else { 2.0 } * deviation(i) * deviation(nearest);
        shared[nearest] += deviation(i);
        shared_squares += deviation(i).powi(2);
    }
    products += shared.iter().map(|sum| sum * sum).sum::<f64>() - shared_squares;
    let own = shared_squares.max(total * total * binomial_variance(in_x + in_y, total));
    let variance = (shared_squares + products).max(own) / (total * total);
    Ok(Estimate { value: (in_x + in_y) / total, standard_error: variance.sqrt() })
}

fn cut(rows: Rows<'_>, n: usize, seed: u64) -> Result<Vec<f32>, StatsError> {
    if rows.len() == n {
        return Ok(rows.data().to_vec());
    }
    rows.select(&Stream::new(seed, Purpose::Splits).permutation(rows.len())[..n])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, normal_along, same_on_any_threads};
    use super::*;

    fn accuracy(x: &[f32], y: &[f32], dim: usize) -> Estimate {
        let (x, y) = (Rows::new(x, dim).unwrap(), Rows::new(y, dim).unwrap());
        one_nearest_neighbour_accuracy(x, y, 0).unwrap()
    }

    #[test]
    fn one_when_far_apart_and_half_for_the_same_law() {
        let apart = accuracy(&normal(200, 3, 0.0, 1.0, 1), &normal(200, 3, 50.0, 1.0, 2), 3);
        assert_eq!(apart.value, 1.0);
        assert!(apart.standard_error > 0.0 && apart.standard_error < 0.01);
        let same = accuracy(&normal(500, 3, 0.0, 1.0, 1), &normal(500, 3, 0.0, 1.0, 2), 3);
        assert!((same.value - 0.5).abs() < 3.0 * same.standard_error, "{same:?}");
    }

    #[test]
    fn by_hand() {
        // x 0 and 1, y 3 and 10: 0 ↔ 1, 3 → 1 (wrong), 10 → 3.
        assert_eq!(accuracy(&[0.0, 1.0], &[3.0, 10.0], 1).value, 0.75);
        // Every row of y is a copy of one of x, far from the others: always wrong.
        assert_eq!(accuracy(&[0.0, 5.0, 9.0], &[0.0, 5.0, 9.0], 1).value, 0.0);
        // All rows tie: each sees one of its own among three.
        let ties = accuracy(&[1.0, 1.0], &[1.0, 1.0], 1);
        assert!((ties.value - 1.0 / 3.0).abs() < 1e-15);
        // 1 ties between 0 (own) and 2 (other): ½. 0 → 1 right, 2 → 1 wrong, 9 → 2 right.
        assert_eq!(accuracy(&[0.0, 1.0], &[2.0, 9.0], 1).value, 2.5 / 4.0);
    }

    #[test]
    fn unequal_sets_are_cut() {
        // Uncut, 9 of 10 rows being of one set would alone give 0.8.
        let (x, y) = (normal(200, 4, 0.0, 1.0, 3), normal(1800, 4, 0.0, 1.0, 4));
        assert!((accuracy(&x, &y, 4).value - 0.5).abs() < 0.08);
        assert!((accuracy(&y, &x, 4).value - 0.5).abs() < 0.08);
        assert!(same_on_any_threads(|| accuracy(&x, &y, 4)));
    }

    #[test]
    fn small_sets_are_errors() {
        let x = normal_along(4, 2, 0.0, 1);
        let (two, one) = (Rows::new(&x, 2).unwrap(), Rows::new(&x[..2], 2).unwrap());
        assert!(one_nearest_neighbour_accuracy(two, one, 0).is_err());
        assert!(one_nearest_neighbour_accuracy(two, Rows::new(&x, 4).unwrap(), 0).is_err());
    }
}
