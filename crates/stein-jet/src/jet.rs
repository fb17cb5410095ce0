//! The type: how a jet is built, stored and taken apart.

use burn::tensor::{Device, Tensor};

/// Values of a function at a batch of points, with its derivatives along K directions.
///
/// Shapes below are those of the values, `[B, ...]`. The layout in memory is in the [crate documentation](crate).
#[derive(Clone, Debug)]
pub struct Jet<const D: usize> {
    /// `[B + K T, ...]`: values, then K blocks of T rows of tangents. T is 1 while all examples share them, else B; so the
    /// number of rows tells which, and for B = 1 the two are the same.
    pub(crate) data: Tensor<D>,
    pub(crate) batch: usize,
    pub(crate) k: usize,
}

impl<const D: usize> Jet<D> {
    /// A jet without directions: the tensor `x` `[B, ...]` itself.
    pub fn plain(x: Tensor<D>) -> Self {
        Self { batch: x.dims()[0], data: x, k: 0 }
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
        let batch = x.dims()[0];
        let mut rows = Vec::with_capacity(1 + k);
        rows.push(x);
        rows.extend(directions);
        Self { data: Tensor::cat(rows, 0), batch, k }
    }

    /// The point `x` `[B, ...]` with directions that all examples share, `[K, ...]`, one a row.
    ///
    /// The same as [`seed`](Self::seed) with each of them repeated B times, but stored once: until a function's derivative
    /// depends on the example, only K rows of tangents are pushed instead of K B.
    ///
    /// # Panics
    ///
    /// If a direction's shape differs from that of an example.
    pub fn seed_shared(x: Tensor<D>, directions: Tensor<D>) -> Self {
        let (dims, rows) = (x.dims(), directions.dims());
        assert!(
            rows[1..] == dims[1..],
            "shared directions must be [K, ...] with the point's other dimensions, {:?}, got {rows:?}",
            &dims[1..]
        );
        match rows[0] {
            0 => Self::plain(x),
            k => Self { data: Tensor::cat(vec![x, directions], 0), batch: dims[0], k },
        }
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
        Self { k: rows[0] / dims[0], batch: dims[0], data: Tensor::cat(vec![value, tangents], 0) }
    }

    /// The number B of points.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number K of directions; 0 for a plain tensor.
    pub fn directions(&self) -> usize {
        self.k
    }

    /// The shape `[B, ...]` of the values.
    pub fn dims(&self) -> [usize; D] {
        let mut dims = self.data.dims();
        dims[0] = self.batch;
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
            _ => self.data.narrow(0, 0, self.batch),
        }
    }

    /// All tangents, direction by direction: `[K B, ...]`.
    ///
    /// # Panics
    ///
    /// If there are no directions.
    pub fn tangents(&self) -> Tensor<D> {
        assert!(self.k > 0, "a plain jet has no tangents: seed it with directions");
        let tangents = self.stored_tangents();
        if self.is_shared() { for_each_example(tangents, self.batch) } else { tangents }
    }

    /// The tangent along direction `i`: `[B, ...]`.
    ///
    /// # Panics
    ///
    /// If `i` is not less than the number of directions.
    pub fn tangent(&self, i: usize) -> Tensor<D> {
        assert!(i < self.k, "tangent {i} of a jet with {} directions", self.k);
        let data = self.data.clone();
        if self.is_shared() {
            data.narrow(0, self.batch + i, 1).expand(self.dims())
        } else {
            data.narrow(0, (1 + i) * self.batch, self.batch)
        }
    }

    /// Values `[B, ...]` and tangents `[K B, ...]`; no tangents without directions.
    pub fn into_parts(self) -> (Tensor<D>, Option<Tensor<D>>) {
        let tangents = (self.k > 0).then(|| self.tangents());
        (self.into_value(), tangents)
    }

    /// The rows of tangents as they are stored, K T.
    pub(crate) fn tangent_rows(&self) -> usize {
        self.data.dims()[0] - self.batch
    }

    /// The tangents as they are stored: `[K T, ...]`.
    pub(crate) fn stored_tangents(&self) -> Tensor<D> {
        self.data.clone().narrow(0, self.batch, self.tangent_rows())
    }

    /// Whether the tangents are stored once for all examples.
    pub(crate) fn is_shared(&self) -> bool {
        self.tangent_rows() != self.k * self.batch
    }

    /// Gives every example tangents of its own, if they are shared.
    pub(crate) fn unshared(self) -> Self {
        if !self.is_shared() {
            return self;
        }
        let tangents = for_each_example(self.stored_tangents(), self.batch);
        Self { batch: self.batch, k: self.k, data: Tensor::cat(vec![self.into_value(), tangents], 0) }
    }

    /// This and `other` stored alike: if only one of them is shared, it no longer is.
    pub(crate) fn alike(self, other: Self) -> [Self; 2] {
        if self.is_shared() == other.is_shared() { [self, other] } else { [self.unshared(), other.unshared()] }
    }

    /// Values `[1, B, a, b, c]` and tangents `[K, T, a, b, c]`: tensors that broadcast to each other, whether the tangents are
    /// shared or not. `[a, b, c]` is an example's shape, seen as three dimensions.
    ///
    /// There must be directions.
    pub(crate) fn into_blocks(self, [a, b, c]: [usize; 3]) -> [Tensor<5>; 2] {
        let each = self.tangent_rows() / self.k;
        let tangents = self.stored_tangents().reshape([self.k, each, a, b, c]);
        let batch = self.batch;
        [self.into_value().reshape([1, batch, a, b, c]), tangents]
    }

    /// The way back from [`into_blocks`](Self::into_blocks), with tangents `[K, B, ...]` of every example's own; `dims` is
    /// the shape of the values.
    pub(crate) fn from_blocks(value: Tensor<5>, tangents: Tensor<5>, dims: [usize; D]) -> Self {
        let k = tangents.dims()[0];
        let mut rows = dims;
        rows[0] *= 1 + k;
        Self { data: Tensor::cat(vec![value, tangents], 0).reshape(rows), batch: dims[0], k }
    }

    /// Panics unless `other` has the same batch and the same number of directions.
    #[track_caller]
    pub(crate) fn assert_same_rows<const E: usize>(&self, other: &Jet<E>) {
        assert!(
            self.k == other.k && self.batch == other.batch,
            "jets must agree in batch and directions, got {:?} with {} and {:?} with {}; \
             what doesn't depend on x goes in by add_constant or scale",
            self.dims(),
            self.k,
            other.dims(),
            other.k
        );
    }
}

impl Jet<2> {
    /// The point `x` `[B, D]` with the D unit directions e₁ … e_D, [shared](Self::seed_shared): tangent i is then column i of
    /// the Jacobian.
    pub fn basis(x: Tensor<2>) -> Self {
        let identity = Tensor::<2>::eye(x.dims()[1], &x.device()).cast(x.dtype());
        Self::seed_shared(x, identity)
    }
}

/// Repeats every row of `shared` `[K, ...]` for each of `batch` examples: `[K batch, ...]`.
fn for_each_example<const D: usize>(shared: Tensor<D>, batch: usize) -> Tensor<D> {
    let mut dims = shared.dims();
    let (k, size) = (dims[0], dims[1..].iter().product());
    dims[0] *= batch;
    shared.reshape([k, 1, size]).expand([k, batch, size]).reshape(dims)
}
