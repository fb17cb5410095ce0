//! The inner loops, on slices.

pub mod activation;
pub mod adam;
pub mod conv;
mod direct;
pub mod jet;
pub mod linear;
mod matmul;
pub mod mixture;
pub mod norm;

/// Elements of one task of an elementwise kernel.
pub(crate) const CHUNK: usize = 16_384;
