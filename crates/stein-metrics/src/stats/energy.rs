//! Energy distance.

use super::error::StatsError;
use super::estimate::Estimate;
use super::rows::Rows;
use super::u_statistic::two_sample;

/// Energy distance 2 E|X−Y| − E|X−X'| − E|Y−Y'| of `x [n, D]` and `y [m, D]` (Székely & Rizzo 2013), in the unit of the data.
///
/// The unbiased U-statistic: 0 on average between equal laws, and so sometimes negative; in one dimension it estimates
/// 2∫(F−G)². The standard error is the exact variance of the U-statistic (Hájek projection and degenerate part), so it
/// holds near 0 as well.
///
/// # Errors
/// With fewer than 4 rows in a set, or sets of different dimension.
pub fn energy_distance(x: Rows<'_>, y: Rows<'_>) -> Result<Estimate, StatsError> {
    let estimates = two_sample(x, y, 1, |_, pairs, out| {
        for (out, d2) in out.iter_mut().zip(pairs.d2) {
            *out = -d2.sqrt();
        }
    })?;
    Ok(estimates[0])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, normal_along};
    use super::*;

    fn between(x: &[f32], y: &[f32], dim: usize) -> Estimate {
        energy_distance(Rows::new(x, dim).unwrap(), Rows::new(y, dim).unwrap()).unwrap()
    }

    /// ∫(F−G)² of two sets of numbers.
    fn cramer(x: &[f32], y: &[f32]) -> f64 {
        let step = |v: &f32, weight: f64| (f64::from(*v), weight);
        let mut steps: Vec<(f64, f64)> = x
            .iter()
            .map(|v| step(v, 1.0 / x.len() as f64))
            .chain(y.iter().map(|v| step(v, -1.0 / y.len() as f64)))
            .collect();
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut difference, mut integral) = (0.0, 0.0);
        for pair in steps.windows(2) {
            difference += pair[0].1;
            integral += difference * difference * (pair[1].0 - pair[0].0);
        }
        integral
    }

    #[test]
    fn in_one_dimension_it_is_twice_cramer() {
        let (x, y) = (normal(400, 1, 0.0, 1.0, 1), normal(300, 1, 1.0, 2.0, 2));
        let got = between(&x, &y, 1).value;
        // The integral over empirical distributions is the V-statistic: larger by the means over the diagonals.
        let spread = |set: &[f32]| {
            let n = set.len() as f64;
            let pairs: f64 = set.iter().flat_map(|a| set.iter().map(move |b| f64::from(*a - *b).abs())).sum();
            pairs / (n * n * (n - 1.0))
        };
        let expected = 2.0 * cramer(&x, &y) - spread(&x) - spread(&y);
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        assert!((got - 2.0 * cramer(&x, &y)).abs() > 1e-4, "biased form");
        assert!((got - 0.5 * expected).abs() > 1e-2, "without the factor 2");
    }

    #[test]
    fn closed_form_for_shifted_gaussians() {
        // E|N(μ, s²)| = s√(2/π) e^{−μ²/2s²} + μ erf(μ/√2s); here s² = 2 and μ = 2, erf(1) = 0.842700792949715.
        let pi = std::f64::consts::PI;
        let apart = 2.0 / pi.sqrt() * (-1.0f64).exp() + 2.0 * 0.842_700_792_949_715;
        let expected = 2.0 * apart - 4.0 / pi.sqrt();
        let got = between(&normal(1500, 1, 0.0, 1.0, 3), &normal(1500, 1, 2.0, 1.0, 4), 1);
        let off = |expected: f64| (got.value - expected).abs() / got.standard_error;
        assert!(off(expected) < 3.5, "{got:?} {expected}");
        assert!(off(0.5 * expected) > 10.0 && off(expected.sqrt()) > 5.0);
    }

    #[test]
    fn zero_on_average_between_equal_laws() {
        let runs = 200;
        let (mut unbiased, mut z2) = (0.0, 0.0);
        for seed in 0..runs {
            let got = between(&normal(40, 2, 0.0, 1.0, 2 * seed), &normal(30, 2, 0.0, 1.0, 2 * seed + 1), 2);
            unbiased += got.value / runs as f64;
            z2 += (got.value / got.standard_error).powi(2) / runs as f64;
        }
        // The V-statistic would be off by E|X−X'|·(1/n + 1/m) = √π·0.058 = 0.103.
        assert!(unbiased.abs() < 0.01, "{unbiased}");
        assert!((0.35..1.6).contains(&z2), "{z2}");
    }

    #[test]
    fn small_and_mismatched_sets_are_errors() {
        let x = normal_along(8, 2, 0.0, 1);
        let two = Rows::new(&x, 2).unwrap();
        assert!(energy_distance(two, Rows::new(&x, 4).unwrap()).is_err());
        assert!(energy_distance(two, Rows::new(&x[..6], 2).unwrap()).is_err());
        assert!(energy_distance(two, Rows::new(&[], 2).unwrap()).is_err());
        assert!(energy_distance(two, two).is_ok());
    }
}
