//! The two-sample U-statistic behind energy distance and MMD², with its exact variance.
//!
//! For a symmetric kernel k, sets x of n and y of m rows,
//!
//! U = 1/(n(n−1)) Σ_{i≠j} k(xᵢ, xⱼ) + 1/(m(m−1)) Σ_{i≠j} k(yᵢ, yⱼ) − 2/(nm) Σ k(xᵢ, yⱼ)
//!
//! is unbiased for E k(X,X') + E k(Y,Y') − 2 E k(X,Y). Its Hoeffding decomposition has uncorrelated parts, so that
//!
//! Var U = 4 Var g(X)/n + 4 Var h(Y)/m + 2 κ_xx/(n(n−1)) + 2 κ_yy/(m(m−1)) + 4 κ_xy/(nm),
//!
//! with the witness g(x) = E k(x,X') − E k(x,Y) (Hájek projection; h likewise) and κ = E k̃² of the doubly centred kernel. Between
//! equal laws the witness vanishes and the κ are everything; far apart they don't matter. Each term is estimated
//! without bias where it can be: κ_xx by U-centring (Székely & Rizzo 2014), κ_xy by double centring, and the variance of the
//! witness from the row means, less what their own noise adds (κ_xx/(n−1) + κ_xy/m); the sum of both is cut at 0. The jackknife
//! leaves out that last step and is √2 too large between equal laws.

use super::distances::{map_chunks, map_upper_chunks};
use super::error::{StatsError, at_least};
use super::estimate::{Estimate, variance};
use super::rows::Rows;

/// U-centring needs four rows.
const ROWS: usize = 4;

/// Sums over a kernel matrix of one set with itself (diagonal left out) or of two sets.
struct Sums {
    /// Sum of each row.
    rows: Vec<f64>,
    /// Sum of each column.
    columns: Vec<f64>,
    /// Sum of squares.
    squares: f64,
}

impl Sums {
    fn new(rows: usize, columns: usize) -> Self {
        Self { rows: vec![0.0; rows], columns: vec![0.0; columns], squares: 0.0 }
    }

    fn total(&self) -> f64 {
        self.rows.iter().sum()
    }
}

/// A row beside some others, as far as a kernel of either distances or products needs to know.
pub(crate) struct Pairs<'a> {
    /// Squared distances from the row to each of the others.
    pub(crate) d2: &'a [f64],
    /// The row's squared length.
    row: f64,
    /// The others' squared lengths.
    others: &'a [f64],
}

impl Pairs<'_> {
    /// Inner products of the row and each of the others.
    pub(crate) fn products(&self) -> impl Iterator<Item = f64> {
        self.d2.iter().zip(self.others).map(|(d2, other)| 0.5 * (self.row + other - d2))
    }
}

/// Rows with their squared lengths.
struct Set<'a> {
    rows: Rows<'a>,
    squares: Vec<f64>,
}

impl<'a> Set<'a> {
    fn new(rows: Rows<'a>) -> Self {
        let squares = rows.iter().map(|row| row.iter().map(|&v| f64::from(v).powi(2)).sum()).collect();
        Self { rows, squares }
    }
}

