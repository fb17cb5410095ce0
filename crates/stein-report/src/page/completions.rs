//! Samples that were drawn given a measurement.

use maud::{Markup, html};
use stein_record::InverseRecord;

use super::absent;
use super::figure::figure;
use crate::figures::completions;
use crate::number::{duration, significant};
use crate::run::Run;
use crate::text::{count, visible};

pub(super) fn section(run: &Run, inverse: &InverseRecord) -> Markup {
    let noise = if inverse.sigma_y > 0.0 {
        format!(" with noise of standard deviation {}", significant(inverse.sigma_y, 3))
    } else {
        String::new()
    };
    html! {
        p {
            "What was measured of " (count(inverse.observed, "held-out row")) " (" code { (visible(&inverse.kind)) } ": "
            (count(inverse.measurements, "number")) " each" (noise) "), and samples that agree with it, "
            (inverse.repeats) " of each row, drawn by " code { (visible(&inverse.method)) } ": "
            (significant(inverse.nfe, 3)) " evaluations of the score and its derivatives each, "
            (duration(inverse.seconds)) " in all. How near they come is among the metrics."
        }
        (pictures(run, inverse.repeats))
    }
}

fn pictures(run: &Run, repeats: usize) -> Markup {
    let (Some(measured), Some(truth), Some(drawn)) = (&run.measured, &run.measured_truth, &run.completions) else {
        return absent("The completions have not been saved.");
    };
    match run.image() {
        Some(image) => {
            let pictures = completions::images(measured, drawn, truth, repeats, image, run.range());
            figure(pictures, "There is no measured image.")
        }
        None => absent("Rows are no images, so there is no picture of them."),
    }
}
