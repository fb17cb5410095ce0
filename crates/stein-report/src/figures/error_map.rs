//! Where the score is wrong, per noise level.

use super::plane::{Plane, VERMILION, quantile};
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::canvas::{Anchor, Style, Svg, Trouble, svg};
use crate::field::Field;
use crate::number::{sigma, significant};
use crate::palette::Tone;

const WIDTH: f64 = 330.0;
const MOST_PANELS: usize = 6;

/// σ‖learned − true‖ over the plane at up to six noise levels, with contours of the density.
pub(crate) fn figure(field: &Field) -> Drawn {
    if !(field.has_learned() && field.has_truth()) {
        return Ok(None);
    }
    let levels: Vec<(usize, Vec<f64>)> =
        field.some_levels(MOST_PANELS).into_iter().map(|level| (level, errors(field, level))).collect();
    // The largest few are off the scale, or one wild corner would leave the rest blank.
    let full = quantile(levels.iter().flat_map(|(_, e)| e.iter().copied()), 0.96);
    let full = if full > 0.0 { full } else { 1.0 };
    let mut panels = Vec::new();
    for (level, errors) in &levels {
        let density = field.density(*level);
        let heat: Vec<f64> =
            errors.iter().map(|e| if e.is_finite() { 0.95 * (e / full).min(1.0) } else { 1.0 }).collect();
        let plane = Plane {
            heat: Some((heat, field.x.len(), VERMILION)),
            contours: density.clone().map(|d| (d, field.x.len())),
            ..Plane::new(field.extent())
        };
        let typical = density.as_deref().and_then(|d| rms(errors, d));
        let median = quantile(errors.iter().copied(), 0.5);
        let name = sigma(field.sigma[*level]);
        panels.push(Panel {
            title: name.clone(),
            note: typical.map_or(String::new(), |t| format!("{} where the data are", significant(t, 2))),
            alt: format!(
                "Heat map of the score's error at {name}: median over the rectangle {}{}.",
                significant(median, 2),
                typical
                    .map_or(String::new(), |t| format!(", root mean square under the density {}", significant(t, 2)))
            ),
            picture: Picture::Svg(plane.draw(WIDTH)?),
        });
    }
    let clean = levels.iter().all(|(level, _)| field.sigma[*level] == 0.0);
    let caption = if clean {
        "‖learned − true score‖ over the plane. Lines enclose 50, 90 and 99 % of the density that lies in the rectangle shown. The score is right only where data are: elsewhere no training example ever told it anything, which is why noise is added. Under the panel: the root mean square under the density."
    } else {
        "σ‖learned − true score‖ over the plane, on one scale for all noise levels. Lines enclose 50, 90 and 99 % of the smoothed density that lies in the rectangle shown. At small σ the score is right only where data are: elsewhere no training example ever told it anything, which is why sampling starts at large σ. Under each panel: the root mean square under the density."
    };
    Ok(Some(Figure { panels, layout: Layout::Tiles, legend: Some(scale(full)?), caption: caption.into() }))
}

/// The error at each grid point, NaN where a score is not finite.
fn errors(field: &Field, level: usize) -> Vec<f64> {
    // Without noise there is no σ to scale by.
    let sigma = if field.sigma[level] == 0.0 { 1.0 } else { field.sigma[level].abs() };
    let grid = (0..field.y.len()).flat_map(|row| (0..field.x.len()).map(move |column| (row, column)));
    grid.map(|(row, column)| match (field.learned(level, row, column), field.truth(level, row, column)) {
        (Some(a), Some(b)) => sigma * (a[0] - b[0]).hypot(a[1] - b[1]),
        _ => f64::NAN,
    })
    .collect()
}

fn rms(errors: &[f64], density: &[f64]) -> Option<f64> {
    let known = || errors.iter().zip(density).filter(|(e, _)| e.is_finite());
    let mass: f64 = known().map(|(_, d)| d).sum();
    let mean = known().map(|(e, d)| e * e * d).sum::<f64>() / mass;
    mean.is_finite().then(|| mean.sqrt())
}

/// The colour scale.
fn scale(full: f64) -> Result<(Svg, String), Trouble> {
    let steps = 48;
    let (left, width, top, height) = (14.0, 192.0, 4.0, 11.0);
    let end = format!("{} and more", significant(full, 2));
    let bar = svg((340.0, 20.0), |canvas| {
        canvas.text("0", (left - 6.0, top + 0.5 * height), Anchor::End, 12.0, Tone::Muted)?;
        for i in 0..steps {
            let at = |i: usize| left + width * i as f64 / steps as f64;
            let (a, b) = (at(i), at(i + 1));
            let corners = [(a, top), (b, top), (b, top + height), (a, top + height)];
            canvas.polygon(&corners, Style::fill(Tone::Scale).alpha(0.95 * (i as f64 + 0.5) / steps as f64))?;
        }
        canvas.text(&end, (left + width + 6.0, top + 0.5 * height), Anchor::Start, 12.0, Tone::Muted)
    })?;
    Ok((bar, format!("Colour scale from 0 (clear) to {end} (vermilion).")))
}
