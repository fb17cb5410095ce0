//! A, with its rows turned until they are orthogonal.

use stein_core::{Invalid, Noise};
use stein_record::Array;

/// What is measured of x: V x, where the rows of V = Uᵀ A are orthogonal and U is a rotation.
///
/// Uᵀ y = V x + σ_y Uᵀ n says the same as y, and Uᵀ n is as white as n: so V stands for A everywhere. Rows that are 0 then say
/// nothing, and are left out.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// V, `[k][D]`.
    rows: Vec<Vec<f64>>,
    /// ‖v‖² of each row.
    squares: Vec<f64>,
    dimension: usize,
}

/// Products of numbers in one round of turning that are worth waiting for: about a second.
const MOST_WORK: usize = 1 << 30;
/// Rounds at most; a handful is enough.
const ROUNDS: usize = 40;
/// Cosines below this are 0.
const ORTHOGONAL: f64 = 1e-12;
/// Rows shorter than this share of the longest are 0.
const NOTHING: f64 = 1e-8;

impl Measurement {
    /// Turns the rows of A, `[m, D]`.
    pub fn new(a: &Array) -> Self {
        let mut rows: Vec<Vec<f64>> = (0..a.rows()).map(|i| a.row(i).iter().map(|&v| f64::from(v)).collect()).collect();
        if !disjoint(a) {
            turn(&mut rows);
        }
        let longest = rows.iter().map(|v| square(v)).fold(0.0, f64::max);
        rows.retain(|v| square(v) > NOTHING * NOTHING * longest);
        let squares = rows.iter().map(|v| square(v)).collect();
        Self { rows, squares, dimension: a.row_length() }
    }

