//! The score field of two-dimensional data.

use maud::{Markup, html};

use super::absent;
use super::figure::figure;
use crate::figures::{error_map, score_field};
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
        }
    }
}
