//! Distance to the nearest training row: a look for memorised data.

use super::distances::map_rows;
use super::error::{StatsError, at_least};
use super::estimate::{Estimate, median_estimate};
use super::rows::Rows;

/// The nearest training row of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its index in the training set; the lowest of several.
    pub index: usize,
    /// Its Euclidean distance, in the unit of the data.
    pub distance: f64,
}

/// Distances of samples to the training set beside those of held-out rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearestSummary {
    /// Median distance of a sample to its nearest training row.
    pub samples: Estimate,
    /// The same of a held-out row.
    pub held_out: Estimate,
    /// The first over the second: near 1 for fresh draws, towards 0 for copies.
    pub ratio: Estimate,
}

/// The nearest row of `training [m, D]` for each of `rows [n, D]`, in order.
///
/// # Errors
/// If there is no training row, or the dimensions differ.
pub fn nearest_rows(rows: Rows<'_>, training: Rows<'_>) -> Result<Vec<Nearest>, StatsError> {
    at_least("training set", training.len(), 1)?;
    map_rows(rows, training, |_, d2| {
        let mut best = (0, f64::INFINITY);
        for (j, &d2) in d2.iter().enumerate() {
            if d2 < best.1 {
                best = (j, d2);
            }
        }
        Nearest { index: best.0, distance: best.1.sqrt() }
    })
}

/// Medians and their ratio, from [`nearest_rows`] of samples and of held-out rows against the same training set.
///
/// Standard errors are Woodruff's for each median (see [`median_estimate`]), given the training set: copying this
/// training set is what is in question. The ratio takes relative errors in quadrature (delta method).
///
/// # Errors
/// With fewer than 8 rows in either set, or where half of the held-out rows are training rows.
pub fn nearest_summary(samples: &[Nearest], held_out: &[Nearest]) -> Result<NearestSummary, StatsError> {
    let distances = |set: &[Nearest]| set.iter().map(|row| row.distance).collect::<Vec<_>>();
    let samples = median_estimate(&distances(samples))?;
    let held_out = median_estimate(&distances(held_out))?;
    if held_out.value <= 0.0 {
        return Err(StatsError::Degenerate {
            what: "half of the held-out rows are training rows: their median distance is 0",
        });
    }
    let value = samples.value / held_out.value;
    let standard_error = samples.standard_error.hypot(value * held_out.standard_error) / held_out.value;
    Ok(NearestSummary { samples, held_out, ratio: Estimate { value, standard_error } })
}

#[cfg(test)]
mod tests {
    use super::super::testing::normal;
    use super::*;

    #[test]
    fn by_hand() {
        let training = [0.0, 0.0, 3.0, 4.0, 0.0, 0.0];
        let rows = [3.0, 4.0, 0.0, 1.0, 6.0, 8.0];
        let nearest = nearest_rows(Rows::new(&rows, 2).unwrap(), Rows::new(&training, 2).unwrap()).unwrap();
        let expected = [(1, 0.0), (0, 1.0), (1, 5.0)];
        assert_eq!(nearest.len(), 3);
        for (nearest, (index, distance)) in nearest.iter().zip(expected) {
            assert_eq!(*nearest, Nearest { index, distance });
        }
    }

    #[test]
    fn the_ratio_tells_copies_from_draws() {
        let near = |rows: &[f32], training: &[f32]| {
            nearest_rows(Rows::new(rows, 8).unwrap(), Rows::new(training, 8).unwrap()).unwrap()
        };
        let training = normal(400, 8, 0.0, 1.0, 1);
        let held_out = near(&normal(200, 8, 0.0, 1.0, 2), &training);
        let fresh = nearest_summary(&near(&normal(200, 8, 0.0, 1.0, 3), &training), &held_out);
        let fresh = fresh.unwrap().ratio;
        assert!((fresh.value - 1.0).abs() < 3.0 * fresh.standard_error, "{fresh:?}");
        let mut copies = training[..1600].to_vec();
        copies.iter_mut().for_each(|v| *v += 0.01);
        let copied = nearest_summary(&near(&copies, &training), &held_out).unwrap().ratio;
        assert!(copied.value + 10.0 * copied.standard_error < 0.5, "{copied:?}");
        let doubled: Vec<_> = held_out.iter().map(|h| Nearest { distance: 2.0 * h.distance, ..*h }).collect();
        let ratio = nearest_summary(&doubled, &held_out).unwrap().ratio;
        assert!((ratio.value - 2.0).abs() < 1e-12, "samples over held-out, not the other way");
    }

    #[test]
    fn impossible_input_is_an_error() {
        let rows = normal(8, 2, 0.0, 1.0, 1);
        let (rows, wide) = (Rows::new(&rows, 2).unwrap(), Rows::new(&rows, 4).unwrap());
        assert!(nearest_rows(rows, Rows::new(&[], 2).unwrap()).is_err());
        assert!(nearest_rows(rows, wide).is_err());
        assert!(nearest_rows(Rows::new(&[], 2).unwrap(), rows).unwrap().is_empty());
        let own = nearest_rows(rows, rows).unwrap();
        assert!(nearest_summary(&own, &own).is_err());
        assert!(nearest_summary(&own[..7], &own).is_err());
    }
}
