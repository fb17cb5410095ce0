//! The type: how a jet is built, taken apart, reshaped and mapped.

use burn::tensor::{Device, Tensor};

/// Values of a function at a batch of points, with its derivatives along K directions.
///
/// Shapes below are those of the values, `[B, ...]`. The layout in memory is in the [crate documentation](crate).
#[derive(Clone, Debug)]
pub struct Jet<const D: usize> {
    /// `[(1 + k) B, ...]`: values, then `k` blocks of tangents.
    pub(crate) data: Tensor<D>,
    pub(crate) k: usize,
}

impl<const D: usize> Jet<D> {
    /// A jet without directions: the tensor `x` `[B, ...]` itself.
    pub fn plain(x: Tensor<D>) -> Self {
        Self { data: x, k: 0 }
    }

    /// The point `x` `[B, ...]` with the directions to differentiate along, each `[B, ...]` like `x`.
    ///
    /// # Panics
    ///
    /// If a direction's shape differs from that of `x`.
    pub fn seed(x: Tensor<D>, directions: Vec<Tensor<D>>) -> Self {
        let k = directions.len();
        if k == 0 {
            return Self::plain(x);
        }
        for (i, direction) in directions.iter().enumerate() {
            assert_eq!(direction.dims(), x.dims(), "direction {i} must have the shape of the point");
        }
        let mut rows = Vec::with_capacity(1 + k);
        rows.push(x);
        rows.extend(directions);
        Self { data: Tensor::cat(rows, 0), k }
    }

    /// The inverse of [`into_parts`](Self::into_parts): values `[B, ...]` and, if any, tangents `[K B, ...]`.
    ///
    /// # Panics
    ///
    /// If the tangents are not a whole number of blocks shaped like the values.
    pub fn from_parts(value: Tensor<D>, tangents: Option<Tensor<D>>) -> Self {
        let Some(tangents) = tangents else {
            return Self::plain(value);
        };
        let (dims, rows) = (value.dims(), tangents.dims());
        assert!(
            dims[0] > 0 && rows[0] >= dims[0] && rows[0].is_multiple_of(dims[0]) && rows[1..] == dims[1..],
            "tangents must be one or more blocks of shape {dims:?}, one below the other, got {rows:?}"
        );
        Self { k: rows[0] / dims[0], data: Tensor::cat(vec![value, tangents], 0) }
    }

    /// The number B of points.
    pub fn batch(&self) -> usize {
        self.data.dims()[0] / (1 + self.k)
    }

    /// The number K of directions; 0 for a plain tensor.
    pub fn directions(&self) -> usize {
        self.k
    }

    /// The shape `[B, ...]` of the values.
    pub fn dims(&self) -> [usize; D] {
        let mut dims = self.data.dims();
        dims[0] = self.batch();
        dims
    }

    /// Where the tensor lives.
    pub fn device(&self) -> Device {
        self.data.device()
    }

    /// The values `[B, ...]`.
    pub fn value(&self) -> Tensor<D> {
        self.clone().into_value()
    }

    /// The values `[B, ...]`, letting go of the tangents.
    pub fn into_value(self) -> Tensor<D> {
        match self.k {
            0 => self.data,
            _ => {
                let batch = self.batch();
                self.data.narrow(0, 0, batch)
            }
        }
    }

    /// All tangents, direction by direction: `[K B, ...]`.
    ///
    /// # Panics
    ///
    /// If there are no directions.
    pub fn tangents(&self) -> Tensor<D> {
        assert!(self.k > 0, "a plain jet has no tangents: seed it with directions");
        let batch = self.batch();
        self.data.clone().narrow(0, batch, self.k * batch)
    }

    /// The tangent along direction `i`: `[B, ...]`.
    ///
    /// # Panics
    ///
    /// If `i` is not less than the number of directions.
    pub fn tangent(&self, i: usize) -> Tensor<D> {
        assert!(i < self.k, "tangent {i} of a jet with {} directions", self.k);
        let batch = self.batch();
        self.data.clone().narrow(0, (1 + i) * batch, batch)
    }

    /// Values `[B, ...]` and tangents `[K B, ...]`; no tangents without directions.
    pub fn into_parts(self) -> (Tensor<D>, Option<Tensor<D>>) {
        let tangents = (self.k > 0).then(|| self.tangents());
        (self.into_value(), tangents)
    }

    /// Reshapes every example: `dims` is the new shape `[B, ...]` of the values.
    ///
    /// # Panics
    ///
    /// If `dims[0]` is not the batch, or the number of elements changes.
    pub fn reshape<const E: usize>(self, dims: [usize; E]) -> Jet<E> {
        assert_eq!(dims[0], self.batch(), "reshape keeps the batch as its first dimension, got {dims:?}");
        let mut rows = dims;
        rows[0] *= 1 + self.k;
        Jet { data: self.data.reshape(rows), k: self.k }
    }

    /// Puts jets `[B, ...]` side by side along dimension `dim`.
    ///
    /// # Panics
    ///
    /// If there are none, `dim` is 0 (that is the batch), or they differ in batch or directions.
    pub fn cat(jets: Vec<Self>, dim: usize) -> Self {
        assert!(dim >= 1, "cat along dimension 0 would mix the batch with the tangents");
        let first = jets.first().expect("cat needs at least one jet");
        for jet in &jets[1..] {
            first.assert_same_rows(jet);
        }
        let k = first.k;
        Self { data: Tensor::cat(jets.into_iter().map(|jet| jet.data).collect(), dim), k }
    }

    /// The `length` entries from `start` along dimension `dim`.
    ///
    /// # Panics
    ///
    /// If `dim` is 0 (that is the batch), or the range is out of bounds.
    pub fn narrow(self, dim: usize, start: usize, length: usize) -> Self {
        assert!(dim >= 1, "narrow along dimension 0 would mix the batch with the tangents");
        self.linear_map(|rows| rows.narrow(dim, start, length))
    }

    /// A linear function that treats rows independently: `f(x) = L x`, so `J v = L v`. Called once, with all the rows.
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
        Jet { data, k: self.k }
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
        let (dims, k) = (self.dims(), self.k);
        let tangents = self.tangents();
        let (value, derivative) = with_derivative(self.into_value());
        assert_eq!(value.dims(), dims, "an elementwise function must keep the shape");
        assert_eq!(derivative.dims(), dims, "a derivative must have the shape of the value");
        Self { data: Tensor::cat(vec![value, times_each_block(tangents, derivative, k)], 0), k }
    }

    /// Panics unless `other` has the same batch and the same number of directions.
    #[track_caller]
    pub(crate) fn assert_same_rows(&self, other: &Self) {
        assert!(
            self.k == other.k && self.batch() == other.batch(),
            "jets must agree in batch and directions, got {:?} with {} and {:?} with {}; \
             what doesn't depend on x goes in by add_constant or scale",
            self.dims(),
            self.k,
            other.dims(),
            other.k
        );
    }
}

/// Multiplies each of the `k` blocks in `tangents` `[k B, ...]` by `factor` `[B, ...]`.
pub(crate) fn times_each_block<const D: usize>(tangents: Tensor<D>, factor: Tensor<D>, k: usize) -> Tensor<D> {
    if k == 1 {
        return tangents * factor;
    }
    // Broadcast over a leading dimension: repeating the factor would write k copies of it.
    let dims = tangents.dims();
    let size = factor.dims().iter().product();
    (tangents.reshape([k, size]) * factor.reshape([1, size])).reshape(dims)
}
