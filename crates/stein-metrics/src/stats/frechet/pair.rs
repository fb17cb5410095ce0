//! Two sets, and the distance of the Gaussians fitted to what is left of them without some parts.

use stein_kernels::slices::{columns_by_columns, rows_by_rows};

use super::super::eigenvalues::{eigenvalues, semidefinite_factor};
use super::super::rows::Rows;

/// Parts of a set that the jackknife leaves out in turn: row i is in part i mod [`GROUPS`].
pub(super) const GROUPS: usize = 10;

/// The parts of the first and of the second set that are left out.
pub(super) type Without = [Option<usize>; 2];

fn mean_of(rows: Rows<'_>) -> Vec<f64> {
    let mut mean = vec![0.0; rows.dim()];
    for row in rows.iter() {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v) / rows.len() as f64);
    }
    mean
}

/// Two sets, and what their covariances have to do with each other.
pub(super) struct Pair {
    sets: [Set; 2],
    cross: Cross,
}

/// By which matrices tr (Σ₁Σ₂)^½ is found: those of fewer numbers, where there are fewer rows than columns.
enum Cross {
    /// X Yᵀ `[n, m]`, whose singular values are the roots of the eigenvalues of XᵀX YᵀY.
    Products(Vec<f64>),
    /// XᵀX and YᵀY `[D, D]`.
    Squares([Vec<f64>; 2]),
}

impl Pair {
    pub(super) fn new(x: Rows<'_>, y: Rows<'_>) -> Self {
        // About a common centre, sums of squares do not cancel.
        let centre = mean_of(x);
        let sets = [x, y].map(|rows| Set::new(rows, &centre));
        let [n, m] = [x, y].map(|rows| rows.len());
        let dim = x.dim();
        let cross = if n.min(m) < dim && n * m <= 2 * dim * dim {
            Cross::Products(rows_by_rows([n, m, dim], &sets[0].rows, &sets[1].rows))
        } else {
            let squares = |set: &Set| columns_by_columns([dim, dim, set.rows.len() / dim], &set.rows, &set.rows);
            Cross::Squares([squares(&sets[0]), squares(&sets[1])])
        };
        Self { sets, cross }
    }

    fn dim(&self) -> usize {
        self.sets[0].dim
    }

    /// Of the eigenvalue problem.
    pub(super) fn size(&self) -> usize {
        match self.cross {
            Cross::Products(_) => self.sets.iter().map(Set::len).min().unwrap_or(0),
            Cross::Squares(_) => self.dim(),
        }
    }

    /// Between what is left of the sets.
    pub(super) fn distance(&self, without: Without) -> f64 {
        let [x, y] = std::array::from_fn(|i| self.sets[i].moments(without[i]));
        let means: f64 = x.mean.iter().zip(&y.mean).map(|(a, b)| (a - b).powi(2)).sum();
        let root = match &self.cross {
            Cross::Products(products) => {
                let kept: [Vec<usize>; 2] = std::array::from_fn(|i| self.sets[i].kept(without[i]));
                let scale = ((x.n - 1.0) * (y.n - 1.0)).sqrt();
                sum_of_singular_values(&centred(products, self.sets[1].len(), &kept), kept.map(|rows| rows.len()))
                    / scale
            }
            Cross::Squares(squares) => {
                let [a, b] = std::array::from_fn(|i| self.sets[i].covariance(&squares[i], without[i]));
                // Of the covariance of few rows the factor has columns of zeros, and no eigenvalues come of rounding.
                if x.n <= y.n { trace_of_root(&a, &b, self.dim()) } else { trace_of_root(&b, &a, self.dim()) }
            }
        };
        means + x.trace + y.trace - 2.0 * root
    }
}

/// A set about a centre.
struct Set {
    dim: usize,
    /// `[n, D]`.
    rows: Vec<f64>,
    /// The sum of each part's rows, `[D]`.
    sums: Vec<Vec<f64>>,
    /// The sum of the squared lengths of each part's rows.
    squares: Vec<f64>,
}

/// Of some parts of a set.
struct Moments {
    n: f64,
    mean: Vec<f64>,
    /// Of the covariance.
    trace: f64,
}

impl Set {
    fn new(rows: Rows<'_>, centre: &[f64]) -> Self {
        let dim = rows.dim();
        let rows: Vec<f64> =
            rows.iter().flat_map(|row| row.iter().zip(centre).map(|(&v, c)| f64::from(v) - c)).collect();
        let (mut sums, mut squares) = (vec![vec![0.0; dim]; GROUPS], vec![0.0; GROUPS]);
        for (i, row) in rows.chunks_exact(dim).enumerate() {
            sums[i % GROUPS].iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            squares[i % GROUPS] += row.iter().map(|v| v * v).sum::<f64>();
        }
        Self { dim, rows, sums, squares }
    }

