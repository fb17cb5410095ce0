//! The kernels' own backward passes.

use std::marker::PhantomData;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use crate::backend::{Kernels, Norm};
use crate::checkpointing::{GroupNormAgain, JetAgain, Kept, PoolAgain};
use crate::gradient::GradientStep;
use crate::slices::activation::Function;
use crate::slices::jet::Rows;

#[derive(Debug)]
struct Conv;

impl<B: Kernels> Backward<B, 3> for Conv {
    /// x, the weight, its side and dilation.
    type State = (Kept<B>, FloatTensor<B>, [usize; 2]);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (x, weight, kernel) = ops.state;
        let x = x.take(checkpointer);
        let gradient = gradients.consume::<B>(&ops.node);
        let [of_x, of_weight, of_bias] = ops.parents;
        if let Some(node) = of_x {
            gradients.register::<B>(node.id, B::stein_conv_input_grad(gradient.clone(), weight, kernel[1]));
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
    type State = ([Kept<B>; 3], Norm);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (kept, norm) = ops.state;
        let [x, gain, shift] = kept.map(|kept| kept.take(checkpointer));
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
    type State = (Option<Kept<B>>, Option<FloatTensor<B>>, usize);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (x, weight, biased) = ops.state;
        let x = x.map(|x| x.take(checkpointer));
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
    type State = (Kept<B>, Function, Rows);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (x, function, rows) = ops.state;
        let x = x.take(checkpointer);
        let gradient = gradients.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::stein_jet_grad(x, gradient, function, rows));
        }
    }
}

#[derive(Debug)]
struct MeanPool;

impl<B: Kernels> Backward<B, 1> for MeanPool {
    /// The window's side.
    type State = usize;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::stein_mean_pool(gradient, ops.state));
        }
    }
}

#[derive(Debug)]
struct MaxPool;

impl<B: Kernels> Backward<B, 1> for MaxPool {
    /// x and the window's side.
    type State = (Kept<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (x, kernel) = ops.state;
        let x = x.take(checkpointer);
        let gradient = gradients.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::stein_max_pool_grad(x, gradient, kernel));
        }
    }
}

#[derive(Debug)]
struct Sum;

impl<B: Kernels> Backward<B, 2> for Sum {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        for node in ops.parents.into_iter().flatten() {
            gradients.register::<B>(node.id, gradient.clone());
        }
    }
}

const NO_TAPE: &str = "optimisers work on what has no tape";
const FIRST_ORDER: &str = "burn's autodiff is of the first order: gradients have no gradients";

impl<B: Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn stein_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: usize,
    ) -> FloatTensor<Self> {
        use burn::backend::TensorMetadata;
        let kernel = [weight.primitive().shape()[2], dilation];
        let nodes = [x.node(), weight.node(), bias.node()];
        let y = B::stein_conv(x.primitive().clone(), weight.primitive().clone(), bias.into_primitive(), dilation);
        match Conv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let kept = Kept::of(&mut prepared, &x);
                prepared.finish((kept, weight.into_primitive(), kernel), y)
            }
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
        let again = GroupNormAgain::<B> { parents: nodes.each_ref().map(|node| node.id()), norm, backend: PhantomData };
        let parents = [&x, &gain, &shift];
        let [a, b, c] = parents.map(|tensor| tensor.primitive().clone());
        let y = B::stein_group_norm(a, b, c, norm);
        match GroupNorm.prepare::<C>(nodes).memory_bound().retro_forward(again).parents(parents).stateful() {
            OpsKind::Tracked(mut prepared) => {
                let kept = parents.map(|tensor| Kept::of(&mut prepared, tensor));
                prepared.finish((kept, norm), y)
            }
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
            OpsKind::Tracked(mut prepared) => {
                let learned = weight.is_tracked() || bias.is_tracked();
                let of_x = x.is_tracked().then(|| weight.into_primitive());
                let kept = learned.then(|| Kept::of(&mut prepared, &x));
                prepared.finish((kept, of_x, biased), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_jet(x: FloatTensor<Self>, function: Function, rows: Rows) -> FloatTensor<Self> {
        let y = B::stein_jet(x.primitive().clone(), function, rows);
        let again = JetAgain::<B> { x: x.id(), function, rows, backend: PhantomData };
        match JetOf.prepare::<C>([x.node()]).memory_bound().retro_forward(again).parents([&x]).stateful() {
            OpsKind::Tracked(mut prepared) => {
                let kept = Kept::of(&mut prepared, &x);
                prepared.finish((kept, function, rows), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_mean_pool(x: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self> {
        let y = B::stein_mean_pool(x.primitive().clone(), kernel);
        let again = PoolAgain::<B> { x: x.id(), pool: B::stein_mean_pool, kernel };
        match MeanPool.prepare::<C>([x.node()]).memory_bound().retro_forward(again).parents([&x]).stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(kernel, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_max_pool(x: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self> {
        let y = B::stein_max_pool(x.primitive().clone(), kernel);
        let again = PoolAgain::<B> { x: x.id(), pool: B::stein_max_pool, kernel };
        match MaxPool.prepare::<C>([x.node()]).memory_bound().retro_forward(again).parents([&x]).stateful() {
            OpsKind::Tracked(mut prepared) => {
                let kept = Kept::of(&mut prepared, &x);
                prepared.finish((kept, kernel), y)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }

    fn stein_sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [a.node(), b.node()];
        let y = B::stein_sum(a.into_primitive(), b.into_primitive());
        Sum.prepare::<C>(nodes).compute_bound().stateless(y)
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

    fn stein_conv_input_grad(_: FloatTensor<Self>, _: FloatTensor<Self>, _: usize) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_conv_weight_grad(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: [usize; 2],
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

    fn stein_max_pool_grad(_: FloatTensor<Self>, _: FloatTensor<Self>, _: usize) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }

    fn stein_jet_grad(_: FloatTensor<Self>, _: FloatTensor<Self>, _: Function, _: Rows) -> FloatTensor<Self> {
        unreachable!("{FIRST_ORDER}")
    }
}
