//! Which mode of a known mixture of Gaussians each sample belongs to.

use super::error::{StatsError, at_least};
use super::estimate::{Estimate, proportion};
use super::rows::Rows;

/// Probability that a draw of a component lies beyond [`stray_radius`]: e^{−4.5}, 1.1 %, which in the plane is 3 standard
/// deviations.
pub const STRAY_TAIL: f64 = 0.011_108_996_538_242_306;

/// A mixture of K isotropic Gaussians in D dimensions.
#[derive(Clone, Copy, Debug)]
pub struct Mixture<'a> {
    /// Means `[K, D]`, in the unit of the data.
    pub means: Rows<'a>,
    /// Standard deviation of each component `[K]`.
    pub std: &'a [f64],
    /// Prior weight of each component `[K]`, up to a common factor.
    pub weights: &'a [f64],
}

/// Where the samples of a mixture went.
#[derive(Clone, Debug, PartialEq)]
pub struct ModeWeights {
    /// Component of each sample.
    pub assignment: Vec<usize>,
    /// Fraction of the samples in each component.
    pub weights: Vec<Estimate>,
    /// Fraction of the samples farther than the radius from every mean.
    pub stray: Estimate,
}

/// Assigns each of `samples [n, D]` to the component with the largest posterior responsibility,
/// log wₖ − D log sₖ − |x−μₖ|²/(2sₖ²), and counts. A sample is stray if it is farther than `radius` · sₖ from every mean
/// ([`stray_radius`] of D for a truth of 1.1 %, less where components overlap).
///
/// Where components overlap, hard assignment shifts the weights; compare with draws of the truth then. Standard
/// errors are binomial at the smoothed proportion, so that an empty mode has one too.
///
/// # Errors
/// Without samples or components, if dimensions or lists don't fit each other, or if a standard deviation, a weight or the
/// radius is out of range.
pub fn mode_weights(samples: Rows<'_>, mixture: &Mixture<'_>, radius: f64) -> Result<ModeWeights, StatsError> {
    let Mixture { means, std, weights } = *mixture;
    samples.same_dim(&means)?;
    at_least("samples", samples.len(), 1)?;
    at_least("means of the mixture", means.len(), 1)?;
    let expected = means.len();
    for (what, list) in [("std of the mixture", std), ("weights of the mixture", weights)] {
        if list.len() != expected {
            return Err(StatsError::Count { what, found: list.len(), expected });
        }
    }
    let positive = "positive and finite";
    check("std of a component", std, positive, |s| s > 0.0)?;
    check("weight of a component", weights, "at least 0 and finite", |w| w >= 0.0)?;
    check("sum of the weights", &[weights.iter().sum()], positive, |w| w > 0.0)?;
    check("radius", &[radius], positive, |r| r > 0.0)?;

    let dim = samples.dim() as f64;
    let offsets: Vec<f64> = weights.iter().zip(std).map(|(w, s)| w.ln() - dim * s.ln()).collect();
    let mut counts = vec![0; expected];
    let mut stray = 0;
    let mut assignment = Vec::with_capacity(samples.len());
    for x in samples.iter() {
        let (mut best, mut highest, mut inside) = (0, f64::NEG_INFINITY, false);
        for (k, mean) in means.iter().enumerate() {
            let d2: f64 = x.iter().zip(mean).map(|(&x, &m)| (f64::from(x) - f64::from(m)).powi(2)).sum();
            let scaled = d2 / (std[k] * std[k]);
            let responsibility = offsets[k] - 0.5 * scaled;
            if responsibility > highest {
                (best, highest) = (k, responsibility);
            }
            inside |= scaled <= radius * radius;
        }
        assignment.push(best);
        counts[best] += 1;
        stray += usize::from(!inside);
    }
    let n = samples.len();
    let weights = counts.into_iter().map(|count| proportion(count, n)).collect();
    Ok(ModeWeights { assignment, weights, stray: proportion(stray, n) })
}

fn check(
    name: &'static str,
    values: &[f64],
    allowed: &'static str,
    holds: impl Fn(f64) -> bool,
) -> Result<(), StatsError> {
    match values.iter().find(|&&value| !(value.is_finite() && holds(value))) {
        Some(&value) => Err(StatsError::Parameter { name, value, allowed }),
        None => Ok(()),
    }
}

