//! A network whose type is forgotten but which is still a burn [`Module`]: so networks are plug-ins like everything else.
//!
//! burn's visitors and mappers have const-generic methods and are not object-safe. A parameter crosses the object-safe
//! boundary as its rank and a `dyn Any`, and gets its static rank back on the other side (burn does the same for its
//! reparameterisations). Kernels, samplers and objectives never pay for it; a walk over the parameters pays microseconds.

use std::any::Any;
use std::fmt::Debug;

use burn::module::{Content, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Int, Tensor};
use stein_jet::Jet;

use crate::{Condition, Energy, Network};

/// The object-safe face of a network that is a module. Implemented for every [`Network`].
pub trait ErasedNetwork: Debug + Send + Sync {
    #[doc(hidden)]
    fn forward_erased(&self, x: Jet<2>, condition: &Condition) -> Jet<2>;
    #[doc(hidden)]
    fn log_density_erased(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>>;
    #[doc(hidden)]
    fn divergence_erased(&self, x: Tensor<2>, condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)>;
    #[doc(hidden)]
    fn energy_erased(&self) -> Option<&dyn Energy>;
    #[doc(hidden)]
    fn classes_erased(&self) -> Option<usize>;
    #[doc(hidden)]
    fn visit_erased(&self, visitor: &mut dyn ErasedVisitor);
    #[doc(hidden)]
    fn map_erased(self: Box<Self>, mapper: &mut dyn ErasedMapper) -> Box<dyn ErasedNetwork>;
    #[doc(hidden)]
    fn to_device_erased(self: Box<Self>, device: &Device) -> Box<dyn ErasedNetwork>;
    #[doc(hidden)]
    fn fork_erased(self: Box<Self>, device: &Device) -> Box<dyn ErasedNetwork>;
    #[doc(hidden)]
    fn train_erased(self: Box<Self>) -> Box<dyn ErasedNetwork>;
    #[doc(hidden)]
    fn valid_erased(&self) -> Box<dyn ErasedNetwork>;
    #[doc(hidden)]
    fn materialize_erased(self: Box<Self>) -> Box<dyn ErasedNetwork>;
    #[doc(hidden)]
    fn collect_devices_erased(&self, devices: Vec<Device>) -> Vec<Device>;
    #[doc(hidden)]
    fn clone_erased(&self) -> Box<dyn ErasedNetwork>;
}

impl<N: Network> ErasedNetwork for N {
    fn forward_erased(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.forward(x, condition)
    }
    fn log_density_erased(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Network::log_density(self, x, condition)
    }
    fn divergence_erased(&self, x: Tensor<2>, condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        Network::divergence(self, x, condition)
    }
    fn energy_erased(&self) -> Option<&dyn Energy> {
        Network::energy(self)
    }
    fn classes_erased(&self) -> Option<usize> {
        self.classes()
    }
    fn visit_erased(&self, visitor: &mut dyn ErasedVisitor) {
        self.visit(&mut Erase(visitor));
    }
    fn map_erased(self: Box<Self>, mapper: &mut dyn ErasedMapper) -> Box<dyn ErasedNetwork> {
        Box::new((*self).map(&mut Erase(mapper)))
    }
    fn to_device_erased(self: Box<Self>, device: &Device) -> Box<dyn ErasedNetwork> {
        Box::new((*self).to_device(device))
    }
    fn fork_erased(self: Box<Self>, device: &Device) -> Box<dyn ErasedNetwork> {
        Box::new((*self).fork(device))
    }
    fn train_erased(self: Box<Self>) -> Box<dyn ErasedNetwork> {
        Box::new((*self).train())
    }
    fn valid_erased(&self) -> Box<dyn ErasedNetwork> {
        Box::new(self.valid())
    }
    fn materialize_erased(self: Box<Self>) -> Box<dyn ErasedNetwork> {
        Box::new((*self).materialize())
    }
    fn collect_devices_erased(&self, devices: Vec<Device>) -> Vec<Device> {
        self.collect_devices(devices)
    }
    fn clone_erased(&self) -> Box<dyn ErasedNetwork> {
        Box::new(self.clone())
    }
}

/// A network of any type. It is a [`Module`]: it trains, is averaged and saved like the network inside.
#[derive(Debug)]
pub struct AnyNetwork(Box<dyn ErasedNetwork>);

impl AnyNetwork {
    /// Forgets the type of a network.
    pub fn new(network: impl Network) -> Self {
        Self(Box::new(network))
    }
}

impl Network for AnyNetwork {
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.0.forward_erased(x, condition)
    }
    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        self.0.log_density_erased(x, condition)
    }
    fn divergence(&self, x: Tensor<2>, condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        self.0.divergence_erased(x, condition)
    }
    fn energy(&self) -> Option<&dyn Energy> {
        self.0.energy_erased()
    }
    fn classes(&self) -> Option<usize> {
        self.0.classes_erased()
    }
}

impl Clone for AnyNetwork {
    fn clone(&self) -> Self {
        Self(self.0.clone_erased())
    }
}

