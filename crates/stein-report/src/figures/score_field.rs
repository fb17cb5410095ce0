//! The score as arrows over the density, true beside learned.

use super::plane::{Plane, quantile, score_arrows};
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::field::Field;
use crate::number::sigma;
use crate::palette::Tone;

const WIDTH: f64 = 330.0;
const ARROWS_ACROSS: usize = 19;

/// True and learned score at a large, a middle and the smallest noise level; where nothing was `trained`, they are one.
pub(crate) fn figure(field: &Field, trained: bool) -> Drawn {
    if !field.has_learned() {
        return Ok(None);
    }
    let two = trained && field.has_truth();
    let mut panels = Vec::new();
    for level in field.some_levels(3) {
        let norms = |score: &dyn Fn(usize, usize) -> Option<[f64; 2]>| -> Vec<f64> {
            let grid = (0..field.y.len()).flat_map(|row| (0..field.x.len()).map(move |column| (row, column)));
            grid.filter_map(|(row, column)| score(row, column)).map(|[a, b]| a.hypot(b)).collect()
        };
        let truth = |row, column| field.truth(level, row, column);
        let learned = |row, column| field.learned(level, row, column);
        // One length for both, so that a learned score of the wrong size shows.
        let reference = if field.has_truth() { norms(&truth) } else { norms(&learned) };
        let longest = quantile(reference, 0.9);
        let mut panel = |name: &str, tone, arrows| -> Result<(), String> {
            let plane = Plane { arrows, arrow_tone: tone, ..Plane::new(field.extent()).shade(Some(field), level) };
            panels.push(Panel {
                title: format!("{name}, {}", sigma(field.sigma[level])),
                note: String::new(),
                alt: format!("Arrows of the {} score at {}.", name.to_lowercase(), sigma(field.sigma[level])),
                picture: Picture::Svg(plane.draw(WIDTH)?),
            });
            Ok(())
        };
        if two {
            panel("True", Tone::Truth, score_arrows(field, ARROWS_ACROSS, longest, truth))?;
        }
        let (name, tone) = if trained { ("Learned", Tone::Train) } else { ("Exact", Tone::Truth) };
        panel(name, tone, score_arrows(field, ARROWS_ACROSS, longest, learned))?;
    }
    let noise = field.sigma.iter().any(|&s| s > 0.0);
    let shaded = match field.density(0) {
        Some(_) if noise => " Shading is the density smoothed by that noise.",
        Some(_) => " Shading is the density.",
        None => "",
    };
    let caption = format!(
        "The score ∇log p points to where the {}data are denser.{} Arrow lengths grow with the square root of its norm, on one scale{}, up to its 90th percentile.{shaded} Axes are the data's two coordinates.",
        if noise { "noisy " } else { "" },
        if two { " The two columns should agree wherever there is shading." } else { "" },
        if noise { " at each noise level" } else { "" },
    );
    let layout = if two { Layout::Pairs } else { Layout::Tiles };
    Ok(Some(Figure { panels, layout, legend: None, caption }))
}
