//! Networks against somebody else's: parity files.
//!
//! A parity file is a safetensors file of `f32` tensors: `x [B, C, H, W]`, or `[B, D]` of what are no images; `sigma [B]`, or
//! `label [B]` with the number of each example's level, or both; a state dict under `network.`, as PyTorch has it; `output`, of the
//! shape of `x`: the score there. `output.S`, with a number for S, is the score of all weights times S. Its metadata are `network`,
//! the `[network]` table of an experiment as JSON; `sigmas`, the ladder as a JSON list, which may be left out where no label needs
//! it; `scale`, by which all weights are multiplied first, if it is there; `image`, `[C, H, W]` as JSON, if it is there; and `source`,
//! free text. Scores are computed in double precision, so that only formulae can differ, and once more in single precision, as a run
//! computes them, where large weights may overflow with anybody's code.

use burn::tensor::{Device, FloatDType, Tensor};
use stein_core::{Condition, ImageShape, Levels, Registry, ScoreNetwork};
use stein_networks::Parameterized;
use stein_record::Array;
use stein_record::arrays::ArrayFile;
use stein_record::source::Source;

use crate::flat::from_host;
use crate::state_dict::{Shapes, parameters};
use crate::verify::{source_of, tensor, to_f64};
use crate::{Layout, VectorError};

/// What comes before the names of the state dict, and before the scale of further outputs.
const NETWORK: &str = "network.";
const OUTPUT: &str = "output";
/// A network is built before its weights are compared with the file's; no number in its table may be above this and above every extent.
const WIDTH: u64 = 256;

/// The largest error at one level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutputError {
    /// σ.
    pub sigma: f64,
    /// By which all weights were multiplied.
    pub scale: f64,
    /// max |ours − theirs| over max |theirs|, over the examples of that σ, in double precision.
    pub double: f64,
    /// In single precision.
    pub single: f64,
}

/// What a parity file tells.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedOutputs {
    /// The errors, by scale and then by descending σ.
    pub errors: Vec<OutputError>,
    /// Where the file comes from.
    pub source: String,
    /// Tensors that no such file has, by name.
    pub unused: Vec<String>,
}

impl VerifiedOutputs {
    /// The largest of the errors in double precision; no number if one is none.
    pub fn worst(&self) -> f64 {
        largest(self.errors.iter().map(|e| e.double))
    }
}

/// Whether a file is a parity file: it says what a network puts out.
pub fn holds_outputs(file: &ArrayFile) -> bool {
    file.arrays.contains_key(OUTPUT)
}

/// Checks one parity file; `name` is what messages call it.
///
/// # Errors
/// If the file is not a parity file.
pub fn verify_outputs(name: &str, file: &ArrayFile, registry: &Registry) -> Result<VerifiedOutputs, VectorError> {
    let parity = Parity::read(file)?;
    let table = file.metadata.get("network").ok_or_else(|| "there is no `network` in its metadata".to_owned())?;
    let text = network_toml(table, file)?;
    let wrong = |diagnostics| VectorError::Experiment(Box::new(source_of(name, &text)), diagnostics);
    let source = Source::new(format!("{name}, network"), text.as_bytes()).map_err(wrong)?;
    let device = Device::flex();
    let rows = (parity.x.row_length(), parity.image);
    let network =
        stein_experiment::network_of(&source, rows, parity.ladder.clone(), registry, &device).map_err(wrong)?;
    let layout = Layout::of(&network);
    let own =
        file.arrays.iter().filter_map(|(name, array)| Some((name.strip_prefix(NETWORK)?, array.shape.as_slice())));
    let shapes = Shapes::new(own);
    shapes.check(&layout).map_err(|differences| format!("its `{NETWORK}…` is another network's:\n{differences}"))?;
    let read = |name: &str| {
        let array = file.arrays.get(&format!("{NETWORK}{}", shapes.whole(name)));
        array.cloned().ok_or_else(|| "it is not there".into())
    };
    let weights = parameters(&layout, read)?;
    let mut errors = Vec::new();
    for &(scale, output) in &parity.outputs {
        let of = |dtype| {
            let scaled = from_host(weights.clone(), &device).cast(dtype) * scale;
            parity.errors(&layout.unflatten(network.clone(), scaled), output, dtype, &device)
        };
        let both = of(FloatDType::F64).into_iter().zip(of(FloatDType::F32));
        errors.extend(both.map(|((sigma, double), (_, single))| OutputError { sigma, scale, double, single }));
    }
    let known =
        |name: &str| ["x", "sigma", "label"].contains(&name) || name.starts_with(NETWORK) || scale_of(name).is_some();
    Ok(VerifiedOutputs {
        errors,
        source: file.metadata.get("source").cloned().unwrap_or_default(),
        unused: file.arrays.keys().filter(|name| !known(name)).cloned().collect(),
    })
}

