//! Shape: what only moves numbers or adds them up. All of it is linear.

use burn::tensor::Tensor;

use crate::jet::Jet;

impl<const D: usize> Jet<D> {
    /// Reshapes every example: `dims` is the new shape `[B, ...]` of the values.
    ///
    /// # Panics
    ///
    /// If `dims[0]` is not the batch, or the number of elements changes.
    pub fn reshape<const E: usize>(self, dims: [usize; E]) -> Jet<E> {
        assert_eq!(dims[0], self.batch, "reshape keeps the batch as its first dimension, got {dims:?}");
        let mut rows = dims;
        rows[0] = self.data.dims()[0];
        Jet { data: self.data.reshape(rows), batch: self.batch, k: self.k, order: self.order }
    }

    /// Puts jets `[B, ...]` side by side along dimension `dim`.
    ///
    /// # Panics
    ///
    /// If there are none, `dim` is 0 (that is the batch), or they differ in batch, directions or order.
    pub fn cat(jets: Vec<Self>, dim: usize) -> Self {
        assert_example_dimension::<D>("cat", dim);
        let first = jets.first().expect("cat needs at least one jet");
        for jet in &jets[1..] {
            first.assert_same_rows(jet);
        }
        let (batch, k, order) = (first.batch, first.k, first.order);
        let rows = Self::all_alike(jets).into_iter().map(|jet| jet.data).collect();
        Self { data: Tensor::cat(rows, dim), batch, k, order }
    }

    /// The `length` entries from `start` along dimension `dim`.
    ///
    /// # Panics
    ///
    /// If `dim` is 0 (that is the batch), or the range is out of bounds.
    pub fn narrow(self, dim: usize, start: usize, length: usize) -> Self {
        assert_example_dimension::<D>("narrow", dim);
        self.linear_map(|rows| rows.narrow(dim, start, length))
    }

    /// Reorders the dimensions of every example: dimension i of the result is dimension `axes[i]` of this.
    ///
    /// # Panics
    ///
    /// If `axes` doesn't name every dimension once, or moves the first, the batch.
    pub fn permute(self, axes: [usize; D]) -> Self {
        let mut sorted = axes;
        sorted.sort_unstable();
        assert!(
            axes[0] == 0 && sorted.into_iter().eq(0..D),
            "permute needs 0 (the batch) and then the dimensions 1 to {} in any order, got {axes:?}",
            D - 1
        );
        self.linear_map(|rows| rows.permute(axes))
    }

    /// Swaps two dimensions other than the first.
    ///
    /// # Panics
    ///
    /// If one of them is 0 (that is the batch), or there is no such dimension.
    pub fn swap_dims(self, a: usize, b: usize) -> Self {
        assert_example_dimension::<D>("swap_dims", a);
        assert_example_dimension::<D>("swap_dims", b);
        self.linear_map(|rows| rows.swap_dims(a, b))
    }

    /// Sums along dimension `dim`, which stays with length 1.
    ///
    /// # Panics
    ///
    /// If `dim` is 0 (that is the batch), or there is no such dimension.
    pub fn sum_dim(self, dim: usize) -> Self {
        assert_example_dimension::<D>("sum_dim", dim);
        self.linear_map(|rows| rows.sum_dim(dim))
    }

    /// Means along dimension `dim`, which stays with length 1.
    ///
    /// # Panics
    ///
    /// If `dim` is 0 (that is the batch), or there is no such dimension.
    pub fn mean_dim(self, dim: usize) -> Self {
        assert_example_dimension::<D>("mean_dim", dim);
        self.linear_map(|rows| rows.mean_dim(dim))
    }
}

/// Panics unless `dim` is a dimension of an example: there is one, and it isn't the batch.
#[track_caller]
pub(crate) fn assert_example_dimension<const D: usize>(operation: &str, dim: usize) {
    assert!(dim >= 1, "{operation} along dimension 0 would mix the batch with the tangents");
    assert!(dim < D, "{operation} along dimension {dim} of a jet with {D} dimensions");
}
