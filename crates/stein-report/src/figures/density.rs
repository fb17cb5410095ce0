//! The density that was learned beside the true one.

use super::plane::{Plane, SLATE};
use super::{Drawn, Figure, Layout, Panel, Picture};
use crate::field::Field;
use crate::number::{sigma, significant};

const WIDTH: f64 = 330.0;
/// The strength of the highest density.
const STRONGEST: f64 = 0.8;

/// True and learned density at a large, a middle and the smallest noise level, for networks that have one.
pub(crate) fn figure(field: &Field) -> Drawn {
    let mut panels = Vec::new();
    let mut two = false;
    for level in field.some_levels(3) {
        let Some(learned) = field.learned_density(level) else { continue };
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
                note: format!("at most {}{note}", significant(highest, 2)),
                alt: format!(
                    "Heat map of the {} density at {name}, at most {}{note}.",
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
        let apart = truth.as_ref().map(|truth| field.cell() * half_distance(&learned, truth));
        panel(
            "Learned",
            &learned,
            apart.map_or(String::new(), |d| format!("; ½∫|difference| = {}", significant(d, 2))),
        )?;
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let noise = if field.sigma.iter().all(|&s| s == 0.0) { "" } else { ", of data with that noise" };
    let wider = "It is normalised over a rectangle that is wider than what is shown.";
    let lines = "Lines enclose 50, 90 and 99 % of what lies in the square.";
    let caption = if two {
        format!(
            "The density of the network, e to the power of minus its energy, beside the true one{noise}. {wider} Each level has one scale for the two, from 0 to the higher maximum. {lines} ½∫|difference|, over the square, is 0 where they are the same and at most 1. At small σ it can be large though the score is right: a score does not say how much weight regions have that no density connects."
        )
    } else {
        format!(
            "The density of the network, e to the power of minus its energy{noise}. {wider} {lines} The true density is not known."
        )
    };
    Ok(Some(Figure { panels, layout: if two { Layout::Pairs } else { Layout::Tiles }, legend: None, caption }))
}

/// ½ Σ |a − b|.
fn half_distance(a: &[f64], b: &[f64]) -> f64 {
    0.5 * a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>()
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
                put(name, &[1, 2, 2], vec![a, b, 0.0, 0.0]);
            }
        }
        Field::from_arrays(&file).unwrap()
    }

    #[test]
    fn both_are_drawn_on_one_scale_with_their_distance() {
        let figure = figure(&field(Some([0.12, 0.12]), Some([0.25, 0.0]))).unwrap().unwrap();
        let said: Vec<_> = figure.panels.iter().map(|p| (p.title.as_str(), p.note.as_str())).collect();
        // Half of the mass is elsewhere.
        assert_eq!(
            said,
            [("True, σ = 0.50", "at most 0.12"), ("Learned, σ = 0.50", "at most 0.25; ½∫|difference| = 0.50")]
        );
        assert_eq!(figure.layout, Layout::Pairs);
        // One scale: the same picture where the density is the same, another where it is half.
        let picture = |density: [f32; 2], learned| {
            let drawn = super::figure(&field(Some(density), Some(learned))).unwrap().unwrap();
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
        let alone = figure(&field(None, Some([0.25, 0.0]))).unwrap().unwrap();
        assert_eq!((alone.panels.len(), alone.layout), (1, Layout::Tiles));
        assert!(alone.caption.contains("not known"));
        assert_eq!(figure(&field(Some([0.1, 0.1]), None)).unwrap(), None);
        // What is not finite is not drawn, and nothing breaks.
        let broken = figure(&field(Some([0.1, f32::INFINITY]), Some([f32::NAN, f32::INFINITY]))).unwrap().unwrap();
        assert_eq!(broken.panels[1].note, "at most 0; ½∫|difference| = 0.20");
    }
}