/// The radius, in standard deviations, beyond which a standard Gaussian in `dim` dimensions has the probability
/// [`STRAY_TAIL`]: 2.54 for 1, 3 for 2, 9.67 for 64.
pub fn stray_radius(dim: usize) -> f64 {
    let (mut low, mut high) = (0.0, (dim as f64).sqrt() + 10.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if 1.0 - chi_squared(dim, middle * middle) > STRAY_TAIL {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// P(χ² ≤ x) with `dim` degrees of freedom: the regularised lower incomplete gamma function at (dim/2, x/2), by its
/// power series z^a e^{−z}/Γ(a+1) · Σ zⁿ/((a+1)…(a+n)).
fn chi_squared(dim: usize, x: f64) -> f64 {
    let (a, z) = (0.5 * dim as f64, 0.5 * x);
    // log Γ(a+1), down in steps of 1 to Γ(1) = 1 or Γ(½) = √π.
    let mut log_gamma = if dim.is_multiple_of(2) { 0.0 } else { 0.5 * std::f64::consts::PI.ln() };
    let mut argument = a;
    while argument > 0.25 {
        log_gamma += argument.ln();
        argument -= 1.0;
    }
    let (mut term, mut sum, mut n) = (1.0, 1.0, a + 1.0);
    while term > 1e-17 * sum {
        term *= z / n;
        sum += term;
        n += 1.0;
    }
    (a * z.ln() - z - log_gamma + sum.ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::super::testing::normal;
    use super::*;

    const MEANS: [f32; 6] = [-4.0, 0.0, 4.0, 0.0, 0.0, 6.0];

    fn mixture<'a>(std: &'a [f64], weights: &'a [f64]) -> Mixture<'a> {
        Mixture { means: Rows::new(&MEANS, 2).unwrap(), std, weights }
    }

    #[test]
    fn radii_enclose_the_same_mass() {
        assert!((stray_radius(2) - 3.0).abs() < 1e-9);
        // P(|z| > r) = e^{−4.5} for a normal number; P(χ²₄ > r²) = e^{−r²/2}(1 + r²/2).
        assert!((chi_squared(1, 1.0) - 0.682_689_492_137_085_9).abs() < 1e-12);
        let tail = |r2: f64| (-0.5 * r2).exp() * (1.0 + 0.5 * r2);
        assert!((tail(stray_radius(4).powi(2)) / STRAY_TAIL - 1.0).abs() < 1e-9);
        assert!((STRAY_TAIL - (-4.5f64).exp()).abs() < 1e-17);
        for dim in [1, 64, 784] {
            let draws = normal(4000, dim, 0.0, 1.0, dim as u64);
            let origin = vec![0.0; dim];
            let mixture = Mixture { means: Rows::new(&origin, dim).unwrap(), std: &[1.0], weights: &[1.0] };
            let samples = Rows::new(&draws, dim).unwrap();
            let stray = mode_weights(samples, &mixture, stray_radius(dim)).unwrap().stray;
            assert!((stray.value - STRAY_TAIL).abs() < 3.5 * stray.standard_error, "{stray:?}");
        }
    }

    #[test]
    fn counts_by_hand() {
        let samples = [-4.0, 0.1, 4.2, 0.0, 4.0, -3.0, 0.0, 6.0, 0.0, 9.5];
        let got = mode_weights(Rows::new(&samples, 2).unwrap(), &mixture(&[1.0; 3], &[0.2, 0.5, 0.3]), 3.0).unwrap();
        // (4, −3) lies on its circle, (0, 9.5) beyond.
        assert_eq!(got.assignment, [0, 1, 1, 2, 2]);
        let weights: Vec<f64> = got.weights.iter().map(|w| w.value).collect();
        assert_eq!(weights, [0.2, 0.4, 0.4]);
        assert_eq!(got.stray.value, 0.2);
    }

    #[test]
    fn posterior_counts_priors_and_widths() {
        let midway = Rows::new(&[0.1, 0.0], 2).unwrap();
        let to =
            |std: &[f64], weights: &[f64]| mode_weights(midway, &mixture(std, weights), 3.0).unwrap().assignment[0];
        assert_eq!(to(&[1.0; 3], &[1.0; 3]), 1);
        assert_eq!(to(&[1.0; 3], &[100.0, 1.0, 1.0]), 0);
        // 41.8 σ²-units over 2s²: at s = 1 −8.4, at s = 4 −0.53 − 2 ln 4 = −3.3: the wide mode wins.
        assert_eq!(to(&[4.0, 1.0, 1.0], &[1.0; 3]), 0);
        // Without D log s a very wide mode would take everything: −2 ln 100 = −9.2 leaves it below −7.6.
        assert_eq!(to(&[100.0, 1.0, 1.0], &[1.0; 3]), 1);
        assert_eq!(to(&[1.0; 3], &[1.0, 0.0, 0.0]), 0);
    }

    #[test]
    fn impossible_input_is_an_error() {
        let x = Rows::new(&[0.0, 0.0], 2).unwrap();
        let fails =
            |std: &[f64], weights: &[f64], radius: f64| mode_weights(x, &mixture(std, weights), radius).is_err();
        assert!(!fails(&[1.0; 3], &[1.0; 3], 3.0));
        assert!(fails(&[1.0; 2], &[1.0; 3], 3.0) && fails(&[1.0; 3], &[1.0; 4], 3.0));
        assert!(fails(&[0.0; 3], &[1.0; 3], 3.0) && fails(&[1.0; 3], &[-1.0, 1.0, 1.0], 3.0));
        assert!(fails(&[1.0; 3], &[0.0; 3], 3.0) && fails(&[1.0; 3], &[f64::NAN; 3], 3.0));
        assert!(fails(&[1.0; 3], &[1.0; 3], 0.0) && fails(&[1.0; 3], &[1.0; 3], f64::NAN));
        let empty = Rows::new(&[], 2).unwrap();
        assert!(mode_weights(empty, &mixture(&[1.0; 3], &[1.0; 3]), 3.0).is_err());
        let none = Mixture { means: empty, std: &[], weights: &[] };
        assert!(mode_weights(x, &none, 3.0).is_err());
    }
}
