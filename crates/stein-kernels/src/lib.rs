//! Fused operations behind burn's extension point.
//!
//! A score network on the CPU spends much of its time between the matrix products: in scalar `exp`, in one pass and one
//! allocation for each elementwise operation, in convolutions that scatter. Here are the operations that the profile names,
//! each as one vectorised, threaded pass forward and one backward:
//!
//! | function | what it is |
//! |---|---|
//! | [`conv2d`] | same-padded convolution in registers, or by matrix products over small groups of images |
//! | [`linear`] | a dense layer of values and derivatives, of which only values have the bias |
//! | [`adam`], [`Gradient`] | Adam with the average of the weights, by a gradient in pieces |
//! | [`group_norm`] | group normalisation with affine parameters |
//! | [`normalised`] | the same with each image's own, and silu, softplus, tanh or elu of it |
//! | [`jet`] | silu, softplus, tanh and elu of values together with their first and second derivatives |
//! | [`mean_pool`], [`max_pool`] | means and maxima over a window around each pixel |
//! | [`sum`] | burn's sum, but kept under gradient checkpointing |
//!
//! They take and give burn tensors and are differentiable like any other operation. Where there is no kernel (another
//! backend than flex, another number type, a stride) burn's own operations are called, so callers need not ask; only [`jet`],
//! [`linear`], [`max_pool`], [`mean_pool`] and [`normalised`] say so.
//!
//! [`slices`] has the inner loops as plain functions on slices; [`slices::mixture`] is there alone, for who has found the numbers
//! to lie on the host ([`is_host`]). The instruction set is chosen at run time; work is cut into
//! chunks of fixed size and sums run in order, so results are the same bits for any number of threads.
//!
//! [`memory`] counts what a computation holds, and lets the allocator keep its pages between steps. Unsafe code is in this crate alone:
//! the pointers that gemm takes, and the allocator's.

mod autodiff;
mod backend;
mod checkpointing;
mod flex;
mod gradient;
pub mod memory;
pub mod slices;
mod tensor;

pub use gradient::{AdamState, Gradient, adam};
pub use slices::activation::Function;
pub use slices::adam::AdamStep;
pub use slices::jet::Rows;
pub use tensor::{
    conv2d, group_norm, in_parts, is_host, jet, linear, max_pool, mean_pool, normalised, on_workers, sum,
};
