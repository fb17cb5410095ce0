//! Eigenvalues of symmetric matrices, and factors of semidefinite ones. Matrices are row major `[D, D]`.

use stein_kernels::slices::symmetric::{Along, dot, reflect_and_multiply};

/// The eigenvalues of a symmetric matrix, of which only what is on and below the diagonal is looked at, in no order: Householder's
/// reduction to a tridiagonal matrix, then the implicit QL method (Golub & Van Loan 2013, sections 8.3.1 and 8.3.3). About 4/3 D³
/// operations; errors are a few ε of the largest eigenvalue.
pub(crate) fn eigenvalues(mut matrix: Vec<f64>, dim: usize) -> Vec<f64> {
    let (mut diagonal, mut beside) = tridiagonal(&mut matrix, dim);
    implicit_ql(&mut diagonal, &mut beside);
    diagonal
}

/// Diagonal `[D]` and what stands beside it `[D]`, the last of which is 0, of a tridiagonal matrix with the same eigenvalues.
///
/// A row is reduced after another, the last one first. What a reflection does to the rows above waits until the next one's vector is
/// known: then one pass over the matrix does both, since it is memory that this takes the time of.
fn tridiagonal(a: &mut [f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut diagonal, mut beside) = (vec![0.0; dim], vec![0.0; dim]);
    // Of the reflection that waits: A ← A − v wᵀ − w vᵀ.
    let (mut v, mut w) = (vec![0.0; dim], vec![0.0; dim]);
    let (mut u, mut product) = (vec![0.0; dim], vec![0.0; dim]);
    for last in (1..dim).rev() {
        let row = &mut a[last * dim..][..=last];
        for (a, (vj, wj)) in row.iter_mut().zip(v.iter().zip(&w)) {
            *a -= v[last] * wj + w[last] * vj;
        }
        diagonal[last] = row[last];
        let (next, size) = reflection(&row[..last], &mut u[..last]);
        beside[last - 1] = next;
        multiplied(a, dim, [&v, &w], &u[..last], &mut product[..last]);
        // w = p − (pᵀu/|u|²) u of p = 2 A u/|u|².
        if size > 0.0 {
            let scale = 2.0 / size;
            let along = scale * dot(&product[..last], &u[..last]) / size;
            w.iter_mut().zip(product.iter().zip(&u)).take(last).for_each(|(w, (p, u))| *w = scale * p - along * u);
        } else {
            w[..last].fill(0.0);
        }
        std::mem::swap(&mut v, &mut u);
    }
    if dim > 0 {
        diagonal[0] = a[0] - 2.0 * v[0] * w[0];
    }
    (diagonal, beside)
}

/// The u, with its squared length, of the reflection I − 2 u uᵀ/|u|² that turns `row` into a multiple of its last axis, and what is then
/// there. Of a row of zeros, which needs none, u is 0.
fn reflection(row: &[f64], u: &mut [f64]) -> (f64, f64) {
    let scale = row.iter().fold(0.0, |most: f64, a| most.max(a.abs()));
    if scale == 0.0 {
        u.fill(0.0);
        return (0.0, 0.0);
    }
    u.iter_mut().zip(row).for_each(|(u, a)| *u = a / scale);
    let last = u.len() - 1;
    // Of the two signs the one that adds up loses no digits.
    let reflected = -dot(u, u).sqrt().copysign(u[last]);
    u[last] -= reflected;
    (scale * reflected, dot(u, u))
}

/// Does what waits to the rows above, A − v wᵀ − w vᵀ, and multiplies them by u.
fn multiplied(a: &mut [f64], dim: usize, [v, w]: [&[f64]; 2], u: &[f64], product: &mut [f64]) {
    product.fill(0.0);
    for (i, row) in a.chunks_exact_mut(dim).take(u.len()).enumerate() {
        let (row, diagonal) = row.split_at_mut(i);
        let (above, own) = product.split_at_mut(i);
        let [of_v, of_w, of_u] = [v, w, u].map(|x| Along { vector: &x[..i], own: x[i] });
        let sum = reflect_and_multiply(row, of_v, of_w, of_u, above);
        diagonal[0] -= 2.0 * v[i] * w[i];
        own[0] += sum + diagonal[0] * u[i];
    }
}

/// Turns a tridiagonal matrix into its eigenvalues, on the diagonal.
fn implicit_ql(d: &mut [f64], e: &mut [f64]) {
    // Each eigenvalue takes two or three sweeps; rounding alone could make it more than that.
    const SWEEPS: usize = 60;
    for from in 0..d.len() {
        for _ in 0..SWEEPS {
            // The block that begins here ends where what is beside the diagonal is nothing.
            let small = |i: &usize| e[*i].abs() <= f64::EPSILON * (d[*i].abs() + d[*i + 1].abs());
            let last = (from..d.len() - 1).find(small).unwrap_or(d.len() - 1);
            if last == from {
                break;
            }
            sweep(d, e, from, last);
        }
    }
}

