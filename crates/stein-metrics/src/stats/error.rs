//! What can be wrong with the input of a metric.

use std::fmt;

/// Why a metric has no value for this input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StatsError {
    /// Rows of dimension 0.
    ZeroDimension,
    /// A flat buffer that doesn't divide into rows.
    Length {
        /// Length of the buffer.
        len: usize,
        /// Dimension of a row.
        dim: usize,
    },
    /// A value that is not finite, usually from a sampler that diverged.
    NonFinite {
        /// Row of the first such value.
        row: usize,
        /// Its column.
        column: usize,
        /// The value: NaN or infinite.
        value: f32,
    },
    /// Two sets of different dimension.
    Dimensions {
        /// Dimension of the first set.
        left: usize,
        /// Dimension of the second set.
        right: usize,
    },
    /// Too few rows (an empty set included).
    TooFew {
        /// The set or quantity in question.
        what: &'static str,
        /// Rows there are.
        rows: usize,
        /// Rows that it takes.
        needed: usize,
    },
    /// A list whose length doesn't match what it describes.
    Count {
        /// The list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length expected.
        expected: usize,
    },
    /// A parameter outside its range.
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A quantity to divide by is zero, so the answer is undefined.
    Degenerate {
        /// What is zero, and what it means.
        what: &'static str,
    },
    /// A covariance matrix that has no Cholesky factor.
    NotPositiveDefinite {
        /// The row where factorisation stopped.
        row: usize,
    },
}

impl fmt::Display for StatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroDimension => write!(f, "rows have dimension 0; at least 1 is needed"),
            Self::Length { len, dim } => {
                write!(f, "{len} values don't divide into rows of {dim}")
            }
            Self::NonFinite { row, column, value } => {
                write!(f, "row {row}, column {column} is {value}; metrics need finite values")
            }
            Self::Dimensions { left, right } => {
                write!(f, "one set has rows of {left} values, the other of {right}")
            }
            Self::TooFew { what, rows, needed } => {
                write!(f, "{what}: {rows} rows, but at least {needed} are needed")
            }
            Self::Count { what, found, expected } => {
                write!(f, "{what}: {found} entries, but {expected} are needed")
            }
            Self::Parameter { name, value, allowed } => {
                write!(f, "{name} is {value}; it has to be {allowed}")
            }
            Self::Degenerate { what } => write!(f, "{what}"),
            Self::NotPositiveDefinite { row } => {
                write!(f, "the covariance matrix is not positive definite (row {row}); a larger ridge helps")
            }
        }
    }
}

impl std::error::Error for StatsError {}

/// Fails unless `rows` is at least `needed`.
pub(crate) fn at_least(what: &'static str, rows: usize, needed: usize) -> Result<(), StatsError> {
    if rows < needed { Err(StatsError::TooFew { what, rows, needed }) } else { Ok(()) }
}
