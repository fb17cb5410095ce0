//! The density that was learned beside the true one.

use super::plane::{Plane, SLATE};
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::field::Field;
use crate::number::{sigma, significant};

const WIDTH: f64 = 330.0;
/// The strength of the highest density.
const STRONGEST: f64 = 0.8;
/// The mass of a density by a grid that is fine enough for it: at most 1 but for rounding of this size.
const MOST_MASS: f64 = 1.05;

/// True and learned density at a large, a middle and the smallest noise level, for networks that have one; `doubt` is what else
/// there is to say of the normalisation.
pub(crate) fn figure(field: &Field, doubt: Option<&str>) -> Drawn {
    let mut panels = Vec::new();
    let mut two = false;
    let mut left_out = Vec::new();
    let mut said = false;
    for level in field.some_levels(3) {
        let Some(learned) = field.learned_density(level) else {
            left_out.push(sigma(field.sigma[level]));
            continue;
        };
        let truth = field.density(level);
        let both = learned.iter().chain(truth.iter().flatten());
        let full = both.copied().fold(0.0, f64::max);
        let name = sigma(field.sigma[level]);
        let mut panel = |what: &str, density: &[f64], note: String| -> Result<(), String> {
            let highest = density.iter().copied().fold(0.0, f64::max);
            let strength = |d: &f64| if full > 0.0 { STRONGEST * (d / full).powf(0.7) } else { 0.0 };
            let plane = Plane {
                heat: Some((density.iter().map(strength).collect(), field.x.len(), SLATE)),
                contours: Some((density.to_vec(), field.x.len())),
                ..Plane::new(field.extent())
            };
            panels.push(Panel {
                title: format!("{what}, {name}"),
                note: format!("maximum {}{note}", significant(highest, 2)),
                alt: format!(
                    "Heat map of the {} density at {name}, maximum {}{note}.",
                    what.to_lowercase(),
                    significant(highest, 2)
                ),
                picture: Picture::Svg(plane.draw(WIDTH)?),
            });
            Ok(())
        };
        if let Some(truth) = &truth {
            panel("True", truth, String::new())?;
            two = true;
        }
        let note = match truth.as_ref().map(|truth| distance(&learned, truth, field.cell())) {
            Some(Distance::Of(d)) => {
                said = true;
                format!("; ½∫|difference| = {}", significant(d, 2))
            }
            Some(Distance::TooSharp) => "; sharper than this grid".into(),
            None => String::new(),
        };
        panel("Learned", &learned, note)?;
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let noise = if field.sigma.iter().all(|&s| s == 0.0) { "" } else { ", of data with that noise" };
    let wider = "It is normalised over a rectangle that is wider than what is shown.";
    let lines = "Lines enclose 50, 90 and 99 % of what lies in the rectangle shown.";
    let mut caption = if two {
        format!(
            "The density of the network, e to the power of minus its energy, beside the true one{noise}. {wider} Each level has one scale for the two, from 0 to the higher maximum. {lines}"
        )
    } else {
        format!(
            "The density of the network, e to the power of minus its energy{noise}. {wider} {lines} The true density is not known."
        )
    };
    if said {
        caption += " ½∫|difference|, in which all that lies beyond the rectangle shown is one more cell, is 0 where they are the same and 1 where they do not meet.";
        if field.sigma.len() > 1 {
            caption += " At small σ it can be large though the score is right: a score does not say how much weight regions have that no density connects.";
        }
    }
    if !left_out.is_empty() {
        caption += &format!(
            " Not shown: {}. There it reaches that wider rectangle's border or is too sharp for a grid, so its normaliser is not known.",
            left_out.join(", ")
        );
    }
    caption.extend(doubt.into_iter().flat_map(|doubt| [" ", doubt]));
    Ok(Some(Figure { panels, layout: if two { Layout::Pairs } else { Layout::Tiles }, legend: None, caption }))
}

/// How far two densities are apart by a grid.
enum Distance {
    Of(f64),
    /// One has a peak between the grid's points, or on one of them: sums over cells say nothing of its mass.
    TooSharp,
}

/// ½ Σ |a − b| over the grid's cells and one more, the rest of the plane.
fn distance(a: &[f64], b: &[f64], cell: f64) -> Distance {
    let masses = [a, b].map(|density| cell * density.iter().sum::<f64>());
    if masses.iter().any(|m| *m > MOST_MASS) {
        return Distance::TooSharp;
    }
    let [inside_a, inside_b] = masses.map(|m| m.min(1.0));
    let inside: f64 = a.iter().zip(b).map(|(a, b)| cell * (a - b).abs()).sum();
    Distance::Of((0.5 * (inside + (inside_a - inside_b).abs())).min(1.0))
}

#[cfg(test)]
mod tests {
    use stein_record::arrays::{Array, ArrayFile};

    use super::*;

    /// Squares of density 1 in the lower left and of the given one in the lower right, two units wide each.
    fn field(density: Option<[f32; 2]>, learned: Option<[f32; 2]>) -> Field {
        let mut file = ArrayFile::default();
        let mut put = |name: &str, shape: &[usize], data| file.arrays.insert(name.into(), Array::new(shape, data));
        put("x", &[2], vec![0.0, 2.0]);
        put("y", &[2], vec![0.0, 2.0]);
        put("sigma", &[1], vec![0.5]);
        for (name, values) in [("density", density), ("learned_density", learned)] {
            if let Some([a, b]) = values {
                let above = if a.is_nan() { a } else { 0.0 };
                put(name, &[1, 2, 2], vec![a, b, above, above]);
            }
        }
        Field::from_arrays(&file).unwrap()
    }

    #[test]
    fn both_are_drawn_on_one_scale_with_their_distance() {
        let figure = figure(&field(Some([0.12, 0.12]), Some([0.25, 0.0])), None).unwrap().unwrap();
        let said: Vec<_> = figure.panels.iter().map(|p| (p.title.as_str(), p.note.as_str())).collect();
        // Half of the mass is elsewhere, and 4 % of the true one beyond.
        assert_eq!(
            said,
            [("True, σ = 0.50", "maximum 0.12"), ("Learned, σ = 0.50", "maximum 0.25; ½∫|difference| = 0.52")]
        );
        assert_eq!(figure.layout, Layout::Pairs);
        // One scale: the same picture where the density is the same, another where it is half.
        let picture = |density: [f32; 2], learned| {
            let drawn = super::figure(&field(Some(density), Some(learned)), None).unwrap().unwrap();
            match &drawn.panels[0].picture {
                Picture::Svg(svg) => svg.inner.clone(),
                Picture::Png { .. } => panic!("not drawn"),
            }
        };
        let plain = picture([0.125, 0.125], [0.125, 0.125]);
        assert_eq!(plain, picture([0.125, 0.125], [0.0, 0.125]));
        assert_ne!(plain, picture([0.125, 0.125], [0.25, 0.0]));
    }

    #[test]
    fn the_learned_one_stands_alone_where_no_other_is_known() {
        let alone = figure(&field(None, Some([0.25, 0.0])), None).unwrap().unwrap();
        assert_eq!((alone.panels.len(), alone.layout), (1, Layout::Tiles));
        assert!(alone.caption.contains("not known"));
        assert_eq!(figure(&field(Some([0.1, 0.1]), None), None).unwrap(), None);
        // What is not finite is not drawn, and nothing breaks.
        let broken = figure(&field(Some([0.1, f32::INFINITY]), Some([0.1, f32::INFINITY])), None).unwrap().unwrap();
        assert_eq!(broken.panels[1].note, "maximum 0.10; ½∫|difference| = 0");
        // What was not normalised is not shown as if it were.
        assert_eq!(figure(&field(Some([0.1, 0.1]), Some([f32::NAN; 2])), None).unwrap(), None);
    }

    #[test]
    fn the_distance_is_said_only_where_the_grid_can_tell() {
        let note = |truth, learned| {
            let figure = figure(&field(Some(truth), Some(learned)), Some("Doubtful.")).unwrap().unwrap();
            (figure.panels[1].note.clone(), figure.caption)
        };
        let (sharp, caption) = note([0.125, 0.125], [9.0, 0.0]);
        assert_eq!(sharp, "maximum 9.0; sharper than this grid");
        assert!(!caption.contains("do not meet") && caption.ends_with("Doubtful."), "{caption}");
        // All of the one lies beyond; of the other nothing.
        let (beyond, caption) = note([0.125, 0.125], [1e-30, 0.0]);
        assert!(beyond.ends_with("= 1.0"), "{beyond}");
        assert!(caption.contains("do not meet") && !caption.contains("At small σ"), "one level: {caption}");
    }
}
