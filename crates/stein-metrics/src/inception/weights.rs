//! The file of weights.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use stein_record::arrays::ArrayFile;
use stein_record::torch::{Checkpoint, is_checkpoint};
use stein_record::{Array, RecordError, file, hash};

use super::architecture::{Layer, layers};

/// How the SHA-256 begins of the file that published numbers are by, as its name says: pytorch-fid's release `fid_weights`,
/// `pt_inception-2015-12-05-6726825d.pth`.
const PUBLISHED: &str = "6726825d";

/// Whether they are those that published numbers are by, in words.
pub(super) fn whose(sha256: &str) -> String {
    if sha256.starts_with(PUBLISHED) {
        format!("By the weights {PUBLISHED}, which published numbers are by.")
    } else {
        format!(
            "By weights with the sha256 {}; published numbers are by the file {PUBLISHED}.",
            &sha256[..PUBLISHED.len()]
        )
    }
}

/// Names of a kind of difference that are shown.
const SHOWN: usize = 3;
/// What is meant, for messages.
const MEANT: &str =
    "wanted is pytorch-fid's pt_inception-2015-12-05-6726825d.pth, or a safetensors file of its tensors";

/// Weights of the network in a file that has them all, in the right shapes; the numbers are read when they are asked for.
///
/// The file is a state dict as PyTorch saves it, or safetensors, with torchvision's names; what else it holds, as the last layer `fc`,
/// is left alone. Those of torchvision's own `inception_v3` are refused: they have the same names, and no published number is by them.
#[derive(Debug)]
pub struct InceptionWeights {
    path: PathBuf,
    /// Where in a checkpoint they are; `None` of safetensors.
    table: Option<String>,
}

impl InceptionWeights {
    /// Looks at a file's names and shapes.
    ///
    /// # Errors
    /// If there is none, or it is of neither format; what is missing or of another shape.
    pub fn open(path: &Path) -> Result<Self, String> {
        let named = file::named(path);
        let text = |e: RecordError| e.to_string();
        let opened = file::open(&named).map_err(text)?;
        let mut opened = opened.ok_or_else(|| format!("there is no {}; {MEANT}", path.display()))?;
        let mut start = Vec::new();
        let read = opened.by_ref().take(16).read_to_end(&mut start);
        read.map_err(|e| RecordError::io(&named, "read", e).to_string())?;
        let of = |problem: String| format!("{}: {problem}; {MEANT}", path.display());
        let (table, shapes) = if is_checkpoint(&start) {
            let (table, shapes) = table(&checkpoint(&named).map_err(text)?)
                .ok_or_else(|| of(format!("there is no state dict with a `{}` in it", tensors(&layers()[0])[0].0)))?;
            (Some(table), shapes)
        } else if start.get(8) == Some(&b'{') {
            (None, ArrayFile::shapes(&named).map_err(text)?.unwrap_or_default())
        } else {
            return Err(of("it is neither a checkpoint of PyTorch nor a safetensors file".into()));
        };
        check(&shapes).map_err(of)?;
        Ok(Self { path: named, table })
    }

    /// The SHA-256 of the file's bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sha256(&self) -> Result<String, String> {
        let read = || -> std::io::Result<String> { hash::sha256_of(File::open(&self.path)?) };
        read().map_err(|e| RecordError::io(&self.path, "read", e).to_string())
    }

    /// All tensors, by name.
    ///
    /// # Errors
    /// If the file cannot be read, or a number is not finite.
    pub(super) fn read(&self) -> Result<BTreeMap<String, Array>, String> {
        let wanted: BTreeMap<String, Vec<usize>> = layers().iter().flat_map(tensors).collect();
        let text = |e: RecordError| e.to_string();
        let arrays = match &self.table {
            None => {
                let file = ArrayFile::read_some(&self.path, |name| wanted.contains_key(name)).map_err(text)?;
                file.unwrap_or_default().arrays
            }
            Some(path) => {
                let of = |problem| RecordError::damaged(&self.path, problem).to_string();
                let mut checkpoint = checkpoint(&self.path).map_err(text)?;
                let tables = checkpoint.tables();
                let table = tables.into_iter().find(|table| table.path == *path);
                let mut arrays = BTreeMap::new();
                for (name, tensor) in table.map(|table| table.tensors).unwrap_or_default() {
                    if let Some(shape) = wanted.get(&*name) {
                        let array = checkpoint.array(&tensor, shape.iter().product());
                        arrays.insert(name.to_string(), array.map_err(|e| of(format!("`{name}`: {e}")))?);
                    }
                }
                arrays
            }
        };
        // It may be another file by now.
        let shapes = arrays.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
        let of = |problem| RecordError::damaged(&self.path, problem).to_string();
        check(&shapes).map_err(of)?;
        for (name, array) in &arrays {
            if array.data.iter().any(|x| !x.is_finite()) {
                return Err(of(format!("`{name}` has numbers that are not finite")));
            }
            if let Some(variance) = array.data.iter().find(|&&x| x < 0.0).filter(|_| name.ends_with(".running_var")) {
                return Err(of(format!("`{name}` has a variance of {variance}")));
            }
        }
        Ok(arrays)
    }
}

fn checkpoint(path: &Path) -> Result<Checkpoint, RecordError> {
    Checkpoint::open(path)?.ok_or_else(|| RecordError::damaged(path, "it was there, and is gone"))
}

