//! The type: how a jet is built, stored and taken apart.

use burn::tensor::{Device, Tensor};

/// Values of a function at a batch of points, with its derivatives along K directions: the first, or the first two.
///
/// Shapes below are those of the values, `[B, ...]`. The layout in memory is in the [crate documentation](crate).
#[derive(Clone, Debug)]
pub struct Jet<const D: usize> {
    /// `[B + K T + S, ...]`: values, then K blocks of T rows of tangents, then of second derivatives. T is 1 while all examples
    /// share them, else B; so the number of rows tells which, and for B = 1 the two are the same. S is 0 while second
    /// derivatives are not asked for or are all zero, which they are as long as the function is affine in x, else K B. What
    /// is shared has none.
    pub(crate) data: Tensor<D>,
    pub(crate) batch: usize,
    pub(crate) k: usize,
    pub(crate) order: Order,
}

/// How many derivatives are carried along each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    First,
    Second,
}

impl<const D: usize> Jet<D> {
    /// A jet without directions: the tensor `x` `[B, ...]` itself.
    pub fn plain(x: Tensor<D>) -> Self {
        Self { batch: x.dims()[0], data: x, k: 0, order: Order::First }
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
        Self { data: Tensor::cat(rows, 0), batch, k, order: Order::First }
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
            k => Self { data: Tensor::cat(vec![x, directions], 0), batch: dims[0], k, order: Order::First },
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
        let (k, data) = (rows[0] / dims[0], Tensor::cat(vec![value, tangents], 0));
        Self { data, batch: dims[0], k, order: Order::First }
    }

    /// The same point and directions as the beginning of a straight line x + t v, of which second derivatives are carried too:
    /// d²f(x + t v)/dt² = vᵀ ∇²f v.
    pub fn second_order(self) -> Self {
        let rows = self.batch + if self.is_shared() { self.k } else { self.k * self.batch };
        Self { data: self.data.narrow(0, 0, rows), order: Order::Second, ..self }
    }

    /// The same point and directions as the beginning of a curve with second derivatives `[K B, ...]`: a function of it then has
    /// the second derivatives of f along that curve. With [`from_parts`](Self::from_parts) it is how a rule of one's own gives
    /// its second derivatives back.
    ///
    /// # Panics
    ///
    /// If there are no directions, or the shape is not that of [`tangents`](Self::tangents).
    pub fn with_seconds(self, seconds: Tensor<D>) -> Self {
        assert!(self.k > 0, "a plain jet has no second derivatives: seed it with directions");
        let mut dims = self.dims();
        dims[0] *= self.k;
        assert_eq!(seconds.dims(), dims, "second derivatives must have the shape of the tangents");
        let line = self.second_order().unshared();
        Self { data: Tensor::cat(vec![line.data, seconds], 0), ..line }
    }

    /// The number B of points.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number K of directions; 0 for a plain tensor.
    pub fn directions(&self) -> usize {
        self.k
    }