/// The `[network]` table as TOML, if it does not ask for far more than the file holds.
fn network_toml(json: &str, file: &ArrayFile) -> Result<String, String> {
    let wrong = |e: String| format!("`network` in its metadata is no [network] table as JSON: {e}");
    let table: toml::Table = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
    let widest = file.arrays.values().flat_map(|a| &a.shape).fold(WIDTH, |most, &d| most.max(d as u64));
    fn largest(value: &toml::Value) -> u64 {
        match value {
            toml::Value::Integer(n) => n.unsigned_abs(),
            toml::Value::Array(values) => values.iter().map(largest).max().unwrap_or(0),
            toml::Value::Table(table) => table.values().map(largest).max().unwrap_or(0),
            _ => 0,
        }
    }
    if let Some((key, asked)) = table.iter().map(|(key, value)| (key, largest(value))).find(|(_, n)| *n > widest) {
        return Err(format!("its network has `{key}` = {asked}, and no tensor in it is as wide"));
    }
    toml::to_string(&toml::Table::from_iter([("network".to_owned(), toml::Value::Table(table))]))
        .map_err(|e| wrong(e.to_string()))
}

/// The scale of an output's name: `output` is that of the weights themselves.
fn scale_of(name: &str) -> Option<f64> {
    let rest = name.strip_prefix(OUTPUT)?;
    if rest.is_empty() {
        return Some(1.0);
    }
    rest.strip_prefix('.')?.parse().ok().filter(|scale: &f64| scale.is_finite() && *scale != 0.0)
}

/// The tensors of a parity file, of shapes that fit.
struct Parity<'a> {
    x: &'a Array,
    image: Option<ImageShape>,
    /// σ of each example.
    sigma: Vec<f32>,
    ladder: Vec<f64>,
    outputs: Vec<(f64, &'a Array)>,
}

impl<'a> Parity<'a> {
    fn read(file: &'a ArrayFile) -> Result<Self, String> {
        let x = file.arrays.get("x").ok_or("there is no tensor `x`")?;
        let image = match x.shape[..] {
            [_, channels, height, width] => Some(ImageShape { height, width, channels }),
            [_, _] => None,
            _ => return Err(format!("`x` has the shape {:?}; it must be [B, C, H, W], or [B, D]", x.shape)),
        };
        if x.data.is_empty() {
            return Err(format!("`x` has the shape {:?}: there is nothing in it", x.shape));
        }
        if let Some(asked) = numbers(file, "image")?
            && !asked.iter().copied().eq(x.shape[1..].iter().map(|&d| d as f64))
        {
            return Err(format!("`image` in its metadata is {asked:?}, and `x` has the shape {:?}", x.shape));
        }
        let (sigma, ladder) = levels(file, x.rows())?;
        let first = match numbers(file, "scale")?.as_deref() {
            None => 1.0,
            Some(&[scale]) if scale != 0.0 => scale,
            Some(_) => return Err("`scale` in its metadata must be one number, not 0".into()),
        };
        let outputs = file.arrays.iter().filter_map(|(name, array)| Some((scale_of(name)? * first, name, array)));
        let outputs: Vec<(f64, &Array)> = outputs
            .map(|(scale, name, array)| match array.shape == x.shape {
                true => Ok((scale, array)),
                false => {
                    Err(format!("`{name}` has the shape {:?}; it must be that of `x`, {:?}", array.shape, x.shape))
                }
            })
            .collect::<Result<_, String>>()?;
        let all = outputs.iter().map(|(_, array)| *array).chain([x]);
        if let Some(value) = all.flat_map(|a| &a.data).find(|value| !value.is_finite()) {
            return Err(format!("a number in `x` or `{OUTPUT}` is {value}; they must be finite"));
        }
        Ok(Self { x, image, sigma, ladder, outputs })
    }

