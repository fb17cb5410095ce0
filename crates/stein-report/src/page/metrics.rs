//! The metrics' table.

use maud::{Markup, html};
use stein_record::{Better, Estimate, MetricRecord};

use super::figure::{figure, svg};
use super::{Place, absent};
use crate::figures::{gap, parts};
use crate::number::{estimate, goal as goal_text, significant};
use crate::run::Run;
use crate::text::visible;

pub(super) fn section(run: &Run, place: Place<'_>) -> Markup {
    if run.evaluation.is_none() {
        return absent("The samples have not been evaluated yet.");
    }
    if run.metrics_of_interest().next().is_none() {
        return absent("The evaluation holds no metrics of the samples.");
    }
    html! {
        p { "Each metric of the samples with its standard error, beside what real data get in their place (as good as it can be) and a Gaussian fitted to the training data (a model that learned means and covariances only)." }
        div.scroll role="region" aria-label="Metrics" tabindex="0" {
            table.metrics {
                thead { tr {
                    th scope="col" { "Metric" }
                    th.number scope="col" { "Samples" }
                    th.number scope="col" { "Real data" }
                    th.number scope="col" { "Fitted Gaussian" }
                    th.place scope="col" {
                        span.key.gaussian { "Gaussian" } " " span.key.truth { "real" }
                    }
                    th scope="col" { "Verdict" }
                } }
                @for metric in run.metrics_of_interest() { (row(metric)) }
            }
        }
        p.aside { "↑ larger is better, ↓ smaller is better, → nearer to that value is better. “As real data”: within two standard errors of the difference. The line places the samples (dot, ± 2 standard errors) between the fitted Gaussian (left) and real data (right)." }
        (place.files_of("metrics"))
        @for metric in run.metrics_of_interest().filter(|metric| !metric.parts.is_empty()) {
            h3 { (visible(&metric.label)) }
            (figure(parts::figure(metric), ""))
        }
    }
}

fn row(metric: &MetricRecord) -> Markup {
    let cell = |value: &Option<Estimate>| value.as_ref().map_or_else(|| "–".to_owned(), |e| together(&estimate(e)));
    html! {
        tbody { tr {
            th scope="row" { (visible(&metric.label)) "\u{a0}" (direction(metric.better)) }
            td.number.samples data-label="Samples" { (together(&estimate(&metric.estimate))) }
            td.number data-label="Real data" { (cell(&metric.floor)) }
            td.number data-label="Fitted Gaussian" { (cell(&metric.baseline)) }
            td.place data-label="" {
                @if let Ok(Some((drawing, words))) = gap::draw(metric) { (svg(&drawing, &words)) }
            }
            td.verdict data-label="" { (verdict(metric)) }
        }
        @if !metric.about.is_empty() {
            tr.about { td colspan="6" { (visible(&metric.about)) } }
        } }
    }
}

/// Where a line has to break, it breaks before the ±.
fn together(text: &str) -> String {
    text.replace("± ", "±\u{a0}")
}

/// An arrow for which values are good, in words for those who hear it.
pub(super) fn direction(better: Better) -> Markup {
    match better {
        Better::Lower => html! { span.direction role="img" aria-label="smaller is better" { "↓" } },
        Better::Higher => html! { span.direction role="img" aria-label="larger is better" { "↑" } },
        Better::Near(goal) => html! { span.direction { "→ " (goal_text(goal)) } },
        Better::Neither => html! {},
    }
}

/// Whether the samples' value can be told from real data's.
fn verdict(metric: &MetricRecord) -> Markup {
    let value = metric.estimate;
    let Some(floor) = metric.floor.filter(|f| f.value.is_finite()) else { return html! {} };
    if !value.value.is_finite() {
        return html! { span.mark.bad { "not finite" } };
    }
    let usable = |e: f64| if e.is_finite() { e } else { 0.0 };
    let error = usable(value.standard_error).hypot(usable(floor.standard_error));
    let difference = value.value - floor.value;
    if difference.abs() <= 2.0 * error {
        return html! { span.mark.good { "✓ as real data" } };
    }
    let worse = match metric.better {
        Better::Lower => difference > 0.0,
        Better::Higher => difference < 0.0,
        Better::Near(goal) => (value.value - goal).abs() > (floor.value - goal).abs(),
        Better::Neither => return html! {},
    };
    let distance =
        if error > 0.0 { format!(" by {} s.e.", significant(difference.abs() / error, 2)) } else { String::new() };
    if worse {
        html! { span.mark.open { "short" (distance) } }
    } else {
        // Better than real data is no triumph: sharpened or remembered samples get there.
        html! { span.mark.odd { "beyond real data" (distance) } }
    }
}
