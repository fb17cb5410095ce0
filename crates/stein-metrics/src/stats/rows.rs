//! A borrowed set of rows.

use super::error::StatsError;

/// `n` rows of `dim` finite values, row major: `[n, dim]`.
///
/// A `Rows` holds whole rows of finite values by construction; it may be empty (each metric says how many rows it
/// needs).
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    data: &'a [f32],
    dim: usize,
}

impl<'a> Rows<'a> {
    /// Borrows `data` as rows of `dim` values.
    ///
    /// # Errors
    /// If `dim` is 0, if the length is not a multiple of `dim`, or if a value is NaN or infinite.
    pub fn new(data: &'a [f32], dim: usize) -> Result<Self, StatsError> {
        if dim == 0 {
            return Err(StatsError::ZeroDimension);
        }
        if !data.len().is_multiple_of(dim) {
            return Err(StatsError::Length { len: data.len(), dim });
        }
        if let Some(at) = data.iter().position(|value| !value.is_finite()) {
            return Err(StatsError::NonFinite { row: at / dim, column: at % dim, value: data[at] });
        }
        Ok(Self { data, dim })
    }

    /// The values, row major.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Values in a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.dim
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.data.chunks_exact(self.dim)
    }

    /// Copies the rows at `indices`, in that order, into one buffer.
    ///
    /// # Errors
    /// If an index is not that of a row.
    pub fn select(&self, indices: &[usize]) -> Result<Vec<f32>, StatsError> {
        let mut out = Vec::with_capacity(indices.len() * self.dim);
        for &i in indices {
            let needed = i.saturating_add(1);
            super::error::at_least("selected rows", self.len(), needed)?;
            out.extend_from_slice(self.row(i));
        }
        Ok(out)
    }

    /// Row `i`, which has to exist.
    pub(crate) fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// Fails unless both sets have the same dimension.
    pub(crate) fn same_dim(&self, other: &Rows<'_>) -> Result<(), StatsError> {
        if self.dim == other.dim { Ok(()) } else { Err(StatsError::Dimensions { left: self.dim, right: other.dim }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_buffers_say_what_is_wrong() {
        assert_eq!(Rows::new(&[1.0], 0).unwrap_err(), StatsError::ZeroDimension);
        let ragged = Rows::new(&[1.0, 2.0, 3.0], 2).unwrap_err();
        assert_eq!(ragged, StatsError::Length { len: 3, dim: 2 });
        assert_eq!(ragged.to_string(), "3 values don't divide into rows of 2");
        let bad = Rows::new(&[0.0, 1.0, 2.0, f32::NAN], 2).unwrap_err();
        assert!(matches!(bad, StatsError::NonFinite { row: 1, column: 1, .. }));
        assert_eq!(bad.to_string(), "row 1, column 1 is NaN; metrics need finite values");
        assert!(Rows::new(&[f32::NEG_INFINITY], 1).is_err());
        assert!(Rows::new(&[], 3).unwrap().is_empty());
    }

    #[test]
    fn select_copies_rows_in_order() {
        let rows = Rows::new(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2).unwrap();
        assert_eq!(rows.select(&[2, 0]).unwrap(), [4.0, 5.0, 0.0, 1.0]);
        assert!(rows.select(&[3]).is_err());
        assert!(rows.select(&[usize::MAX]).is_err());
    }
}
