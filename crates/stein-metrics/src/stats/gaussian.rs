//! A Gaussian fitted to data: the baseline that any model of the data has to beat.

use rayon::prelude::*;

use super::error::{StatsError, at_least};
use super::random::{Purpose, Stream};
use super::rows::Rows;

/// The usual ridge: a millionth of the mean variance.
pub const RIDGE: f64 = 1e-6;

/// Rows centred at a time while the covariance is summed.
const CHUNK: usize = 256;

/// N(mean, covariance), covariance as a Cholesky factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: Vec<f64>,
    /// Lower triangular L `[D, D]` with L Lᵀ = covariance.
    factor: Vec<f64>,
}

impl Gaussian {
    /// Fits mean and full covariance (divisor n − 1) to `rows [n, D]`, and adds `ridge` times the mean variance to
    /// the diagonal ([`RIDGE`] by default), so that fewer rows than dimensions or constant columns will do.
    ///
    /// # Errors
    /// With fewer than 2 rows, a ridge that is negative or not finite, or a covariance that has no Cholesky factor.
    pub fn fit(rows: Rows<'_>, ridge: f64) -> Result<Self, StatsError> {
        at_least("rows to fit a Gaussian to", rows.len(), 2)?;
        if !(ridge.is_finite() && ridge >= 0.0) {
            let allowed = "at least 0 and finite";
            return Err(StatsError::Parameter { name: "ridge", value: ridge, allowed });
        }
        let (n, dim) = (rows.len() as f64, rows.dim());
        let mut mean = vec![0.0; dim];
        for row in rows.iter() {
            mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
        }
        mean.iter_mut().for_each(|m| *m /= n);

        let mut covariance = vec![0.0; dim * dim];
        let mut centred = Vec::with_capacity(CHUNK * dim);
        for chunk in rows.data().chunks(CHUNK * dim) {
            centred.clear();
            for row in chunk.chunks_exact(dim) {
                centred.extend(row.iter().zip(&mean).map(|(&v, m)| f64::from(v) - m));
            }
            covariance.par_chunks_mut(dim).enumerate().for_each(|(i, out)| {
                for row in centred.chunks_exact(dim) {
                    let v = row[i] / (n - 1.0);
                    out[..=i].iter_mut().zip(row).for_each(|(sum, other)| *sum += v * other);
                }
            });
        }
        let trace: f64 = (0..dim).map(|i| covariance[i * dim + i]).sum();
        // All rows alike have no variance; f64's smallest keeps the factor at zero in effect.
        let ridge = ridge * trace / dim as f64 + f64::MIN_POSITIVE;
        (0..dim).for_each(|i| covariance[i * dim + i] += ridge);
        cholesky(&mut covariance, dim)?;
        Ok(Self { mean, factor: covariance })
    }

    /// The mean `[D]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The Cholesky factor `[D, D]` of α² covariance + σ² I, lower triangular.
    ///
    /// # Errors
    /// If the sum has none.
    pub fn factor_at(&self, alpha: f64, sigma: f64) -> Result<Vec<f64>, StatsError> {
        let dim = self.mean.len();
        let mut sum = vec![0.0; dim * dim];
        sum.par_chunks_mut(dim).enumerate().for_each(|(i, out)| {
            let own = &self.factor[i * dim..=i * dim + i];
            for (j, out) in out.iter_mut().enumerate().take(i + 1) {
                let other = &self.factor[j * dim..=j * dim + j];
                *out = alpha * alpha * own.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
            }
            out[i] += sigma * sigma;
        });
        cholesky(&mut sum, dim)?;
        Ok(sum)
    }

