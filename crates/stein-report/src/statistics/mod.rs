//! What repetitions of a run say: means over them, and which differences are more than chance.

mod compare;
mod slope;
mod student;

pub(crate) use compare::{Difference, Mark, Pair, Repetitions, differences, marks};
pub(crate) use slope::log_log_slope;

use stein_record::{Better, Estimate};

/// How bad a value is; not a number, so no value is best, where none is better than another.
pub(crate) fn badness(better: Better, value: f64) -> f64 {
    match better {
        Better::Lower => value,
        Better::Higher => -value,
        Better::Near(goal) => (value - goal).abs(),
        Better::Neither => f64::NAN,
    }
}

/// A quantity over repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repeated {
    /// The mean over the repetitions that are finite, with its standard error; of a single one, its own standard error.
    pub(crate) mean: Estimate,
    /// Repetitions in the mean.
    pub(crate) n: usize,
    /// Repetitions that are not, because they are not finite.
    pub(crate) not_finite: usize,
}

/// The mean over repetitions; `None` if there are none. What is not finite is counted, not averaged.
pub(crate) fn repeated(values: &[Estimate]) -> Option<Repeated> {
    let finite: Vec<Estimate> = values.iter().copied().filter(|e| e.value.is_finite()).collect();
    let mean = match finite.as_slice() {
        [] => Estimate::new(values.first()?.value, f64::NAN),
        [one] => *one,
        many => Estimate::mean_of(&many.iter().map(|e| e.value).collect::<Vec<_>>()),
    };
    Some(Repeated { mean, n: finite.len(), not_finite: values.len() - finite.len() })
}

/// The mean of some estimates of different things that are independent; `None` of none. One that is not finite makes the
/// mean so.
pub(crate) fn mean_of_independent(values: &[Estimate]) -> Option<Estimate> {
    let n = values.len() as f64;
    let value = values.iter().map(|e| e.value).sum::<f64>() / n;
    let error = values.iter().map(|e| e.standard_error.powi(2)).sum::<f64>().sqrt() / n;
    (!values.is_empty()).then(|| Estimate::new(value, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(values: &[f64]) -> Vec<Estimate> {
        values.iter().map(|&v| Estimate::new(v, 0.5)).collect()
    }

    #[test]
    fn means_are_over_repetitions() {
        let of = repeated(&each(&[1.0, 2.0, 6.0])).unwrap();
        assert_eq!((of.mean.value, of.n, of.not_finite), (3.0, 3, 0));
        // sd √7, not √(14/3): the wrong twin divides by n.
        assert!((of.mean.standard_error - (7.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((of.mean.standard_error - (14.0f64 / 9.0).sqrt()).abs() > 0.2);
    }

    #[test]
    fn one_repetition_has_its_own_error_and_none_has_no_mean() {
        assert_eq!(repeated(&each(&[4.0])).unwrap().mean, Estimate::new(4.0, 0.5));
        assert_eq!(repeated(&[]), None);
    }

    #[test]
    fn what_is_not_finite_is_counted_and_not_averaged() {
        let of = repeated(&each(&[1.0, f64::NAN, 3.0, f64::INFINITY])).unwrap();
        assert_eq!((of.mean.value, of.n, of.not_finite), (2.0, 2, 2));
        let none = repeated(&each(&[f64::INFINITY, f64::NAN])).unwrap();
        assert!(!none.mean.value.is_finite() && none.n == 0 && none.not_finite == 2);
    }

    #[test]
    fn errors_of_independent_means_add_in_squares() {
        let mean = mean_of_independent(&[Estimate::new(1.0, 3.0), Estimate::new(3.0, 4.0)]).unwrap();
        assert_eq!(mean, Estimate::new(2.0, 2.5));
        assert!(mean_of_independent(&each(&[1.0, f64::NAN])).unwrap().value.is_nan());
        assert_eq!(mean_of_independent(&[]), None);
    }
}
