//! Residual convolution units.

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor};
use burn::nn::conv::Conv2d;
use burn::tensor::Device;
use stein_jet::{Jet, conv2d};

use super::norm::Norm;
use super::{Pass, Workshop};

/// Blocks of two convolutions with the activation before each, and a shortcut past both.
///
/// The authors' parts are called `1_1_norm`, `1_1_conv`, `1_2_norm` and so on, by block and convolution. No field of a struct can be,
/// so the module is written out here.
#[derive(Debug, Clone)]
pub(super) struct Rcu {
    units: Vec<Unit>,
}

const STAGES: usize = 2;

#[derive(Module, Debug)]
struct Unit {
    norm: Option<Norm>,
    conv: Conv2d,
}

impl Rcu {
    pub(super) fn new(channels: usize, blocks: usize, workshop: &mut Workshop<'_>) -> Self {
        let unit = |_| Unit { norm: workshop.levels_norm(channels), conv: workshop.bare_conv(channels) };
        Self { units: (0..blocks * STAGES).map(unit).collect() }
    }

    /// `[B, C, H, W]` to the same.
    pub(super) fn forward(&self, x: Jet<4>, pass: &Pass) -> Jet<4> {
        self.units.chunks(STAGES).fold(x, |x, block| {
            let through = |h, unit: &Unit| conv2d(&unit.conv, pass.activate(pass.norm(unit.norm.as_ref(), h)));
            block.iter().fold(x.clone(), through) + x
        })
    }
}

const CONTAINER: &str = "Struct:Rcu";

/// The names of a unit's norm and convolution.
fn names(i: usize) -> [String; 2] {
    ["norm", "conv"].map(|part| format!("{}_{}_{part}", i / STAGES + 1, i % STAGES + 1))
}

impl Module for Rcu {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.units.collect_devices(devices)
    }
    fn fork(self, device: &Device) -> Self {
        Self { units: self.units.fork(device) }
    }
    fn to_device(self, device: &Device) -> Self {
        Self { units: self.units.to_device(device) }
    }
    fn train(self) -> Self {
        Self { units: self.units.train() }
    }
    fn valid(&self) -> Self {
        Self { units: self.units.valid() }
    }
    fn materialize(self) -> Self {
        Self { units: self.units.materialize() }
    }
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (i, unit) in self.units.iter().enumerate() {
            let [norm, conv] = names(i);
            visitor.enter_module(&norm, CONTAINER);
            unit.norm.visit(visitor);
            visitor.exit_module(&norm, CONTAINER);
            visitor.enter_module(&conv, CONTAINER);
            unit.conv.visit(visitor);
            visitor.exit_module(&conv, CONTAINER);
        }
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let units = self.units.into_iter().enumerate().map(|(i, unit)| {
            let [norm, conv] = names(i);
            mapper.enter_module(&norm, CONTAINER);
            let mapped = unit.norm.map(|norm| norm.map(mapper));
            mapper.exit_module(&norm, CONTAINER);
            mapper.enter_module(&conv, CONTAINER);
            let unit = Unit { norm: mapped, conv: unit.conv.map(mapper) };
            mapper.exit_module(&conv, CONTAINER);
            unit
        });
        Self { units: units.collect() }
    }
}

impl ModuleDisplayDefault for Rcu {
    fn content(&self, content: Content) -> Option<Content> {
        content.add("units", &self.units).optional()
    }
    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for Rcu {}
