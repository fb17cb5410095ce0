//! The colours that figures and pages share: Okabe and Ito's, which colour-blind readers can tell apart.
//!
//! A figure names a role; the page's style sheet gives the role a colour in light and in dark. plotters can only write
//! `#RRGGBB`, so a role is drawn in a colour of its own that means nothing ([`Tone::marker`]), and
//! [`with_variables`] puts `var(--role)` in its place. Bitmaps take the light colours.

use plotters::style::RGBColor;

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Text and outlines.
    Ink,
    /// Axis labels and what is said aside.
    Muted,
    /// Grid lines.
    Grid,
    /// The page under a figure.
    Paper,
    /// Training rows; whatever is learned.
    Train,
    /// Held-out rows.
    HeldOut,
    /// The truth: known densities, floors.
    Truth,
    /// The training set's own smoothed density.
    Memory,
    /// The fitted Gaussian.
    Gaussian,
    /// The colour of error maps, the same in light and dark.
    Scale,
}

/// How a tone is used, which decides its colour and dashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A line or an area.
    Solid,
    /// A dashed line.
    Dashed,
    /// Text in that colour: darker (in dark: lighter), to be legible.
    Label,
}

/// Lines that one chart can tell apart: six colours, solid and dashed.
pub(crate) const MOST_LINES: usize = 12;

/// The colour of the `i`th of several lines that have no role, and whether it is dashed.
pub(crate) fn line(i: usize) -> (Tone, bool) {
    const TONES: [Tone; 6] = [Tone::Train, Tone::HeldOut, Tone::Truth, Tone::Memory, Tone::Gaussian, Tone::Ink];
    (TONES[i % TONES.len()], i / TONES.len() % 2 == 1)
}

type Rgb = (u8, u8, u8);

/// Everything about one tone: its name, and area and text colours in light and in dark.
struct Shade {
    tone: Tone,
    name: &'static str,
    light: Rgb,
    light_text: Rgb,
    dark: Rgb,
    dark_text: Rgb,
}

const fn shade(tone: Tone, name: &'static str, light: (Rgb, Rgb), dark: (Rgb, Rgb)) -> Shade {
    Shade { tone, name, light: light.0, light_text: light.1, dark: dark.0, dark_text: dark.1 }
}

const fn hex(rgb: u32) -> Rgb {
    ((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

const fn pair(area: u32, text: u32) -> (Rgb, Rgb) {
    (hex(area), hex(text))
}

const SHADES: [Shade; 10] = [
    shade(Tone::Ink, "ink", pair(0x1b1f24, 0x1b1f24), pair(0xe8eaed, 0xe8eaed)),
    shade(Tone::Muted, "muted", pair(0x6b7280, 0x5b626d), pair(0x9aa3af, 0xa9b1bc)),
    shade(Tone::Grid, "grid", pair(0xe4e7eb, 0xe4e7eb), pair(0x2b3138, 0x2b3138)),
    shade(Tone::Paper, "paper", pair(0xffffff, 0xffffff), pair(0x14171b, 0x14171b)),
    shade(Tone::Train, "train", pair(0x0072b2, 0x00609a), pair(0x56b4e9, 0x7cc5ee)),
    shade(Tone::HeldOut, "held-out", pair(0xd55e00, 0xa84a00), pair(0xf08a3c, 0xf5a264)),
    shade(Tone::Truth, "truth", pair(0x009e73, 0x00734f), pair(0x2ec79b, 0x59d3b0)),
    shade(Tone::Memory, "memory", pair(0xcc79a7, 0x984876), pair(0xe09cc4, 0xe8b3d2)),
    shade(Tone::Gaussian, "gaussian", pair(0xe69f00, 0x8a5f00), pair(0xf0c040, 0xf2cc66)),
    shade(Tone::Scale, "scale", pair(0xd55e00, 0xa84a00), pair(0xd55e00, 0xf5a264)),
];

impl Tone {
    /// The colour that stands for this tone in what plotters writes as SVG.
    pub(crate) fn marker(self, how: Use) -> RGBColor {
        RGBColor(1, how as u8, self as u8)
    }

    /// The colour in a bitmap.
    pub(crate) fn light(self, how: Use) -> RGBColor {
        let shade = SHADES.iter().find(|s| s.tone == self);
        let (r, g, b) = shade.map_or((0, 0, 0), |s| if how == Use::Label { s.light_text } else { s.light });
        RGBColor(r, g, b)
    }
}

/// SVG with every marker replaced by the style sheet's variable.
pub(crate) fn with_variables(mut svg: String) -> String {
    for Shade { tone, name, .. } in &SHADES {
        for how in [Use::Solid, Use::Dashed, Use::Label] {
            let RGBColor(r, g, b) = tone.marker(how);
            let marker = format!("\"#{r:02X}{g:02X}{b:02X}\"");
            if !svg.contains(&marker) {
                continue;
            }
            let value = match how {
                Use::Solid => format!("\"var(--{name})\""),
                Use::Dashed => format!("\"var(--{name})\" stroke-dasharray=\"55 45\""),
                Use::Label => format!("\"var(--{name}-text)\""),
            };
            svg = svg.replace(&marker, &value);
        }
    }
    svg
}

/// The style sheet's variables, for light and for dark.
pub(crate) fn css() -> String {
    let block = |pick: fn(&Shade) -> (Rgb, Rgb)| {
        SHADES.iter().fold(String::new(), |mut out, shade| {
            let ((r, g, b), (tr, tg, tb)) = pick(shade);
            let name = shade.name;
            out.push_str(&format!("--{name}:#{r:02x}{g:02x}{b:02x};--{name}-text:#{tr:02x}{tg:02x}{tb:02x};"));
            out
        })
    };
    let (light, dark) = (block(|s| (s.light, s.light_text)), block(|s| (s.dark, s.dark_text)));
    // On paper, light colours whatever the screen shows.
    format!(":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_are_in_the_order_of_tones_and_markers_go() {
        for (i, shade) in SHADES.iter().enumerate() {
            assert_eq!(shade.tone as usize, i);
            for how in [Use::Solid, Use::Dashed, Use::Label] {
                let RGBColor(r, g, b) = shade.tone.marker(how);
                let svg = with_variables(format!("<line stroke=\"#{r:02X}{g:02X}{b:02X}\"/>"));
                assert!(svg.contains(&format!("var(--{}", shade.name)), "{svg}");
            }
        }
        assert!(css().contains("--train:#0072b2"));
    }

    #[test]
    fn text_stands_out_from_paper() {
        let luminance = |(r, g, b): Rgb| {
            let linear = |c: u8| {
                let c = f64::from(c) / 255.0;
                if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        };
        let contrast = |a, b| {
            let (a, b) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for shade in SHADES.iter().filter(|s| !matches!(s.tone, Tone::Grid | Tone::Paper)) {
            assert!(contrast(shade.light_text, SHADES[Tone::Paper as usize].light) >= 4.5, "{}", shade.name);
            assert!(contrast(shade.dark_text, SHADES[Tone::Paper as usize].dark) >= 4.5, "{}", shade.name);
        }
    }
}
