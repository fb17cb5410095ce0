//! What the network does at each noise level.

use maud::{Markup, html};

use super::figure::figure;
use super::{Place, absent};
use crate::figures::{by_level, fisher, levels};
use crate::run::Run;
use crate::text::{capitalised, visible};

/// In place of a curl.
const NO_CURL: &str = "None, to rounding: at all levels it is below a millionth.";

pub(super) fn section(run: &Run, place: Place<'_>) -> Markup {
    let levels = run.evaluation.as_ref().map_or(&[][..], |e| &e.levels);
    if levels.is_empty() {
        return absent("The loss has not been measured level by level.");
    }
    if levels.iter().all(|l| l.sigma == 0.0) {
        return absent("There is no noise: the loss over training is all that there is of it.");
    }
    let known = levels.iter().any(|l| l.fisher.is_some() || l.relative_fisher.is_some());
    html! {
        (figure(levels::figure(levels), "No loss per level is finite, so there is no curve to draw."))
        @if known {
            h3 { "Distance to the true score" }
            div.columns {
                (figure(fisher::scaled(levels), ""))
                (figure(fisher::relative(levels), ""))
            }
        }
        @for metric in run.metrics_of_interest().filter(|m| m.by_level.len() > 1) {
            h3 { (capitalised(&visible(&metric.label))) }
            (figure(by_level::metric(metric), if by_level::is_rounding(metric) { NO_CURL } else { "It is finite at no noise level." }))
        }
        (place.files_of("levels"))
    }
}
