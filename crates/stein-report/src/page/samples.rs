//! Samples beside data.

use maud::{Markup, html};

use super::absent;
use super::figure::figure;
use crate::figures::{modes, samples};
use crate::run::Run;

pub(super) fn section(run: &Run) -> Markup {
    let Some(drawn) = &run.samples else {
        return html! {
            (absent("No samples have been drawn yet."))
            @if run.is_plane() && run.held_out.is_some() {
                (figure(samples::scatter(None, run.held_out.as_ref(), run.field.as_ref()), ""))
            }
        };
    };
    if let Some(image) = run.image() {
        let distances = run.evaluation.as_ref().map_or(&[][..], |e| &e.nearest_distances);
        let nearest = match &run.nearest {
            Some(nearest) => samples::nearest(drawn, nearest, distances, image, run.range()),
            None => Ok(None),
        };
        let distances = run.evaluation.as_ref().map_or(&[][..], |e| &e.nearest_classifier_distances);
        let alike = run.nearest_classifier.as_ref();
        let alike = alike.map(|nearest| samples::nearest(drawn, nearest, distances, image, run.range()));
        let classes = run.evaluation.as_ref().and_then(|e| e.classes);
        return html! {
            (figure(samples::grids(drawn, run.held_out.as_ref(), image, run.range(), classes), ""))
            h3 { "Nearest training images" }
            (figure(nearest, "The nearest training images have not been looked up yet."))
            @if let Some(alike) = alike {
                h3 { "Nearest training images to a classifier" }
                p { "The same by the features of the classifier that the metrics see images by: alike in shape, not pixel by pixel." }
                (figure(alike, ""))
            }
        };
    }
    if run.is_plane() {
        let modes = run.evaluation.as_ref().map_or(Ok(None), modes::figure);
        let weighed = !matches!(modes, Ok(None));
        return html! {
            (figure(samples::scatter(Some(drawn), run.held_out.as_ref(), run.field.as_ref()), ""))
            @if weighed {
                h3 { "Mode weights" }
                (figure(modes, ""))
            }
        };
    }
    let shape = drawn.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ");
    absent(&format!(
        "There are samples ({shape} numbers), but their rows are neither images nor points of the plane, so there is no picture of them."
    ))
}
