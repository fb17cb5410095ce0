//! What a metric sums up.

use stein_record::MetricRecord;

use super::bars::{Bar, draw};
use super::{Drawn, Figure};
use crate::text::visible;

const MOST: usize = 40;

/// A bar for each part with held-out data's and two standard errors.
pub(crate) fn figure(metric: &MetricRecord) -> Drawn {
    let bar = |part: &stein_record::PartRecord| Bar {
        name: visible(&part.label),
        value: part.estimate.value,
        standard_error: part.estimate.standard_error,
        truth: part.truth,
    };
    let bars: Vec<Bar> = metric.parts.iter().take(MOST).map(bar).collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let (drawn, told) = draw(&bars, "held-out")?;
    let alt = format!("Bar chart of the fraction of samples of each: {told}.");
    let mut caption = String::from(
        "The fraction of samples of each, with two standard errors, beside that of held-out data (upright line).",
    );
    if metric.parts.len() > MOST {
        caption.push_str(&format!(" Only the first {MOST} of {} are shown.", metric.parts.len()));
    }
    Ok(Some(Figure::single(drawn, alt, caption)))
}
