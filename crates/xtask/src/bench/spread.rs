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

    pub(crate) fn range_text(self) -> String {
        format!("{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }

    pub(crate) fn json(self) -> String {
        let Self { median, quartiles: [lower, upper], least, most } = self;
        format!("{{\"median\": {median}, \"quartiles\": [{lower}, {upper}], \"least\": {least}, \"most\": {most}}}")
    }
}
