//! Student's t distribution, whose degrees of freedom are whole numbers here: then its distribution function is a finite sum
//! (Abramowitz and Stegun 26.7.3 and 26.7.4).

use std::f64::consts::FRAC_2_PI;

/// Beyond this many degrees of freedom the sum is cut; the distribution hardly changes any more.
const MOST_DEGREES: usize = 100_000;

/// The probability that |T| exceeds |t|.
pub(crate) fn two_sided(t: f64, degrees: usize) -> f64 {
    if t.is_nan() || degrees == 0 {
        return f64::NAN;
    }
    let degrees = degrees.min(MOST_DEGREES);
    let angle = (t.abs() / (degrees as f64).sqrt()).atan();
    let (sine, square) = (angle.sin(), angle.cos().powi(2));
    // Even: 1 + ½c² + ½·¾c⁴ + …; odd: c(1 + ⅔c² + ⅔·⅘c⁴ + …).
    let odd = degrees % 2;
    let (mut term, mut sum) = (1.0, 0.0);
    for i in 0..degrees / 2 {
        sum += term;
        let k = (2 * i + 1 + odd) as f64;
        term *= square * k / (k + 1.0);
    }
    let within = if odd == 1 { FRAC_2_PI * (angle + sine * angle.cos() * sum) } else { sine * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

/// The t that |T| exceeds with probability 1 − `within`.
pub(crate) fn quantile(within: f64, degrees: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, degrees) > 1.0 - within {
        high *= 2.0;
    }
    // A double's bits are used up before.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if two_sided(middle, degrees) > 1.0 - within { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_agree() {
        let table = [
            (12.706_205, 1, 0.05),
            (63.656_741, 1, 0.01),
            (4.302_653, 2, 0.05),
            (9.924_843, 2, 0.01),
            (3.182_446, 3, 0.05),
            (2.776_445, 4, 0.05),
            (1.475_884, 5, 0.2),
            (2.228_139, 10, 0.05),
            (2.845_340, 20, 0.01),
            (2.042_272, 30, 0.05),
            (1.959_988, 100_000, 0.05),
        ];
        for (t, degrees, p) in table {
            assert!((two_sided(t, degrees) - p).abs() < 1e-6, "{t} {degrees}");
            assert_eq!(two_sided(-t, degrees), two_sided(t, degrees));
            assert!((quantile(1.0 - p, degrees) / t - 1.0).abs() < 1e-6, "{t} {degrees}");
        }
    }

    #[test]
    fn the_ends_are_right() {
        for degrees in [1, 2, 3, 8, 51] {
            assert_eq!(two_sided(0.0, degrees), 1.0);
            assert!(two_sided(f64::INFINITY, degrees) < 1e-15);
        }
        assert!(two_sided(f64::NAN, 3).is_nan() && two_sided(1.0, 0).is_nan());
        // With one degree of freedom it is Cauchy's, with two 1 − t/√(2 + t²); a normal distribution gives 0.0455.
        assert!((two_sided(2.0, 1) - (1.0 - FRAC_2_PI * 2f64.atan())).abs() < 1e-14);
        assert!((two_sided(2.0, 2) - (1.0 - 2.0 / 6f64.sqrt())).abs() < 1e-14);
    }
}
