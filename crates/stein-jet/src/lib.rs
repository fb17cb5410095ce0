#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod activation;
mod arithmetic;
mod attention;
mod conv;
mod jet;
mod linear;
mod map;
mod norm;
mod pool;
mod resample;
mod shape;
mod watch;

pub use activation::{Activation, elu, exp, gelu, sigmoid, silu, softplus, square, tanh};
pub use attention::{attention, softmax};
pub use conv::{conv_transpose2d, conv2d};
pub use jet::Jet;
pub use linear::{dense, linear};
pub use norm::{group_norm, group_norm_silu, instance_norm, instance_norm_plus, layer_norm};
pub use pool::{Window, max_pool2d, mean_pool2d};
pub use resample::{
    Fir, avg_pool2d, pixel_shuffle, pixel_unshuffle, resize_aligned2d, resize_bilinear2d, upfirdn2d, upsample_nearest2d,
};
pub use watch::{LayerOutput, watched};
