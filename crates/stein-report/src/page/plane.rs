//! The score field of two-dimensional data.

use maud::{Markup, html};
use stein_record::Estimate;

use super::absent;
use super::figure::figure;
use crate::figures::{density, error_map, score_field};
use crate::run::Run;

pub(super) fn section(run: &Run) -> Markup {
    let Some(field) = &run.field else {
        return absent("The score has not been evaluated on a grid yet.");
    };
    html! {
        (figure(score_field::figure(field, run.is_trained()), "The grid holds no learned score."))
        @if run.is_trained() {
            h3 { "Where the score is wrong" }
            (figure(error_map::figure(field), "The true score is not known, so there is nothing to compare with."))
            @if field.has_learned_density() {
                h3 { "The density that was learned" }
                (figure(density::figure(field, doubt(run)), "The learned density could not be normalised: it reaches the border of any rectangle that would hold the data, is too sharp for a grid, or is finite nowhere."))
            }
        }
    }
}

/// Standard errors by which two values of log Z may differ.
const AGREE: f64 = 4.0;

/// What the two values of log Z at the smallest noise level say against a normalised picture.
fn doubt(run: &Run) -> Option<&'static str> {
    let value = |name: &str| run.evaluation.as_ref()?.metrics.iter().find(|m| m.name == name).map(|m| m.estimate);
    let (sampled, summed) = (value("log-z")?, value("log-z-quadrature")?);
    let usable = |e: Estimate| if e.standard_error.is_finite() { e.standard_error } else { 0.0 };
    let apart = (sampled.value - summed.value).abs();
    // Not finite is no agreement either.
    let agree = apart <= AGREE * usable(sampled).hypot(usable(summed));
    (!agree).then_some(
        "At the smallest σ the two values of log Z among the metrics differ by more than four standard errors: do not rely on the picture's scale there.",
    )
}
