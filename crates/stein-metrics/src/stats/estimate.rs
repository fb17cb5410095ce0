//! A value with its standard error, and the two simplest of them: mean and median.

use super::error::{StatsError, at_least};

/// A value and the standard error of its sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error, in the same unit: the standard deviation that the value would have over fresh
    /// draws of the same size.
    pub standard_error: f64,
}

/// A proportion `hits / n`, with the binomial standard error at the smoothed proportion (hits + 1)/(n + 2).
///
/// Smoothing keeps the error above zero at 0 and at 1, where √(p(1−p)/n) would claim certainty; elsewhere it makes
/// a difference of order 1/n.
pub(crate) fn proportion(hits: usize, n: usize) -> Estimate {
    let (hits, n) = (hits as f64, n as f64);
    Estimate { value: hits / n, standard_error: binomial_variance(hits, n).sqrt() }
}

/// p(1−p)/n at p = (hits + 1)/(n + 2).
pub(crate) fn binomial_variance(hits: f64, n: f64) -> f64 {
    let p = (hits + 1.0) / (n + 2.0);
    p * (1.0 - p) / n
}

/// The median: the middle value, or the mean of the two middle ones.
///
/// # Errors
/// If `values` is empty or holds a value that is NaN or infinite.
pub fn median(values: &[f64]) -> Result<f64, StatsError> {
    at_least("values for a median", values.len(), 1)?;
    finite(values)?;
    let mut values = values.to_vec();
    Ok(median_in_place(&mut values))
}

/// As [`median`], of at least one value, all finite; reorders them.
pub(crate) fn median_in_place(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if odd {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    0.5 * (lower + upper)
}

/// The median of independent values, with Woodruff's standard error.
///
/// The rank of the true median among `n` draws has standard deviation √n/2 whatever the law, so the order
/// statistics two of these to either side of the middle enclose four standard errors: se = (x₍₊₎ − x₍₋₎)/4 (Woodruff 1952).
/// It takes no density estimate, and no resampling.
///
/// # Errors
/// With fewer than 8 values, or where one is NaN or infinite.
pub fn median_estimate(values: &[f64]) -> Result<Estimate, StatsError> {
    at_least("values for a median with a standard error", values.len(), 8)?;
    finite(values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = (sorted.len() - 1) as f64;
    let at = |position: f64| {
        let position = position.clamp(0.0, last);
        let below = position.floor() as usize;
        let above = (below + 1).min(sorted.len() - 1);
        sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
    };
    let two_deviations = (sorted.len() as f64).sqrt();
    let value = at(0.5 * last);
    let spread = at(0.5 * last + two_deviations) - at(0.5 * last - two_deviations);
    Ok(Estimate { value, standard_error: 0.25 * spread })
}

/// Standard error of the mean of independent values: √(s²/n) with s² the unbiased variance.
///
/// # Errors
/// With fewer than two values, or where one is NaN or infinite.
pub fn standard_error_of_mean(values: &[f64]) -> Result<f64, StatsError> {
    at_least("values for a standard error", values.len(), 2)?;
    finite(values)?;
    Ok((variance(values) / values.len() as f64).sqrt())
}

/// Mean of at least one value.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Unbiased variance of at least two values.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

fn finite(values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(StatsError::NonFinite { row, column: 0, value: values[row] as f32 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).unwrap(), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).unwrap(), 2.5);
        assert_eq!(median(&[7.0]).unwrap(), 7.0);
        assert!(median(&[]).is_err());
        assert!(median(&[1.0, f64::NAN]).is_err());
        let values: Vec<f64> = (0..16).map(f64::from).collect();
        let estimate = median_estimate(&values).unwrap();
        assert_eq!(estimate, Estimate { value: 7.5, standard_error: 2.0 });
        assert!(median_estimate(&values[..7]).is_err());
    }

    #[test]
    fn standard_error_of_mean_by_hand() {
        // Squared deviations 1, 0, 1: variance 1 with n − 1 (2/3 with n).
        let error = standard_error_of_mean(&[1.0, 2.0, 3.0]).unwrap();
        assert!((error - (1.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!(standard_error_of_mean(&[1.0]).is_err());
    }

    #[test]
    fn a_proportion_is_never_certain() {
        let all = proportion(100, 100);
        assert_eq!(all.value, 1.0);
        assert!(all.standard_error > 0.005 && all.standard_error < 0.02);
        let half = proportion(500, 1000).standard_error;
        assert!((half - (0.25f64 / 1000.0).sqrt()).abs() < 1e-12);
    }
}
