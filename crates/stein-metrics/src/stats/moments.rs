//! Mean and variance of a row's numbers.

use super::Estimate;
use super::error::{StatsError, at_least};
use super::estimate::{mean, standard_error_of_mean};
use super::rows::Rows;

/// Mean and variance, each averaged over the coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// (1/D) Σ_d E x_d.
    pub mean: Estimate,
    /// (1/D) Σ_d Var x_d.
    pub variance: Estimate,
}

/// Moments of a set of independent rows. Errors are between rows, whose coordinates may depend on each other.
///
/// # Errors
/// With fewer than two rows.
pub fn moments(rows: Rows<'_>) -> Result<Moments, StatsError> {
    at_least("rows for moments", rows.len(), 2)?;
    let (n, d) = (rows.len() as f64, rows.dim() as f64);
    let mut centre = vec![0.0f64; rows.dim()];
    for row in rows.iter() {
        centre.iter_mut().zip(row).for_each(|(c, &x)| *c += f64::from(x) / n);
    }
    let means: Vec<f64> = rows.iter().map(|row| row.iter().map(|&x| f64::from(x)).sum::<f64>() / d).collect();
    let squares = |row: &[f32]| row.iter().zip(&centre).map(|(&x, c)| (f64::from(x) - c).powi(2)).sum::<f64>() / d;
    // The mean of n rows is nearer to them than the law's: n − 1.
    let variances: Vec<f64> = rows.iter().map(|row| squares(row) * n / (n - 1.0)).collect();
    let of = |values: &[f64]| -> Result<Estimate, StatsError> {
        Ok(Estimate { value: mean(values), standard_error: standard_error_of_mean(values)? })
    };
    Ok(Moments { mean: of(&means)?, variance: of(&variances)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Gaussian, RIDGE};

    #[test]
    fn moments_by_hand() {
        let found = moments(Rows::new(&[0.0, 1.0, 2.0, 5.0, 4.0, 3.0], 2).unwrap()).unwrap();
        // Means 2 and 3; variances 4 and 4.
        assert_eq!((found.mean.value, found.variance.value), (2.5, 4.0));
        // Row means ½, 3½ and 3½: variance 3.
        assert!((found.mean.standard_error - 1.0).abs() < 1e-12);
        assert!(moments(Rows::new(&[1.0, 2.0], 2).unwrap()).is_err());
    }

    #[test]
    fn errors_are_those_of_repeated_draws() {
        // Correlated coordinates: errors that took them for independent would be too small.
        let fitted = Gaussian::fit(Rows::new(&[-1.0, -1.2, 0.0, 0.1, 1.0, 1.1, 2.0, 1.8], 2).unwrap(), RIDGE).unwrap();
        let all: Vec<Moments> =
            (0..400).map(|seed| moments(Rows::new(&fitted.sample(100, seed), 2).unwrap()).unwrap()).collect();
        for pick in [|m: &Moments| m.mean, |m: &Moments| m.variance] {
            let values: Vec<f64> = all.iter().map(|m| pick(m).value).collect();
            let scatter = standard_error_of_mean(&values).unwrap() * 20.0;
            let told = all.iter().map(|m| pick(m).standard_error).sum::<f64>() / 400.0;
            assert!((told / scatter - 1.0).abs() < 0.15, "{told}, not {scatter}");
            assert!((told / 2f64.sqrt() / scatter - 1.0).abs() > 0.2, "independent coordinates must be seen");
        }
    }
}
