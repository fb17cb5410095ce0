//! The kernels' own backward passes.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use crate::backend::{Kernels, Norm};
use crate::gradient::GradientStep;
use crate::slices::activation::Function;
use crate::slices::jet::Rows;

#[derive(Debug)]
struct Conv;

impl<B: Kernels> Backward<B, 3> for Conv {
    /// x, the weight and its side.
    type State = (FloatTensor<B>, FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight, kernel) = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let [of_x, of_weight, of_bias] = ops.parents;
        if let Some(node) = of_x {
            gradients.register::<B>(node.id, B::stein_conv_input_grad(gradient.clone(), weight));
        }
        if of_weight.is_some() || of_bias.is_some() {
            let (weight, bias) = B::stein_conv_weight_grad(x, gradient, kernel);
            if let Some(node) = of_weight {
                gradients.register::<B>(node.id, weight);
            }
            if let Some(node) = of_bias {
                gradients.register::<B>(node.id, bias);
            }
        }
    }
}

#[derive(Debug)]
struct GroupNorm;

impl<B: Kernels> Backward<B, 3> for GroupNorm {
    /// x, γ and β.
    type State = ([FloatTensor<B>; 3], Norm);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let ([x, gain, shift], norm) = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (dx, dgain, dshift) = B::stein_group_norm_grad(x, gain, shift, gradient, norm);
        for (node, gradient) in ops.parents.into_iter().zip([dx, dgain, dshift]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Linear;

impl<B: Kernels> Backward<B, 3> for Linear {
    /// x, if the weight or the bias is learned, the weight, if x has a gradient, and the rows with a bias.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>, usize);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight, biased) = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let [of_x, of_weight, of_bias] = ops.parents;
        if let (Some(node), Some(weight)) = (of_x, weight) {
            gradients.register::<B>(node.id, B::stein_linear_input_grad(gradient.clone(), weight));
        }
        let Some(x) = x else { return };
        let (weight, bias) = B::stein_linear_weight_grad(x, gradient, biased);
        for (node, gradient) in [(of_weight, weight), (of_bias, bias)] {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct JetOf;

impl<B: Kernels> Backward<B, 1> for JetOf {
    type State = (FloatTensor<B>, Function, Rows);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let (x, function, rows) = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::stein_jet_grad(x, gradient, function, rows));
        }
    }
}

const NO_TAPE: &str = "optimisers work on what has no tape";
const FIRST_ORDER: &str = "burn's autodiff is of the first order: gradients have no gradients";

impl<B: Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn stein_conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        use burn::backend::TensorMetadata;
        let kernel = weight.primitive().shape()[2];
        let nodes = [x.node(), weight.node(), bias.node()];
        let y = B::stein_conv(x.primitive().clone(), weight.primitive().clone(), bias.into_primitive());
        match Conv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x.into_primitive(), weight.into_primitive(), kernel), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_group_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gain.node(), shift.node()];
        let [x, gain, shift] = [x, gain, shift].map(FloatTensor::<Self>::into_primitive);
        let y = B::stein_group_norm(x.clone(), gain.clone(), shift.clone(), norm);
        match GroupNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(([x, gain, shift], norm), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        biased: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let y = B::stein_linear(x.primitive().clone(), weight.primitive().clone(), bias.primitive().clone(), biased);
        match Linear.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let learned = weight.is_tracked() || bias.is_tracked();
                let of_x = x.is_tracked().then(|| weight.into_primitive());
                prepared.finish((learned.then(|| x.into_primitive()), of_x, biased), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_jet(x: FloatTensor<Self>, function: Function, rows: Rows) -> FloatTensor<Self> {
        let y = B::stein_jet(x.primitive().clone(), function, rows);
        match JetOf.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x.into_primitive(), function, rows), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_adam(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: GradientStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{NO_TAPE}")
    }

    fn stein_linear_input_grad(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_linear_weight_grad(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_conv_input_grad(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_conv_weight_grad(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_group_norm_grad(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_jet_grad(_: FloatTensor<Self>, _: FloatTensor<Self>, _: Function, _: Rows) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }
}
