//! Pictures of one's own.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, ImageShape, Invalid, Labels, Streams};
use stein_files::picture::{Form, Sheet};
use stein_files::pictures::{Pictures, Settings, read};
use stein_record::Array;

use crate::pixels::{self, VALUES, divisor};
use crate::split::{self, SHARE, split};

/// The most pixels a side.
const MOST_SIDE: usize = 1024;
/// Files that are named of those that were left out.
const NAMED: usize = 3;

/// Pictures of a folder and all folders in it, of a zip archive, or of a sheet: PNG, JPEG, GIF (the first frame), BMP or WebP.
///
/// Each is laid over `background`, cut about its centre to the proportions of `height` and `width`, and resized by Lanczos' filter of
/// three lobes, which averages where it shrinks. They come in the order of their names; those that are held out are drawn by `seed`.
/// What was read is kept in `.stein-pictures` beside `path`, until a file or a key here changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Images {
    /// The folder, the `.zip`, or the one picture; from where the program is run, if it is no absolute path.
    pub path: String,
    /// Pixels from top to bottom.
    #[schemars(range(min = 1, max = MOST_SIDE))]
    pub height: usize,
    /// Pixels from left to right.
    #[schemars(range(min = 1, max = MOST_SIDE))]
    pub width: usize,
    /// Colours.
    pub channels: Channels,
    /// What is behind transparent pixels: red, green and blue, 0 to 255.
    pub background: [u8; 3],
    /// Whether a picture's class is the folder that it lies in, the first below `path`, or below folders that all of a zip lies in.
    pub classes: bool,
    /// Pixels from one picture to the next, both ways, where a file is a sheet of several. Those that are nothing but transparent are
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub cell: Option<u32>,
    /// Pixels of a sheet's cell on each side that are no part of its picture.
    pub inset: u32,
    /// Which share of the pictures is held out.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub held_out_share: f64,
    /// The seed by which they are drawn. Not the run's: runs of several seeds are compared on the same pictures.
    pub seed: u64,
    /// Whether files that are no picture, or a damaged one, are left out, and counted; else they are an error.
    pub skip_damaged: bool,
    /// Whether uniform noise of one level makes a density of the values, (v + u)/256; without it they are v/255.
    pub dequantize: bool,
    /// Whether training batches have pictures mirrored left to right, each with probability ½.
    pub flip: bool,
    /// Whether networks see the logits of the values, each a millionth away from 0 and 1. Samples are mapped back; needs `dequantize`.
    pub logit: bool,
}

/// What a pixel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green and blue.
    #[default]
    Rgb,
    /// 0.2126 R + 0.7152 G + 0.0722 B.
    Grey,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            path: "data/images".into(),
            height: 32,
            width: 32,
            channels: Channels::Rgb,
            background: [255; 3],
            classes: false,
            cell: None,
            inset: 0,
            held_out_share: SHARE,
            seed: 0,
            skip_damaged: false,
            dequantize: true,
            flip: false,
            logit: false,
        }
    }
}

impl Images {
    fn settings(&self) -> Settings {
        Settings {
            form: Form {
                height: self.height as u32,
                width: self.width as u32,
                grey: self.channels == Channels::Grey,
                background: self.background,
            },
            sheet: self.cell.map(|cell| Sheet { cell, inset: self.inset }),
            classes: self.classes,
            skip_damaged: self.skip_damaged,
        }
    }
}

impl Component<DataPart> for Images {
    const KIND: &'static str = "images";

    fn check(&self) -> Result<(), Invalid> {
        for (key, side) in [("height", self.height), ("width", self.width)] {
            Invalid::unless_some(key, side)?;
            Invalid::unless_at_most(key, side, MOST_SIDE)?;
        }
        if self.cell.is_some_and(|cell| u64::from(cell) <= 2 * u64::from(self.inset)) {
            let message = format!("`inset` is {}, which leaves nothing of a cell", self.inset);
            return Err(Invalid::key("inset", message));
        }
        if self.cell.is_none() && self.inset > 0 {
            return Err(Invalid::key("inset", "`inset` is about the cells of a sheet; set `cell` too"));
        }
        pixels::check_logit(self.logit, self.dequantize)?;
        split::check(self.held_out_share)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let settings = self.settings();
        let found = read(Path::new(&self.path), &settings).map_err(|e| Invalid::key("path", e.to_string()))?;
        let (Pictures { pixels, labels, classes, skipped }, mut notes) = found;
        let d = settings.form.dimension();
        if pixels.len() < 2 * d {
            let count = pixels.len() / d;
            return Err(Invalid::key("path", format!("{} has {count} pictures; at least 2 are needed", self.path)));
        }
        let (train, held_out) = split(pixels.len() / d, self.held_out_share, self.seed);
        let divisor = divisor(self.dequantize);
        let rows = |of: &[usize]| {
            let values = of.iter().flat_map(|i| pixels[i * d..(i + 1) * d].iter().map(|&v| f32::from(v) / divisor));
            Array::new([of.len(), d], values.collect())
        };
        let pick = |of: &[usize]| of.iter().map(|&i| labels[i]).collect();
        let count = classes.len();
        notes.extend(left_out(&skipped));
        Ok(Dataset {
            train: rows(&train),
            held_out: rows(&held_out),
            image: Some(ImageShape {
                height: self.height,
                width: self.width,
                channels: d / (self.height * self.width),
            }),
            range: Some([0.0, 1.0]),
            dequantize: self.dequantize.then_some(1.0 / VALUES),
            labels: self.classes.then(|| Labels { train: pick(&train), held_out: pick(&held_out), count }),
            flip: self.flip,
            logit: self.logit,
            notes,
            ..Dataset::default()
        })
    }
}

