//! Score networks: what an author writes and what everybody else sees.

use burn::module::Module;
use burn::tensor::Tensor;
use stein_jet::Jet;

use crate::Condition;

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

    /// The unnormalised log density `[B]`, if the network has one.
    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>>;
}

impl<N: Network> ScoreNetwork for N {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.forward(x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        Network::log_density(self, x, condition)
    }
}
