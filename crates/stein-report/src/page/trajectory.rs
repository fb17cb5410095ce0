//! How samples come about.

use maud::{Markup, html};

use super::absent;
use super::figure::{data_uri, figure};
use crate::figures::filmstrip;
use crate::images::{last_frame, png_bytes};
use crate::run::Run;

/// A GIF that is heavier than this was not written by stein; a page should not carry it.
const MOST_GIF: usize = 4_000_000;

pub(super) fn section(run: &Run) -> Markup {
    let sigmas = sigmas(run);
    let strip = run.trajectory.as_ref().map(|frames| match run.image() {
        Some(image) => filmstrip::images(frames, sigmas, image, run.range()),
        None => filmstrip::plane(frames, sigmas, run.field.as_ref()),
    });
    html! {
        @match strip {
            Some(drawn) => (figure(drawn, "The trajectory's rows are neither images nor points of the plane, so there is no picture of it.")),
            None => (absent("No trajectory of the sampler has been saved yet.")),
        }
        @if let Some(gif) = run.gif.as_deref().filter(|g| g.len() <= MOST_GIF) { (animation(run, gif)) }
    }
}

/// The noise level of each frame.
fn sigmas(run: &Run) -> &[f64] {
    run.evaluation.as_ref().map_or(&[], |e| &e.trajectory_sigmas)
}

/// The GIF; those who asked their system for less motion get its last frame.
fn animation(run: &Run, gif: &[u8]) -> Markup {
    let alt = match (run.is_plane(), filmstrip::has_noise(sigmas(run))) {
        (true, true) => "Animation: particles move from noise to the data's modes.",
        (true, false) => "Animation: particles move over the data's density.",
        (false, true) => "Animation: a grid of images turns from noise to samples.",
        (false, false) => "Animation: a grid of images turns into samples.",
    };
    let Some((still, (width, height))) = still(gif) else {
        return absent("The animation of sampling cannot be read.");
    };
    html! {
        figure.animation.beside {
            picture {
                source media="(prefers-reduced-motion: reduce), print" srcset=(data_uri("image/png", &still));
                img src=(data_uri("image/gif", gif)) width=(width) height=(height) alt=(alt);
            }
            figcaption {
                "The same in motion; it pauses on the finished samples."
                @if run.is_plane() {
                    " Particles move over the score (arrows) and the density (shading)"
                    @if filmstrip::has_noise(sigmas(run)) { " at each moment's noise level" }
                    ", where these are known."
                }
            }
        }
    }
}

/// The last frame as PNG, with the picture's size.
fn still(gif: &[u8]) -> Option<(Vec<u8>, (u32, u32))> {
    let last = last_frame(gif)?;
    let size = last.dimensions();
    Some((png_bytes(&last.into()).ok()?, size))
}
