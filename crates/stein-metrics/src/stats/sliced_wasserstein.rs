//! Sliced Wasserstein distance.

use rayon::prelude::*;

use super::error::{StatsError, at_least};
use super::estimate::{Estimate, mean, variance};
use super::random::{Purpose, Stream};
use super::rows::Rows;

/// The usual number of directions.
pub const DIRECTIONS: usize = 256;

/// Directions in a task: fixed, for bits that don't depend on threads.
const CHUNK: usize = 8;

/// Sliced W₂, and how well the directions pin it down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlicedWasserstein {
    /// The distance, in the unit of the data, with the standard error of the two finite sets.
    pub distance: Estimate,
    /// Standard error from the random directions alone. Values under the same seed share their directions, so it says
    /// little about their differences; it is 0 for one direction.
    pub projection_error: f64,
}

/// Sliced 2-Wasserstein distance of `x [n, D]` and `y [m, D]` (Rabin et al. 2012; Bonneel et al. 2015):
/// the root of the mean over random unit directions of ∫(F⁻¹ − G⁻¹)² of the projected sets. Quantile functions
/// are integrated exactly, so n and m need not be equal.
///
/// It is not 0 between finite sets of the same law, but of order √(1/n + 1/m): give it a floor.
///
/// The standard error is the infinitesimal jackknife. How the squared distance moves with the weight of a row is
/// that row's Kantorovich potential φ(x) = ∫ˣ 2(t − G⁻¹F(t)) dt, averaged over directions, which gives the variance
/// Var φ/n + Var ψ/m of the central limit theorem (del Barrio & Loubes 2019); the delta method takes it
/// through the root. Between equal laws, where φ is nothing but noise, that is too large, by √2.
///
/// # Errors
/// With fewer than 2 rows in a set, without directions, or for sets of different dimension.
pub fn sliced_wasserstein(
    x: Rows<'_>,
    y: Rows<'_>,
    directions: usize,
    seed: u64,
) -> Result<SlicedWasserstein, StatsError> {
    x.same_dim(&y)?;
    at_least("first set", x.len(), 2)?;
    at_least("second set", y.len(), 2)?;
    if directions == 0 {
        return Err(StatsError::Parameter { name: "directions", value: 0.0, allowed: "at least 1" });
    }
    let dim = x.dim();
    // There is only one direction in a line.
    let directions = if dim == 1 { 1 } else { directions };
    let normals = Stream::new(seed, Purpose::Directions).normals(directions * dim);

    let parts: Vec<_> = normals
        .par_chunks(CHUNK * dim)
        .map(|chunk| {
            let mut squares = Vec::with_capacity(CHUNK);
            let (mut phi, mut psi) = (vec![0.0; x.len()], vec![0.0; y.len()]);
            for direction in chunk.chunks_exact(dim) {
                let (u, v) = (project(x, direction), project(y, direction));
                squares.push(squared_wasserstein(&u, &v));
                add_potential(&u, &v, &mut phi);
                add_potential(&v, &u, &mut psi);
            }
            (squares, phi, psi)
        })
        .collect();
    let mut squares = Vec::with_capacity(directions);
    let (mut phi, mut psi) = (vec![0.0; x.len()], vec![0.0; y.len()]);
    for (part, part_phi, part_psi) in parts {
        squares.extend(part);
        phi.iter_mut().zip(part_phi).for_each(|(sum, part)| *sum += part);
        psi.iter_mut().zip(part_psi).for_each(|(sum, part)| *sum += part);
    }

    let value = mean(&squares).sqrt();
    let through_root = |variance: f64| {
        if value > 0.0 { variance.sqrt() / (2.0 * value) } else { 0.0 }
    };
    let count = directions as f64;
    let of_set = |potential: &[f64]| variance(potential) / (count * count * potential.len() as f64);
    let standard_error = through_root(of_set(&phi) + of_set(&psi));
    let projection_error = if directions > 1 { through_root(variance(&squares) / count) } else { 0.0 };
    Ok(SlicedWasserstein { distance: Estimate { value, standard_error }, projection_error })
}

/// A projected row: its place along the direction, and its index.
type Projected = (f64, usize);

/// The rows along a direction (of any length but 0), in order of place.
fn project(rows: Rows<'_>, direction: &[f64]) -> Vec<Projected> {
    let length = direction.iter().map(|v| v * v).sum::<f64>().sqrt();
    let along = |row: &[f32]| row.iter().zip(direction).map(|(&x, v)| f64::from(x) * v).sum::<f64>();
    let mut places: Vec<Projected> = rows.iter().enumerate().map(|(i, row)| (along(row) / length, i)).collect();
    places.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    places
}

/// ∫₀¹ (F⁻¹ − G⁻¹)² of two sorted sets: both quantile functions are steps, at i/n and at j/m, here in units of 1/(nm).
fn squared_wasserstein(x: &[Projected], y: &[Projected]) -> f64 {
    let (n, m) = (x.len(), y.len());
    let (mut i, mut j, mut from, mut sum) = (0, 0, 0, 0.0);
    while i < n && j < m {
        let (end_x, end_y) = ((i + 1) * m, (j + 1) * n);
        let to = end_x.min(end_y);
        let difference = x[i].0 - y[j].0;
        sum += difference * difference * (to - from) as f64;
        from = to;
        i += usize::from(end_x == to);
        j += usize::from(end_y == to);
    }
    sum / (n * m) as f64
}

