//! Losses and gradients against somebody else's: test vectors.
//!
//! A vector is a safetensors file of `f32` tensors: `x [B, D]`; `noise [B, D]` and `sigma [B]`, both or none (x̃ = x + σ·noise;
//! without them the objective is taken at x); `probes [M, B, D]`, directions in place of random ones; `network.N.weight
//! [out, in]` and `network.N.bias [out]` of the linear layers in order, as PyTorch has them; `loss [1]`; `grad.N.weight` and
//! `grad.N.bias`, zeros where they are left out. Its metadata are `experiment`, TOML with `[network]` and `[objective]`, and
//! `source`, free text. Everything is computed in double precision, so that only formulae can differ, and once more in single
//! precision, as training does.

use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use stein_core::{Condition, Levels, Objective, Perturbed, Registry, Streams};
use stein_experiment::{VectorParts, VectorTables};
use stein_record::Array;
use stein_record::arrays::ArrayFile;
use stein_record::source::{Diagnostic, Source};

use crate::Layout;
use crate::flat::Entry;

/// How far ours is from theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Our loss.
    pub loss: f64,
    /// |ours − theirs| over max(|theirs|, 1e-3).
    pub loss_error: f64,
    /// ‖ours − theirs‖ over ‖theirs‖, of all gradients together.
    pub gradient_error: f64,
}

/// What a vector tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// In double precision.
    pub double: Verdict,
    /// In single precision.
    pub single: Verdict,
    /// Where the vector comes from.
    pub source: String,
    /// Tensors that no vector has, by name.
    pub unused: Vec<String>,
}

/// Why a file is no vector.
#[derive(Debug)]
pub enum VectorError {
    /// Its tensors or metadata.
    File(String),
    /// Its experiment.
    Experiment(Box<Source>, Vec<Diagnostic>),
}

impl From<String> for VectorError {
    fn from(problem: String) -> Self {
        Self::File(problem)
    }
}

/// The loss is compared relative to at least this.
const LEAST_LOSS: f64 = 1e-3;

/// Checks one vector; `name` is what messages call it.
///
/// # Errors
/// If the file is not a vector.
pub fn verify(name: &str, file: &ArrayFile, registry: &Registry) -> Result<Verified, VectorError> {
    let text = file.metadata.get("experiment").ok_or_else(|| "there is no `experiment` in its metadata".to_owned())?;
    let wrong = |diagnostics| VectorError::Experiment(Box::new(source_of(name, text)), diagnostics);
    let mut source = Source::new(format!("{name}, experiment"), text.as_bytes()).map_err(wrong)?;
    let vector = Vector::read(file)?;
    if let Some(probes) = &vector.probes {
        count_of_probes(&mut source, text, probes.rows()).map_err(wrong)?;
    }
    let tables = VectorTables::read(&source, registry).map_err(wrong)?;
    check_size(file, text, vector.dimension())?;
    let device = Device::flex().autodiff();
    let parts = tables.build(vector.dimension(), vector.sigma.is_some(), &device).map_err(wrong)?;
    vector.check_probes(&*parts.objective)?;
    let layout = Layout::of(&parts.network);
    let weights = parameters(file, &layout, "network", true)?;
    let gradients = parameters(file, &layout, "grad", false)?;

    let compare = |dtype| vector.compare(&tables, &parts, &layout, &weights, &gradients, dtype, &device);
    Ok(Verified {
        double: compare(FloatDType::F64),
        single: compare(FloatDType::F32),
        source: file.metadata.get("source").cloned().unwrap_or_default(),
        unused: unused(file, &layout, parts.objective.probes() > 0),
    })
}

pub(crate) fn source_of(name: &str, text: &str) -> Source {
    Source::new(format!("{name}, experiment"), text.as_bytes())
        .or_else(|_| Source::new(name, b""))
        .unwrap_or_else(|_| unreachable!("an empty text is a source"))
}

/// Where a vector brings directions and its objective does not say how many, it takes them all. (Hutch++ says how many products
/// it takes, which is not the same.)
fn count_of_probes(source: &mut Source, text: &str, count: usize) -> Result<(), Vec<Diagnostic>> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let objective = table.get("objective").and_then(toml::Value::as_table);
    let is = |key: &str, value: &str| objective.and_then(|t| t.get(key)?.as_str()) == Some(value);
    let lacks = |key: &str| objective.is_some_and(|t| !t.contains_key(key));
    if is("kind", "sliced") && lacks("projections") {
        return source.set(&format!("objective.projections={count}"));
    }
    if is("kind", "implicit") && is("trace", "hutchinson") && lacks("probes") {
        return source.set(&format!("objective.probes={count}"));
    }
    Ok(())
}

