//! Pictures in IDX files: MNIST and the sets that took its form.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, ImageShape, Invalid, Labels, Streams};
use stein_record::{Array, Idx};

use crate::pixels::{self, VALUES, divisor};

/// Pixels a side as they come.
const SIDE: usize = 28;
const CLASSES: usize = 10;
/// Sides that pictures can be had in: with a border of two black pixels, as they are, and means of blocks of 2×2 and 4×4.
const SIZES: [usize; 4] = [7, 14, 28, 32];

macro_rules! idx_set {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $paper:literal, $folder:literal) => {
        $(#[$doc])*
        ///
        /// Read from four files, `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same of `t10k`, compressed (`.gz`) or not,
        /// which `stein data fetch` brings. The training rows are the first of `train`, the held-out ones the first of `t10k`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $name {
            /// The folder with the four files; from where the program is run, if it is no absolute path.
            pub folder: String,
            /// Pixels a side: 28 as they are, 32 with a black border, 14 and 7 as means of blocks, rounded to whole grey levels.
            #[schemars(extend("enum" = SIZES))]
            pub size: usize,
            /// Training rows.
            #[schemars(range(min = 1))]
            pub train: usize,
            /// Held-out rows.
            #[schemars(range(min = 1))]
            pub held_out: usize,
            /// Whether uniform noise of one grey level makes a density of the values, (v + u)/256; without it they are v/255.
            pub dequantize: bool,
            /// Whether training batches have pictures mirrored left to right, each with probability ½.
            pub flip: bool,
            /// Whether networks see the logits of the values, each a millionth away from 0 and 1. Samples are mapped back; needs `dequantize`.
            pub logit: bool,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { folder: $folder.into(), size: SIDE, train: 60_000, held_out: 10_000, dequantize: true, flip: false, logit: false }
            }
        }

        impl Component<DataPart> for $name {
            const KIND: &'static str = $kind;
            const PAPER: &'static str = $paper;

            fn check(&self) -> Result<(), Invalid> {
                pixels::check(self.size, &SIZES, [("train", self.train), ("held-out", self.held_out)])?;
                pixels::check_logit(self.logit, self.dequantize)
            }

            fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
                let files = Files { folder: Path::new(&self.folder), kind: $kind };
                let (train, train_labels) = files.read("train", "train", self.train, self.size, self.dequantize)?;
                let (held_out, held_out_labels) =
                    files.read("t10k", "held-out", self.held_out, self.size, self.dequantize)?;
                Ok(Dataset {
                    train,
                    held_out,
                    image: Some(ImageShape { height: self.size, width: self.size, channels: 1 }),
                    range: Some([0.0, 1.0]),
                    dequantize: self.dequantize.then_some(1.0 / VALUES),
                    labels: Some(Labels { train: train_labels, held_out: held_out_labels, count: CLASSES }),
                    flip: self.flip,
                    logit: self.logit,
                    ..Dataset::default()
                })
            }
        }
    };
}

idx_set!(
    /// 70,000 handwritten digits of 28×28 grey pixels, white on black; a row's class is the digit.
    Mnist,
    "mnist",
    "LeCun, Cortes & Burges 1998, The MNIST database of handwritten digits",
    "data/mnist"
);

idx_set!(
    /// 70,000 grey pictures of clothes of 28×28 pixels in ten classes: t-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker,
    /// bag, ankle boot.
    FashionMnist,
    "fashion-mnist",
    "Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747",
    "data/fashion-mnist"
);

/// The four files.
struct Files<'a> {
    folder: &'a Path,
    kind: &'a str,
}

impl Files<'_> {
    /// The first `rows` pictures `[rows, size²]` of a part, and their classes.
    fn read(
        &self,
        part: &str,
        key: &str,
        rows: usize,
        size: usize,
        dequantize: bool,
    ) -> Result<(Array, Vec<u32>), Invalid> {
        let images_name = format!("{part}-images-idx3-ubyte");
        let (images, labels) = (self.file(&images_name)?, self.file(&format!("{part}-labels-idx1-ubyte"))?);
        let damaged = |what: String| Invalid::key("folder", format!("{}: {what}", self.folder.display()));
        let &[count, SIDE, SIDE] = &images.shape[..] else {
            let shape = &images.shape;
            return Err(damaged(format!(
                "{images_name} has the shape {shape:?}; pictures of {SIDE}×{SIDE} are wanted"
            )));
        };
        if labels.shape != [count] {
            let shape = &labels.shape;
            return Err(damaged(format!(
                "there are {count} pictures in {images_name}, and labels of the shape {shape:?}"
            )));
        }
        if let Some(label) = labels.data.iter().find(|&&label| usize::from(label) >= CLASSES) {
            return Err(damaged(format!("a label of {part} is {label}; they are 0 to {}", CLASSES - 1)));
        }
        if rows > count {
            return Err(Invalid::key(key, format!("`{key}` is {rows}; {images_name} has {count} pictures")));
        }
        let divisor = divisor(dequantize);
        let mut data = Vec::with_capacity(rows * size * size);
        for picture in images.data.chunks_exact(SIDE * SIDE).take(rows) {
            data.extend(sized(picture, size).into_iter().map(|v| f32::from(v) / divisor));
        }
        Ok((Array::new([rows, size * size], data), labels.data[..rows].iter().map(|&label| label.into()).collect()))
    }

    fn file(&self, name: &str) -> Result<Idx, Invalid> {
        let path = self.folder.join(name);
        match Idx::read(&path) {
            Ok(Some(idx)) => Ok(idx),
            Ok(None) => Err(Invalid::key(
                "folder",
                format!(
                    "there is no {} or {name}.gz; `{}` brings the four files",
                    path.display(),
                    pixels::fetch(self.kind, self.folder)
                ),
            )),
            Err(error) => Err(Invalid::key("folder", error.to_string())),
        }
    }
}

