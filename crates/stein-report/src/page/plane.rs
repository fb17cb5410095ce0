//! The score field of two-dimensional data.

use maud::{Markup, html};

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
                (figure(density::figure(field), "The learned density is finite nowhere."))
            }
        }
    }
}
