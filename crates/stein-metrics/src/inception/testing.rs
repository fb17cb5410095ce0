//! What the tests share.

use std::collections::BTreeMap;
use std::path::Path;

use stein_core::Streams;
use stein_record::Array;
use stein_record::arrays::ArrayFile;

use super::architecture::layers;
use super::weights::tensors;

/// Weights by chance, such that numbers neither grow nor vanish from layer to layer.
pub(super) fn drawn(seed: u64) -> BTreeMap<String, Array> {
    let mut noise = Streams::new(seed).at("inception", 0);
    let mut out = BTreeMap::new();
    for layer in layers() {
        let fan = (layer.inputs * layer.kernel[0] * layer.kernel[1]) as f32;
        for (i, (name, shape)) in tensors(&layer).into_iter().enumerate() {
            let count = shape.iter().product();
            let z = noise.normals(count);
            let value = |z: f32| match i {
                0 => z * (2.0 / fan).sqrt(),
                1 => 1.0 + 0.1 * z,
                2 | 3 => 0.1 * z,
                _ => 1.0 + 0.3 * z.tanh(),
            };
            out.insert(name, Array::new(shape, z.into_iter().map(value).collect()));
        }
    }
    out
}

pub(super) fn written(path: &Path, arrays: BTreeMap<String, Array>) {
    ArrayFile { arrays, metadata: BTreeMap::new() }.write(path).unwrap();
}