    fn len(&self) -> usize {
        self.rows.len() / self.dim
    }

    /// The rows that are left.
    fn kept(&self, without: Option<usize>) -> Vec<usize> {
        (0..self.len()).filter(|i| Some(i % GROUPS) != without).collect()
    }

    fn moments(&self, without: Option<usize>) -> Moments {
        let n = self.kept(without).len() as f64;
        let parts = (0..GROUPS).filter(|&g| Some(g) != without);
        let mut mean = vec![0.0; self.dim];
        parts.clone().for_each(|g| mean.iter_mut().zip(&self.sums[g]).for_each(|(mean, sum)| *mean += sum / n));
        let squares: f64 = parts.map(|g| self.squares[g]).sum();
        let trace = (squares - n * mean.iter().map(|m| m * m).sum::<f64>()) / (n - 1.0);
        Moments { n, mean, trace }
    }

    /// `[D, D]`, by the sum of x xᵀ over all rows.
    fn covariance(&self, squares: &[f64], without: Option<usize>) -> Vec<f64> {
        let (dim, Moments { n, mean, .. }) = (self.dim, self.moments(without));
        let mut out = squares.to_vec();
        if let Some(part) = without {
            let rows: Vec<f64> = self.rows.chunks_exact(dim).skip(part).step_by(GROUPS).flatten().copied().collect();
            let own = columns_by_columns([dim, dim, rows.len() / dim], &rows, &rows);
            out.iter_mut().zip(own).for_each(|(out, own)| *out -= own);
        }
        for (row, mi) in out.chunks_exact_mut(dim).zip(&mean) {
            row.iter_mut().zip(&mean).for_each(|(s, mj)| *s = (*s - n * mi * mj) / (n - 1.0));
        }
        out
    }
}

/// The rows and columns of `products [n, m]` that are kept, each set about its own mean: what is left has no mean along either side.
fn centred(products: &[f64], columns: usize, kept: &[Vec<usize>; 2]) -> Vec<f64> {
    let width = kept[1].len();
    let mut out = Vec::with_capacity(kept[0].len() * width);
    for &i in &kept[0] {
        let row = &products[i * columns..][..columns];
        let mean = kept[1].iter().map(|&j| row[j]).sum::<f64>() / width as f64;
        out.extend(kept[1].iter().map(|&j| row[j] - mean));
    }
    let mut means = vec![0.0; width];
    let n = kept[0].len() as f64;
    out.chunks_exact(width).for_each(|row| means.iter_mut().zip(row).for_each(|(mean, v)| *mean += v / n));
    out.chunks_exact_mut(width).for_each(|row| row.iter_mut().zip(&means).for_each(|(v, mean)| *v -= mean));
    out
}

/// Of `a [n, m]`: the roots of the eigenvalues of a aᵀ or aᵀ a, whichever is smaller.
fn sum_of_singular_values(a: &[f64], [n, m]: [usize; 2]) -> f64 {
    let (square, dim) =
        if n <= m { (rows_by_rows([n, n, m], a, a), n) } else { (columns_by_columns([m, m, n], a, a), m) };
    sum_of_roots(eigenvalues(square, dim))
}

/// tr (A B)^½ of positive semidefinite A and B: with A = L Lᵀ, A B has the eigenvalues of the symmetric Lᵀ B L.
fn trace_of_root(a: &[f64], b: &[f64], dim: usize) -> f64 {
    let l = semidefinite_factor(a.to_vec(), dim);
    // B is symmetric: Bᵀ L is B L.
    let product = columns_by_columns([dim; 3], b, &l);
    sum_of_roots(eigenvalues(columns_by_columns([dim; 3], &l, &product), dim))
}