    /// ln of the density of α x + σ z, z standard normal, at each of `rows`, in nats.
    ///
    /// # Errors
    /// If α² covariance + σ² I has no Cholesky factor.
    pub fn log_density_at(&self, alpha: f64, sigma: f64, rows: Rows<'_>) -> Result<Vec<f64>, StatsError> {
        let dim = self.mean.len();
        let factor = self.factor_at(alpha, sigma)?;
        let log_root: f64 = (0..dim).map(|i| factor[i * dim + i].ln()).sum();
        let normaliser = log_root + dim as f64 / 2.0 * (2.0 * std::f64::consts::PI).ln();
        let log_density = |row: &[f32]| {
            // L⁻¹ (x − α m), by forward substitution.
            let mut z = vec![0.0; dim];
            for i in 0..dim {
                let known: f64 = factor[i * dim..i * dim + i].iter().zip(&z).map(|(l, z)| l * z).sum();
                z[i] = (f64::from(row[i]) - alpha * self.mean[i] - known) / factor[i * dim + i];
            }
            -0.5 * z.iter().map(|z| z * z).sum::<f64>() - normaliser
        };
        Ok(rows.data().par_chunks_exact(dim).map(log_density).collect())
    }

    /// The inverse `[D, D]` of α² covariance + σ² I: the precision of α x + σ z, z standard normal.
    ///
    /// # Errors
    /// If the sum has no Cholesky factor.
    pub fn precision_at(&self, alpha: f64, sigma: f64) -> Result<Vec<f64>, StatsError> {
        let dim = self.mean.len();
        let sum = self.factor_at(alpha, sigma)?;
        // Column j of the inverse by forward and backward substitution of the unit vector e_j.
        let mut inverse = vec![0.0; dim * dim];
        inverse.par_chunks_mut(dim).enumerate().for_each(|(j, column)| {
            for i in j..dim {
                let known: f64 = (j..i).map(|k| sum[i * dim + k] * column[k]).sum();
                column[i] = (f64::from(u8::from(i == j)) - known) / sum[i * dim + i];
            }
            backward(&sum, column);
        });
        Ok(inverse)
    }

    /// K `[D, k]` of the law given y = V x + σ n with V `[k, D]`: its mean is mean + K (y − V mean), and K (y − V x − σ n) turns
    /// any draw x of this law, with noise n of its own, into a draw of that one.
    ///
    /// # Errors
    /// If V covariance Vᵀ + σ² I has no Cholesky factor.
    pub fn gain(&self, rows: &[f64], sigma: f64) -> Result<Vec<f64>, StatsError> {
        let dim = self.mean.len();
        let k = rows.len() / dim;
        // G = V L, [k, D], by columns of the lower triangle.
        let mut turned = vec![0.0; k * dim];
        turned.par_chunks_mut(dim).zip(rows.par_chunks_exact(dim)).for_each(|(out, v)| {
            for (v, factor) in v.iter().zip(self.factor.chunks_exact(dim)) {
                out.iter_mut().zip(factor).for_each(|(out, l)| *out += v * l);
            }
        });
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let of = |j: usize| &turned[j * dim..(j + 1) * dim];
        let mut sum: Vec<f64> = (0..k * k).into_par_iter().map(|i| dot(of(i / k), of(i % k))).collect();
        let trace: f64 = (0..k).map(|j| sum[j * k + j]).sum();
        (0..k).for_each(|j| sum[j * k + j] += sigma * sigma + 1e-12 * trace / k as f64);
        cholesky(&mut sum, k)?;
        // Row i of K solves K (G Gᵀ + σ² I) = L Gᵀ.
        let mut gain = vec![0.0; dim * k];
        gain.par_chunks_mut(k).enumerate().for_each(|(i, row)| {
            (0..k).for_each(|j| row[j] = dot(&self.factor[i * dim..(i + 1) * dim], of(j)));
            solve(&sum, row);
        });
        Ok(gain)
    }

