//! CIFAR-10 and CIFAR-100.

use std::io::BufReader;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, ImageShape, Invalid, Labels, Streams};
use stein_files::cifar::{Layout, PIXELS, Records, SIDE};
use stein_files::tar;
use stein_record::{Array, RecordError, file};

use crate::files::{self, FileSet};
use crate::pixels::{self, VALUES, divisor};

const CHANNELS: usize = 3;
/// Sides that pictures can be had in: as they are, and means of blocks of 2×2 and 4×4.
const SIZES: [usize; 3] = [8, 16, 32];

macro_rules! cifar_set {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $folder:literal, {$($(#[$more:meta])* $key:ident: $type:ty = $value:expr),*}, $layout:expr) => {
        $(#[$doc])*
        ///
        /// Read from the files of the binary version, which `stein data fetch` brings, or from its archive, in `folder`. The training rows
        /// are the first of the training files, the held-out ones the first of the test file.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $name {
            /// The folder with the files; from where the program is run, if it is no absolute path.
            pub folder: String,
            /// Pixels a side: 32 as they are, 16 and 8 as means of blocks, rounded to whole levels.
            #[schemars(extend("enum" = SIZES))]
            pub size: usize,
            /// Training rows.
            #[schemars(range(min = 1))]
            pub train: usize,
            /// Held-out rows.
            #[schemars(range(min = 1))]
            pub held_out: usize,
            $($(#[$more])* pub $key: $type,)*
            /// Whether uniform noise of one level makes a density of the values, (v + u)/256; without it they are v/255.
            pub dequantize: bool,
            /// Whether training batches have pictures mirrored left to right, each with probability ½.
            pub flip: bool,
            /// Whether networks see the logits of the values, each a millionth away from 0 and 1. Samples are mapped back; needs `dequantize`.
            pub logit: bool,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    folder: $folder.into(),
                    size: SIDE,
                    train: 50_000,
                    held_out: 10_000,
                    $($key: $value,)*
                    dequantize: true,
                    flip: false,
                    logit: false,
                }
            }
        }

        impl Component<DataPart> for $name {
            const KIND: &'static str = $kind;
            const PAPER: &'static str = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images";

            fn check(&self) -> Result<(), Invalid> {
                pixels::check(self.size, &SIZES, [("train", self.train), ("held-out", self.held_out)])?;
                pixels::check_logit(self.logit, self.dequantize)
            }

            fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
                let layout: fn(&Self) -> Layout = $layout;
                let layout = layout(self);
                let all = read(Path::new(&self.folder), $kind, layout)?;
                let (held_out, train) = all.split_last().ok_or_else(|| Invalid::new("there are no files"))?;
                let (train, train_labels) = rows(train, "train", self.train, self.size, self.dequantize)?;
                let held_out = std::slice::from_ref(held_out);
                let (held_out, held_out_labels) = rows(held_out, "held-out", self.held_out, self.size, self.dequantize)?;
                Ok(Dataset {
                    train,
                    held_out,
                    image: Some(ImageShape { height: self.size, width: self.size, channels: CHANNELS }),
                    range: Some([0.0, 1.0]),
                    dequantize: self.dequantize.then_some(1.0 / VALUES),
                    labels: Some(Labels { train: train_labels, held_out: held_out_labels, count: layout.classes }),
                    flip: self.flip,
                    logit: self.logit,
                    ..Dataset::default()
                })
            }
        }
    };
}

cifar_set!(
    /// 60,000 colour pictures of 32×32 pixels in ten classes: aeroplane, car, bird, cat, deer, dog, frog, horse, ship, lorry.
    Cifar10,
    "cifar10",
    "data/cifar10",
    {},
    |_| Layout { labels: 1, label: 0, classes: 10 }
);

cifar_set!(
    /// 60,000 colour pictures of 32×32 pixels in a hundred classes, or in the twenty that these belong to.
    Cifar100,
    "cifar100",
    "data/cifar100",
    {
        /// Which label is a row's class.
        label: Label = Label::Fine
    },
    |set| match set.label {
        Label::Fine => Layout { labels: 2, label: 1, classes: 100 },
        Label::Coarse => Layout { labels: 2, label: 0, classes: 20 },
    }
);

/// What of CIFAR-100's labels is a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// One of a hundred.
    #[default]
    Fine,
    /// One of the twenty that these are put together in.
    Coarse,
}