/// A picture of another size.
fn sized(picture: &[u8], size: usize) -> Vec<u8> {
    let border = size.saturating_sub(SIDE) / 2;
    if border == 0 {
        return pixels::means(picture, SIDE, SIDE / size);
    }
    let inside = |i: usize| (border..SIDE + border).contains(&i).then(|| i - border);
    let pixel = |i: usize| inside(i / size).zip(inside(i % size)).map_or(0, |(y, x)| picture[y * SIDE + x]);
    (0..size * size).map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(shape: &[usize], data: &[u8]) -> Vec<u8> {
        Idx { shape: shape.into(), data: data.into() }.to_bytes()
    }

    /// Picture i has the value i + x in column x, and class i.
    fn folder(pictures: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for part in ["train", "t10k"] {
            let data: Vec<u8> = (0..pictures * SIDE * SIDE).map(|i| (i / (SIDE * SIDE) + i % SIDE) as u8).collect();
            let labels: Vec<u8> = (0..pictures as u8).collect();
            let path = |name: &str| folder.path().join(format!("{part}-{name}-ubyte"));
            std::fs::write(path("images-idx3"), idx(&[pictures, SIDE, SIDE], &data)).unwrap();
            std::fs::write(path("labels-idx1"), idx(&[pictures], &labels)).unwrap();
        }
        folder
    }

    fn of(folder: &tempfile::TempDir) -> Mnist {
        let folder = folder.path().to_str().unwrap().into();
        Mnist { folder, train: 3, held_out: 2, dequantize: false, ..Mnist::default() }
    }

    #[test]
    fn pictures_and_classes_come_in_order() {
        let folder = folder(4);
        let data = of(&folder).build(Streams::new(0)).unwrap();
        assert_eq!((data.train.rows(), data.held_out.rows(), data.dimension()), (3, 2, 784));
        let labels = data.labels.as_ref().unwrap();
        assert_eq!((&labels.train[..], &labels.held_out[..], labels.count), (&[0, 1, 2][..], &[0, 1][..], 10));
        assert_eq!(data.train.row(2)[SIDE + 5], 7.0 / 255.0);
        let dequantized = Mnist { dequantize: true, ..of(&folder) }.build(Streams::new(0)).unwrap();
        assert_eq!((dequantized.train.row(2)[5], dequantized.dequantize), (7.0 / 256.0, Some(1.0 / 256.0)));
    }

    #[test]
    fn sizes_are_means_of_blocks_or_a_border() {
        let folder = folder(1);
        let row = |size| {
            let data = Mnist { size, train: 1, held_out: 1, ..of(&folder) }.build(Streams::new(0)).unwrap();
            assert_eq!(data.image.unwrap().dimension(), size * size);
            data.train.row(0).iter().map(|v| (v * 255.0).round() as usize).collect::<Vec<_>>()
        };
        // The mean of 2x and 2x + 1 is rounded up, that of 4x to 4x + 3 too.
        assert_eq!(row(14)[14..28], (0..14).map(|x| 2 * x + 1).collect::<Vec<_>>());
        assert_eq!(row(7)[..7], (0..7).map(|x| 4 * x + 2).collect::<Vec<_>>());
        let wide = row(32);
        assert!(wide[..64].iter().all(|&v| v == 0) && wide[64..66] == [0, 0] && wide[94..96] == [0, 0]);
        assert_eq!(wide[66..94], (0..28).collect::<Vec<_>>());
        assert!(
            Mnist { size: 16, ..of(&folder) }.check().is_err() && Mnist { train: 0, ..of(&folder) }.check().is_err()
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let said = |spoil: &dyn Fn(&Path), mnist: &dyn Fn(Mnist) -> Mnist| {
            let folder = folder(4);
            spoil(folder.path());
            mnist(of(&folder)).build(Streams::new(0)).unwrap_err().to_string()
        };
        let same = |mnist: Mnist| mnist;
        let write =
            |name: &'static str, bytes: Vec<u8>| move |at: &Path| std::fs::write(at.join(name), &bytes).unwrap();
        let absent = said(&|at| std::fs::remove_file(at.join("t10k-labels-idx1-ubyte")).unwrap(), &same);
        assert!(absent.contains("`stein data fetch mnist --to /"), "{absent}");
        let images = "train-images-idx3-ubyte";
        assert!(said(&write(images, idx(&[1, 8, 8], &[0; 64])), &same).contains("28×28"));
        assert!(said(&write(images, idx(&[784], &[0; 784])), &same).contains("28×28"));
        assert!(said(&write(images, b"<html>".to_vec()), &same).contains("web page"));
        assert!(said(&write("train-labels-idx1-ubyte", idx(&[3], &[0; 3])), &same).contains("4 pictures"));
        assert!(said(&write("train-labels-idx1-ubyte", idx(&[4], &[0, 1, 2, 10])), &same).contains("is 10"));
        let many = said(&|_| (), &|mnist| Mnist { train: 5, ..mnist });
        assert!(many.contains("`train` is 5") && many.contains("has 4 pictures"), "{many}");
    }
}
