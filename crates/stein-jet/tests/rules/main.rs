//! Every rule in f64 against central differences: tangents and second derivatives in x, and through `backward()` the gradient
//! of a scalar made from them. With one and with two directions, seeded for each example and shared by all, along tangents,
//! straight lines and curves. Each rule has a twin with a term that is wrong, often by a percent only, which the checker must
//! notice.

mod checker;

mod arithmetic;
mod attention;
mod elementwise;
mod layers;
mod mistakes;
mod networks;
mod norm_plus;
mod pooling;
mod resampling;
mod second;
mod shape;
mod shared;
mod teeth;