/// Value and standard error of the U-statistic of each of `kernels` kernels. `kernel(q, pairs, out)` writes the values of kernel `q`.
pub(crate) fn two_sample(
    x: Rows<'_>,
    y: Rows<'_>,
    kernels: usize,
    kernel: impl Fn(usize, &Pairs<'_>, &mut [f64]) + Sync,
) -> Result<Vec<Estimate>, StatsError> {
    x.same_dim(&y)?;
    at_least("first set", x.len(), ROWS)?;
    at_least("second set", y.len(), ROWS)?;
    let (x, y) = (Set::new(x), Set::new(y));
    let within_x = within(&x, kernels, &kernel);
    let within_y = within(&y, kernels, &kernel);
    let across = across(&x, &y, kernels, &kernel)?;
    Ok((0..kernels).map(|q| estimate(&within_x[q], &within_y[q], &across[q])).collect())
}

fn estimate(xx: &Sums, yy: &Sums, xy: &Sums) -> Estimate {
    let (n, m) = (xx.rows.len() as f64, yy.rows.len() as f64);
    let value = xx.total() / (n * (n - 1.0)) + yy.total() / (m * (m - 1.0)) - 2.0 * xy.total() / (n * m);

    let (kappa_xx, kappa_yy, kappa_xy) = (u_centred(xx), u_centred(yy), doubly_centred(xy));
    let witness = |within: &[f64], across: &[f64], n: f64, m: f64, kappa: f64| {
        let means: Vec<f64> = within.iter().zip(across).map(|(w, a)| w / (n - 1.0) - a / m).collect();
        (variance(&means) - kappa / (n - 1.0) - kappa_xy / m) / n
    };
    let projection = witness(&xx.rows, &xy.rows, n, m, kappa_xx) + witness(&yy.rows, &xy.columns, m, n, kappa_yy);
    let variance = 4.0 * projection.max(0.0)
        + 2.0 * kappa_xx / (n * (n - 1.0))
        + 2.0 * kappa_yy / (m * (m - 1.0))
        + 4.0 * kappa_xy / (n * m);
    Estimate { value, standard_error: variance.sqrt() }
}

/// Unbiased estimate of E k̃² within a set.
fn u_centred(sums: &Sums) -> f64 {
    let n = sums.rows.len() as f64;
    let rows: f64 = sums.rows.iter().map(|r| r * r).sum();
    let total = sums.total();
    let centred = sums.squares - 2.0 * rows / (n - 2.0) + total * total / ((n - 1.0) * (n - 2.0));
    (centred / (n * (n - 3.0))).max(0.0)
}

/// Unbiased estimate of E k̃² between two sets.
fn doubly_centred(sums: &Sums) -> f64 {
    let (n, m) = (sums.rows.len() as f64, sums.columns.len() as f64);
    let rows: f64 = sums.rows.iter().map(|r| r * r).sum();
    let columns: f64 = sums.columns.iter().map(|c| c * c).sum();
    let total = sums.total();
    let centred = sums.squares - rows / m - columns / n + total * total / (n * m);
    (centred / ((n - 1.0) * (m - 1.0))).max(0.0)
}

/// Sums over the matrix of a set with itself: the upper triangle, mirrored.
fn within(x: &Set<'_>, kernels: usize, kernel: &(impl Fn(usize, &Pairs<'_>, &mut [f64]) + Sync)) -> Vec<Sums> {
    let parts = map_upper_chunks(x.rows, |chunk| {
        let width = x.rows.len() - chunk.column;
        let mut sums: Vec<Sums> = (0..kernels).map(|_| Sums::new(0, width)).collect();
        let mut k = vec![0.0; width];
        for (i, d2) in chunk.rows() {
            let from = i + 1 - chunk.column;
            let pairs = Pairs { d2: &d2[from..], row: x.squares[i], others: &x.squares[i + 1..] };
            let k = &mut k[from..];
            for (q, sums) in sums.iter_mut().enumerate() {
                kernel(q, &pairs, k);
                add(sums, k, from);
            }
        }
        (chunk.first, sums)
    });
    let mut sums: Vec<Sums> = (0..kernels).map(|_| Sums::new(x.rows.len(), 0)).collect();
    for (first, part) in parts {
        for (sums, part) in sums.iter_mut().zip(part) {
            for (sum, part) in sums.rows[first..].iter_mut().zip(&part.rows) {
                *sum += part;
            }
            for (sum, part) in sums.rows[first..].iter_mut().zip(&part.columns) {
                *sum += part;
            }
            sums.squares += 2.0 * part.squares;
        }
    }
    sums
}

