//! Curves over training, averaged over repetitions.

use stein_record::Estimate;

/// The mean of some curves.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Curve {
    /// x, the mean and its standard error (NaN of a single curve).
    pub(crate) points: Vec<(f64, f64, f64)>,
    /// Where one of the curves is not finite.
    pub(crate) broken: Vec<f64>,
}

/// The value at `x`, linear in between; `None` outside, not finite where a neighbour is not.
pub(crate) fn at(curve: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = curve.iter().position(|p| p.0 >= x)?;
    let (right, value) = curve[after];
    if right == x {
        return Some(value);
    }
    let (left, before) = *curve.get(after.checked_sub(1)?)?;
    Some(before + (value - before) * (x - left) / (right - left))
}

/// The mean over curves wherever all of them have a value.
pub(crate) fn mean(curves: &[&[(f64, f64)]]) -> Curve {
    let mut places: Vec<f64> = curves.iter().flat_map(|c| c.iter().map(|p| p.0)).filter(|x| x.is_finite()).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let mut out = Curve::default();
    for x in places {
        let Some(values) = curves.iter().map(|c| at(c, x)).collect::<Option<Vec<f64>>>() else { continue };
        if values.iter().all(|v| v.is_finite()) {
            let Estimate { value, standard_error } = Estimate::mean_of(&values);
            out.points.push((x, value, standard_error));
        } else {
            out.broken.push(x);
            // A hole in the line.
            out.points.push((x, f64::NAN, f64::NAN));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_between_are_linear_and_none_are_outside() {
        let curve = [(10.0, 4.0), (20.0, 2.0), (30.0, f64::NAN), (40.0, 1.0)];
        assert_eq!((at(&curve, 10.0), at(&curve, 15.0), at(&curve, 20.0)), (Some(4.0), Some(3.0), Some(2.0)));
        assert_eq!((at(&curve, 9.0), at(&curve, 41.0), at(&[], 1.0)), (None, None, None));
        assert!(at(&curve, 25.0).unwrap().is_nan());
    }

    #[test]
    fn means_need_every_curve() {
        let (a, b) = ([(0.0, 1.0), (10.0, 3.0), (20.0, 5.0)], [(0.0, 3.0), (10.0, 5.0)]);
        let curve = mean(&[&a, &b]);
        assert_eq!(curve.points.iter().map(|p| (p.0, p.1)).collect::<Vec<_>>(), [(0.0, 2.0), (10.0, 4.0)]);
        assert!((curve.points[0].2 - 1.0).abs() < 1e-12);
        let broken = mean(&[&a, &[(0.0, 1.0), (10.0, f64::INFINITY), (20.0, 1.0)]]);
        assert_eq!(broken.broken, [10.0]);
        assert!(broken.points[1].1.is_nan() && broken.points[2].1 == 3.0);
        assert_eq!(mean(&[]), Curve::default());
    }
}
