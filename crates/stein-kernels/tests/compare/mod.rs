//! Two ways to compute the same.

use burn::tensor::{Device, Distribution, Tensor};

/// The largest difference, over the largest of `b`.
pub(crate) fn worst<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    let size = b.clone().abs().max().into_scalar::<f32>().max(1e-6);
    (a - b).abs().max().into_scalar::<f32>() / size
}

/// A leaf of standard normals.
pub(crate) fn normal<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device).require_grad()
}

/// Largest relative differences of value and of the gradients in `inputs`, two ways to compute the same.
pub(crate) fn compare<const D: usize, const E: usize>(
    x: &Tensor<E>,
    ours: impl Fn(Tensor<E>) -> Tensor<D>,
    burns: impl Fn(Tensor<E>) -> Tensor<D>,
) -> (f32, f32) {
    let (a, b) = (ours(x.clone()), burns(x.clone()));
    // A direction that weighs every output differently.
    let w: Tensor<D> = Tensor::random(b.dims(), Distribution::Normal(0.0, 1.0), &b.device());
    let ga = x.grad(&(a.clone() * w.clone()).sum().backward()).expect("x is a leaf");
    let gb = x.grad(&(b.clone() * w).sum().backward()).expect("x is a leaf");
    (worst(a, b), worst(ga, gb))
}