/// Adds the potential of each row of `x` to `potential`, up to a constant: from one place to the next it grows by
/// ∫ 2(t − G⁻¹(i/n)) dt. Where i/n is a step of G⁻¹ it takes the middle.
fn add_potential(x: &[Projected], y: &[Projected], potential: &mut [f64]) {
    let (n, m) = (x.len(), y.len());
    let mut sum = 0.0;
    for (i, pair) in x.windows(2).enumerate() {
        let level = (i + 1) * m;
        let (upper, lower) = (level / n, (level - 1) / n);
        let quantile = 0.5 * (y[lower].0 + y[upper].0);
        let (from, to) = (pair[0].0, pair[1].0);
        sum += (to - from) * (to + from - 2.0 * quantile);
        potential[pair[1].1] += sum;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, normal_along, same_on_any_threads};
    use super::*;

    fn between(x: &[f32], y: &[f32], dim: usize) -> SlicedWasserstein {
        let (x, y) = (Rows::new(x, dim).unwrap(), Rows::new(y, dim).unwrap());
        sliced_wasserstein(x, y, DIRECTIONS, 3).unwrap()
    }

    #[test]
    fn one_dimension_by_hand() {
        // Quantiles of {0, 3} and {1, 2, 6}: 0–1, 0–2, 3–2, 3–6 over ⅓, ⅙, ⅙, ⅓.
        let got = between(&[3.0, 0.0], &[6.0, 1.0, 2.0], 1);
        let expected = (1.0 / 3.0 + 4.0 / 6.0 + 1.0 / 6.0 + 9.0 / 3.0f64).sqrt();
        assert!((got.distance.value - expected).abs() < 1e-12);
        assert_eq!(got.projection_error, 0.0);
        let shifted = between(&[0.0, 1.0, 5.0], &[2.0, 7.0, 3.0], 1).distance;
        assert!((shifted.value - 2.0).abs() < 1e-12);
        let same = between(&[0.0, 1.0, 5.0], &[5.0, 0.0, 1.0], 1).distance;
        assert_eq!(same, Estimate { value: 0.0, standard_error: 0.0 });
    }

    #[test]
    fn shifted_gaussians() {
        // W₂² along v is (m·v)², which on average over the sphere is |m|²/D.
        for dim in [2, 3, 10] {
            let x = normal_along(3000, dim, 0.0, 1);
            let y = normal_along(3000, dim, 2.0, 2);
            let (x, y) = (Rows::new(&x, dim).unwrap(), Rows::new(&y, dim).unwrap());
            let got = sliced_wasserstein(x, y, 1500, 3).unwrap();
            let error = got.distance.standard_error.hypot(got.projection_error);
            let off = |expected: f64| (got.distance.value - expected).abs() / error;
            let root = (dim as f64).sqrt();
            assert!(off(2.0 / root) < 3.5, "{dim}: {got:?}");
            let wrong = [2.0, 2.0 / dim as f64, 4.0 / dim as f64];
            assert!(wrong.iter().all(|&wrong| off(wrong) > 4.5), "{dim}: {got:?}");
        }
    }

    #[test]
    fn scaled_gaussians() {
        // Every direction sees N(0, 1) and N(0, s²): W₂ = |s − 1|.
        let x = normal(3000, 5, 0.0, 1.0, 1);
        let got = between(&x, &normal(2000, 5, 0.0, 2.5, 2), 5);
        let off = |expected: f64| (got.distance.value - expected).abs() / got.distance.standard_error;
        assert!(off(1.5) < 3.5, "{got:?}");
        assert!(off(1.5f64.powi(2)) > 10.0 && off((2.5f64.powi(2) - 1.0).sqrt()) > 10.0);
        assert!(off(1.5 * 5f64.sqrt()) > 10.0, "not divided by D");
    }

    /// The potential is the derivative in the weight of a row: doubling all rows but one is a small change of weights.
    #[test]
    fn potentials_are_derivatives() {
        let along = |rows: &[f32]| project(Rows::new(rows, 1).unwrap(), &[1.0]);
        let (x, y) = (normal(7, 1, 0.0, 1.0, 4), along(&normal(5, 1, 0.5, 1.5, 5)));
        let mut potential = vec![0.0; 7];
        add_potential(&along(&x), &y, &mut potential);
        let centre = mean(&potential);
        let base = squared_wasserstein(&along(&x), &y);
        for i in 0..7 {
            // 200 copies of each row and one more of row i: its weight grows by (1 − 1/7)/1401, others shrink.
            let mut copies: Vec<f32> = x.iter().flat_map(|&v| [v; 200]).collect();
            copies.push(x[i]);
            let slope = (squared_wasserstein(&along(&copies), &y) - base) * 1401.0;
            let expected = potential[i] - centre;
            assert!((slope - expected).abs() < 0.02, "{i}: {slope} {expected}");
        }
    }

    #[test]
    fn impossible_input_is_an_error() {
        let x = normal(100, 2, 0.0, 1.0, 1);
        let rows = Rows::new(&x, 2).unwrap();
        assert!(sliced_wasserstein(rows, Rows::new(&[], 2).unwrap(), 8, 0).is_err());
        assert!(sliced_wasserstein(rows, Rows::new(&x[..2], 2).unwrap(), 8, 0).is_err());
        assert!(sliced_wasserstein(rows, Rows::new(&x, 4).unwrap(), 8, 0).is_err());
        assert!(sliced_wasserstein(rows, rows, 0, 0).is_err());
        assert!(same_on_any_threads(|| between(&x, &x[..60], 2)));
    }
}