/// Refuses an experiment whose layers have far more parameters than the file, before they are built.
fn check_size(file: &ArrayFile, text: &str, dimension: usize) -> Result<(), String> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    let network = |key: &str| table.get("network").and_then(|network| network.get(key));
    let hidden = network("hidden").and_then(|hidden| hidden.as_array().cloned()).unwrap_or_default();
    let outputs = if network("kind").and_then(toml::Value::as_str) == Some("energy-mlp") { 1 } else { dimension };
    let width = |value: &toml::Value| value.as_integer().and_then(|w| usize::try_from(w).ok()).unwrap_or(0);
    let widths: Vec<usize> =
        std::iter::once(dimension).chain(hidden.iter().map(width)).chain(std::iter::once(outputs)).collect();
    let layer = |w: &[usize]| w[0].saturating_add(1).saturating_mul(w[1]);
    let asked = widths.windows(2).map(layer).fold(0, usize::saturating_add);
    let own = file.arrays.iter().filter(|(name, _)| name.starts_with("network."));
    let there: usize = own.map(|(_, array)| array.data.len()).sum();
    // What is a little off is told tensor by tensor.
    if asked > there.saturating_mul(2).saturating_add(1 << 20) {
        return Err(format!("by its experiment the network has at least {asked} parameters; the file has {there}"));
    }
    Ok(())
}

/// The tensors of a vector, of shapes that fit.
struct Vector<'a> {
    x: &'a Array,
    noise: Option<&'a Array>,
    sigma: Option<&'a Array>,
    probes: Option<&'a Array>,
    loss: f64,
}

impl<'a> Vector<'a> {
    fn read(file: &'a ArrayFile) -> Result<Self, String> {
        let x = file.arrays.get("x").ok_or("there is no tensor `x`")?;
        let [batch, d] = x.shape[..] else {
            return Err(format!("`x` has the shape {:?}; it must be [B, D]", x.shape));
        };
        if batch == 0 || d == 0 {
            return Err(format!("`x` has the shape {:?}: there is nothing in it", x.shape));
        }
        let of = |name: &str, shape: &[usize], words: &str| match file.arrays.get(name) {
            Some(array) if array.shape != shape => {
                Err(format!("`{name}` has the shape {:?}; with this `x` it must be {words} = {shape:?}", array.shape))
            }
            found => Ok(found),
        };
        let noise = of("noise", &[batch, d], "[B, D]")?;
        let sigma = of("sigma", &[batch], "[B]")?;
        if noise.is_some() != sigma.is_some() {
            return Err("`noise` and `sigma` go together: one of them is missing".into());
        }
        if let Some(wrong) = sigma.and_then(|s| s.data.iter().find(|s| !(s.is_finite() && **s > 0.0))) {
            return Err(format!("a `sigma` is {wrong}; they must be above 0 and finite"));
        }
        let probes = match file.arrays.get("probes").map(|p| (p, p.shape.first().copied().unwrap_or(0))) {
            Some((_, 0)) => return Err("`probes` has no directions".into()),
            Some((_, m)) => of("probes", &[m, batch, d], "[M, B, D]")?,
            None => None,
        };
        let loss = file.arrays.get("loss").ok_or("there is no tensor `loss`")?;
        let [loss] = loss.data[..] else {
            return Err(format!("`loss` has {} numbers; it must have one", loss.data.len()));
        };
        Ok(Self { x, noise, sigma, probes, loss: f64::from(loss) })
    }

    fn dimension(&self) -> usize {
        self.x.row_length()
    }

