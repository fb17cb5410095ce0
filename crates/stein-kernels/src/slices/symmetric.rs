//! The inner loops of factorisations of symmetric matrices, in double precision.

use multiversion::multiversion;

/// Numbers that are added side by side.
const LANES: usize = 8;

/// Σ aᵢ bᵢ.
///
/// # Panics
/// If the slices are not of one length.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Two numbers that belong to a row and column i of a symmetric matrix, beside the vectors that they are of.
#[derive(Debug, Clone, Copy)]
pub struct Along<'a> {
    /// The vector up to i.
    pub vector: &'a [f64],
    /// Its number i.
    pub own: f64,
}

/// Row i of a symmetric matrix up to the diagonal, `row [i]`: takes vᵢ wⱼ + wᵢ vⱼ from its numbers, then adds uᵢ times it to `product [i]`
/// and gives its inner product with u. So one pass changes a matrix by a reflection and multiplies it by the next one's vector.
///
/// # Panics
/// If the slices are not of one length.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
pub fn reflect_and_multiply<'a>(row: &mut [f64], v: Along<'a>, w: Along<'a>, u: Along<'a>, product: &mut [f64]) -> f64 {
    let n = row.len();
    assert!([v.vector.len(), w.vector.len(), u.vector.len(), product.len()] == [n; 4]);
    let (row, row_rest) = row.as_chunks_mut::<LANES>();
    let (product, product_rest) = product.as_chunks_mut::<LANES>();
    let [(vs, v_rest), (ws, w_rest), (us, u_rest)] = [v, w, u].map(|along| along.vector.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for ((row, product), ((vs, ws), us)) in row.iter_mut().zip(product).zip(vs.iter().zip(ws).zip(us)) {
        for l in 0..LANES {
            row[l] -= v.own * ws[l] + w.own * vs[l];
            product[l] += u.own * row[l];
            sums[l] += us[l] * row[l];
        }
    }
    let mut sum = sums.iter().sum::<f64>();
    for (j, (row, product)) in row_rest.iter_mut().zip(product_rest).enumerate() {
        *row -= v.own * w_rest[j] + w.own * v_rest[j];
        *product += u.own * *row;
        sum += u_rest[j] * *row;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, stride: usize) -> Vec<f64> {
        (0..count).map(|i| ((i * stride % 101) as f64 - 50.0) / 50.0).collect()
    }

    #[test]
    fn a_pass_is_what_it_says() {
        for n in [0, 1, 7, 8, 9, 37] {
            let [v, w, u] = [3, 7, 13].map(|stride| numbers(n, stride));
            let (mut row, mut product) = (numbers(n, 17), numbers(n, 29));
            let (before, products) = (row.clone(), product.clone());
            let along = |vector, own| Along { vector, own };
            let sum = reflect_and_multiply(&mut row, along(&v, 0.3), along(&w, -0.7), along(&u, 1.1), &mut product);
            let mut expected = 0.0;
            for j in 0..n {
                let changed = before[j] - 0.3 * w[j] + 0.7 * v[j];
                assert!((row[j] - changed).abs() < 1e-14 && (product[j] - products[j] - 1.1 * changed).abs() < 1e-14);
                expected += changed * u[j];
            }
            assert!((sum - expected).abs() < 1e-13, "{n}");
            assert!((dot(&v, &w) - v.iter().zip(&w).map(|(v, w)| v * w).sum::<f64>()).abs() < 1e-13);
        }
    }
}