fn across(
    x: &Set<'_>,
    y: &Set<'_>,
    kernels: usize,
    kernel: &(impl Fn(usize, &Pairs<'_>, &mut [f64]) + Sync),
) -> Result<Vec<Sums>, StatsError> {
    let columns = y.rows.len();
    let parts = map_chunks(x.rows, y.rows, |chunk| {
        let mut sums: Vec<Sums> = (0..kernels).map(|_| Sums::new(0, columns)).collect();
        let mut k = vec![0.0; columns];
        for (i, d2) in chunk.rows() {
            let pairs = Pairs { d2, row: x.squares[i], others: &y.squares };
            for (q, sums) in sums.iter_mut().enumerate() {
                kernel(q, &pairs, &mut k);
                add(sums, &k, 0);
            }
        }
        sums
    })?;
    let mut sums: Vec<Sums> = (0..kernels).map(|_| Sums::new(0, columns)).collect();
    for part in parts {
        for (sums, part) in sums.iter_mut().zip(part) {
            sums.rows.extend(part.rows);
            for (sum, part) in sums.columns.iter_mut().zip(&part.columns) {
                *sum += part;
            }
            sums.squares += part.squares;
        }
    }
    Ok(sums)
}

/// Appends a row, the columns of which start at `from`.
fn add(sums: &mut Sums, k: &[f64], from: usize) {
    const LANES: usize = 8;
    let (blocks, rest) = k.as_chunks::<LANES>();
    let (mut row, mut squares) = ([0.0; LANES], [0.0; LANES]);
    for block in blocks {
        for l in 0..LANES {
            row[l] += block[l];
            squares[l] += block[l] * block[l];
        }
    }
    sums.rows.push(row.iter().sum::<f64>() + rest.iter().sum::<f64>());
    sums.squares += squares.iter().sum::<f64>() + rest.iter().map(|k| k * k).sum::<f64>();
    for (column, k) in sums.columns[from..].iter_mut().zip(k) {
        *column += k;
    }
}

#[cfg(test)]
mod tests {
    use super::super::distances::squared_distance;
    use super::super::testing::{normal, same_on_any_threads};
    use super::*;

    /// The U-statistic (`divisor` n−1) or the V-statistic (n) by its definition.
    fn by_definition(x: Rows<'_>, y: Rows<'_>, k: impl Fn(f64) -> f64, unbiased: bool) -> f64 {
        let mean = |a: Rows<'_>, b: Rows<'_>, same: bool| {
            let mut sum = 0.0;
            for (i, p) in a.iter().enumerate() {
                for (j, q) in b.iter().enumerate() {
                    if !(same && unbiased && i == j) {
                        sum += k(squared_distance(p, q));
                    }
                }
            }
            let others = if same && unbiased { b.len() - 1 } else { b.len() };
            sum / (a.len() * others) as f64
        };
        mean(x, x, true) + mean(y, y, true) - 2.0 * mean(x, y, false)
    }

    #[test]
    fn the_value_is_the_u_statistic() {
        let (x, y) = (normal(75, 3, 0.0, 1.0, 1), normal(43, 3, 0.4, 1.0, 2));
        let (x, y) = (Rows::new(&x, 3).unwrap(), Rows::new(&y, 3).unwrap());
        let k = |d2: f64| (-0.3 * d2).exp();
        let got = two_sample(x, y, 2, |q, pairs, out| {
            for (out, &d2) in out.iter_mut().zip(pairs.d2) {
                *out = if q == 0 { k(d2) } else { -d2.sqrt() };
            }
        })
        .unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(got[0].value, by_definition(x, y, k, true)));
        assert!(close(got[1].value, by_definition(x, y, |d2| -d2.sqrt(), true)));
        assert!(!close(got[0].value, by_definition(x, y, k, false)));
        assert!(!close(got[0].value, -by_definition(x, y, k, true)));
    }

    #[test]
    fn bits_do_not_depend_on_threads() {
        let (x, y) = (normal(300, 4, 0.0, 1.0, 1), normal(211, 4, 0.1, 1.0, 2));
        assert!(same_on_any_threads(|| {
            let (x, y) = (Rows::new(&x, 4).unwrap(), Rows::new(&y, 4).unwrap());
            two_sample(x, y, 1, |_, pairs, out| {
                out.iter_mut().zip(pairs.d2).for_each(|(out, d2)| *out = d2.sqrt());
            })
        }));
    }
}
