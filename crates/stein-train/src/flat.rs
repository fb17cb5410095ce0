//! A network's parameters as one vector.
//!
//! The optimiser, clipping, averaging and checkpoints all want the parameters as a whole; one vector makes each of them a
//! few operations on one long tensor instead of a few on each of a hundred short ones.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Tensor};
use stein_core::taped;
use stein_experiment::{Precision, Training};
use stein_kernels::Gradient;

use crate::TrainingState;

/// Names, shapes and order of a module's float parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    length: usize,
    /// The number type of weights that are multiplied with, on the tape.
    products: Option<FloatDType>,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path in the module: `network.down.0.1.conv_in.weight`.
    pub(crate) name: String,
    /// The same without the variants of enums, which are in burn's paths alone.
    pub(crate) fields: String,
    /// The kind of the layer that it belongs to: `Struct:Linear`, `Struct:Conv2d`, …
    pub(crate) layer: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) offset: usize,
}

impl Entry {
    pub(crate) fn length(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it is what a layer of `stein-jet` takes a product with, in whatever number type.
    fn is_factor(&self) -> bool {
        let name = self.name.rsplit('.').next().unwrap_or_default();
        [("weight", "Struct:Linear"), ("weight", "Struct:Conv2d"), ("W", "Struct:Nin")].contains(&(name, &self.layer))
    }

    /// Whether it is drawn once and never trained, so that averages and optimisers of other programs know nothing of it.
    pub(crate) fn is_fixed(&self) -> bool {
        self.layer == FIXED
    }
}

/// The layer whose parameter is not trained.
const FIXED: &str = "Struct:GaussianFourierProjection";

#[derive(Default)]
struct Collect {
    path: Vec<(String, String)>,
    entries: Vec<Entry>,
    length: usize,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.val().dims().to_vec();
        let joined = |all: bool| {
            let parts = self.path.iter().filter(|(_, container)| all || !container.starts_with("Enum:"));
            parts.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
        };
        let layer = self.path.last().map(|(_, layer)| layer.clone()).unwrap_or_default();
        let entry = Entry { name: joined(true), fields: joined(false), layer, shape, offset: self.length };
        self.length += entry.length();
        self.entries.push(entry);
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push((name.to_owned(), container.to_owned()));
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

impl Layout {
    /// The layout of a module.
    pub fn of<M: Module>(module: &M) -> Self {
        let mut collect = Collect::default();
        module.visit(&mut collect);
        Self { entries: collect.entries, length: collect.length, products: None }
    }

    /// The same for training in its precision: modules on the tape get weights of that.
    pub fn for_training(self, training: &Training) -> Self {
        Self { products: number_type(training.precision), ..self }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Names and shapes of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.shape.as_slice()))
    }

    /// How many numbers there are.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The parameters as one vector, without autodiff.
    pub fn flatten<M: Module>(&self, module: &M) -> Tensor<1> {
        let mut parts = Flatten(Vec::with_capacity(self.entries.len()));
        module.visit(&mut parts);
        concatenated(parts.0)
    }

    /// The gradients as one vector; zeros where a parameter has none.
    pub fn gradients<M: Module>(&self, module: &M, gradients: &GradientsParams) -> Tensor<1> {
        let float = self.products.map(|_| FloatDType::F32);
        let mut parts = Gradients { gradients, parts: Vec::with_capacity(self.entries.len()), float };
        module.visit(&mut parts);
        concatenated(parts.parts)
    }

    /// The sum of the gradients that parts of a batch gave, over `scale`; `parameters` are those of the module.
    pub(crate) fn sum<M: Module>(
        &self,
        module: &M,
        parts: Vec<GradientsParams>,
        parameters: &Tensor<1>,
        scale: u64,
    ) -> Gradient {
        let float = FloatDType::from(parameters.dtype());
        let mut sum = Sum { parts, stretches: Vec::with_capacity(self.entries.len()), float, scale: scale as f64 };
        module.visit(&mut sum);
        Gradient::of(sum.stretches, (parameters.dtype(), parameters.device()))
    }

