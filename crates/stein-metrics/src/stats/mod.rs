//! The numerics of the metrics, free of tensors: plain rows of `f32` in, an [`Estimate`] out.
//!
//! Three rules hold throughout.
//!
//! - **Standard errors are of the data.** They say how far the value would move if both finite sets were
//!   drawn afresh from their laws, with the training run held fixed; error between seeds of training is another
//!   matter. The bootstrap with replacement duplicates rows, and a duplicate is its own nearest neighbour and
//!   pairs with itself in every kernel sum, so no estimate here uses it. Each file says what it uses
//!   instead, and `calibration` (a test) holds each against repeated draws. All assume independent rows.
//! - **Bits don't depend on threads.** Work is cut into chunks of fixed size, and sums over chunks run in order,
//!   in `f64`. What is random takes an explicit seed.
//! - **Nothing panics on data.** Empty sets, sets that don't fit each other, values that are not finite and
//!   parameters that make no sense come back as a [`StatsError`].

mod coverage;
mod distances;
mod eigenvalues;
mod energy;
mod error;
mod estimate;
mod frechet;
mod gaussian;
mod kernel_distance;
mod manifold;
mod mixture;
mod mmd;
mod moments;
mod nearest;
mod one_nearest;
mod random;
mod rows;
mod sliced_wasserstein;
mod splits;
mod u_statistic;

#[cfg(test)]
mod calibration;
#[cfg(test)]
mod testing;

pub use coverage::{COVERAGE_NEIGHBOURS, DensityCoverage, density_coverage};
pub use energy::energy_distance;
pub use error::StatsError;
pub use estimate::{Estimate, median, median_estimate, standard_error_of_mean};
pub use frechet::{FRECHET_ROWS, frechet_distance};
pub use gaussian::{Gaussian, RIDGE};
pub use kernel_distance::kernel_distance;
pub use manifold::{NEIGHBOURS, PrecisionRecall, precision_recall};
pub use mixture::{Mixture, ModeWeights, STRAY_TAIL, mode_weights, stray_radius};
pub use mmd::{BANDWIDTH_MULTIPLES, bandwidths, median_pairwise_distance, mmd_squared};
pub use moments::{Moments, moments};
pub use nearest::{Nearest, NearestSummary, nearest_rows, nearest_summary};
pub use one_nearest::one_nearest_neighbour_accuracy;
pub use rows::Rows;
pub use sliced_wasserstein::{DIRECTIONS, SlicedWasserstein, sliced_wasserstein};
pub use splits::disjoint_splits;
