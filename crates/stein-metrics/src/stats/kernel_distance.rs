//! The kernel distance that goes with learned features.

use super::error::StatsError;
use super::estimate::Estimate;
use super::rows::Rows;
use super::u_statistic::two_sample;

/// Unbiased MMD² of `x [n, D]` and `y [m, D]` with the cubic kernel (xᵀy/D + 1)³: the kernel distance of Bińkowski et al. 2018
/// (arXiv 1801.01401, section 4), called KID where the features are Inception's.
///
/// 0 on average between equal laws, and so sometimes negative; unlike a Fréchet distance it has no bias that depends on n. The standard
/// error is the exact variance of the U-statistic, so it holds near 0 as well. The kernel sees moments up to the third.
///
/// # Errors
/// With fewer than 4 rows in a set, or sets of different dimension.
pub fn kernel_distance(x: Rows<'_>, y: Rows<'_>) -> Result<Estimate, StatsError> {
    let dim = x.dim() as f64;
    let estimates = two_sample(x, y, 1, |_, pairs, out| {
        for (out, product) in out.iter_mut().zip(pairs.products()) {
            *out = (product / dim + 1.0).powi(3);
        }
    })?;
    Ok(estimates[0])
}

#[cfg(test)]
mod tests {
    use super::super::testing::normal;
    use super::*;

    fn between(x: &[f32], y: &[f32], dim: usize) -> Estimate {
        kernel_distance(Rows::new(x, dim).unwrap(), Rows::new(y, dim).unwrap()).unwrap()
    }

    /// In one dimension k = 1 + 3 x y + 3 x²y² + x³y³, so MMD² = 3 Δm₁² + 3 Δm₂² + Δm₃² with raw moments m.
    #[test]
    fn closed_form_in_one_dimension() {
        let raw = |mean: f64, s2: f64| [mean, mean * mean + s2, mean.powi(3) + 3.0 * mean * s2];
        for (shift, std) in [(0.7, 1.0), (0.0, 1.4), (-0.5, 0.6)] {
            let got = between(&normal(4000, 1, 0.0, 1.0, 1), &normal(4000, 1, shift, std, 2), 1);
            let gaps = raw(shift, std * std).into_iter().zip(raw(0.0, 1.0)).map(|(a, b)| (a - b).powi(2));
            let expected: f64 = gaps.zip([3.0, 3.0, 1.0]).map(|(gap, weight)| weight * gap).sum();
            let off = |expected: f64| (got.value - expected).abs() / got.standard_error;
            assert!(off(expected) < 4.0, "{got:?} {expected}");
            // Without the square of (x y)², say, it would be another number.
            let wrong = 1.5 * expected;
            assert!(off(wrong) > 4.0, "{got:?} {wrong}");
        }
    }

    #[test]
    fn by_definition() {
        let (x, y) = (normal(6, 3, 0.0, 1.0, 3), normal(5, 3, 0.5, 1.0, 4));
        let kernel = |a: &[f32], b: &[f32]| {
            let product: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            (product / 3.0 + 1.0).powi(3)
        };
        let mean = |a: &[f32], b: &[f32], same: bool| {
            let (a, b): (Vec<_>, Vec<_>) = (a.chunks(3).collect(), b.chunks(3).collect());
            let pairs = (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j))).filter(|(i, j)| !same || i != j);
            let values: Vec<f64> = pairs.map(|(i, j)| kernel(a[i], b[j])).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let expected = mean(&x, &x, true) + mean(&y, &y, true) - 2.0 * mean(&x, &y, false);
        let got = between(&x, &y, 3).value;
        assert!((got / expected - 1.0).abs() < 1e-5, "{got} {expected}");
    }

    #[test]
    fn equal_laws_are_at_no_distance() {
        let got = between(&normal(500, 8, 0.2, 1.0, 5), &normal(700, 8, 0.2, 1.0, 6), 8);
        assert!(got.value.abs() < 4.0 * got.standard_error, "{got:?}");
        assert!(kernel_distance(Rows::new(&[1.0; 3], 1).unwrap(), Rows::new(&[1.0; 9], 1).unwrap()).is_err());
    }
}
