//! Weights in PyTorch's names and layout: `network.safetensors`, and what users take away.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::Device;
use serde_json::json;
use stein_core::{Component, Invalid, NetworkPart, to_host};
use stein_experiment::Plan;
use stein_networks::{NcsnppConfig, Ncsnv2Config, Parameterized, Sde};
use stein_record::arrays::ArrayFile;
use stein_record::{Array, RecordError, RunDir};

use crate::flat::{Entry, Layout, from_host};
use crate::state_dict::SIGMAS;
use crate::{RunError, Trainee, TrainingState, shared};

/// A parameter's name in PyTorch, and whether burn holds it transposed.
pub(crate) fn torch_name(entry: &Entry) -> (String, bool) {
    // The parameterisation wraps the network; its author's names begin inside.
    let name = entry.fields.strip_prefix("network.").unwrap_or(&entry.fields);
    let (path, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    // burn's own norms, not those of a network that calls them so itself.
    let leaf = match (leaf, entry.layer.ends_with("Norm")) {
        ("gamma", true) => "weight",
        ("beta", true) => "bias",
        (other, _) => other,
    };
    let name = if path.is_empty() { leaf.to_owned() } else { format!("{path}.{leaf}") };
    let transposed = entry.layer.ends_with(":Linear") && leaf == "weight";
    (name, transposed)
}

/// The averaged weights of a state as a file; its metadata carry the `[network]` table, the step and the average's decay.
pub fn network_file(layout: &Layout, state: &TrainingState, network: &toml::Value, ema: f64) -> ArrayFile {
    let metadata = BTreeMap::from([
        ("format".into(), "pt".into()),
        ("network".into(), network.to_string()),
        ("step".into(), state.step.to_string()),
        ("ema".into(), ema.to_string()),
    ]);
    ArrayFile { arrays: torch_arrays(layout, &to_host(layout.averaged(state))), metadata }
}

/// A vector of parameters as PyTorch's tensors.
pub(crate) fn torch_arrays(layout: &Layout, values: &[f32]) -> BTreeMap<String, Array> {
    let arrays = layout.entries().iter().map(|entry| {
        let own = values[entry.offset..entry.offset + entry.length()].to_vec();
        let (name, transposed) = torch_name(entry);
        let array = Array::new(entry.shape.clone(), own);
        (name, if transposed { transpose(&array) } else { array })
    });
    arrays.collect()
}

/// Which weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichWeights {
    /// The averaged ones, which samples are drawn with.
    Averaged,
    /// Those that the last checkpoint holds.
    Last,
}

impl WhichWeights {
    /// What metadata and records call them.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Averaged => "averaged",
            Self::Last => "last",
        }
    }
}

/// A run's weights for other programs: as `network.safetensors` has them, and the entry `stein` of the metadata tells in JSON all
/// that the score's formula needs: the `[network]` table, the data's dimension, the noise levels.
///
/// # Errors
/// If there are no such weights, or they are damaged.
pub fn export_weights(
    plan: &Plan,
    run: &RunDir,
    weights: WhichWeights,
    device: &Device,
) -> Result<ArrayFile, RunError> {
    let mut file = trained(run, plan.parameters())?;
    let imported = run.read_record()?.and_then(|record| record.imported);
    let word = match &imported {
        // What came from elsewhere is what it is; there are no checkpoints of it.
        Some(imported) => imported.weights.clone(),
        None => Some(weights.word().to_owned()),
    };
    if imported.is_some() && weights == WhichWeights::Last && word.as_deref() == Some(WhichWeights::Averaged.word()) {
        return Err(Invalid::new("averaged weights were imported, and no others: leave --raw out").into());
    }
    if imported.is_none() && weights == WhichWeights::Last {
        let (layout, state) = last_state(plan, run, device)?;
        file.arrays = torch_arrays(&layout, &to_host(state.parameters));
        file.metadata.insert("step".into(), state.step.to_string());
        file.metadata.remove("ema");
    }
    let (experiment, levels) = (&plan.experiment, plan.schedule.levels());
    file.arrays.extend(buffers(plan));
    let table = experiment.resolved().remove("network");
    let about = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "experiment": experiment.name,
        "hash": experiment.cell().hash,
        "weights": word,
        "network": table,
        "parameterization": table.as_ref().and_then(|t| t.get("parameterization")),
        "dimension": plan.dataset.dimension(),
        "image": plan.dataset.image.map(|i| [i.height, i.width, i.channels]),
        "classes": plan.classes,
        "sigmas": levels.iter().map(|l| l.sigma).collect::<Vec<_>>(),
        "alphas": levels.iter().map(|l| l.alpha).collect::<Vec<_>>(),
    });
    file.metadata.insert("stein".into(), about.to_string());
    Ok(file)
}

