//! Figures in HTML.

use base64::Engine as _;
use maud::{Markup, PreEscaped, html};

use crate::canvas::{SVG_UNIT, Svg};
use crate::figures::{Drawn, Figure, Layout, Panel, Picture};

/// A figure, or what is said in its place.
pub(super) fn figure(drawn: Drawn, otherwise: &str) -> Markup {
    match drawn {
        Ok(Some(figure)) => show(&figure),
        Ok(None) if otherwise.is_empty() => html! {},
        Ok(None) => super::absent(otherwise),
        Err(trouble) => super::absent(&format!("This figure could not be drawn: {trouble}.")),
    }
}

fn show(figure: &Figure) -> Markup {
    let class = match figure.layout {
        Layout::Single => "single",
        Layout::Pairs => "pairs",
        Layout::Tiles => "tiles",
        Layout::Facets => "facets",
        Layout::Strip => "strip",
    };
    let small = figure.panels.iter().all(|p| matches!(&p.picture, Picture::Png { size, .. } if size.0 <= 100));
    let drawn = figure.panels.iter().any(|p| matches!(&p.picture, Picture::Svg(_)));
    // A box that scrolls, if only on a narrow screen, has to be reachable by keyboard.
    let scrolls = match figure.layout {
        Layout::Strip => true,
        Layout::Pairs => drawn,
        Layout::Tiles => drawn || small,
        Layout::Single | Layout::Facets => false,
    };
    html! {
        figure.beside[matches!(figure.layout, Layout::Single | Layout::Pairs)].of-pairs[figure.layout == Layout::Pairs] {
            div.panels.(class).small[small].drawn[drawn] tabindex=[scrolls.then_some("0")] {
                @for panel in &figure.panels { (show_panel(panel)) }
            }
            @if let Some((legend, alt)) = &figure.legend {
                div.legend { (svg(legend, alt)) }
            }
            figcaption { (figure.caption) }
        }
    }
}

fn show_panel(panel: &Panel) -> Markup {
    html! {
        div.panel {
            @if !panel.title.is_empty() { div.panel-title { (panel.title) } }
            @match &panel.picture {
                Picture::Svg(drawing) => (svg(drawing, &panel.alt)),
                Picture::Png { bytes, size, pixelated } => {
                    img.pixels[*pixelated] src=(data_uri("image/png", bytes)) width=(size.0) height=(size.1) alt=(panel.alt);
                }
            }
            @if !panel.note.is_empty() { div.panel-note { (panel.note) } }
        }
    }
}

/// A drawing that scales with its box.
pub(super) fn svg(drawing: &Svg, alt: &str) -> Markup {
    let (width, height) = (drawing.width * SVG_UNIT, drawing.height * SVG_UNIT);
    html! {
        svg role="img" aria-label=(alt) viewBox={ "0 0 " (width.round()) " " (height.round()) }
            style={ "max-width:" ((1.1 * drawing.width).round()) "px" } font-family="system-ui, sans-serif" {
            (PreEscaped(&drawing.inner))
        }
    }
}

/// Bytes as an address.
pub(super) fn data_uri(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// Bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