    /// `n` independent draws `[n, D]`, flat.
    pub fn sample(&self, n: usize, seed: u64) -> Vec<f32> {
        let dim = self.mean.len();
        let z = Stream::new(seed, Purpose::Gaussian).normals(n * dim);
        let mut out = vec![0.0; n * dim];
        out.par_chunks_mut(dim).zip(z.par_chunks(dim)).for_each(|(out, z)| {
            for (i, out) in out.iter_mut().enumerate() {
                let row = &self.factor[i * dim..=i * dim + i];
                let sum: f64 = row.iter().zip(z).map(|(l, z)| l * z).sum();
                *out = (self.mean[i] + sum) as f32;
            }
        });
        out
    }

    /// As [`Gaussian::sample`], each value clipped to `low..=high`: a harder baseline for images.
    ///
    /// # Errors
    /// If `low` is above `high`, or either is NaN.
    pub fn sample_clipped(&self, n: usize, seed: u64, low: f32, high: f32) -> Result<Vec<f32>, StatsError> {
        if low.is_nan() || high.is_nan() || low > high {
            return Err(StatsError::Parameter {
                name: "lower end of the range",
                value: f64::from(low),
                allowed: "at most its upper end",
            });
        }
        let mut out = self.sample(n, seed);
        out.iter_mut().for_each(|v| *v = v.clamp(low, high));
        Ok(out)
    }
}

/// Solves L Lᵀ x = b in place, L lower triangular.
fn solve(factor: &[f64], b: &mut [f64]) {
    let dim = b.len();
    for i in 0..dim {
        let known: f64 = (0..i).map(|k| factor[i * dim + k] * b[k]).sum();
        b[i] = (b[i] - known) / factor[i * dim + i];
    }
    backward(factor, b);
}

/// Solves Lᵀ x = b in place.
fn backward(factor: &[f64], b: &mut [f64]) {
    let dim = b.len();
    for i in (0..dim).rev() {
        let known: f64 = (i + 1..dim).map(|k| factor[k * dim + i] * b[k]).sum();
        b[i] = (b[i] - known) / factor[i * dim + i];
    }
}

