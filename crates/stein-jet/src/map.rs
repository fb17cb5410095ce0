//! Rules made out of functions.

use burn::tensor::Tensor;

use crate::jet::Jet;

impl<const D: usize> Jet<D> {
    /// A linear function that treats rows independently: `f(x) = L x`, so `J v = L v`. Called once, with all the rows, values
    /// and tangents.
    ///
    /// `f` must have no constant term; [`affine`](Self::affine) adds one.
    ///
    /// # Panics
    ///
    /// If `f` changes the number of rows.
    pub fn linear_map<const E: usize>(self, f: impl FnOnce(Tensor<D>) -> Tensor<E>) -> Jet<E> {
        let rows = self.data.dims()[0];
        let data = f(self.data);
        assert_eq!(data.dims()[0], rows, "a linear map must keep the rows, got {:?}", data.dims());
        Jet { data, batch: self.batch, k: self.k }
    }

    /// An affine function `f(x) = L x + c`: a [`linear_map`](Self::linear_map) and an
    /// [`add_constant`](Self::add_constant).
    ///
    /// # Panics
    ///
    /// As these two do.
    pub fn affine<const E: usize>(self, linear: impl FnOnce(Tensor<D>) -> Tensor<E>, constant: Tensor<E>) -> Jet<E> {
        self.linear_map(linear).add_constant(constant)
    }

    /// An elementwise function. `function` gives f(x) and is all that runs without directions; `with_derivative` gives
    /// f(x) and f′(x) from one x, so the two can share their work. Both see values only, `[B, ...]`.
    ///
    /// f′ must itself be differentiable by autodiff, because `backward()` goes through it.
    ///
    /// # Panics
    ///
    /// If f or f′ changes the shape.
    pub fn map(
        self,
        function: impl FnOnce(Tensor<D>) -> Tensor<D>,
        with_derivative: impl FnOnce(Tensor<D>) -> (Tensor<D>, Tensor<D>),
    ) -> Self {
        if self.k == 0 {
            return Self::plain(function(self.data));
        }
        let (dims, batch, k) = (self.dims(), self.batch, self.k);
        let tangents = self.stored_tangents();
        let (value, derivative) = with_derivative(self.into_value());
        assert_eq!(value.dims(), dims, "an elementwise function must keep the shape");
        assert_eq!(derivative.dims(), dims, "a derivative must have the shape of the value");
        Self { data: Tensor::cat(vec![value, times_each_block(tangents, derivative, k)], 0), batch, k }
    }
}

/// Multiplies each of the `k` blocks in stored tangents `[k T, ...]` by `factor` `[B, ...]`: `[k B, ...]`.
pub(crate) fn times_each_block<const D: usize>(tangents: Tensor<D>, factor: Tensor<D>, k: usize) -> Tensor<D> {
    if k == 1 {
        return tangents * factor;
    }
    // Broadcast over a leading dimension: repeating the factor would write k copies of it.
    let mut dims = factor.dims();
    let (each, batch, size) = (tangents.dims()[0] / k, dims[0], dims[1..].iter().product());
    dims[0] *= k;
    (tangents.reshape([k, each, size]) * factor.reshape([1, batch, size])).reshape(dims)
}
