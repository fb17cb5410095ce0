//! Features of pictures, kept for an experiment's other runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stein_record::arrays::ArrayFile;
use stein_record::{Array, hash};

use super::network::INCEPTION_FEATURES;
use super::pictures::Pictures;

/// Raised when the network or what is done to pictures changes.
const VERSION: u32 = 1;
/// The tensor's name.
const FEATURES: &str = "features";

/// Where the features of pictures by some weights are kept: by the pictures' sum and shape and the weights'.
pub(super) fn file(folder: &Path, pictures: &Pictures, weights: &str) -> PathBuf {
    let key = format!("{VERSION} {weights} {:?} {}", pictures.shape(), hash::sha256(pictures.values()));
    folder.join(format!("inception-{}.safetensors", &hash::sha256(key.as_bytes())[..16]))
}

/// The features of `count` pictures, if the file is there and whole.
pub(super) fn known(file: &Path, count: usize) -> Option<Array> {
    let mut arrays = ArrayFile::read_at_most(file, count * INCEPTION_FEATURES).ok()??.arrays;
    let whole = |array: &Array| array.shape == [count, INCEPTION_FEATURES] && array.data.iter().all(|x| x.is_finite());
    arrays.remove(FEATURES).filter(whole)
}

/// Keeps them. It is only a cache: without it the next run computes them again.
pub(super) fn keep(file: &Path, features: &Array) {
    let arrays = BTreeMap::from([(FEATURES.to_owned(), features.clone())]);
    let _ = ArrayFile { arrays, metadata: BTreeMap::new() }.write(file);
}

#[cfg(test)]
mod tests {
    use stein_core::{Dataset, ImageShape};

    use super::*;

    #[test]
    fn features_are_found_again_by_pictures_and_weights() {
        let folder = tempfile::tempdir().unwrap();
        let data = |height, width| Dataset {
            image: Some(ImageShape { height, width, channels: 1 }),
            range: Some([0.0, 1.0]),
            ..Dataset::default()
        };
        let pictures = |values: [f32; 4], height: usize| {
            Pictures::of(&Array::new([1, 4], values.to_vec()), &data(height, 4 / height)).unwrap()
        };
        let of = |pictures: &Pictures, weights: &str| file(folder.path(), pictures, weights);
        let path = of(&pictures([0.0, 0.25, 0.5, 1.0], 2), "a");
        assert_eq!(path, of(&pictures([0.0, 0.25, 0.5, 1.0001], 2), "a"), "the same bits are the same pictures");
        let others = [
            of(&pictures([0.0, 0.25, 0.5, 0.99], 2), "a"),
            of(&pictures([0.0, 0.25, 0.5, 1.0], 1), "a"),
            of(&pictures([0.0, 0.25, 0.5, 1.0], 2), "b"),
        ];
        assert!(others.iter().all(|other| *other != path));

        assert_eq!(known(&path, 1), None);
        let features = Array::new([1, INCEPTION_FEATURES], vec![0.5; INCEPTION_FEATURES]);
        keep(&path, &features);
        assert_eq!(known(&path, 1), Some(features.clone()));
        assert_eq!(known(&path, 2), None, "of fewer pictures");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(known(&path, 1), None, "damaged");
        keep(&path, &Array::new([1, INCEPTION_FEATURES], vec![f32::NAN; INCEPTION_FEATURES]));
        assert_eq!(known(&path, 1), None);
    }
}
