//! What many measurements come to.

#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) quartiles: [f64; 2],
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one.
    pub(crate) fn of(measured: &[f64]) -> Self {
        let mut sorted = measured.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarters: usize| sorted[(sorted.len() * quarters / 4).min(sorted.len() - 1)];
        Self { median: at(2), quartiles: [at(1), at(3)], least: at(0), most: at(4) }
    }

    pub(crate) fn json(self) -> String {
        let Self { median, quartiles: [lower, upper], least, most } = self;
        format!("{{\"median\": {median}, \"quartiles\": [{lower}, {upper}], \"least\": {least}, \"most\": {most}}}")
    }
}

/// With three digits or so.
pub(crate) fn number(x: f64) -> String {
    let decimals = match x.abs() {
        x if x < 1.0 => 3,
        x if x < 100.0 => 2,
        _ => 0,
    };
    format!("{x:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_of_what_is_sorted() {
        let spread = Spread::of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 3.0, 5.0));
        assert_eq!(spread.quartiles, [2.0, 4.0]);
        assert_eq!(Spread::of(&[7.0]).quartiles, [7.0; 2]);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.0123, 1.234, 99.5, 123.4].map(number), ["0.012", "1.23", "99.50", "123"]);
    }
}