impl Module for AnyNetwork {
    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.0.collect_devices_erased(devices)
    }
    fn fork(self, device: &Device) -> Self {
        Self(self.0.fork_erased(device))
    }
    fn to_device(self, device: &Device) -> Self {
        Self(self.0.to_device_erased(device))
    }
    fn train(self) -> Self {
        Self(self.0.train_erased())
    }
    fn valid(&self) -> Self {
        Self(self.0.valid_erased())
    }
    fn materialize(self) -> Self {
        Self(self.0.materialize_erased())
    }
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.0.visit_erased(&mut Restore(visitor));
    }
    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self(self.0.map_erased(&mut Restore(mapper)))
    }
}

impl ModuleDisplayDefault for AnyNetwork {
    fn content(&self, content: Content) -> Option<Content> {
        Some(content)
    }
    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for AnyNetwork {}

/// A parameter whose rank is known only at run time.
#[doc(hidden)]
pub struct ErasedRef<'a> {
    rank: usize,
    param: &'a dyn Any,
}

/// The same, owned.
#[doc(hidden)]
pub struct ErasedParam {
    rank: usize,
    param: Box<dyn Any + Send>,
}

impl ErasedParam {
    fn new(rank: usize, param: impl Any + Send) -> Self {
        Self { rank, param: Box::new(param) }
    }

    fn into<T: 'static>(self) -> T {
        *self.param.downcast().expect("a mapper gives back a parameter of the type that it took")
    }
}

#[doc(hidden)]
pub trait ErasedVisitor {
    fn float(&mut self, param: ErasedRef<'_>);
    fn int(&mut self, param: ErasedRef<'_>);
    fn bool(&mut self, param: ErasedRef<'_>);
    fn flag(&mut self, param: &Param<Flag>);
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

#[doc(hidden)]
pub trait ErasedMapper {
    fn float(&mut self, param: ErasedParam) -> ErasedParam;
    fn int(&mut self, param: ErasedParam) -> ErasedParam;
    fn bool(&mut self, param: ErasedParam) -> ErasedParam;
    fn flag(&mut self, param: Param<Flag>) -> Param<Flag>;
    fn enter(&mut self, name: &str, container: &str);
    fn exit(&mut self, name: &str, container: &str);
}

/// From a static rank to an erased one.
struct Erase<'a, T: ?Sized>(&'a mut T);

impl ModuleVisitor for Erase<'_, dyn ErasedVisitor + '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.float(ErasedRef { rank: D, param });
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.int(ErasedRef { rank: D, param });
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.bool(ErasedRef { rank: D, param });
    }
    fn visit_flag(&mut self, param: &Param<Flag>) {
        self.0.flag(param);
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

impl ModuleMapper for Erase<'_, dyn ErasedMapper + '_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0.float(ErasedParam::new(D, param)).into()
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        self.0.int(ErasedParam::new(D, param)).into()
    }
    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        self.0.bool(ErasedParam::new(D, param)).into()
    }
    fn map_flag(&mut self, param: Param<Flag>) -> Param<Flag> {
        self.0.flag(param)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter(name, container);
    }
    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit(name, container);
    }
}

/// From an erased rank back to a static one.
struct Restore<'a, T>(&'a mut T);

macro_rules! with_rank {
    ($rank:expr, $d:ident => $body:expr) => {
        match $rank {
            1 => {
                const $d: usize = 1;
                $body
            }
            2 => {
                const $d: usize = 2;
                $body
            }
            3 => {
                const $d: usize = 3;
                $body
            }
            4 => {
                const $d: usize = 4;
                $body
            }
            5 => {
                const $d: usize = 5;
                $body
            }
            6 => {
                const $d: usize = 6;
                $body
            }
            rank => panic!("a parameter of rank {rank}; networks have parameters of rank 1 to 6"),
        }
    };
}

fn borrow<T: 'static>(param: &dyn Any) -> &T {
    param.downcast_ref().expect("a parameter's rank and type travel together")
}

impl<V: ModuleVisitor> ErasedVisitor for Restore<'_, V> {
    fn float(&mut self, p: ErasedRef<'_>) {
        with_rank!(p.rank, D => self.0.visit_float(borrow::<Param<Tensor<D>>>(p.param)));
    }
    fn int(&mut self, p: ErasedRef<'_>) {
        with_rank!(p.rank, D => self.0.visit_int(borrow::<Param<Tensor<D, Int>>>(p.param)));
    }
    fn bool(&mut self, p: ErasedRef<'_>) {
        with_rank!(p.rank, D => self.0.visit_bool(borrow::<Param<Tensor<D, Bool>>>(p.param)));
    }
    fn flag(&mut self, param: &Param<Flag>) {
        self.0.visit_flag(param);
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

impl<M: ModuleMapper> ErasedMapper for Restore<'_, M> {
    fn float(&mut self, p: ErasedParam) -> ErasedParam {
        with_rank!(p.rank, D => ErasedParam::new(D, self.0.map_float(p.into::<Param<Tensor<D>>>())))
    }
    fn int(&mut self, p: ErasedParam) -> ErasedParam {
        with_rank!(p.rank, D => ErasedParam::new(D, self.0.map_int(p.into::<Param<Tensor<D, Int>>>())))
    }
    fn bool(&mut self, p: ErasedParam) -> ErasedParam {
        with_rank!(p.rank, D => ErasedParam::new(D, self.0.map_bool(p.into::<Param<Tensor<D, Bool>>>())))
    }
    fn flag(&mut self, param: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(param)
    }
    fn enter(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }
    fn exit(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}