    /// Our score's errors at each σ, which comes with it, in one precision.
    fn errors(&self, network: &Parameterized, output: &Array, dtype: FloatDType, device: &Device) -> Vec<(f64, f64)> {
        let [batch, d] = [self.x.rows(), self.x.row_length()];
        let sigma: Tensor<1> = tensor(&Array::new([batch], self.sigma.clone()), dtype, device);
        let condition = Condition::new(Levels { alpha: sigma.ones_like(), sigma });
        let x: Tensor<2> = tensor(&Array::new([batch, d], self.x.data.clone()), dtype, device);
        let ours = to_f64(network.score(x, &condition).reshape([-1]));
        let mut sigmas = self.sigma.clone();
        sigmas.sort_by(|a, b| b.total_cmp(a));
        sigmas.dedup();
        let error = |sigma: f32| {
            let rows = || (0..batch).filter(move |&i| self.sigma[i] == sigma);
            let both = rows().flat_map(|i| ours[i * d..(i + 1) * d].iter().zip(output.row(i)));
            let distance = largest(both.map(|(&a, &b)| (a - f64::from(b)).abs()));
            let size = largest(rows().flat_map(|i| output.row(i)).map(|&b| f64::from(b).abs()));
            if distance == 0.0 { 0.0 } else { distance / size }
        };
        sigmas.into_iter().map(|sigma| (sigma.into(), error(sigma))).collect()
    }
}

/// σ of each of so many examples, and the ladder.
fn levels(file: &ArrayFile, batch: usize) -> Result<(Vec<f32>, Vec<f64>), String> {
    let of = |name: &str| match file.arrays.get(name) {
        Some(array) if array.shape != [batch] => {
            Err(format!("`{name}` has the shape {:?}; with this `x` it must be [{batch}]", array.shape))
        }
        found => Ok(found.map(|array| array.data.clone())),
    };
    let (sigma, label, ladder) = (of("sigma")?, of("label")?, numbers(file, "sigmas")?);
    if let Some(wrong) = sigma.iter().flatten().find(|s| !(s.is_finite() && **s > 0.0)) {
        return Err(format!("a `sigma` is {wrong}; they must be above 0 and finite"));
    }
    let of_labels = match (&label, &ladder) {
        (None, _) => None,
        (Some(_), None) => return Err("there is a `label`, but no `sigmas` in its metadata".into()),
        (Some(labels), Some(ladder)) => {
            let sigma = |&label: &f32| {
                let level = if label.fract() == 0.0 && label >= 0.0 { ladder.get(label as usize) } else { None };
                level.map(|&sigma| sigma as f32).ok_or_else(|| {
                    format!(
                        "a `label` is {label}; with these `sigmas` they must be from 0 to {}",
                        ladder.len().saturating_sub(1)
                    )
                })
            };
            Some(labels.iter().map(sigma).collect::<Result<Vec<f32>, String>>()?)
        }
    };
    let sigma = match (sigma, of_labels) {
        (None, None) => return Err("there is neither `sigma` nor `label`".into()),
        (Some(sigma), None) | (None, Some(sigma)) => sigma,
        (Some(sigma), Some(of_labels)) => {
            let differs = |(a, b): &(&f32, &f32)| (*a - *b).abs() > 1e-5 * b.abs();
            if let Some((sigma, of_label)) = sigma.iter().zip(&of_labels).find(differs) {
                return Err(format!("a `sigma` is {sigma}, where its `label` is that of {of_label}"));
            }
            sigma
        }
    };
    let ladder = ladder.unwrap_or_else(|| {
        let mut own: Vec<f64> = sigma.iter().map(|&s| s.into()).collect();
        own.sort_by(|a, b| b.total_cmp(a));
        own.dedup();
        own
    });
    Ok((sigma, ladder))
}

/// An entry of the metadata, a number or a list of numbers in JSON; `None` if it is not there.
fn numbers(file: &ArrayFile, name: &str) -> Result<Option<Vec<f64>>, String> {
    let Some(text) = file.metadata.get(name) else { return Ok(None) };
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let found = match &value {
        serde_json::Value::Array(values) => values.iter().map(serde_json::Value::as_f64).collect(),
        one => one.as_f64().map(|number| vec![number]),
    };
    found.map(Some).ok_or_else(|| format!("`{name}` in its metadata holds no numbers in JSON"))
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most: f64, v| if v > most || v.is_nan() { v } else { most })
}