    /// Refuses an A for rows of another length, without rows, not finite, or too large to be turned.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(a: &Array, dimension: usize) -> Result<(), Invalid> {
        let (m, d) = (a.rows(), a.row_length());
        if m == 0 || d != dimension {
            return Err(Invalid::new(format!(
                "A is {m} × {d}; it needs at least one row, of {dimension} numbers each"
            )));
        }
        if let Some(bad) = a.data.iter().find(|v| !v.is_finite()) {
            return Err(Invalid::new(format!("A has an entry that is {bad}; all must be finite")));
        }
        if a.data.iter().all(|&v| v == 0.0) {
            return Err(Invalid::new("A is 0 throughout: nothing is measured"));
        }
        if !disjoint(a) && m.saturating_mul(m).saturating_mul(d) > MOST_WORK {
            return Err(Invalid::new(format!(
                "A is {m} × {d} with rows that overlap; at most {MOST_WORK} for rows² × columns can be handled"
            )));
        }
        Ok(())
    }

    /// D.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// k, the rank of A.
    pub fn rank(&self) -> usize {
        self.rows.len()
    }

    /// V, row major `[k, D]`.
    pub fn rows(&self) -> Vec<f64> {
        self.rows.concat()
    }

    /// ‖v‖² of each row, `[k]`.
    pub fn squares(&self) -> &[f64] {
        &self.squares
    }

    /// V x of a row x.
    pub fn of(&self, x: &[f32]) -> Vec<f64> {
        self.rows.iter().map(|v| v.iter().zip(x).map(|(v, x)| v * f64::from(*x)).sum()).collect()
    }

    /// Measures rows `[N, D]`: V x + σ_y n, `[N, k]`.
    pub fn measure(&self, x: &Array, sigma_y: f64, noise: &mut Noise) -> Array {
        let exact = (0..x.rows()).flat_map(|i| self.of(x.row(i)));
        let data = exact.map(|y| (y + sigma_y * f64::from(noise.normal())) as f32).collect();
        Array::new([x.rows(), self.rank()], data)
    }

    /// The shortest x with V x = y, for each row of y `[N, k]`: `[N, D]`.
    pub fn least(&self, y: &Array) -> Array {
        let mut out = vec![0.0; y.rows() * self.dimension];
        for (i, out) in out.chunks_exact_mut(self.dimension).enumerate() {
            let mut sum = vec![0.0; self.dimension];
            for ((v, square), y) in self.rows.iter().zip(&self.squares).zip(y.row(i)) {
                sum.iter_mut().zip(v).for_each(|(sum, v)| *sum += f64::from(*y) / square * v);
            }
            out.iter_mut().zip(sum).for_each(|(out, sum)| *out = sum as f32);
        }
        Array::new([y.rows(), self.dimension], out)
    }

    /// The part of x that is not measured: x less its projection on the rows.
    pub fn unseen(&self, x: &[f64]) -> Vec<f64> {
        let mut out = x.to_vec();
        for (v, square) in self.rows.iter().zip(&self.squares) {
            let along = dot(v, x) / square;
            out.iter_mut().zip(v).for_each(|(out, v)| *out -= along * v);
        }
        out
    }

    /// Whether any row looks at a coordinate.
    pub fn sees(&self, coordinate: usize) -> bool {
        self.rows.iter().any(|v| v[coordinate] != 0.0)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn square(v: &[f64]) -> f64 {
    dot(v, v)
}

/// Whether no column is looked at by two rows, which are orthogonal then.
fn disjoint(a: &Array) -> bool {
    let mut seen = vec![false; a.row_length()];
    (0..a.rows()).all(|i| {
        let mut entries = a.row(i).iter().zip(&mut seen).filter(|(v, _)| **v != 0.0);
        entries.all(|(_, seen)| !std::mem::replace(seen, true))
    })
}

/// Rotates pairs of rows until all are orthogonal: Hestenes' one-sided Jacobi method.
fn turn(rows: &mut [Vec<f64>]) {
    let longest = rows.iter().map(|v| square(v)).fold(0.0, f64::max);
    let nothing = NOTHING * NOTHING * longest;
    for _ in 0..ROUNDS {
        let mut turned = false;
        for q in 1..rows.len() {
            let (before, from_q) = rows.split_at_mut(q);
            let second = &mut from_q[0];
            for first in before {
                let (a, b, c) = (square(first), square(second), dot(first, second));
                if a.min(b) <= nothing || c.abs() <= ORTHOGONAL * (a * b).sqrt() {
                    continue;
                }
                let zeta = (b - a) / (2.0 * c);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                let sine = cosine * tangent;
                for (p, q) in first.iter_mut().zip(second.iter_mut()) {
                    (*p, *q) = (cosine * *p - sine * *q, sine * *p + cosine * *q);
                }
                turned = true;
            }
        }
        if !turned {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stein_core::Streams;

    fn gram(rows: &[Vec<f64>]) -> Vec<f64> {
        rows.iter().flat_map(|a| rows.iter().map(|b| dot(a, b))).collect()
    }

    #[test]
    fn turned_rows_are_orthogonal_and_span_the_same() {
        let a = Array::new([4, 6], Streams::new(1).at("a", 0).normals(24));
        let turned = Measurement::new(&a);
        assert_eq!(turned.rank(), 4);
        let products = gram(&turned.rows);
        assert!((0..16).all(|i| i % 5 == 0 || products[i].abs() < 1e-9), "{products:?}");
        // AᵀA is what a rotation of the rows keeps.
        let gram_of = |rows: &[Vec<f64>], i: usize, j: usize| rows.iter().map(|r| r[i] * r[j]).sum::<f64>();
        let plain: Vec<Vec<f64>> = (0..4).map(|i| a.row(i).iter().map(|&v| f64::from(v)).collect()).collect();
        for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
            assert!((gram_of(&turned.rows, i, j) - gram_of(&plain, i, j)).abs() < 1e-9);
        }
        let x = [1.0, -2.0, 0.5, 3.0, 0.0, 1.0];
        let rest = turned.unseen(&x);
        assert!(plain.iter().all(|row| dot(row, &rest).abs() < 1e-6) && square(&rest) > 1e-3);
    }

    #[test]
    fn repeated_rows_count_once() {
        let a = Array::new([3, 3], vec![1.0, 1.0, 0.0, 2.0, 2.0, 0.0, 0.0, 0.0, 1.0]);
        let turned = Measurement::new(&a);
        assert_eq!(turned.rank(), 2);
        let total: f64 = turned.squares().iter().sum();
        assert!((total - 11.0).abs() < 1e-9, "AᵀA keeps its trace, {total}");
    }

    #[test]
    fn a_mask_stays_as_it_is_and_is_undone() {
        let a = Array::new([2, 4], vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        let mask = Measurement::new(&a);
        let x = Array::new([1, 4], vec![5.0, 6.0, 7.0, 8.0]);
        let y = mask.measure(&x, 0.0, &mut Streams::new(1).at("n", 0));
        assert_eq!((y.data.clone(), mask.least(&y).data), (vec![6.0, 8.0], vec![0.0, 6.0, 0.0, 8.0]));
        assert_eq!(mask.unseen(&[5.0, 6.0, 7.0, 8.0]), [5.0, 0.0, 7.0, 0.0]);
        assert!(mask.sees(1) && !mask.sees(2));
        let noisy = mask.measure(&x, 1.0, &mut Streams::new(1).at("n", 0));
        assert!(noisy.data.iter().zip(&y.data).all(|(a, b)| a != b));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let says = |a: Array, d| Measurement::check(&a, d).expect_err("refused").message;
        assert!(says(Array::new([1, 2], vec![1.0, 2.0]), 3).contains("1 × 2"));
        assert!(says(Array::new([1, 2], vec![1.0, f32::NAN]), 2).contains("finite"));
        assert!(says(Array::new([1, 2], vec![0.0; 2]), 2).contains("nothing"));
        assert!(says(Array::new([0, 2], vec![]), 2).contains("at least one row"));
        assert!(says(Array::new([2000, 2000], vec![1.0; 4_000_000]), 2000).contains("overlap"));
        assert!(Measurement::check(&Array::new([1, 2], vec![1.0, 2.0]), 2).is_ok());
    }
}
