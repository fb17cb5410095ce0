//! The Fréchet distance of two Gaussians, each fitted to a set.

mod pair;

use rayon::prelude::*;
use stein_kernels::slices::beside;

use self::pair::{GROUPS, Pair, Without};
use super::error::{StatsError, at_least};
use super::estimate::Estimate;
use super::rows::Rows;

/// Rows of a set that [`frechet_distance`] needs at least.
pub const FRECHET_ROWS: usize = 2 * GROUPS;

/// The size of an eigenvalue problem from which the jackknife leaves out parts of both sets at once: half as many problems.
const LARGE: usize = 512;

/// |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of the means and covariances (divisor n − 1) of `x [n, D]` and `y [m, D]`: the squared
/// Wasserstein-2 distance of the two fitted Gaussians (Dowson & Landau 1982), called FID where the features are Inception's (Heusel et
/// al. 2017, arXiv 1706.08500, eq. 6). In the square of the features' unit.
///
/// It is biased upwards, the more the fewer rows there are: compare only sets of equal size, against a floor of real data. The standard
/// error is a jackknife over ten parts of each set; between equal laws, where the distance is mostly bias, it is rough. Where these
/// problems are larger than 512 the ten parts are of both sets at once, which leaves the standard error nine degrees of freedom in place of
/// eighteen.
///
/// The eigenvalue problems, 21 or 11 of them, are of the size of the least of n, m and D, or of D where n m is above 2 D².
///
/// # Errors
/// With fewer than 20 rows in a set, or sets of different dimension.
pub fn frechet_distance(x: Rows<'_>, y: Rows<'_>) -> Result<Estimate, StatsError> {
    x.same_dim(&y)?;
    at_least("first set", x.len(), FRECHET_ROWS)?;
    at_least("second set", y.len(), FRECHET_ROWS)?;
    let pair = Pair::new(x, y);
    let one_set = |set: usize| (0..GROUPS).map(move |g| std::array::from_fn(|i| (i == set).then_some(g)));
    let left_out: Vec<Without> = if pair.size() > LARGE {
        std::iter::once([None; 2]).chain((0..GROUPS).map(|g| [Some(g); 2])).collect()
    } else {
        std::iter::once([None; 2]).chain(one_set(0)).chain(one_set(1)).collect()
    };
    let tasks = left_out.len();
    let each = |&without: &Without| beside(tasks, || pair.distance(without));
    let distances: Vec<f64> = left_out.par_iter().with_max_len(1).map(each).collect();
    let variance: f64 = distances[1..].chunks(GROUPS).map(jackknife).sum();
    Ok(Estimate { value: distances[0], standard_error: variance.sqrt() })
}

/// Variance of a value by what it is without each of g parts: (g − 1)/g Σ (v − mean)².
fn jackknife(without: &[f64]) -> f64 {
    let g = without.len() as f64;
    let mean = without.iter().sum::<f64>() / g;
    (g - 1.0) / g * without.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, normal_along, same_on_any_threads};
    use super::*;

    fn between(x: &[f32], y: &[f32], dim: usize) -> Estimate {
        frechet_distance(Rows::new(x, dim).unwrap(), Rows::new(y, dim).unwrap()).unwrap()
    }

    /// Of N(0, I) and N(shift e₁, s² I): shift² + D (1 − s)².
    #[test]
    fn closed_form_for_round_gaussians() {
        for (dim, shift, std) in [(1, 2.0, 1.0), (3, 0.0, 2.0), (4, 1.0, 0.5)] {
            let mut y = normal(6000, dim, 0.0, std, 2);
            y.iter_mut().step_by(dim).for_each(|v| *v += shift as f32);
            let got = between(&normal(6000, dim, 0.0, 1.0, 1), &y, dim);
            let expected = shift * shift + dim as f64 * (1.0 - std).powi(2);
            let off = |expected: f64| (got.value - expected).abs() / got.standard_error;
            assert!(off(expected) < 4.0, "{got:?} {expected}");
            // Without the root, tr(Σ₁ + Σ₂ − 2 Σ₁Σ₂), or half of it.
            let wrong = shift * shift + dim as f64 * (1.0 + std * std - 2.0 * std * std);
            assert!((wrong - expected).abs() < 1e-9 || off(wrong) > 4.0, "{got:?} {wrong}");
        }
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself_and_constant_columns_do_no_harm() {
        let mut x = normal(40, 3, 5.0, 1.0, 3);
        x.iter_mut().step_by(3).for_each(|v| *v = 7.0);
        assert!(between(&x, &x, 3).value.abs() < 1e-9);
        let moved: Vec<f32> = x.iter().map(|v| v + 1.0).collect();
        assert!((between(&x, &moved, 3).value - 3.0).abs() < 1e-5);
    }

    #[test]
    fn the_jackknife_of_large_problems_is_that_of_repeated_draws() {
        let (n, dim) = (60, 80);
        let pairs: Vec<Pair> = (0..40)
            .map(|seed| {
                let (x, y) = (normal(n, dim, 0.0, 1.0, 2 * seed), normal_along(n, dim, 3.0, 2 * seed + 1));
                Pair::new(Rows::new(&x, dim).unwrap(), Rows::new(&y, dim).unwrap())
            })
            .collect();
        let values: Vec<f64> = pairs.iter().map(|pair| pair.distance([None; 2])).collect();
        let both = |pair: &Pair| jackknife(&(0..GROUPS).map(|g| pair.distance([Some(g); 2])).collect::<Vec<_>>());
        let claimed = (pairs.iter().map(both).sum::<f64>() / 40.0).sqrt();
        let mean = values.iter().sum::<f64>() / 40.0;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 39.0).sqrt();
        assert!((0.6..1.6).contains(&(claimed / spread)), "{claimed} {spread}");
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        for dim in [40, 150] {
            let (x, y) = (normal(120, dim, 0.0, 1.0, 1), normal(130, dim, 0.1, 1.0, 2));
            assert!(same_on_any_threads(|| between(&x, &y, dim)));
        }
    }

    #[test]
    fn the_jackknife_is_that_of_repeated_draws() {
        let values: Vec<Estimate> = (0..60)
            .map(|seed| between(&normal(200, 3, 0.0, 1.0, 2 * seed), &normal_along(200, 3, 1.5, 2 * seed + 1), 3))
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().map(|e| e.value).sum::<f64>() / n;
        let spread = (values.iter().map(|e| (e.value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let claimed = values.iter().map(|e| e.standard_error).sum::<f64>() / n;
        assert!((0.7..1.4).contains(&(claimed / spread)), "{claimed} {spread}");
    }

    #[test]
    fn impossible_input_is_an_error() {
        let x = normal(19, 1, 0.0, 1.0, 1);
        let few = Rows::new(&x, 1).unwrap();
        assert!(frechet_distance(few, few).is_err());
        assert!(frechet_distance(Rows::new(&[0.0; 40], 2).unwrap(), Rows::new(&[0.0; 60], 3).unwrap()).is_err());
    }
}
