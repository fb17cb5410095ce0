//! Energies: scores that are gradients.

use burn::tensor::Tensor;
use stein_jet::Jet;

use crate::{Condition, taped};

/// A network with an energy E(x, σ): its score is s = −∇ₓE, its density e^{−E} up to a constant.
///
/// burn's autodiff cannot differentiate a gradient, so losses are written with derivatives along directions, carried forward: a
/// [`Jet`] of order 1 gives vᵀ∇E, one of [order 2](Jet::second_order) vᵀ∇²E v too, and `backward()` their gradients in the
/// parameters.
pub trait Energy: Send + Sync {
    /// E at `x` `[B, D]`, `[B, 1]`, with as many derivatives as `x` asks for.
    fn evaluate(&self, x: Jet<2>, condition: &Condition) -> Jet<2>;
}

/// The score −∇E at `x` `[B, D]` and, along directions, its derivatives −∇²E v, by reverse mode in x.
///
/// They are constants to the parameters: a loss of them has no gradient there. Give it an energy off the tape
/// ([`Module::valid`](burn::module::Module::valid)), which saves the parameters' gradients.
///
/// # Panics
/// If `x` is a jet of order 2.
pub fn score_of_energy(energy: &dyn Energy, x: &Jet<2>, condition: &Condition) -> Jet<2> {
    assert!(x.order() < 2, "a score by reverse mode has first derivatives only");
    let minus_gradient = |of: &dyn Fn(Tensor<2>) -> Tensor<2>| -> Tensor<2> {
        let point = x.value();
        let (on_tape, strategy) = (point.is_autodiff(), point.gradient_checkpointing_strategy());
        let leaf = taped(point.without_autodiff(), strategy).require_grad();
        let gradients = of(leaf.clone()).sum().backward();
        let gradient = leaf.grad(&gradients).unwrap_or_else(|| leaf.clone().without_autodiff().zeros_like());
        let score = gradient.neg();
        if on_tape { taped(score, strategy) } else { score }
    };
    let score = minus_gradient(&|leaf| energy.evaluate(Jet::plain(leaf), condition).into_value());
    let derivatives = (0..x.directions()).map(|i| {
        let v = x.tangent(i).without_autodiff();
        minus_gradient(&|leaf| energy.evaluate(Jet::seed(leaf, vec![v.clone()]), condition).tangents())
    });
    Jet::seed(score, derivatives.collect())
}