/// What to say of files that were left out.
fn left_out(skipped: &[String]) -> Option<String> {
    let more = if skipped.len() > NAMED { "; …" } else { "" };
    let some = skipped[..skipped.len().min(NAMED)].join("; ");
    (!skipped.is_empty()).then(|| format!("{} files are left out: {some}{more}", skipped.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bitmap of one colour, in the plainest form that there is: header, then lines of blue, green and red.
    fn bitmap(side: u32, [r, g, b]: [u8; 3]) -> Vec<u8> {
        let line = (3 * side as usize).next_multiple_of(4);
        let length = 54 + line * side as usize;
        let mut out = [b"BM", &(length as u32).to_le_bytes()[..], &[0; 4], &[54, 0, 0, 0, 40, 0, 0, 0]].concat();
        out.extend([&side.to_le_bytes()[..], &side.to_le_bytes(), &[1, 0, 24, 0], &[0; 24]].concat());
        for _ in 0..side {
            let start = out.len();
            out.extend([b, g, r].repeat(side as usize));
            out.resize(start + line, 0);
        }
        out
    }

    fn folder(pictures: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..pictures {
            let class = folder.path().join(["set/cats", "set/dogs"][i % 2]);
            std::fs::create_dir_all(&class).unwrap();
            std::fs::write(class.join(format!("{i:02}.bmp")), bitmap(5, [i as u8, 100, 200])).unwrap();
        }
        folder
    }

    fn of(folder: &tempfile::TempDir) -> Images {
        let path = folder.path().join("set").to_str().unwrap().into();
        Images { path, height: 2, width: 3, dequantize: false, held_out_share: 0.25, ..Images::default() }
    }

    #[test]
    fn pictures_are_rows_with_classes_in_two_parts() {
        let folder = folder(12);
        let data = Images { classes: true, ..of(&folder) }.build(Streams::new(0)).unwrap();
        assert_eq!((data.train.rows(), data.held_out.rows(), data.dimension()), (9, 3, 18));
        let labels = data.labels.as_ref().unwrap();
        assert_eq!(labels.count, 2);
        for (rows, labels) in [(&data.train, &labels.train), (&data.held_out, &labels.held_out)] {
            for (i, &label) in labels.iter().enumerate() {
                let red = (rows.row(i)[0] * 255.0).round() as u32;
                // Cats have even numbers, and every value of a channel is the same.
                assert_eq!(red % 2, label, "{red}");
                assert_eq!((rows.row(i)[5] * 255.0).round() as u32, red);
                assert_eq!((rows.row(i)[6], rows.row(i)[17]), (100.0 / 255.0, 200.0 / 255.0));
            }
        }
        let grey = Images { channels: Channels::Grey, dequantize: true, ..of(&folder) }.build(Streams::new(0)).unwrap();
        assert_eq!((grey.dimension(), grey.dequantize, grey.labels.is_none()), (6, Some(1.0 / 256.0), true));
        assert_ne!(Images { seed: 1, ..of(&folder) }.build(Streams::new(0)).unwrap().sha256(), data.sha256());
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let folder = folder(6);
        std::fs::write(folder.path().join("set/cats/z.png"), "<html>").unwrap();
        let error = of(&folder).build(Streams::new(0)).unwrap_err();
        assert!(error.message.contains("cats/z.png") && error.key.as_deref() == Some("path"), "{error}");
        let data = Images { skip_damaged: true, ..of(&folder) }.build(Streams::new(0)).unwrap();
        assert!(
            data.notes.len() == 1 && data.notes[0].starts_with("1 files are left out: cats/z.png"),
            "{:?}",
            data.notes
        );
        for wrong in [
            Images { height: 0, ..of(&folder) },
            Images { width: 5000, ..of(&folder) },
            Images { inset: 1, ..of(&folder) },
            Images { cell: Some(4), inset: 2, ..of(&folder) },
            Images { held_out_share: 1.0, ..of(&folder) },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        let absent = Images { path: "nowhere".into(), ..of(&folder) }.build(Streams::new(0)).unwrap_err();
        assert!(absent.message.contains("nowhere"), "{absent}");
    }
}
