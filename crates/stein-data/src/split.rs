//! Rows that a set without a test part holds out.

use stein_core::{Invalid, Streams};

/// The share that is held out unless it is said.
pub(crate) const SHARE: f64 = 0.1;

/// Refuses a share of nothing, or of everything.
pub(crate) fn check(share: f64) -> Result<(), Invalid> {
    if share > 0.0 && share < 1.0 {
        return Ok(());
    }
    Err(Invalid::key("held-out-share", format!("`held-out-share` is {share}; it must be between 0 and 1")))
}

/// Which of so many rows are trained on and which are held out, both in their order: a share of them, one at least, drawn by a seed
/// that is not the run's, for runs are compared on the same held-out rows.
pub(crate) fn split(rows: usize, share: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..rows).collect();
    Streams::new(seed).at("held-out split", 0).shuffle(&mut order);
    let held_out = ((share * rows as f64).round() as usize).clamp(1, rows.saturating_sub(1).max(1)).min(rows);
    let mut train = order.split_off(held_out);
    train.sort_unstable();
    order.sort_unstable();
    (train, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_part_by_the_seed() {
        let (train, held_out) = split(1000, 0.1, 7);
        assert_eq!((train.len(), held_out.len()), (900, 100));
        let mut all = [&train[..], &held_out].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000) && train.is_sorted() && held_out.is_sorted());
        // Not the first or the last, and others by another seed.
        let sum: usize = held_out.iter().sum();
        assert!((40_000..60_000).contains(&sum), "{sum}");
        assert_ne!(split(1000, 0.1, 8).1, held_out);
        assert_eq!(split(1000, 0.1, 7), (train, held_out));
        assert_eq!((split(2, 0.9, 0).0.len(), split(2, 0.01, 0).1.len(), split(1, 0.5, 0).1.len()), (1, 1, 1));
        assert!(check(0.0).is_err() && check(1.0).is_err() && check(f64::NAN).is_err() && check(0.5).is_ok());
    }
}