/// The records of each file of a set, the test file last: from files in the folder, or in the folder in it that the archive unpacks
/// to, or from the archive itself.
fn read(folder: &Path, kind: &str, layout: Layout) -> Result<Vec<Records>, Invalid> {
    let set = files::set(kind).ok_or_else(|| Invalid::new(format!("nothing is known of the files of {kind}")))?;
    let unpacked = [folder.to_owned(), folder.join("cifar-10-batches-bin"), folder.join("cifar-100-binary")];
    if let Some(at) = unpacked.iter().find(|at| at.join(set.members[0].name).exists()) {
        return set.members.iter().map(|member| one(&at.join(member.name), member.bytes, layout)).collect();
    }
    let archive = folder.join(set.files[0].name);
    let failed = |error: RecordError| Invalid::key("folder", error.to_string());
    match file::open(&file::named(&archive)).map_err(failed)? {
        Some(from) => read_archive(from, set, layout).map_err(|what| failed(RecordError::damaged(&archive, what))),
        None => Err(absent(set, folder)),
    }
}

fn absent(set: &FileSet, folder: &Path) -> Invalid {
    let (file, archive) = (folder.join(set.members[0].name), set.files[0].name);
    let (file, fetch) = (file.display(), pixels::fetch(set.kind, folder));
    Invalid::key("folder", format!("there is no {file}, nor {archive} beside it; `{fetch}` brings the files"))
}

fn one(path: &Path, most: u64, layout: Layout) -> Result<Records, Invalid> {
    let failed = |error: RecordError| Invalid::key("folder", error.to_string());
    match file::read(&file::named(path), most).map_err(failed)? {
        Some(bytes) => Records::parse(bytes, layout).map_err(|what| failed(RecordError::damaged(path, what))),
        None => {
            Err(Invalid::key("folder", format!("there is no {}, but other files of the set are there", path.display())))
        }
    }
}

fn read_archive(from: std::fs::File, set: &FileSet, layout: Layout) -> Result<Vec<Records>, String> {
    let mut all: Vec<Option<Records>> = vec![None; set.members.len()];
    tar::members(BufReader::new(from), set.members, |i, bytes| {
        let records = Records::parse(bytes, layout).map_err(|what| format!("{}: {what}", set.members[i].name))?;
        all[i] = Some(records);
        Ok::<_, String>(())
    })?;
    Ok(all.into_iter().flatten().collect())
}

