//! Disjoint random parts of a set, for floors: one part of the data measured against another.

use super::error::{StatsError, at_least};
use super::random::{Purpose, Stream};

/// Cuts the indices 0..n into `parts` disjoint random parts of equal size ⌊n/parts⌋; the n mod parts indices over are
/// left out, because many metrics depend on the size of a set.
///
/// # Errors
/// If `parts` is 0 or exceeds `n`.
pub fn disjoint_splits(n: usize, parts: usize, seed: u64) -> Result<Vec<Vec<usize>>, StatsError> {
    if parts == 0 {
        return Err(StatsError::Parameter { name: "parts", value: 0.0, allowed: "at least 1" });
    }
    at_least("rows to split", n, parts)?;
    let order = Stream::new(seed, Purpose::Splits).permutation(n);
    Ok(order.chunks_exact(n / parts).take(parts).map(<[usize]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_of_equal_size() {
        let parts = disjoint_splits(11, 3, 0).unwrap();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
        let mut all = parts.concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9);
        assert!(all.iter().all(|&i| i < 11));
        assert_ne!(parts, disjoint_splits(11, 3, 1).unwrap());
        assert_eq!(disjoint_splits(4, 3, 0).unwrap().concat().len(), 3);
        assert!(disjoint_splits(2, 3, 0).is_err());
        assert!(disjoint_splits(2, 0, 0).is_err());
    }
}