    /// The derivatives that are carried along each direction: 1 or 2; 0 without directions.
    pub fn order(&self) -> usize {
        match (self.k, self.order) {
            (0, _) => 0,
            (_, Order::First) => 1,
            (_, Order::Second) => 2,
        }
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

    /// All second derivatives, direction by direction: `[K B, ...]`.
    ///
    /// # Panics
    ///
    /// If they are not carried: see [`second_order`](Self::second_order).
    pub fn seconds(&self) -> Tensor<D> {
        assert!(
            self.order() == 2,
            "a jet of order {} has no second derivatives: second_order after seeding asks for them",
            self.order()
        );
        self.stored_seconds().unwrap_or_else(|| {
            let mut dims = self.dims();
            dims[0] *= self.k;
            Tensor::zeros(dims, (&self.data.device(), self.data.dtype()))
        })
    }

    /// The second derivative along direction `i`: `[B, ...]`.
    ///
    /// # Panics
    ///
    /// If `i` is not less than the number of directions, or they are not carried.
    pub fn second(&self, i: usize) -> Tensor<D> {
        assert!(i < self.k, "second derivative {i} of a jet with {} directions", self.k);
        self.seconds().narrow(0, i * self.batch, self.batch)
    }

    /// Values `[B, ...]` and tangents `[K B, ...]`; no tangents without directions, and never second derivatives.
    pub fn into_parts(self) -> (Tensor<D>, Option<Tensor<D>>) {
        let tangents = (self.k > 0).then(|| self.tangents());
        (self.into_value(), tangents)
    }

    /// The rows below the values as they are stored, K T + S.
    pub(crate) fn derivative_rows(&self) -> usize {
        self.data.dims()[0] - self.batch
    }

    /// Whether second derivatives are stored; else those that are carried are zero.
    pub(crate) fn stores_seconds(&self) -> bool {
        self.order == Order::Second && self.k > 0 && self.derivative_rows() == 2 * self.k * self.batch
    }

    /// The rows of tangents as they are stored, K T.
    fn tangent_rows(&self) -> usize {
        if self.stores_seconds() { self.k * self.batch } else { self.derivative_rows() }
    }

    /// The tangents as they are stored: `[K T, ...]`.
    pub(crate) fn stored_tangents(&self) -> Tensor<D> {
        self.data.clone().narrow(0, self.batch, self.tangent_rows())
    }

    /// The second derivatives `[K B, ...]`, if they are stored.
    pub(crate) fn stored_seconds(&self) -> Option<Tensor<D>> {
        let rows = self.k * self.batch;
        self.stores_seconds().then(|| self.data.clone().narrow(0, self.batch + rows, rows))
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
        let (batch, k, order) = (self.batch, self.k, self.order);
        Self { data: Tensor::cat(vec![self.into_value(), tangents], 0), batch, k, order }
    }

    /// The same with second derivatives stored, be they zero.
    fn storing_seconds(self) -> Self {
        if self.stores_seconds() {
            return self;
        }
        let zeros = self.seconds();
        self.with_seconds(zeros)
    }

    /// This and `other` stored alike: if only one of them is shared, it no longer is; if only one stores second derivatives, both
    /// do.
    pub(crate) fn alike(self, other: Self) -> [Self; 2] {
        let [a, b] = match self.stores_seconds() == other.stores_seconds() {
            true => [self, other],
            false => [self.storing_seconds(), other.storing_seconds()],
        };
        if a.is_shared() == b.is_shared() { [a, b] } else { [a.unshared(), b.unshared()] }
    }

    /// The same for any number of jets.
    pub(crate) fn all_alike(jets: Vec<Self>) -> Vec<Self> {
        if jets.iter().any(Self::stores_seconds) {
            return jets.into_iter().map(Self::storing_seconds).collect();
        }
        if jets.iter().all(Self::is_shared) { jets } else { jets.into_iter().map(Self::unshared).collect() }
    }

    /// A jet of values `[B, ...]`, tangents `[K B, ...]` and, at order 2, second derivatives `[K B, ...]`.
    pub(crate) fn join(k: usize, value: Tensor<D>, tangents: Tensor<D>, seconds: Option<Tensor<D>>) -> Self {
        let batch = value.dims()[0];
        let order = if seconds.is_some() { Order::Second } else { Order::First };
        let rows = [value, tangents].into_iter().chain(seconds).collect();
        Self { data: Tensor::cat(rows, 0), batch, k, order }
    }

    /// The jet as tensors that broadcast to each other, whether tangents are shared or not. `example` is an example's shape, seen as
    /// three dimensions.
    ///
    /// There must be directions.
    pub(crate) fn into_blocks(self, example: [usize; 3]) -> Blocks {
        let (k, batch) = (self.k, self.batch);
        let shape = |first, second| [first, second, example[0], example[1], example[2]];
        let first = self.stored_tangents().reshape(shape(k, self.tangent_rows() / k));
        let second = self.stored_seconds().map(|seconds| seconds.reshape(shape(k, batch)));
        let order = self.order;
        Blocks { value: self.into_value().reshape(shape(1, batch)), first, second, order }
    }

    /// The way back from [`into_blocks`](Self::into_blocks), with tangents of every example's own; `dims` is the shape of the
    /// values.
    pub(crate) fn from_blocks(blocks: Blocks, dims: [usize; D]) -> Self {
        let Blocks { value, first, second, order } = blocks;
        let k = first.dims()[0];
        let rows: Vec<_> = [value, first].into_iter().chain(second).collect();
        let mut shape = dims;
        let data = Tensor::cat(rows, 0);
        shape[0] *= data.dims()[0];
        Self { data: data.reshape(shape), batch: dims[0], k, order }
    }

    /// Panics unless `other` has the same batch, the same number of directions and the same order.
    #[track_caller]
    pub(crate) fn assert_same_rows<const E: usize>(&self, other: &Jet<E>) {
        assert!(
            self.k == other.k && self.batch == other.batch && self.order() == other.order(),
            "jets must agree in batch, directions and order, got {:?} with {} of order {} and {:?} with {} of order {}; \
             what doesn't depend on x goes in by add_constant or scale",
            self.dims(),
            self.k,
            self.order(),
            other.dims(),
            other.k,
            other.order()
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

/// A jet's parts, an example's shape seen as three dimensions.
pub(crate) struct Blocks {
    /// `[1, B, a, b, c]`.
    pub(crate) value: Tensor<5>,
    /// `[K, T, a, b, c]`.
    pub(crate) first: Tensor<5>,
    /// `[K, B, a, b, c]`; `None` at order 1, and at order 2 where they are zero.
    pub(crate) second: Option<Tensor<5>>,
    pub(crate) order: Order,
}

/// `a + b`, where nothing stands for zero.
pub(crate) fn plus<const D: usize>(a: Tensor<D>, b: Option<Tensor<D>>) -> Tensor<D> {
    match b {
        Some(b) => a + b,
        None => a,
    }
}

/// Repeats every row of `shared` `[K, ...]` for each of `batch` examples: `[K batch, ...]`.
fn for_each_example<const D: usize>(shared: Tensor<D>, batch: usize) -> Tensor<D> {
    let mut dims = shared.dims();
    let (k, size) = (dims[0], dims[1..].iter().product());
    dims[0] *= batch;
    shared.reshape([k, 1, size]).expand([k, batch, size]).reshape(dims)
}
