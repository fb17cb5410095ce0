//! The inner loops, on slices.

pub mod activation;
pub mod adam;
pub mod conv;
mod direct;
pub mod jet;
pub mod linear;
pub(crate) mod matmul;
pub mod mixture;
pub mod norm;
mod transpose;

/// Elements of one task of an elementwise kernel.
pub(crate) const CHUNK: usize = 16_384;
