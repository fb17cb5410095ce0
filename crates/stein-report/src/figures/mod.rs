//! The figures, one file each. A figure knows how it is read (caption) and what it shows to those who cannot see it
//! (alternative text); how it is placed is the page's business.

pub(crate) mod axis;
mod bars;
pub(crate) mod by_level;
pub(crate) mod chart;
pub(crate) mod completions;
pub(crate) mod contour;
pub(crate) mod density;
pub(crate) mod error_map;
pub(crate) mod estimators;
pub(crate) mod filmstrip;
pub(crate) mod fisher;
pub(crate) mod gap;
pub(crate) mod levels;
pub(crate) mod losses;
pub(crate) mod modes;
pub(crate) mod parts;
pub(crate) mod plane;
pub(crate) mod samples;
pub(crate) mod score_field;
pub(crate) mod sweep;

use crate::canvas::{Svg, Trouble};

/// A figure of one or more pictures.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) panels: Vec<Panel>,
    pub(crate) layout: Layout,
    /// A colour scale, and what it says.
    pub(crate) legend: Option<(Svg, String)>,
    /// How to read it.
    pub(crate) caption: String,
}

/// How panels share the page's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One chart.
    Single,
    /// Two in a row (on a phone too, if they are small).
    Pairs,
    /// As many in a row as fit.
    Tiles,
    /// Charts on shared axes, two in a row where they fit.
    Facets,
    /// One row that scrolls.
    Strip,
}

/// One picture of a figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    /// A few words above the picture; may be empty.
    pub(crate) title: String,
    /// What is said under the picture; may be empty.
    pub(crate) note: String,
    /// What it shows.
    pub(crate) alt: String,
    pub(crate) picture: Picture,
}

/// A picture.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Picture {
    /// A drawing.
    Svg(Svg),
    /// Pixels, as a PNG file, with the width and height to reserve, and whether they are to be seen as squares.
    Png { bytes: Vec<u8>, size: (u32, u32), pixelated: bool },
}

impl Figure {
    /// A figure of one drawing.
    pub(crate) fn single(svg: Svg, alt: String, caption: String) -> Self {
        let panel = Panel { title: String::new(), note: String::new(), alt, picture: Picture::Svg(svg) };
        Self { panels: vec![panel], layout: Layout::Single, legend: None, caption }
    }
}

/// A figure, nothing to show, or why it could not be drawn.
pub(crate) type Drawn = Result<Option<Figure>, Trouble>;
