//! The loss over training.

use maud::Markup;

use super::figure::figure;
use crate::figures::losses;
use crate::run::Run;

pub(super) fn section(run: &Run) -> Markup {
    let otherwise = if run.metrics.iter().any(|m| m.name == "loss") {
        "No recorded loss is finite, so there is no curve to draw."
    } else {
        "No losses have been recorded yet."
    };
    figure(losses::figure(&run.metrics), otherwise)
}
