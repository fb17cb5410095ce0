#![doc = include_str!("../README.md")]

mod activation;
mod arithmetic;
mod conv;
mod jet;
mod linear;
mod norm;
mod resample;

pub use activation::{Activation, elu, gelu, silu, softplus, tanh};
pub use conv::conv2d;
pub use jet::Jet;
pub use linear::linear;
pub use norm::group_norm;
pub use resample::{avg_pool2d, upsample_nearest2d};
