//! Orders of convergence: the slope of a line in logarithms.

use stein_record::Estimate;

/// Fewer points than these have no scatter about a line.
const FEWEST: usize = 3;

/// The least-squares slope of ln y on ln x, with its standard error from the scatter about the line. `None` unless there are
/// at least three points, all of them positive and finite, at more than one x.
pub(crate) fn log_log_slope(points: &[(f64, f64)]) -> Option<Estimate> {
    let usable = |v: f64| v.is_finite() && v > 0.0;
    if points.len() < FEWEST || !points.iter().all(|p| usable(p.0) && usable(p.1)) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|p| (p.0.ln(), p.1.ln())).collect();
    let n = logs.len() as f64;
    let (x, y) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let xx: f64 = logs.iter().map(|p| (p.0 - x).powi(2)).sum();
    let xy: f64 = logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let slope = xy / xx;
    let rest: f64 = logs.iter().map(|p| (p.1 - y - slope * (p.0 - x)).powi(2)).sum();
    let error = (rest / (n - 2.0) / xx).sqrt();
    slope.is_finite().then(|| Estimate::new(slope, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_have_their_exponent() {
        let of = |power: f64| [17.0, 33.0, 65.0, 129.0f64].map(|x| (x, 5.0 * x.powf(power)));
        for power in [-2.0, -1.0, 0.5] {
            let slope = log_log_slope(&of(power)).unwrap();
            assert!((slope.value - power).abs() < 1e-12 && slope.standard_error < 1e-12, "{slope:?}");
        }
    }

    #[test]
    fn scatter_makes_the_error() {
        // ln x = 0, 1, 2, 3 and ln y = 1, 0, 0, −3: slope −1.2, residuals −.3, −.1, 1.1, −.7; their squares' sum is 1.8, so the
        // standard error is √(1.8/2/5).
        let e = std::f64::consts::E;
        let points = [(1.0, e), (e, 1.0), (e * e, 1.0), (e.powi(3), (-3f64).exp())];
        let slope = log_log_slope(&points).unwrap();
        let error = (1.8f64 / 2.0 / 5.0).sqrt();
        assert!((slope.value + 1.2).abs() < 1e-12 && (slope.standard_error - error).abs() < 1e-12, "{slope:?}");
        // Wrong twins: decimal logarithms of y alone, and the scatter over n instead of n − 2.
        assert!((slope.value + 1.2 / std::f64::consts::LN_10).abs() > 0.5);
        assert!((slope.standard_error - (1.8f64 / 4.0 / 5.0).sqrt()).abs() > 0.1);
    }

    #[test]
    fn what_has_no_logarithm_has_no_slope() {
        assert_eq!(log_log_slope(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(log_log_slope(&[(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]), None);
        assert_eq!(log_log_slope(&[(0.0, 1.0), (2.0, 2.0), (3.0, 1.0)]), None);
        assert_eq!(log_log_slope(&[(1.0, 1.0), (2.0, f64::NAN), (3.0, 1.0)]), None);
        assert_eq!(log_log_slope(&[(2.0, 1.0), (2.0, 2.0), (2.0, 3.0)]), None);
    }
}
