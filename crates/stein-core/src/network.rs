//! Score networks: what an author writes and what everybody else sees.

use burn::module::Module;
use burn::tensor::Tensor;
use stein_jet::Jet;

use crate::{Condition, Energy};

/// A network as its author writes it: `#[derive(Module)]` and one forward pass against jets.
///
/// A [`Jet`] of order 0 is a plain tensor; one of order 1 carries directional derivatives along, so the forward is never
/// written twice. The jet's rows are flattened examples `[B, D]`, and so is the result.
pub trait Network: Module + Sync + 'static {
    /// The network at `x` `[B, D]`.
    fn forward(&self, x: Jet<2>, condition: &Condition) -> Jet<2>;

    /// The unnormalised log density `[B]`, for networks that have one (energies, known densities).
    fn log_density(&self, _x: Tensor<2>, _condition: &Condition) -> Option<Tensor<1>> {
        None
    }

    /// The energy, for networks whose output is minus the gradient of one. [`forward`](Self::forward) is then
    /// [`score_of_energy`](crate::score_of_energy).
    fn energy(&self) -> Option<&dyn Energy> {
        None
    }

    /// F(x) `[B, D]` and its divergence tr ∂F/∂x `[B]` at `x` `[B, D]`, for networks that know it by less work than D derivatives.
    fn divergence(&self, _x: Tensor<2>, _condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        None
    }

    /// K, for networks that are told the class of an example ([`Condition::class`]).
    fn classes(&self) -> Option<usize> {
        None
    }
}

/// The object-safe face of a [`Network`], which objectives, samplers and metrics see.
pub trait ScoreNetwork: Send + Sync {
    /// Score and, for a jet of order 1, its directional derivatives J v at `x` `[B, D]`.
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2>;

    /// The score s(x, σ), `[B, D]`.
    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        self.jet(Jet::plain(x), condition).value()
    }

    /// The score `[B, D]` and its divergence tr J `[B]` at `x` `[B, D]`, if the network knows a shorter way than D derivatives.
    fn divergence(&self, _x: Tensor<2>, _condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        None
    }

    /// The unnormalised log density `[B]`, if the network has one.
    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>>;

    /// The energy, if the score is minus the gradient of one. Score and its derivatives are then constants to the parameters, and
    /// losses are written with the energy's derivatives.
    fn energy(&self) -> Option<&dyn Energy> {
        None
    }
}

impl<N: Network> ScoreNetwork for N {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.forward(x, condition)
    }

    fn divergence(&self, x: Tensor<2>, condition: &Condition) -> Option<(Tensor<2>, Tensor<1>)> {
        Network::divergence(self, x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Network::log_density(self, x, condition)
    }

    fn energy(&self) -> Option<&dyn Energy> {
        Network::energy(self)
    }
}