    /// The average of the parameters. What is never trained is what it is: an average in single precision would wander off.
    pub(crate) fn averaged(&self, state: &TrainingState) -> Tensor<1> {
        self.entries.iter().filter(|entry| entry.is_fixed()).fold(state.average.clone(), |average, entry| {
            let own = entry.offset..entry.offset + entry.length();
            average.slice_assign([own.clone()], state.parameters.clone().slice([own]))
        })
    }

    /// The module with parameters from a vector.
    ///
    /// # Panics
    /// If the vector is not of this layout's length.
    pub fn unflatten<M: Module>(&self, module: M, vector: Tensor<1>) -> M {
        assert_eq!(vector.dims()[0], self.length, "a vector of another network's parameters");
        module.map(&mut Unflatten { vector, offset: 0, entries: self.entries.iter(), products: self.products })
    }
}

struct Flatten(Vec<Tensor<1>>);

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(plain(param.val()).reshape([-1]));
    }
}

struct Gradients<'a> {
    gradients: &'a GradientsParams,
    parts: Vec<Tensor<1>>,
    /// What to convert them to.
    float: Option<FloatDType>,
}

impl ModuleVisitor for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(param.id).unwrap_or_else(|| plain(param.val()).zeros_like());
        let gradient = gradient.reshape([-1]);
        self.parts.push(match self.float {
            Some(float) => gradient.cast(float),
            None => gradient,
        });
    }
}

struct Sum {
    parts: Vec<GradientsParams>,
    stretches: Vec<(usize, Vec<Tensor<1>>)>,
    float: FloatDType,
    scale: f64,
}

impl ModuleVisitor for Sum {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Taken out: what nobody else holds is not copied.
        let of = |part: &mut GradientsParams| {
            let gradient = part.remove::<D>(param.id)?.reshape([-1]).cast(self.float);
            Some(if self.scale == 1.0 { gradient } else { gradient / self.scale })
        };
        let gradients = self.parts.iter_mut().filter_map(of).collect();
        self.stretches.push((param.val().shape().num_elements(), gradients));
    }
}

struct Unflatten<'a> {
    vector: Tensor<1>,
    offset: usize,
    entries: std::slice::Iter<'a, Entry>,
    products: Option<FloatDType>,
}

impl ModuleMapper for Unflatten<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let old = param.val();
        let (dims, length) = (old.dims(), old.shape().num_elements());
        let new = self.vector.clone().narrow(0, self.offset, length).reshape(dims);
        self.offset += length;
        let is_factor = self.entries.next().is_some_and(Entry::is_factor);
        if old.is_autodiff() {
            let new = match self.products.filter(|_| is_factor) {
                Some(products) => new.cast(products),
                None => new,
            };
            let tracked = old.is_require_grad();
            let strategy = old.gradient_checkpointing_strategy();
            param.map(|_| taped(new, strategy).set_require_grad(tracked))
        } else {
            param.map(|_| new)
        }
    }
}

/// What products with weights are taken in, if that is not what the weights are kept in.
pub(crate) fn number_type(precision: Precision) -> Option<FloatDType> {
    match precision {
        Precision::Single => None,
        Precision::F16 => Some(FloatDType::F16),
        Precision::Bf16 => Some(FloatDType::BF16),
    }
}

fn concatenated(parts: Vec<Tensor<1>>) -> Tensor<1> {
    // A network without parameters lies on no device.
    if parts.is_empty() { from_host(Vec::new(), &Device::flex()) } else { Tensor::cat(parts, 0) }
}

fn plain<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.is_autodiff() { tensor.inner() } else { tensor }
}

/// A vector from the host.
pub(crate) fn from_host(values: Vec<f32>, device: &Device) -> Tensor<1> {
    stein_core::vector(values, device)
}