/// One implicit QL step with Wilkinson's shift on rows `from` to `last`.
fn sweep(d: &mut [f64], e: &mut [f64], from: usize, last: usize) {
    let half = (d[from + 1] - d[from]) / (2.0 * e[from]);
    let shift = d[from] - e[from] / (half + half.hypot(1.0).copysign(half));
    // The bulge that the first rotation makes is chased upwards.
    let (mut bulge, mut sine, mut cosine, mut moved) = (d[last] - shift, 1.0, 1.0, 0.0);
    for i in (from..last).rev() {
        let (f, b) = (sine * e[i], cosine * e[i]);
        let r = f.hypot(bulge);
        e[i + 1] = r;
        if r == 0.0 {
            // The matrix has fallen apart.
            d[i + 1] -= moved;
            e[last] = 0.0;
            return;
        }
        (sine, cosine) = (f / r, bulge / r);
        let upper = d[i + 1] - moved;
        let turned = (d[i] - upper) * sine + 2.0 * cosine * b;
        moved = sine * turned;
        d[i + 1] = upper + moved;
        bulge = cosine * turned - b;
    }
    d[from] -= moved;
    e[from] = bulge;
    e[last] = 0.0;
}

/// The lower triangular L with L Lᵀ = A of a symmetric positive semidefinite A. Where nothing is left of a diagonal element but rounding, L has a
/// column of zeros.
pub(crate) fn semidefinite_factor(mut a: Vec<f64>, dim: usize) -> Vec<f64> {
    let largest = (0..dim).fold(0.0, |most: f64, i| most.max(a[i * dim + i]));
    let nothing = largest * f64::EPSILON * dim as f64;
    for j in 0..dim {
        let (own, below) = a[j * dim..].split_at_mut(dim);
        let own = &mut own[..=j];
        let left = own[j] - dot(&own[..j], &own[..j]);
        let pivot = if left > nothing { left.sqrt() } else { 0.0 };
        own[j] = pivot;
        for row in below.chunks_exact_mut(dim) {
            let known = dot(&row[..j], &own[..j]);
            row[j] = if pivot > 0.0 { (row[j] - known) / pivot } else { 0.0 };
        }
    }
    for i in 0..dim {
        a[i * dim + i + 1..(i + 1) * dim].fill(0.0);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::super::testing::normal;
    use super::*;

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    fn symmetric(dim: usize, seed: u64) -> Vec<f64> {
        let z = normal(dim, dim, 0.0, 1.0, seed);
        (0..dim * dim).map(|i| f64::from(z[i]) + f64::from(z[i % dim * dim + i / dim])).collect()
    }

    #[test]
    fn by_hand() {
        let close = |got: Vec<f64>, expected: &[f64]| {
            let got = sorted(got);
            assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-13), "{got:?} {expected:?}");
        };
        close(eigenvalues(vec![5.0], 1), &[5.0]);
        close(eigenvalues(vec![2.0, 1.0, 1.0, 2.0], 2), &[1.0, 3.0]);
        close(eigenvalues(vec![0.0; 9], 3), &[0.0; 3]);
        // The second difference: 2 − 2 cos(kπ/(n + 1)).
        let n = 12;
        let of = |i: usize, j: usize| if i == j { 2.0 } else { -f64::from(u8::from(i.abs_diff(j) == 1)) };
        let matrix = (0..n * n).map(|i| of(i / n, i % n)).collect();
        let cosines = (1..=n).map(|k| 2.0 - 2.0 * (k as f64 * std::f64::consts::PI / (n + 1) as f64).cos());
        close(eigenvalues(matrix, n), &cosines.collect::<Vec<_>>());
    }

    /// Σ λ = tr A, Σ λ² = |A|², Σ λ³ = tr A³; and every matrix of rank one has one eigenvalue.
    #[test]
    fn power_sums_are_traces() {
        for dim in [2, 3, 7, 40, 65] {
            let a = symmetric(dim, dim as u64);
            let at = |i: usize, j: usize| a[i * dim + j];
            let values = eigenvalues(a.clone(), dim);
            let power = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>();
            let trace = (0..dim).map(|i| at(i, i)).sum::<f64>();
            let squares = a.iter().map(|x| x * x).sum::<f64>();
            let cubes = (0..dim)
                .flat_map(|i| (0..dim).map(move |j| (i, j)))
                .map(|(i, j)| at(i, j) * (0..dim).map(|k| at(j, k) * at(k, i)).sum::<f64>())
                .sum::<f64>();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-11 * squares.powf(1.5);
            assert!(near(power(1), trace) && near(power(2), squares) && near(power(3), cubes), "{dim}");
            assert!(!near(power(2), squares * (1.0 + 1e-6)));
        }
        let v = normal(1, 20, 0.0, 1.0, 3);
        let outer = (0..400).map(|i| f64::from(v[i / 20]) * f64::from(v[i % 20])).collect();
        let values = sorted(eigenvalues(outer, 20));
        let square: f64 = v.iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((values[19] - square).abs() < 1e-12 * square && values[18].abs() < 1e-12 * square, "{values:?}");
    }

    #[test]
    fn factors_of_semidefinite_matrices() {
        let dim = 6;
        // Rank 4: of 4 rows, one column constant.
        let z = normal(4, dim, 0.0, 1.0, 8);
        let at = |row: usize, i: usize| if i == 2 { 0.0 } else { f64::from(z[row * dim + i]) };
        let a: Vec<f64> =
            (0..dim * dim).map(|i| (0..4).map(|row| at(row, i / dim) * at(row, i % dim)).sum::<f64>()).collect();
        let l = semidefinite_factor(a.clone(), dim);
        for i in 0..dim * dim {
            let product: f64 = (0..dim).map(|k| l[i / dim * dim + k] * l[i % dim * dim + k]).sum();
            assert!((product - a[i]).abs() < 1e-12, "{i}: {product} {}", a[i]);
        }
        assert_eq!(l[1], 0.0);
    }
}
