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
pub mod pool;
pub mod symmetric;
mod transpose;

pub use matmul::{beside, columns_by_columns, rows_by_rows};

/// Elements of one task of an elementwise kernel.
pub(crate) const CHUNK: usize = 16_384;
