//! Objectives measured against one another at the trained network.

use maud::{Markup, html};
use stein_record::{Estimate, EstimatorRecord};

use super::Place;
use super::figure::figure;
use crate::figures::estimators;
use crate::number::{estimate, short_sigma, significant};
use crate::statistics::mean_of_independent;
use crate::text::visible;

pub(super) fn section(records: &[EstimatorRecord], place: Place<'_>) -> Markup {
    let names = estimators::names(records);
    let sigmas = estimators::sigmas(records);
    let first = names.first().copied().unwrap_or_default();
    html! {
        p {
            "Objectives at this network, all on the same examples; the first, “" (visible(first)) "”, is what the others are compared with."
        }
        @if sigmas.len() > 1 {
            div.columns {
                (figure(estimators::variance(records), "No gradient variance is finite, so there is no curve to draw."))
                (figure(estimators::difference(records), ""))
            }
        }
        (table(records, &names, &sigmas))
        (place.files_of("estimators"))
    }
}

fn table(records: &[EstimatorRecord], names: &[&str], sigmas: &[f64]) -> Markup {
    // Of several levels the smallest and the largest.
    let ends: Vec<f64> = match sigmas {
        [] => return html! {},
        [one] => vec![*one],
        [largest, .., smallest] => vec![*smallest, *largest],
    };
    let at = |title: &str| {
        html! { @for sigma in &ends { th.number scope="col" { (title) ", " (level(*sigma)) } } }
    };
    html! {
        div.scroll tabindex="0" {
            table.estimators {
                thead { tr {
                    th scope="col" { "Estimator" }
                    th scope="col" { "mean gradient" }
                    th.number scope="col" { @if ends.len() > 1 { "loss difference, mean of σ² ×" } @else { "loss difference" } }
                    (at("sd of the difference"))
                    (at("gradient variance"))
                    th.number scope="col" { "ms" }
                    th.number scope="col" { "MB" }
                } }
                tbody { @for (i, name) in names.iter().enumerate() {
                    @let own: Vec<&EstimatorRecord> = records.iter().filter(|r| r.name == **name).collect();
                    tr {
                        th scope="row" { bdi { (visible(name)) } }
                        td.verdict { @if i > 0 { (verdict(&own)) } @else { span.muted { "reference" } } }
                        td.number { @if i > 0 { (told(bias(&own, ends.len() > 1))) } @else { "–" } }
                        @for sigma in &ends { td.number { (deviation(&own, *sigma)) } }
                        @for sigma in &ends { td.number { (told(relative(records, &own, *sigma))) } }
                        td.number { (told(milliseconds(&own))) }
                        td.number { (megabytes(&own)) }
                    }
                } }
            }
        }
        p.aside {
            "Mean gradient: whether it agrees with the first's as far as this can tell, that is whether ‖E(g − g₁)‖² cannot be told from 0 by 2 standard errors. Loss difference: the mean loss minus the first's on the same examples, ± one standard error; a bias where both estimate the same, a constant where the objectives differ by one. Its sd is between examples: the estimator's own noise, where the first is exact. Gradient variance is relative to the first's at the same level. ms and MB are of one loss and gradient of a batch: the mean over levels, and the most of any."
        }
    }
}

fn level(sigma: f64) -> String {
    if sigma == 0.0 { "no noise".into() } else { format!("σ = {}", short_sigma(sigma)) }
}

fn told(value: Option<Estimate>) -> String {
    value.map_or_else(|| "–".into(), |e| estimate(&e))
}

fn bias(own: &[&EstimatorRecord], scaled: bool) -> Option<Estimate> {
    let of = |r: &&EstimatorRecord| if scaled { estimators::scaled_difference(r) } else { r.difference };
    mean_of_independent(&own.iter().map(of).collect::<Vec<_>>())
}

