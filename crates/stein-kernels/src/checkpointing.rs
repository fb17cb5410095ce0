//! What the kernels keep for the way back, and what is computed again there (gradient checkpointing: Chen et al. 2016, arXiv
//! 1604.06174).
//!
//! Under burn's balanced strategy what is cheap (norms, activations, means and maxima over windows, what burn itself holds for cheap) is not kept, but computed again
//! from what is: the results of products and convolutions, and sums of two branches, since a chain of sums would be computed again
//! from its beginning.

use std::any::TypeId;
use std::marker::PhantomData;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy};
use burn::backend::autodiff::ops::{Backward, OpsPrep, Tracked};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

use crate::backend::{Kernels, Norm};
use crate::slices::activation::Function;
use crate::slices::jet::Rows;

/// A tensor that the way back needs.
#[derive(Debug, Clone)]
pub(crate) enum Kept<B: Backend> {
    /// It lies here.
    Here(FloatTensor<B>),
    /// It lies with the checkpointer, or is computed again by it.
    There(NodeId),
}

impl<B: Backend> Kept<B> {
    /// Sees to it that an operation's backward pass has a tensor.
    pub(crate) fn of<O, S, C, const N: usize>(
        prepared: &mut OpsPrep<O, B, S, C, N, Tracked>,
        tensor: &FloatTensor<Autodiff<B, C>>,
    ) -> Self
    where
        S: Clone + Send + std::fmt::Debug + 'static,
        O: Backward<B, N, State = S>,
        C: CheckpointStrategy,
    {
        // Where everything is kept, the checkpointer's maps would only cost time.
        if TypeId::of::<C>() == TypeId::of::<BalancedCheckpointing>() {
            Self::There(prepared.checkpoint(tensor))
        } else {
            Self::Here(tensor.primitive().clone())
        }
    }

    /// The tensor. To be asked once: the checkpointer counts.
    pub(crate) fn take(self, checkpointer: &mut Checkpointer) -> FloatTensor<B> {
        match self {
            Self::Here(tensor) => tensor,
            Self::There(node) => checkpointer.retrieve_node_output(node),
        }
    }
}

/// A group normalisation again.
#[derive(Debug)]
pub(crate) struct GroupNormAgain<B> {
    /// x, γ and β.
    pub(crate) parents: [NodeId; 3],
    pub(crate) norm: Norm,
    pub(crate) backend: PhantomData<B>,
}

impl<B: Kernels> RetroForward for GroupNormAgain<B> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let [x, gain, shift] = self.parents.map(|id| states.get_state::<FloatTensor<B>>(&id));
        states.save(out, B::stein_group_norm(x, gain, shift, self.norm));
    }
}

/// A function of a jet again.
#[derive(Debug)]
pub(crate) struct JetAgain<B> {
    pub(crate) x: NodeId,
    pub(crate) function: Function,
    pub(crate) rows: Rows,
    pub(crate) backend: PhantomData<B>,
}

impl<B: Kernels> RetroForward for JetAgain<B> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.x);
        states.save(out, B::stein_jet(x, self.function, self.rows));
    }
}

/// A mean or maximum over windows again.
#[derive(Debug)]
pub(crate) struct PoolAgain<B: Backend> {
    pub(crate) x: NodeId,
    pub(crate) pool: fn(FloatTensor<B>, usize) -> FloatTensor<B>,
    /// The window's side.
    pub(crate) kernel: usize,
}

impl<B: Kernels> RetroForward for PoolAgain<B> {
    fn forward(&self, states: &mut BackwardStates, out: NodeId) {
        let x = states.get_state::<FloatTensor<B>>(&self.x);
        states.save(out, (self.pool)(x, self.kernel));
    }
}
