//! Eigenvalues and eigenvectors of a symmetric matrix.

/// Q and λ of A = Q diag(λ) Qᵀ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Eigen {
    /// λ, `[D]`, in no order.
    pub(crate) values: Vec<f64>,
    /// The eigenvectors as rows, Qᵀ, `[D, D]`.
    pub(crate) vectors: Vec<f64>,
}

/// A sweep reduces what is off the diagonal quadratically in the end: six to ten do for any matrix of some hundreds of rows.
const SWEEPS: usize = 60;

/// Decomposes a symmetric matrix `[D, D]`, row major, by Jacobi's cyclic rotations.
pub(crate) fn eigen(matrix: &[f64], d: usize) -> Eigen {
    // Scaled, so that squares of very large and very small entries stay numbers.
    let scale = matrix.iter().fold(0.0, |most: f64, x| most.max(x.abs())).max(f64::MIN_POSITIVE);
    let mut a: Vec<f64> = matrix.iter().map(|x| x / scale).collect();
    let mut vectors: Vec<f64> = (0..d * d).map(|i| f64::from(u8::from(i / d == i % d))).collect();
    let size: f64 = a.iter().map(|x| x * x).sum::<f64>();
    for _ in 0..SWEEPS {
        let off: f64 = (0..d).flat_map(|i| a[i * d..i * d + i].iter()).map(|x| x * x).sum();
        if off <= size * f64::EPSILON * f64::EPSILON {
            break;
        }
        for p in 0..d {
            for q in p + 1..d {
                rotate(&mut a, &mut vectors, d, (p, q));
            }
        }
    }
    Eigen { values: (0..d).map(|i| scale * a[i * d + i]).collect(), vectors }
}

/// The rotation in the plane (p, q) that makes a_pq 0.
fn rotate(a: &mut [f64], vectors: &mut [f64], d: usize, (p, q): (usize, usize)) {
    let (app, aqq, apq) = (a[p * d + p], a[q * d + q], a[p * d + q]);
    if apq == 0.0 {
        return;
    }
    let theta = (aqq - app) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    turn_rows(a, d, (p, q), (c, s));
    // A stays symmetric: its columns are its rows.
    for i in 0..d {
        if i != p && i != q {
            (a[i * d + p], a[i * d + q]) = (a[p * d + i], a[q * d + i]);
        }
    }
    (a[p * d + p], a[q * d + q]) = (app - t * apq, aqq + t * apq);
    (a[p * d + q], a[q * d + p]) = (0.0, 0.0);
    turn_rows(vectors, d, (p, q), (c, s));
}

/// Turns rows p < q by the angle with cosine c and sine s.
fn turn_rows(a: &mut [f64], d: usize, (p, q): (usize, usize), (c, s): (f64, f64)) {
    let (above, below) = a.split_at_mut(q * d);
    for (x, y) in above[p * d..(p + 1) * d].iter_mut().zip(&mut below[..d]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use stein_core::Streams;

    use super::*;

    #[test]
    fn a_matrix_by_hand() {
        // [[2, 1], [1, 2]]: 1 along (1, −1)/√2 and 3 along (1, 1)/√2.
        let mut e = eigen(&[2.0, 1.0, 1.0, 2.0], 2);
        e.values.sort_by(f64::total_cmp);
        assert!((e.values[0] - 1.0).abs() < 1e-14 && (e.values[1] - 3.0).abs() < 1e-14, "{e:?}");
        assert_eq!(eigen(&[5.0], 1), Eigen { values: vec![5.0], vectors: vec![1.0] });
    }

    #[test]
    fn factors_give_the_matrix_back() {
        let d = 60;
        let z = Streams::new(3).at("symmetric", 0).normals(d * d);
        let a: Vec<f64> = (0..d * d).map(|i| f64::from(z[i] + z[i % d * d + i / d])).collect();
        let e = eigen(&a, d);
        let product = |left: &dyn Fn(usize, usize) -> f64, i: usize, j: usize| -> f64 {
            (0..d).map(|k| left(k, i) * e.vectors[k * d + j]).sum()
        };
        for i in 0..d {
            for j in 0..d {
                let back = product(&|k, i| e.vectors[k * d + i] * e.values[k], i, j);
                let unit = product(&|k, i| e.vectors[k * d + i], i, j);
                assert!((back - a[i * d + j]).abs() < 1e-12 * d as f64, "{back} {}", a[i * d + j]);
                assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-13 * d as f64, "{unit}");
            }
        }
    }
}
