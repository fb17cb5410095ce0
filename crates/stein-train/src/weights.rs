//! `network.safetensors`: the averaged weights in PyTorch's names and layout.

use std::collections::BTreeMap;

use burn::tensor::Device;
use stein_core::to_host;
use stein_experiment::Plan;
use stein_networks::Parameterized;
use stein_record::arrays::ArrayFile;
use stein_record::{Array, RecordError, RunDir};

use crate::flat::{Entry, Layout, from_host};
use crate::{RunError, TrainingState};

/// A parameter's name in PyTorch, and whether burn holds it transposed.
fn torch_name(entry: &Entry) -> (String, bool) {
    // The parameterisation wraps the network; its author's names begin inside.
    let name = entry.name.strip_prefix("network.").unwrap_or(&entry.name);
    let (path, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    let leaf = match leaf {
        "gamma" => "weight",
        "beta" => "bias",
        other => other,
    };
    let name = if path.is_empty() { leaf.to_owned() } else { format!("{path}.{leaf}") };
    let transposed = entry.layer.ends_with(":Linear") && leaf == "weight";
    (name, transposed)
}

/// The averaged weights of a state as a file; its metadata carry the `[network]` table, the step and the average's decay.
pub fn network_file(layout: &Layout, state: &TrainingState, network: &toml::Value, ema: f64) -> ArrayFile {
    let values = to_host(state.average.clone());
    let arrays = layout.entries().iter().map(|entry| {
        let own = values[entry.offset..entry.offset + entry.length()].to_vec();
        let (name, transposed) = torch_name(entry);
        let array = Array::new(entry.shape.clone(), own);
        (name, if transposed { transpose(&array) } else { array })
    });
    let metadata = BTreeMap::from([
        ("format".into(), "pt".into()),
        ("network".into(), network.to_string()),
        ("step".into(), state.step.to_string()),
        ("ema".into(), ema.to_string()),
    ]);
    ArrayFile { arrays: arrays.collect(), metadata }
}

/// Reads the weights of a run into its network.
///
/// # Errors
/// If the file is missing, damaged, or of another network.
pub fn load_network(plan: &Plan, run: &RunDir, device: &Device) -> Result<Parameterized, RunError> {
    let network = plan.network(device)?;
    let layout = Layout::of(&network);
    let path = run.network();
    let mut file =
        ArrayFile::read(&path)?.ok_or_else(|| RecordError::damaged(&path, "there are no trained weights"))?;
    let mut values = Vec::with_capacity(layout.length());
    for entry in layout.entries() {
        let (name, transposed) = torch_name(entry);
        let problem = |problem: String| RecordError::damaged(&path, problem);
        let array = file.arrays.remove(&name).ok_or_else(|| problem(format!("there is no tensor {name:?}")))?;
        let array = if transposed && array.shape.len() == 2 { transpose(&array) } else { array };
        if array.shape != entry.shape {
            return Err(problem(format!("{name:?} has the shape {:?}, not {:?}", array.shape, entry.shape)).into());
        }
        values.extend(array.data);
    }
    Ok(layout.unflatten(network, from_host(values, device)))
}

pub(crate) fn transpose(array: &Array) -> Array {
    let [rows, columns] = [array.shape[0], array.shape[1]];
    let data = (0..columns).flat_map(|j| (0..rows).map(move |i| array.data[i * columns + j])).collect();
    Array::new([columns, rows], data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_layout_are_pytorchs() {
        let entry =
            |name: &str, layer: &str| Entry { name: name.into(), layer: layer.into(), shape: vec![2, 3], offset: 0 };
        assert_eq!(torch_name(&entry("network.layers.0.weight", "Struct:Linear")), ("layers.0.weight".into(), true));
        assert_eq!(torch_name(&entry("network.norm.gamma", "Struct:GroupNorm")), ("norm.weight".into(), false));
        assert_eq!(torch_name(&entry("network.conv.weight", "Struct:Conv2d")), ("conv.weight".into(), false));
        let t = transpose(&Array::new([2, 3], vec![1., 2., 3., 4., 5., 6.]));
        assert_eq!((t.shape, t.data), (vec![3, 2], vec![1., 4., 2., 5., 3., 6.]));
    }
}