/// The path and the shapes of the outermost table that has the first layer.
fn table(checkpoint: &Checkpoint) -> Option<(String, BTreeMap<String, Vec<usize>>)> {
    let [(first, _), ..] = tensors(&layers()[0]);
    let table = checkpoint.tables().into_iter().find(|table| table.tensors.iter().any(|(name, _)| **name == *first))?;
    let shapes = table.tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec())).collect();
    Some((table.path, shapes))
}

/// Names and shapes of a layer's tensors: the convolution's weight, and of the batch normalisation γ, β, mean and variance.
pub(super) fn tensors(layer: &Layer) -> [(String, Vec<usize>); 5] {
    let &Layer { ref name, inputs, outputs, kernel: [height, width], .. } = layer;
    let of = |own: &str, shape: Vec<usize>| (format!("{name}.{own}"), shape);
    [
        of("conv.weight", vec![outputs, inputs, height, width]),
        of("bn.weight", vec![outputs]),
        of("bn.bias", vec![outputs]),
        of("bn.running_mean", vec![outputs]),
        of("bn.running_var", vec![outputs]),
    ]
}

/// Says what is missing, and what has another shape.
fn check(shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), String> {
    // The other layers are of the same shapes: it must show by these.
    if shapes.keys().any(|name| name.starts_with("AuxLogits.")) {
        return Err("it holds an auxiliary classifier, as torchvision's `inception_v3` does, by which no FID is".into());
    }
    let (mut missing, mut others) = (Vec::new(), Vec::new());
    for (name, shape) in layers().iter().flat_map(tensors) {
        match shapes.get(&name) {
            None => missing.push(format!("there is no `{name}` {shape:?}")),
            Some(own) if *own != shape => others.push(format!("`{name}` has the shape {own:?}, not {shape:?}")),
            Some(_) => {}
        }
    }
    let differences: Vec<String> = [missing, others].into_iter().flat_map(first_few).collect();
    if differences.is_empty() { Ok(()) } else { Err(differences.join(", ")) }
}

fn first_few(mut all: Vec<String>) -> Vec<String> {
    let more = all.len().saturating_sub(SHOWN);
    if more > 0 {
        all.truncate(SHOWN);
        all.push(format!("and {more} more of this sort"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::testing::{drawn, written};
    use super::*;

    #[test]
    fn what_is_missing_or_of_another_shape_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let said = InceptionWeights::open(&path).unwrap_err();
        assert!(said.contains("there is no") && said.contains("pt_inception-2015-12-05-6726825d.pth"), "{said}");

        let mut arrays = drawn(1);
        arrays.remove("Mixed_5b.branch1x1.bn.bias");
        arrays.insert("Mixed_7c.branch_pool.bn.weight".into(), Array::new([3], vec![1.0; 3]));
        written(&path, arrays);
        let said = InceptionWeights::open(&path).unwrap_err();
        for words in [
            "w.safetensors: there is no `Mixed_5b.branch1x1.bn.bias` [64]",
            "`Mixed_7c.branch_pool.bn.weight` has the shape [3], not [192]",
        ] {
            assert!(said.contains(words), "{said}");
        }
        written(&path, BTreeMap::from([("x".into(), Array::new([1], vec![0.0]))]));
        let said = InceptionWeights::open(&path).unwrap_err();
        assert!(said.contains("`Conv2d_1a_3x3.conv.weight` [32, 3, 3, 3]") && said.contains("and 467 more"), "{said}");

        std::fs::write(&path, "neither").unwrap();
        assert!(
            InceptionWeights::open(&path)
                .unwrap_err()
                .contains("neither a checkpoint of PyTorch nor a safetensors file")
        );
    }

    #[test]
    fn torchvisions_own_weights_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let mut arrays = drawn(1);
        arrays.insert("fc.weight".into(), Array::new([2, 3], vec![0.0; 6]));
        written(&path, arrays.clone());
        let weights = InceptionWeights::open(&path).unwrap();
        assert_eq!(weights.read().unwrap().len(), 470, "what else there is does no harm");
        assert_eq!(weights.sha256().unwrap(), hash::sha256(&std::fs::read(&path).unwrap()));
        arrays.insert("AuxLogits.conv0.bn.bias".into(), Array::new([1], vec![0.0]));
        written(&path, arrays.clone());
        assert!(InceptionWeights::open(&path).unwrap_err().contains("auxiliary classifier"));

        arrays.remove("AuxLogits.conv0.bn.bias");
        arrays.get_mut("Mixed_6a.branch3x3.bn.running_var").unwrap().data[7] = f32::NAN;
        written(&path, arrays);
        let said = InceptionWeights::open(&path).unwrap().read().unwrap_err();
        assert!(said.contains("`Mixed_6a.branch3x3.bn.running_var` has numbers that are not finite"), "{said}");

        let mut arrays = drawn(1);
        arrays.get_mut("Mixed_6a.branch3x3.bn.running_var").unwrap().data[7] = -1.0;
        written(&path, arrays);
        let said = InceptionWeights::open(&path).unwrap().read().unwrap_err();
        assert!(said.contains("`Mixed_6a.branch3x3.bn.running_var` has a variance of -1"), "{said}");
    }
}
