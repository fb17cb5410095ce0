//! How samples spread over the modes of a known mixture.

use stein_record::Evaluation;

use super::bars::{Bar, draw};
use super::{Drawn, Figure};

const MOST: usize = 40;

/// A bar for each mode with the truth and two standard errors, and one for stray samples.
pub(crate) fn figure(evaluation: &Evaluation) -> Drawn {
    let (Some(weights), Some(modes)) = (&evaluation.mode_weights, &evaluation.modes) else { return Ok(None) };
    let nan = |list: &[f64], i: usize| list.get(i).copied().unwrap_or(f64::NAN);
    let bar = |i: usize| Bar {
        name: format!("mode {}", i + 1),
        value: weights[i],
        standard_error: nan(&modes.standard_error, i),
        truth: nan(&modes.truth, i),
    };
    let mut bars: Vec<Bar> = (0..weights.len().min(MOST)).map(bar).collect();
    if bars.is_empty() {
        return Ok(None);
    }
    let (value, standard_error) = (modes.stray.value, modes.stray.standard_error);
    bars.push(Bar { name: "stray".into(), value, standard_error, truth: modes.stray_truth.value });
    let (drawn, told) = draw(&bars, "truth")?;
    let alt = format!("Bar chart of the fraction of samples at each mode: {told}.");
    let mut caption = String::from(
        "The fraction of samples nearest to each mode, with two standard errors, beside the true weight (upright line). Stray samples are far from every mode; even draws from the truth have some.",
    );
    if weights.len() > MOST {
        caption.push_str(&format!(" Only the first {MOST} of {} modes are shown.", weights.len()));
    }
    Ok(Some(Figure::single(drawn, alt, caption)))
}