/// The first `count` pictures `[count, 3 size²]` of some files, and their classes.
fn rows(
    files: &[Records],
    key: &str,
    count: usize,
    size: usize,
    dequantize: bool,
) -> Result<(Array, Vec<u32>), Invalid> {
    let there: usize = files.iter().map(Records::count).sum();
    if count > there {
        return Err(Invalid::key(key, format!("`{key}` is {count}; there are {there} pictures")));
    }
    let all = || files.iter().flat_map(|records| (0..records.count()).map(move |i| (records, i))).take(count);
    let divisor = divisor(dequantize);
    let mut data = Vec::with_capacity(count * CHANNELS * size * size);
    for (records, i) in all() {
        for channel in records.picture(i).chunks_exact(PIXELS / CHANNELS) {
            match SIDE / size {
                1 => data.extend(channel.iter().map(|&v| f32::from(v) / divisor)),
                block => data.extend(pixels::means(channel, SIDE, block).into_iter().map(|v| f32::from(v) / divisor)),
            }
        }
    }
    let labels = all().map(|(records, i)| records.label(i).into()).collect();
    Ok((Array::new([count, CHANNELS * size * size], data), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of two pictures: picture i of file f has the class 2f + i, and channel c of line y has the value 10c + y.
    fn folder(set: &FileSet, labels: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (f, member) in set.members.iter().enumerate() {
            let record = |class: usize| {
                let pixels = (0..PIXELS).map(|i| (10 * (i / (SIDE * SIDE)) + i / SIDE % SIDE) as u8);
                vec![class as u8; labels].into_iter().chain(pixels).collect::<Vec<_>>()
            };
            let bytes = [record(2 * f % 10), record((2 * f + 1) % 10)].concat();
            std::fs::write(folder.path().join(member.name), bytes).unwrap();
        }
        folder
    }

    fn of(folder: &tempfile::TempDir) -> Cifar10 {
        let folder = folder.path().to_str().unwrap().into();
        Cifar10 { folder, train: 7, held_out: 2, dequantize: false, ..Cifar10::default() }
    }

    #[test]
    fn pictures_and_classes_come_in_order() {
        let folder = folder(files::set("cifar10").unwrap(), 1);
        let data = of(&folder).build(Streams::new(0)).unwrap();
        assert_eq!((data.train.rows(), data.held_out.rows(), data.dimension()), (7, 2, 3072));
        let labels = data.labels.as_ref().unwrap();
        assert_eq!(
            (&labels.train[..], &labels.held_out[..], labels.count),
            (&[0, 1, 2, 3, 4, 5, 6][..], &[0, 1][..], 10)
        );
        // Channel first, then lines: the second line of blue.
        assert_eq!(data.train.row(6)[2 * 1024 + 32..][..32], [21.0 / 255.0; 32]);
        let dequantized = Cifar10 { dequantize: true, ..of(&folder) }.build(Streams::new(0)).unwrap();
        assert_eq!((dequantized.train.row(0)[1024], dequantized.dequantize), (10.0 / 256.0, Some(1.0 / 256.0)));
        let half = Cifar10 { size: 16, ..of(&folder) }.build(Streams::new(0)).unwrap();
        // The mean of lines 2y and 2y + 1 is rounded up.
        assert_eq!((half.dimension(), half.train.row(0)[256 + 16 * 3]), (768, (10.0 + 7.0) / 255.0));
    }

    #[test]
    fn fine_classes_or_coarse() {
        let folder = folder(files::set("cifar100").unwrap(), 2);
        // A coarse label of its own.
        let path = folder.path().join("train.bin");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] = 19;
        std::fs::write(path, bytes).unwrap();
        let of = |label| {
            let folder = folder.path().to_str().unwrap().into();
            let set = Cifar100 { folder, train: 2, held_out: 1, label, ..Cifar100::default() };
            set.build(Streams::new(0)).unwrap().labels.unwrap()
        };
        let (fine, coarse) = (of(Label::Fine), of(Label::Coarse));
        assert_eq!((fine.train, fine.held_out, fine.count), (vec![0, 1], vec![2], 100));
        assert_eq!((coarse.train, coarse.held_out, coarse.count), (vec![19, 1], vec![2], 20));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let said = |spoil: &dyn Fn(&Path)| {
            let folder = folder(files::set("cifar10").unwrap(), 1);
            spoil(folder.path());
            of(&folder).build(Streams::new(0)).unwrap_err().to_string()
        };
        let remove = |name: &'static str| move |at: &Path| std::fs::remove_file(at.join(name)).unwrap();
        let write =
            |name: &'static str, bytes: &'static [u8]| move |at: &Path| std::fs::write(at.join(name), bytes).unwrap();
        assert!(said(&remove("test_batch.bin")).contains("no"), "a file is missing");
        let none = said(&remove("data_batch_1.bin"));
        assert!(none.contains("cifar-10-binary.tar.gz") && none.contains("stein data fetch cifar10 --to /"), "{none}");
        assert!(said(&write("data_batch_3.bin", b"<html>")).contains("data_batch_3.bin: it has 6 bytes"));
        let archive = said(&|at| {
            remove("data_batch_1.bin")(at);
            write("cifar-10-binary.tar.gz", b"<html>")(at);
        });
        assert!(archive.contains("gzip"), "{archive}");
        let folder = folder(files::set("cifar10").unwrap(), 1);
        let many = Cifar10 { train: 11, ..of(&folder) }.build(Streams::new(0)).unwrap_err().to_string();
        assert!(many.contains("`train` is 11; there are 10 pictures"), "{many}");
        assert!(Cifar10 { size: 28, ..of(&folder) }.check().unwrap_err().message.contains("8, 16 or 32"));
    }
}
