//! Axes: what range, where ticks, where a value falls.

use crate::number::tick;

/// One axis, linear or logarithmic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// A logarithmic axis' place for 0, left of what it breaks off at.
    zero: Option<Zero>,
}

/// Where a logarithmic axis shows 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Zero {
    /// Its place.
    at: f64,
    /// The smallest value that the axis proper has.
    from: f64,
    label: &'static str,
}

impl Axis {
    /// A linear axis from `low` to `high`.
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        let usable = low.is_finite() && high.is_finite() && high > low && (high - low).is_finite();
        let (low, high) = if usable { (low, high) } else { (0.0, 1.0) };
        Self { low, high, log: false, zero: None }
    }

    /// An axis around the finite values: logarithmic if they are all positive and span more than a decade.
    pub(crate) fn auto(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = bounds(values);
        if low > 0.0 && high > 10.0 * low { Self::log_between(low, high) } else { Self::padded(low, high) }
    }

    /// A logarithmic axis around the positive values; a single value gets a factor of two on both sides.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = bounds(values.into_iter().filter(|v| *v > 0.0));
        Self::log_between(low, high)
    }

    /// A logarithmic axis with a place for 0 at its left end, if there is one among the values.
    pub(crate) fn log_with_zero(values: impl IntoIterator<Item = f64>, label: &'static str) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|v| *v >= 0.0 && v.is_finite()).collect();
        let axis = Self::log(values.iter().copied());
        if !values.contains(&0.0) {
            return axis;
        }
        if !values.iter().any(|v| *v > 0.0) {
            return Self { zero: Some(Zero { at: 0.5, from: f64::INFINITY, label }), ..axis };
        }
        // The gap is a fifth of the axis.
        let low = axis.low * (axis.low / axis.high).powf(0.25);
        Self { low, zero: Some(Zero { at: 0.06, from: axis.low, label }), ..axis }
    }

    /// A linear axis around the finite values.
    pub(crate) fn linear_around(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = bounds(values);
        Self::padded(low, high)
    }

    /// A linear axis from 0 past the largest value.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let (_, high) = bounds(values);
        Self::linear(0.0, if high > 0.0 { 1.06 * high } else { 1.0 })
    }

    fn log_between(low: f64, high: f64) -> Self {
        if !(low > 0.0 && high.is_finite() && high >= low) {
            return Self { low: 0.1, high: 1.0, log: true, zero: None };
        }
        let pad = ((high / low).log10() * 0.05).max(if high > low { 0.02 } else { 0.3 });
        let factor = 10f64.powf(pad);
        Self { low: (low / factor).max(1e-300), high: (high * factor).min(1e300), log: true, zero: None }
    }

    fn padded(low: f64, high: f64) -> Self {
        if !(low.is_finite() && high.is_finite()) {
            return Self::linear(0.0, 1.0);
        }
        let pad = (0.06 * (high - low)).max(1e-9 * (1.0 + low.abs()));
        // A loss that never falls below 0 should not have an axis that does.
        let bottom = if low >= 0.0 && low - pad < 0.3 * high { 0.0 } else { low - pad };
        Self::linear(bottom, high + pad)
    }

    /// Whether equal steps are equal ratios.
    pub(crate) fn is_log(&self) -> bool {
        self.log
    }

    /// The value's place from 0 (low) to 1 (high), beyond if it is outside; `None` if it has none.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let t = if self.log {
            if value == 0.0 {
                return self.zero.map(|zero| zero.at);
            }
            if value < 0.0 {
                return None;
            }
            (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        t.is_finite().then_some(t.clamp(-50.0, 50.0))
    }

    /// About `count` round values in range, with their labels.
    pub(crate) fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let values = if self.log { self.log_ticks(count) } else { self.linear_ticks(count) };
        let from = self.zero.map_or(f64::NEG_INFINITY, |zero| zero.from);
        let zero = self.zero.map(|zero| (0.0, zero.label.to_owned()));
        zero.into_iter().chain(values.into_iter().filter(|v| *v >= from).map(|v| (v, tick(v)))).collect()
    }

    fn linear_ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|f| f * decade).find(|s| *s >= rough);
        let step = step.unwrap_or(10.0 * decade);
        if !(step.is_finite() && step > 0.0) {
            return vec![self.low, self.high];
        }
        let first = (self.low / step - 1e-9).ceil();
        let last = (self.high / step + 1e-9).floor();
        let number = ((last - first) as usize).min(50);
        // Adding 0 makes −0 a 0; rounding hides 0.30000000000000004.
        (0..=number).map(|i| ((first + i as f64) * step * 1e12 / decade).round() * decade / 1e12 + 0.0).collect()
    }

    fn log_ticks(&self, count: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let inside = |v: &f64| *v >= self.low && *v <= self.high;
        let decades: Vec<f64> = (first..=last).map(|e| 10f64.powi(e)).filter(inside).collect();
        if decades.len() > count {
            let every = decades.len().div_ceil(count);
            return decades.into_iter().step_by(every).collect();
        }
        let with = |factors: &[f64]| -> Vec<f64> {
            let all = (first..=last).flat_map(|e| factors.iter().map(move |f| f * 10f64.powi(e)));
            all.filter(|v| inside(v)).collect()
        };
        let fine = with(&[1.0, 2.0, 5.0]);
        if fine.len() <= count + 1 && fine.len() >= 2 {
            return fine;
        }
        let middle = with(&[1.0, 3.0]);
        if middle.len() <= count + 1 && middle.len() >= 2 {
            return middle;
        }
        if decades.len() >= 2 { decades } else { self.linear_ticks(count) }
    }
}

fn bounds(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(Axis::linear(0.0, 1500.0)), ["0", "500", "1000", "1500"]);
        assert_eq!(labels(Axis::linear(-0.1, 0.42)), ["0", "0.2", "0.4"]);
        assert_eq!(labels(Axis::log([0.02, 4.0])), ["0.03", "0.1", "0.3", "1", "3"]);
        assert_eq!(labels(Axis::log([1e-9, 1.0])), ["10⁻⁹", "10⁻⁷", "10⁻⁵", "0.001", "0.1"]);
    }

    #[test]
    fn zero_has_a_place_on_a_logarithmic_axis() {
        let axis = Axis::log_with_zero([0.0, 0.1, 10.0], "none");
        assert_eq!(labels(axis), ["none", "0.1", "0.3", "1", "3", "10"]);
        assert!(axis.place(0.0).unwrap() < 0.1 && axis.place(0.1).unwrap() > 0.19);
        assert_eq!(labels(Axis::log_with_zero([0.0], "none")), ["none"]);
        assert_eq!(Axis::log_with_zero([0.1, 10.0], "none"), Axis::log([0.1, 10.0]));
    }

    #[test]
    fn hostile_values_have_no_place() {
        for axis in
            [Axis::auto([]), Axis::auto([f64::NAN]), Axis::log([-1.0]), Axis::auto([1e-308, 1e308]), Axis::auto([3.0])]
        {
            assert!(!axis.ticks(5).is_empty(), "{axis:?}");
            assert!(axis.place(f64::NAN).is_none());
            assert!(
                axis.ticks(5).iter().all(|(v, _)| axis.place(*v).is_some_and(|t| (-0.01..=1.01).contains(&t))),
                "{axis:?}"
            );
        }
        assert!(
            Axis::auto([0.1, 5.0]).is_log() && !Axis::auto([0.0, 5.0]).is_log() && !Axis::auto([1.0, 5.0]).is_log()
        );
        assert!(Axis::log([1.0, 2.0]).place(0.0).is_none());
    }
}
