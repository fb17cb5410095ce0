//! The overview of all reports.

use maud::{Markup, html};
use stein_record::Estimate;

use super::{absent, document};
use crate::number::{bytes, estimate};
use crate::summary::{Best, Entry, Summary, Thumbnail};
use crate::text::{count, href, visible};

/// The page, of reports in the order in which they are shown.
pub(crate) fn page(entries: &[Entry]) -> String {
    document(
        "Reports",
        &html! {
            header {
                p.eyebrow { "stein report · overview" }
                h1 { "Reports" }
                p.summary { (count(entries.len(), "experiment")) ". States are as of when each report was written; " code { "stein report" } " writes them anew." }
            }
            main {
                @if entries.is_empty() { (absent("There are no reports here.")) } @else { (table(entries)) }
            }
        },
    )
}

fn table(entries: &[Entry]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.cells.overview {
                thead { tr {
                    th scope="col" { "Experiment" }
                    th scope="col" { "Samples" }
                    th scope="col" { "State" }
                    th scope="col" { "Best" }
                    th scope="col" { "Last record" }
                    th.number scope="col" { "Runs on disk" }
                } }
                tbody { @for entry in entries { (row(entry)) } }
            }
        }
    }
}

fn row(entry: &Entry) -> Markup {
    let link = html! { a href={ (href(entry.name())) "/index.html" } { bdi { (visible(entry.name())) } } };
    match entry {
        Entry::Untold(_, why) => html! {
            tr { th scope="row" { (link) } td { } td colspan="4" { span.lacking { "Not known: " (visible(why)) "." } " Its report, written anew, says." } }
        },
        Entry::Told(summary) => html! {
            tr {
                th scope="row" { (link) small { (visible(&summary.about)) } }
                td { @if let Some(picture) = &summary.picture { (thumbnail(picture, &summary.name)) } }
                td { (state(summary)) small { "as of " (moment(&summary.written)) } }
                td { (results(&summary.best)) }
                td { @match &summary.recorded { Some(at) => (moment(at)), None => "–" } }
                td.number { (bytes(summary.bytes)) }
            }
        },
    }
}

fn thumbnail(picture: &Thumbnail, name: &str) -> Markup {
    // Whatever a file says, nothing but base64 goes into an address.
    let fits = picture.png.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    html! {
        @if fits {
            img.pixels src={ "data:image/png;base64," (picture.png) } width=(picture.width) height=(picture.height) alt={ "Some samples of " (visible(name)) "." };
        }
    }
}

/// How many cells stand where; finished ones first.
fn state(summary: &Summary) -> Markup {
    let all: usize = summary.cells.values().sum();
    let finished = summary.cells.get("finished").copied().unwrap_or(0);
    let class = |state: &str| match state {
        "running" | "interrupted" | "not begun" => "open",
        _ => "bad",
    };
    html! {
        @if all == 0 { span.state { "no runs" } }
        @else if finished == all { span.state.good { @if all == 1 { "finished" } @else { (count(all, "cell")) " finished" } } }
        @else {
            @if finished > 0 { span.state.good { (finished) " of " (all) " finished" } " " }
            @for (state, n) in summary.cells.iter().filter(|(state, _)| *state != "finished") {
                span.state.(class(state)) { @if all > 1 { (n) " " } (visible(state)) } " "
            }
        }
    }
}

/// Best rows that are shown.
const MOST_BEST: usize = 3;

fn results(best: &[Best]) -> Markup {
    html! {
        @if best.is_empty() { span.muted { "–" } }
        @for best in best.iter().take(MOST_BEST) { div { (result(best)) } }
        @if best.len() > MOST_BEST { small { "and " (best.len() - MOST_BEST) " more" } }
    }
}

fn result(best: &Best) -> Markup {
    let Estimate { value, standard_error } = best.value;
    html! {
        (visible(&best.label)) " " strong { (estimate(&Estimate::new(value, standard_error)).replace("± ", "±\u{a0}")) }
        @if !best.row.is_empty() || best.repetitions > 1 {
            small {
                bdi { (visible(&best.row)) }
                @if !best.row.is_empty() && best.repetitions > 1 { ", " }
                @if best.repetitions > 1 { (best.repetitions) " repetitions" }
            }
        }
    }
}

/// `2026-01-02T03:04:05Z` as `2026-01-02 03:04 UTC`; what is no such moment as it is.
fn moment(at: &str) -> String {
    match (at.get(..10), at.get(10..11), at.get(11..16), at.ends_with('Z')) {
        (Some(day), Some("T"), Some(time), true) => visible(&format!("{day} {time} UTC")),
        _ => visible(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_by_people() {
        assert_eq!(moment("2026-01-02T03:04:05Z"), "2026-01-02 03:04 UTC");
        assert_eq!((moment("yesterday"), moment("é")), ("yesterday".into(), "é".into()));
    }
}
