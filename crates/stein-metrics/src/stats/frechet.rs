//! The Fréchet distance of two Gaussians, each fitted to a set.

use rayon::prelude::*;

use super::eigenvalues::{eigenvalues, semidefinite_factor};
use super::error::{StatsError, at_least};
use super::estimate::Estimate;
use super::rows::Rows;

/// Parts of a set that the jackknife leaves out in turn.
const GROUPS: usize = 10;

/// Rows of a set that [`frechet_distance`] needs at least.
pub const FRECHET_ROWS: usize = 2 * GROUPS;

/// |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of the means and covariances (divisor n − 1) of `x [n, D]` and `y [m, D]`: the squared
/// Wasserstein-2 distance of the two fitted Gaussians (Dowson & Landau 1982), called FID where the features are Inception's (Heusel et
/// al. 2017, arXiv 1706.08500, eq. 6). In the square of the features' unit.
///
/// It is biased upwards, the more the fewer rows there are: compare only sets of equal size, against a floor of real data. The standard
/// error is a jackknife over ten parts of each set; between equal laws, where the distance is mostly bias, it is rough.
///
/// # Errors
/// With fewer than 20 rows in a set, or sets of different dimension.
pub fn frechet_distance(x: Rows<'_>, y: Rows<'_>) -> Result<Estimate, StatsError> {
    x.same_dim(&y)?;
    at_least("first set", x.len(), FRECHET_ROWS)?;
    at_least("second set", y.len(), FRECHET_ROWS)?;
    // About a common centre, sums of squares do not cancel.
    let centre = mean_of(x);
    let (x, y) = (Grouped::new(x, &centre), Grouped::new(y, &centre));
    let (a, b) = (x.gaussian(None), y.gaussian(None));
    let value = squared_distance(&a, &b);
    let without_x: Vec<f64> = (0..GROUPS).map(|g| squared_distance(&x.gaussian(Some(g)), &b)).collect();
    let without_y: Vec<f64> = (0..GROUPS).map(|g| squared_distance(&a, &y.gaussian(Some(g)))).collect();
    Ok(Estimate { value, standard_error: (jackknife(&without_x) + jackknife(&without_y)).sqrt() })
}

/// Variance of a value by what it is without each of g parts: (g − 1)/g Σ (v − mean)².
fn jackknife(without: &[f64]) -> f64 {
    let g = without.len() as f64;
    let mean = without.iter().sum::<f64>() / g;
    (g - 1.0) / g * without.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
}

fn mean_of(rows: Rows<'_>) -> Vec<f64> {
    let mut mean = vec![0.0; rows.dim()];
    for row in rows.iter() {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / rows.len() as f64);
    }
    mean
}

struct Gaussian {
    mean: Vec<f64>,
    /// `[D, D]`.
    covariance: Vec<f64>,
}

/// Sums over a part of a set.
struct Sums {
    n: f64,
    sum: Vec<f64>,
    /// Σ x xᵀ, `[D, D]`.
    squares: Vec<f64>,
}

impl Sums {
    fn zero(dim: usize) -> Self {
        Self { n: 0.0, sum: vec![0.0; dim], squares: vec![0.0; dim * dim] }
    }

    fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.sum.iter_mut().zip(&other.sum).for_each(|(a, b)| *a += b);
        self.squares.iter_mut().zip(&other.squares).for_each(|(a, b)| *a += b);
    }
}

/// A set in [`GROUPS`] parts: row i is in part i mod [`GROUPS`].
struct Grouped(Vec<Sums>);

impl Grouped {
    fn new(rows: Rows<'_>, centre: &[f64]) -> Self {
        let dim = rows.dim();
        let part = |g: usize| {
            let mut sums = Sums::zero(dim);
            for row in rows.iter().skip(g).step_by(GROUPS) {
                let centred: Vec<f64> = row.iter().zip(centre).map(|(&v, c)| f64::from(v) - c).collect();
                sums.n += 1.0;
                sums.sum.iter_mut().zip(&centred).for_each(|(s, v)| *s += v);
                for (out, v) in sums.squares.chunks_exact_mut(dim).zip(&centred) {
                    out.iter_mut().zip(&centred).for_each(|(s, other)| *s += v * other);
                }
            }
            sums
        };
        Self((0..GROUPS).into_par_iter().map(part).collect())
    }

    /// Mean and covariance of all parts but one.
    fn gaussian(&self, without: Option<usize>) -> Gaussian {
        let dim = self.0[0].sum.len();
        let mut all = Sums::zero(dim);
        self.0.iter().enumerate().filter(|(g, _)| Some(*g) != without).for_each(|(_, part)| all.add(part));
        let Sums { n, sum, mut squares } = all;
        let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
        for (row, mi) in squares.chunks_exact_mut(dim).zip(&mean) {
            row.iter_mut().zip(&mean).for_each(|(s, mj)| *s = (*s - n * mi * mj) / (n - 1.0));
        }
        Gaussian { mean, covariance: squares }
    }
}

fn squared_distance(a: &Gaussian, b: &Gaussian) -> f64 {
    let dim = a.mean.len();
    let means: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b).powi(2)).sum();
    let traces: f64 = (0..dim).map(|i| a.covariance[i * dim + i] + b.covariance[i * dim + i]).sum();
    means + traces - 2.0 * trace_of_root(&a.covariance, &b.covariance, dim)
}

/// tr (A B)^½ of positive semidefinite A and B: with A = L Lᵀ, A B has the eigenvalues of the symmetric Lᵀ B L.
fn trace_of_root(a: &[f64], b: &[f64], dim: usize) -> f64 {
    let l = semidefinite_factor(a.to_vec(), dim);
    let product = times(&transposed(&l, dim), &times(b, &l, dim), dim);
    eigenvalues(product, dim).into_iter().map(|value| value.max(0.0).sqrt()).sum()
}

fn transposed(a: &[f64], dim: usize) -> Vec<f64> {
    (0..dim * dim).map(|i| a[i % dim * dim + i / dim]).collect()
}

/// The product of two matrices.
fn times(a: &[f64], b: &[f64], dim: usize) -> Vec<f64> {
    let mut out = vec![0.0; dim * dim];
    out.par_chunks_exact_mut(dim).zip(a.par_chunks_exact(dim)).for_each(|(out, row)| {
        for (a, b) in row.iter().zip(b.chunks_exact(dim)) {
            out.iter_mut().zip(b).for_each(|(out, b)| *out += a * b);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, normal_along};
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

    /// A = [[2, 1], [1, 2]] and B = diag(1, 4): A B = [[2, 4], [1, 8]], and tr √M = √(tr M + 2 √det M) in two dimensions.
    #[test]
    fn covariances_that_do_not_commute() {
        let (a, b) = ([2.0, 1.0, 1.0, 2.0], [1.0, 0.0, 0.0, 4.0]);
        let expected = (10.0 + 2.0 * 12f64.sqrt()).sqrt();
        assert!((trace_of_root(&a, &b, 2) - expected).abs() < 1e-12);
        assert!((trace_of_root(&b, &a, 2) - expected).abs() < 1e-12);
        // The product of the roots, √A = [[(√3 + 1)/2, (√3 − 1)/2], …] and √B = diag(1, 2), is another number.
        assert!((1.5 * (3f64.sqrt() + 1.0) - expected).abs() > 1e-3);
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