    /// Refuses fewer or more directions than the objective takes. One that takes none does not mind some.
    fn check_probes(&self, objective: &dyn Objective) -> Result<(), String> {
        let needed = objective.probes();
        match self.probes.map(Array::rows) {
            None if needed > 0 => Err(format!("the objective needs `probes` [{needed}, B, D], which are not there")),
            Some(given) if needed > 0 && !objective.takes_probes(given) => {
                Err(format!("`probes` has {given} directions; the objective takes {needed}"))
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a vector is, part by part")]
    fn compare(
        &self,
        tables: &VectorTables,
        parts: &VectorParts,
        layout: &Layout,
        weights: &[f32],
        gradients: &[f32],
        dtype: FloatDType,
        device: &Device,
    ) -> Verdict {
        let flat = stein_core::vector(weights.to_vec(), &Device::flex()).cast(dtype);
        let network = layout.unflatten(parts.network.clone(), flat);
        let rows = |array: &Array| tensor(array, dtype, device);
        let mut batch = match (self.noise, self.sigma) {
            (Some(noise), Some(sigma)) => {
                let sigma: Tensor<1> = tensor(sigma, dtype, device);
                let levels = Levels { alpha: sigma.ones_like(), sigma };
                Perturbed::new(rows(self.x), rows(noise), Condition::new(levels))
            }
            _ => Perturbed::clean(rows(self.x)),
        };
        if let Some(probes) = self.probes {
            let (m, [b, d]) = (probes.rows(), [self.x.rows(), self.dimension()]);
            let one = |i: usize| rows(&Array::new([b, d], probes.row(i).to_vec()));
            batch = batch.with_probes((0..m).map(one).collect());
        }
        let losses = parts.objective.loss(&network, &batch, &mut Streams::new(0).at("verify", 0));
        let lambda = match self.sigma {
            Some(sigma) => sigma.data.iter().map(|&s| tables.weight(f64::from(s))).collect(),
            None => vec![1.0; self.x.rows()],
        };
        let count = lambda.len();
        let data = TensorData::new(lambda, [count]);
        let lambda = Tensor::<1>::from_data(data, (device, DType::F64)).cast(dtype);
        let loss = (losses * lambda).mean();
        let found = GradientsParams::from_grads(loss.backward(), &network);
        let found = to_f64(layout.gradients(&network, &found));
        let loss = to_f64(loss)[0];
        Verdict {
            loss,
            loss_error: (loss - self.loss).abs() / self.loss.abs().max(LEAST_LOSS),
            gradient_error: relative_distance(&found, gradients),
        }
    }
}

/// ‖a − b‖/‖b‖; 0 where both are zero.
fn relative_distance(a: &[f64], b: &[f32]) -> f64 {
    let norm = |squares: f64| squares.sqrt();
    let distance = norm(a.iter().zip(b).map(|(a, &b)| (a - f64::from(b)).powi(2)).sum());
    let size = norm(b.iter().map(|&b| f64::from(b).powi(2)).sum());
    if distance == 0.0 { 0.0 } else { distance / size }
}

pub(crate) fn tensor<const D: usize>(array: &Array, dtype: FloatDType, device: &Device) -> Tensor<D> {
    let data = TensorData::new(array.data.clone(), array.shape.clone());
    Tensor::<D>::from_data(data, (device, DType::F32)).cast(dtype)
}

pub(crate) fn to_f64(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().expect("converted to f64")
}

/// The name that a parameter has in a vector, and whether burn holds it transposed.
fn names(layout: &Layout) -> Result<Vec<(&Entry, String, bool)>, String> {
    let mut layer = 0;
    let mut last: Option<&str> = None;
    layout
        .entries()
        .iter()
        .map(|entry| {
            let (path, leaf) = entry.name.rsplit_once('.').unwrap_or(("", &entry.name));
            if !entry.layer.ends_with(":Linear") || !matches!(leaf, "weight" | "bias") {
                let name = &entry.name;
                return Err(format!("the network has the parameter `{name}`, which is none of a linear layer; vectors are of linear layers"));
            }
            if last.is_some_and(|last| last != path) {
                layer += 1;
            }
            last = Some(path);
            Ok((entry, format!("{layer}.{leaf}"), leaf == "weight"))
        })
        .collect()
}

/// All parameters (or gradients) of the layout's order, from `prefix.N.weight` and `prefix.N.bias`.
fn parameters(file: &ArrayFile, layout: &Layout, prefix: &str, needed: bool) -> Result<Vec<f32>, String> {
    let mut out = Vec::new();
    for (entry, name, transposed) in names(layout)? {
        let name = format!("{prefix}.{name}");
        let Some(array) = file.arrays.get(&name) else {
            if needed {
                return Err(format!("there is no tensor `{name}`"));
            }
            out.extend(std::iter::repeat_n(0.0, entry.length()));
            continue;
        };
        let mut shape = entry.shape.clone();
        if transposed {
            shape.reverse();
        }
        if array.shape != shape {
            return Err(format!("`{name}` has the shape {:?}; by its experiment it must be {shape:?}", array.shape));
        }
        out.extend(if transposed { crate::weights::transpose(array).data } else { array.data.clone() });
    }
    Ok(out)
}

/// Tensors that say nothing.
fn unused(file: &ArrayFile, layout: &Layout, has_probes: bool) -> Vec<String> {
    let layers = names(layout).unwrap_or_default();
    let known = |name: &str| {
        let parameter = |prefix: &str| {
            let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| layers.iter().any(|(_, own, _)| own == rest))
        };
        let tensor = ["x", "noise", "sigma", "loss"].contains(&name) || has_probes && name == "probes";
        tensor || parameter("network") || parameter("grad")
    };
    file.arrays.keys().filter(|name| !known(name)).cloned().collect()
}