/// What the original module of a plan's network has beside its parameters, for `load_state_dict` wants all: NCSNv2 and the networks of
/// the score SDE a ladder.
fn buffers(plan: &Plan) -> Option<(String, Array)> {
    let is_ncsnv2 = plan.experiment.network.kind() == <Ncsnv2Config as Component<NetworkPart>>::KIND;
    let sigmas: Vec<f32> = match score_sde(plan) {
        // Nothing is read of it there: the ladder of the authors' default configuration.
        Some(config) if config.sde != Sde::Ve => {
            let [first, last] = UNREAD.map(f64::ln);
            let at = |i: usize| (first + (last - first) * i as f64 / (UNREAD_LEVELS - 1) as f64).exp() as f32;
            (0..UNREAD_LEVELS).map(at).collect()
        }
        None if !is_ncsnv2 => return None,
        _ => plan.schedule.levels().iter().map(|level| (level.sigma / level.alpha) as f32).collect(),
    };
    Some((SIGMAS.to_owned(), Array::new([sigmas.len()], sigmas)))
}

/// σ of the ladder that networks of `vp` and `sub-vp` have and do not read, and how many there are.
const UNREAD: [f64; 2] = [50.0, 0.01];
const UNREAD_LEVELS: usize = 1000;

/// The configuration of a plan's network, if it is one of the score SDE.
pub(crate) fn score_sde(plan: &Plan) -> Option<NcsnppConfig> {
    let network = &plan.experiment.network;
    let is_it = network.kind() == <NcsnppConfig as Component<NetworkPart>>::KIND;
    is_it.then(|| network.resolved().try_into().expect("what was resolved can be read again"))
}

/// `network.safetensors`, of so many parameters.
fn trained(run: &RunDir, parameters: usize) -> Result<ArrayFile, RunError> {
    let path = run.network();
    Ok(ArrayFile::read_at_most(&path, parameters)?
        .ok_or_else(|| RecordError::damaged(&path, "there are no trained weights"))?)
}

/// The newest checkpoint, and the layout of the network alone.
fn last_state(plan: &Plan, run: &RunDir, device: &Device) -> Result<(Layout, TrainingState), RunError> {
    let trainee = Trainee::new(plan.network(device)?, plan.objective.clone());
    let layout = Layout::of(&trainee.network);
    let (checkpoints, configuration) = checkpoints_of(plan, run)?;
    let state = TrainingState::restore(&checkpoints, &configuration, &Layout::of(&trainee), device, |_| {})?;
    let none = || RecordError::damaged(checkpoints, "there is no checkpoint, which alone holds the last weights");
    Ok((layout, state.ok_or_else(none)?))
}

/// Where the checkpoints of a run's training are, and of which configuration: in the cell itself, or in the training that it shares.
fn checkpoints_of(plan: &Plan, run: &RunDir) -> Result<(PathBuf, String), RunError> {
    Ok(match shared::directory(plan, run)? {
        Some((id, directory)) => (directory.checkpoints(), id.hash),
        None => (run.checkpoints(), plan.experiment.cell().hash),
    })
}

/// Reads the weights of a run into its network.
///
/// # Errors
/// If the file is missing, damaged, or of another network.
pub fn load_network(plan: &Plan, run: &RunDir, device: &Device) -> Result<Parameterized, RunError> {
    let network = plan.network(device)?;
    let layout = Layout::of(&network);
    let path = run.network();
    let mut file = trained(run, layout.length())?;
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
        let entry = |fields: &str, layer: &str| Entry {
            name: String::new(),
            fields: fields.into(),
            layer: layer.into(),
            shape: vec![2, 3],
            offset: 0,
        };
        assert_eq!(torch_name(&entry("network.layers.0.weight", "Struct:Linear")), ("layers.0.weight".into(), true));
        assert_eq!(torch_name(&entry("network.norm.gamma", "Struct:GroupNorm")), ("norm.weight".into(), false));
        assert_eq!(torch_name(&entry("network.conv.weight", "Struct:Conv2d")), ("conv.weight".into(), false));
        let plus = entry("network.res1.0.normalize1.gamma", "Struct:InstanceNormPlus");
        assert_eq!(torch_name(&plus), ("res1.0.normalize1.gamma".into(), false));
        let nin = entry("network.all_modules.4.NIN_0.W", "Struct:Nin");
        assert_eq!(torch_name(&nin), ("all_modules.4.NIN_0.W".into(), false));
        let embedded = entry("network.all_modules.1.weight", "Struct:Linear");
        assert_eq!(torch_name(&embedded), ("all_modules.1.weight".into(), true));
        let t = transpose(&Array::new([2, 3], vec![1., 2., 3., 4., 5., 6.]));
        assert_eq!((t.shape, t.data), (vec![3, 2], vec![1., 4., 2., 5., 3., 6.]));
    }
}