/// Replaces the lower triangle of `a [D, D]` by its Cholesky factor, and the upper one by zeros.
fn cholesky(a: &mut [f64], dim: usize) -> Result<(), StatsError> {
    for i in 0..dim {
        let (above, current) = a.split_at_mut(i * dim);
        for (j, other) in above.chunks_exact(dim).enumerate() {
            let inner: f64 = current[..j].iter().zip(other).map(|(p, q)| p * q).sum();
            current[j] = (current[j] - inner) / other[j];
        }
        let pivot = current[i] - current[..i].iter().map(|l| l * l).sum::<f64>();
        if !(pivot.is_finite() && pivot > 0.0) {
            return Err(StatsError::NotPositiveDefinite { row: i });
        }
        current[i] = pivot.sqrt();
        current[i + 1..dim].fill(0.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, same_on_any_threads};
    use super::*;

    #[test]
    fn the_factor_of_a_matrix_by_hand() {
        // [[4, 2], [2, 10]] = L Lᵀ with L = [[2, 0], [1, 3]].
        let mut a = [4.0, 2.0, 2.0, 10.0];
        cholesky(&mut a, 2).unwrap();
        assert_eq!(a, [2.0, 0.0, 1.0, 3.0]);
        let singular = cholesky(&mut [1.0, 1.0, 1.0, 1.0], 2);
        assert_eq!(singular, Err(StatsError::NotPositiveDefinite { row: 1 }));
    }

    #[test]
    fn moments_come_back() {
        // x = (1 + 2 z₁, −1 + z₁ + 0.5 z₂): covariance [[4, 2], [2, 1.25]].
        let z = normal(3000, 2, 0.0, 1.0, 1);
        let data: Vec<f32> = z.chunks(2).flat_map(|z| [1.0 + 2.0 * z[0], -1.0 + z[0] + 0.5 * z[1]]).collect();
        let fitted = Gaussian::fit(Rows::new(&data, 2).unwrap(), RIDGE).unwrap();
        assert!((fitted.mean[0] - 1.0).abs() < 0.15 && (fitted.mean[1] + 1.0).abs() < 0.1);
        let l = [fitted.factor[0], fitted.factor[2], fitted.factor[3]];
        assert!((l[0] - 2.0).abs() < 0.1 && (l[1] - 1.0).abs() < 0.06, "{l:?}");
        assert!((l[2] - 0.5).abs() < 0.03 && fitted.factor[1] == 0.0);
        // And its draws have its moments: a fit of a fit, three standard errors apart at most.
        let drawn = fitted.sample(3000, 7);
        let again = Gaussian::fit(Rows::new(&drawn, 2).unwrap(), RIDGE).unwrap();
        assert!(fitted.factor.iter().zip(&again.factor).all(|(a, b)| (a - b).abs() < 0.1));
        assert_ne!(drawn, fitted.sample(3000, 8));
        assert!(same_on_any_threads(|| fitted.sample(100, 7)));
    }

    #[test]
    fn the_gain_is_the_posterior_mean() {
        // Covariance [[4, 2], [2, 10]], seen along (1, 1) with σ = 2: C v = (6, 12), vᵀ C v + σ² = 22.
        let law = Gaussian { mean: vec![0.0; 2], factor: vec![2.0, 0.0, 1.0, 3.0] };
        let gain = law.gain(&[1.0, 1.0], 2.0).unwrap();
        assert!((gain[0] - 6.0 / 22.0).abs() < 1e-9 && (gain[1] - 12.0 / 22.0).abs() < 1e-9, "{gain:?}");
        // Two exact measurements leave nothing open.
        let gain = law.gain(&[1.0, 0.0, 1.0, 1.0], 0.0).unwrap();
        let inverse = [1.0, 0.0, -1.0, 1.0];
        assert!(gain.iter().zip(inverse).all(|(a, b)| (a - b).abs() < 1e-6), "{gain:?}");
    }

    #[test]
    fn log_densities_by_hand() {
        // Mean (1, −1) and covariance [[4, 2], [2, 10]]; at α = 2, σ = 1 it is [[17, 8], [8, 41]] about (2, −2).
        let fitted = Gaussian { mean: vec![1.0, -1.0], factor: vec![2.0, 0.0, 1.0, 3.0] };
        let at = [3.0f32, 0.5];
        let found = fitted.log_density_at(2.0, 1.0, Rows::new(&at, 2).unwrap()).unwrap();
        let (x, y, determinant) = (1.0f64, 2.5f64, 17.0f64 * 41.0 - 64.0);
        let square = (41.0 * x * x - 16.0 * x * y + 17.0 * y * y) / determinant;
        let expected = -0.5 * square - (2.0 * std::f64::consts::PI).ln() - 0.5 * determinant.ln();
        assert!((found[0] - expected).abs() < 1e-12, "{found:?}, not {expected}");
    }

    #[test]
    fn ridge_and_clip() {
        let flat = normal(5, 20, 0.5, 1.0, 1);
        let few = Rows::new(&flat, 20).unwrap();
        let fitted = Gaussian::fit(few, RIDGE).unwrap();
        let clipped = fitted.sample_clipped(50, 1, 0.0, 1.0).unwrap();
        assert!(clipped.iter().all(|v| (0.0..=1.0).contains(v)));
        let unclipped = fitted.sample(50, 1);
        assert!(unclipped.iter().zip(&clipped).all(|(u, c)| u.clamp(0.0, 1.0) == *c));
        assert!(fitted.sample_clipped(5, 1, 1.0, 0.0).is_err());
        assert!(fitted.sample_clipped(5, 1, f32::NAN, 0.0).is_err());
        assert!(Gaussian::fit(few, -1.0).is_err());
        assert!(Gaussian::fit(Rows::new(&[1.0], 1).unwrap(), RIDGE).is_err());
        let constant = Gaussian::fit(Rows::new(&[3.0; 6], 2).unwrap(), RIDGE).unwrap();
        assert_eq!(constant.sample(2, 0), [3.0; 4]);
    }
}