/// Whether the mean gradient can be told from the first's.
fn verdict(own: &[&EstimatorRecord]) -> Markup {
    let levels = own.len();
    let apart = |r: &&&EstimatorRecord| r.gradient_difference;
    let not_finite = own.iter().filter(|r| !apart(r).value.is_finite()).count();
    // A square: only above 0 it says something.
    let beyond = own.iter().filter(|r| apart(r).value > 2.0 * apart(r).standard_error).count();
    let unknown = own.iter().filter(|r| !apart(r).standard_error.is_finite()).count();
    match (not_finite, unknown, beyond, levels) {
        (1.., ..) => html! { span.mark.bad { "not finite" } },
        (_, 1.., ..) => html! { span.mark { "no standard error" } },
        (_, _, 0, _) => html! { span.mark.good { "agrees" } },
        (_, _, _, 1) => html! { span.mark.open { "differs" } },
        _ => html! { span.mark.open { "differs at " (beyond) " of " (levels) " levels" } },
    }
}

fn deviation(own: &[&EstimatorRecord], sigma: f64) -> String {
    let Some(record) = own.iter().find(|r| r.sigma == sigma) else { return "–".into() };
    let variance = record.difference_variance.value;
    // An estimate of a variance that is 0 may fall below it.
    significant(if variance < 0.0 { 0.0 } else { variance.sqrt() }, 3)
}

/// The gradient's variance over that of the level's first estimator.
fn relative(records: &[EstimatorRecord], own: &[&EstimatorRecord], sigma: f64) -> Option<Estimate> {
    let first = records.iter().find(|r| r.sigma == sigma)?;
    let record = own.iter().find(|r| r.sigma == sigma)?;
    if std::ptr::eq(first, *record) {
        return Some(Estimate::new(1.0, f64::NAN));
    }
    let (own, reference) = (record.gradient_variance, first.gradient_variance);
    let ratio = own.value / reference.value;
    let error = (own.standard_error / own.value).hypot(reference.standard_error / reference.value);
    Some(Estimate::new(ratio, ratio.abs() * error))
}

fn milliseconds(own: &[&EstimatorRecord]) -> Option<Estimate> {
    let of = |r: &&EstimatorRecord| Estimate::new(1e3 * r.seconds.value, 1e3 * r.seconds.standard_error);
    mean_of_independent(&own.iter().map(of).collect::<Vec<_>>())
}

fn megabytes(own: &[&EstimatorRecord]) -> String {
    own.iter().filter_map(|r| r.memory).max().map_or_else(|| "–".into(), |m| significant(m as f64 / 1e6, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sigma: f64, difference: (f64, f64), variance: f64) -> EstimatorRecord {
        let one = Estimate::new(1.0, 0.1);
        EstimatorRecord {
            name: "sliced".into(),
            sigma,
            loss: one,
            difference: one,
            gradient_difference: Estimate::new(difference.0, difference.1),
            difference_variance: Estimate::new(variance, 0.1),
            gradient_square: one,
            gradient_variance: Estimate::new(4.0, 0.4),
            seconds: one,
            memory: Some(2_500_000),
        }
    }

    #[test]
    fn another_gradient_is_found_only_beyond_two_standard_errors() {
        let said = |differences: &[(f64, f64)]| {
            let records: Vec<_> = differences.iter().map(|d| record(1.0, *d, 1.0)).collect();
            verdict(&records.iter().collect::<Vec<_>>()).into_string()
        };
        assert!(said(&[(1.9, 1.0), (-2.1, 1.0)]).contains("agrees"));
        assert!(said(&[(2.1, 1.0), (0.0, 1.0)]).contains("differs at 1 of 2 levels"));
        assert!(said(&[(2.1, 1.0)]).contains(">differs<"));
        assert!(said(&[(f64::NAN, 1.0)]).contains("not finite"));
        assert!(said(&[(5.0, f64::NAN)]).contains("no standard error"));
    }

    #[test]
    fn variances_are_relative_to_the_first_of_their_level() {
        let mut first = record(1.0, (0.0, 0.0), 0.0);
        first.gradient_variance = Estimate::new(2.0, 0.2);
        let records = [record(2.0, (0.0, 0.0), 0.0), first, record(1.0, (0.0, 1.0), 9.0)];
        let of = relative(&records, &[&records[2]], 1.0).unwrap();
        assert!((of.value - 2.0).abs() < 1e-12 && (of.standard_error - 2.0 * 0.02f64.sqrt()).abs() < 1e-12, "{of:?}");
        assert_eq!((deviation(&[&records[2]], 1.0), megabytes(&[&records[2]])), ("3.00".into(), "2.50".into()));
        assert_eq!(deviation(&[&record(1.0, (0.0, 1.0), -0.1)], 1.0), "0");
    }
}