fn sum_of_roots(values: Vec<f64>) -> f64 {
    values.into_iter().map(|value| value.max(0.0).sqrt()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::normal;
    use super::*;

    /// A = [[2, 1], [1, 2]] and B = diag(1, 4): A B = [[2, 4], [1, 8]], and tr √M = √(tr M + 2 √det M) in two dimensions.
    #[test]
    fn covariances_that_do_not_commute() {
        let (a, b) = ([2.0, 1.0, 1.0, 2.0], [1.0, 0.0, 0.0, 4.0]);
        let expected = (10.0 + 2.0 * 12f64.sqrt()).sqrt();
        assert!((trace_of_root(&a, &b, 2) - expected).abs() < 1e-12);
        assert!((trace_of_root(&b, &a, 2) - expected).abs() < 1e-12);
        // The product of the roots, √A = [[(√3 + 1)/2, (√3 − 1)/2], …] and √B = diag(1, 2), is another number.
        assert!((1.5 * (3f64.sqrt() + 1.0) - expected).abs() > 1e-3);
    }

    /// The two ways to the same number, by the covariances and by the products, of fewer rows than numbers, of as many, and of more; whole
    /// and without parts.
    #[test]
    fn products_and_covariances_agree() {
        for (n, m, dim) in [(30, 45, 60), (47, 33, 40), (61, 64, 33), (24, 80, 50), (24, 400, 50), (400, 24, 50)] {
            let (x, y) = (normal(n, dim, 0.3, 1.0, 1), normal(m, dim, 0.0, 1.4, 2));
            // Correlated columns.
            let mixed = |mut rows: Vec<f32>| {
                rows.chunks_exact_mut(dim).for_each(|row| (1..dim).for_each(|j| row[j] += 0.7 * row[j - 1]));
                rows
            };
            let (x, y) = (mixed(x), mixed(y));
            let (x, y) = (Rows::new(&x, dim).unwrap(), Rows::new(&y, dim).unwrap());
            let chosen = Pair::new(x, y);
            assert_eq!(matches!(chosen.cross, Cross::Squares(_)), n.min(m) >= dim || n.max(m) == 400);
            let Pair { sets, .. } = Pair::new(x, y);
            let products = Cross::Products(rows_by_rows([n, m, dim], &sets[0].rows, &sets[1].rows));
            let squares = [0, 1].map(|i| columns_by_columns([dim, dim, [n, m][i]], &sets[i].rows, &sets[i].rows));
            let by_products = Pair { sets, cross: products };
            for without in [[None, None], [Some(3), None], [None, Some(9)], [Some(0), Some(7)]] {
                let [a, b] = std::array::from_fn(|i| by_products.sets[i].covariance(&squares[i], without[i]));
                let moments: [Moments; 2] = std::array::from_fn(|i| by_products.sets[i].moments(without[i]));
                let trace = |a: &[f64]| (0..dim).map(|i| a[i * dim + i]).sum::<f64>();
                assert!((trace(&a) - moments[0].trace).abs() < 1e-9 && (trace(&b) - moments[1].trace).abs() < 1e-9);
                let means = moments[0].mean.iter().zip(&moments[1].mean).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                let root = trace_of_root(&a, &b, dim);
                let expected = means + trace(&a) + trace(&b) - 2.0 * root;
                let got = by_products.distance(without);
                // Of a rank below D each eigenvalue that is none counts by the root of its rounding.
                assert!((got / expected - 1.0).abs() < 1e-6, "{n} {m} {dim} {without:?}: {got} {expected}");
                let by_choice = chosen.distance(without);
                assert!((got / by_choice - 1.0).abs() < 1e-6, "{n} {m} {dim} {without:?}: {got} {by_choice}");
                // With divisors n and m in the root it is another number.
                let wrong =
                    expected + 2.0 * root * (1.0 - ((n - 1) as f64 / n as f64 * (m - 1) as f64 / m as f64).sqrt());
                assert!((wrong / expected - 1.0).abs() > 1e-3);
            }
        }
    }

    /// Of three orthogonal rows: C = I − 11ᵀ/3 has the singular values 1, 1 and 0.
    #[test]
    fn the_root_of_few_rows_by_hand() {
        // X = I₃ and Y = 2 I₃: X Yᵀ = 2 I₃, centred on both sides 2 C, whose singular values are 2, 2 and 0.
        let kept = [vec![0, 1, 2], vec![0, 1, 2]];
        let products = vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        let sum = sum_of_singular_values(&centred(&products, 3, &kept), [3, 3]);
        assert!((sum - 4.0).abs() < 1e-7, "{sum}");
        assert!((sum_of_singular_values(&products, [3, 3]) - 6.0).abs() < 1e-12, "without centring it is 6");
        // Without the last row of Y: centred columns of 2 I₃ without it are ½ [[2, −2], [−2, 2], [0, 0]], of singular value 2.
        let kept = [vec![0, 1, 2], vec![0, 1]];
        let fewer = centred(&products, 3, &kept);
        assert!((sum_of_singular_values(&fewer, [3, 2]) - 2.0).abs() < 1e-7, "{fewer:?}");
    }
}
