//! The overview of all reports.

use maud::{Markup, html};
use stein_record::Estimate;

use super::{absent, document_from};
use crate::number::{bytes, estimate};
use crate::summary::{Best, Entry, Summary, Thumbnail};
use crate::text::{count, href, visible};

/// The page, of reports in the order in which they are shown.
pub(crate) fn page(entries: &[Entry]) -> String {
    document_from(
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
        "what each report left in its summary.json when it was written",
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
                    th scope="col" { "Result" }
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

/// Results that are shown.
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
        @let said = said(best);
        @if !best.row.is_empty() || !said.is_empty() {
            small {
                bdi { (visible(&best.row)) }
                @if !best.row.is_empty() && !said.is_empty() { ", " }
                (said)
            }
        }
    }
}

/// How far a result is to be trusted.
fn said(best: &Best) -> String {
    let place = match (best.others, best.told) {
        (0, _) => None,
        (_, true) => Some("best".to_owned()),
        (_, false) => Some("not told from the others".to_owned()),
    };
    let repetitions = match (best.repetitions, best.of) {
        (n, of) if n < of => Some(format!("{n} of {of} repetitions")),
        (0 | 1, _) => None,
        (n, _) => Some(format!("{n} repetitions")),
    };
    let own = best.own_error.then(|| "own s.e.".to_owned());
    [place, repetitions, own].into_iter().flatten().collect::<Vec<_>>().join(", ")
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
    fn results_say_how_far_they_are_to_be_trusted() {
        let all = Best {
            row: "a".into(),
            measure: "m".into(),
            label: "m".into(),
            value: Estimate::new(1.0, 0.1),
            repetitions: 3,
            of: 3,
            own_error: false,
            others: 2,
            told: true,
        };
        assert_eq!(said(&all), "best, 3 repetitions");
        assert_eq!(said(&Best { told: false, ..all.clone() }), "not told from the others, 3 repetitions");
        let one = Best { told: false, repetitions: 1, own_error: true, ..all.clone() };
        assert_eq!(said(&one), "not told from the others, 1 of 3 repetitions, own s.e.");
        assert_eq!(said(&Best { of: 1, others: 0, ..one }), "own s.e.");
    }

    #[test]
    fn moments_are_read_by_people() {
        assert_eq!(moment("2026-01-02T03:04:05Z"), "2026-01-02 03:04 UTC");
        assert_eq!((moment("yesterday"), moment("é")), ("yesterday".into(), "é".into()));
    }
}
