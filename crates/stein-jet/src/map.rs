//! Rules made out of functions.

use burn::tensor::Tensor;
use stein_kernels::{Function, Rows};

use crate::jet::{Jet, Order, plus};

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
        Jet { data, batch: self.batch, k: self.k, order: self.order }
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

    /// An elementwise function, for jets of order 1. `function` gives f(x) and is all that runs without directions;
    /// `with_derivative` gives f(x) and f′(x) from one x, so the two can share their work. Both see values only, `[B, ...]`.
    ///
    /// f′ must itself be differentiable by autodiff, because `backward()` goes through it. [`map2`](Self::map2) goes on to f″.
    ///
    /// # Panics
    ///
    /// If f or f′ changes the shape, or the jet is of order 2.
    pub fn map(
        self,
        function: impl FnOnce(Tensor<D>) -> Tensor<D>,
        with_derivative: impl FnOnce(Tensor<D>) -> (Tensor<D>, Tensor<D>),
    ) -> Self {
        self.map2(function, with_derivative, |_| {
            panic!("`map` knows no second derivative, which a jet of order 2 needs; `map2` takes one")
        })
    }

    /// An elementwise function: [`map`](Self::map) with `with_two_derivatives`, which gives f(x), f′(x) and f″(x) from one x and
    /// runs for jets of order 2. f″ must be differentiable by autodiff too.
    ///
    /// # Panics
    ///
    /// If f, f′ or f″ changes the shape.
    pub fn map2(
        self,
        function: impl FnOnce(Tensor<D>) -> Tensor<D>,
        with_derivative: impl FnOnce(Tensor<D>) -> (Tensor<D>, Tensor<D>),
        with_two_derivatives: impl FnOnce(Tensor<D>) -> [Tensor<D>; 3],
    ) -> Self {
        if self.k == 0 {
            return Self::plain(function(self.data));
        }
        let (dims, k) = (self.dims(), self.k);
        let (tangents, seconds) = (self.stored_tangents(), self.stored_seconds());
        let (value, first, second) = match self.order {
            Order::First => {
                let (value, first) = with_derivative(self.into_value());
                (value, first, None)
            }
            Order::Second => {
                let [value, first, second] = with_two_derivatives(self.into_value());
                assert_eq!(second.dims(), dims, "a second derivative must have the shape of the value");
                (value, first, Some(second))
            }
        };
        assert_eq!(value.dims(), dims, "an elementwise function must keep the shape");
        assert_eq!(first.dims(), dims, "a derivative must have the shape of the value");
        // f″ v² + f′ u
        let seconds = second.map(|second| {
            let bent = seconds.map(|seconds| times_each_block(seconds, first.clone(), k));
            plus(times_each_block(tangents.clone().square(), second, k), bent)
        });
        Self::join(k, value, times_each_block(tangents, first, k), seconds)
    }

    /// A function of all the rows in one pass; `None` where no kernel can take them.
    pub(crate) fn fused(&self, function: Function) -> Option<Self> {
        let rows = Rows {
            batch: self.batch,
            directions: self.k,
            shared: self.is_shared(),
            second_order: self.order() == 2,
            bent: self.stores_seconds(),
        };
        let data = stein_kernels::jet(function, &self.data, rows)?;
        Some(Self { data, batch: self.batch, k: self.k, order: self.order })
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
