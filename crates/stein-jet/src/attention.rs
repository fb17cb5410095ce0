//! Matrix products of two jets, softmax, and attention out of both.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{activation, module};

use crate::jet::Jet;
use crate::shape::assert_example_dimension;

impl<const D: usize> Jet<D> {
    /// The matrix product in the last two dimensions, `[B, ..., n, m]` by `[B, ..., m, p]`: (F G)′ v = F′ v · G + F · G′ v.
    ///
    /// A product with what doesn't depend on x is a [`linear_map`](Self::linear_map).
    ///
    /// # Panics
    ///
    /// If there are fewer than three dimensions, or the shapes or directions don't fit.
    pub fn matmul(self, other: Self) -> Self {
        self.assert_same_rows(&other);
        let (mut dims, right) = (self.dims(), other.dims());
        assert!(
            D >= 3 && dims[..D - 2] == right[..D - 2] && dims[D - 1] == right[D - 2],
            "matmul needs [B, ..., n, m] and [B, ..., m, p], got {dims:?} and {right:?}"
        );
        if self.k == 0 {
            return Self::plain(self.data.matmul(other.data));
        }
        let [n, m, p] = [dims[D - 2], dims[D - 1], right[D - 1]];
        let matrices = dims[1..D - 2].iter().product();
        let [f, df] = self.into_blocks([matrices, n, m]);
        let [g, dg] = other.into_blocks([matrices, m, p]);
        let tangents = df.matmul(g.clone()) + f.clone().matmul(dg);
        dims[D - 1] = p;
        Self::from_blocks(f.matmul(g), tangents, dims)
    }
}

/// Softmax along dimension `dim`, y = eˣ / Σ eˣ: J v = y v − y Σ y v.
///
/// # Panics
///
/// If `dim` is 0 (that is the batch), or there is no such dimension.
pub fn softmax<const D: usize>(x: Jet<D>, dim: usize) -> Jet<D> {
    assert_example_dimension::<D>("softmax", dim);
    if x.k == 0 {
        return Jet::plain(activation::softmax(x.data, dim));
    }
    let dims = x.dims();
    let [before, after] = [&dims[1..dim], &dims[dim + 1..]].map(|d| d.iter().product());
    let [x, v] = x.into_blocks([before, dims[dim], after]);
    let y = activation::softmax(x, 3);
    let yv = y.clone() * v;
    let tangents = yv.clone() - y.clone() * yv.sum_dim(3);
    Jet::from_blocks(y, tangents, dims)
}

/// Scaled dot-product attention, softmax(q kᵀ / √d) v: queries `[B, heads, n, d]`, keys `[B, heads, m, d]` and values
/// `[B, heads, m, e]` to `[B, heads, n, e]`.
///
/// For each direction two n × m matrices are kept for `backward()`, the scores' tangents and these times the weights.
///
/// # Panics
///
/// If the shapes or directions don't fit.
pub fn attention(query: Jet<4>, key: Jet<4>, value: Jet<4>) -> Jet<4> {
    let [q, k, v] = [&query, &key, &value].map(Jet::dims);
    query.assert_same_rows(&key);
    query.assert_same_rows(&value);
    assert!(
        q[1] == k[1] && q[3] == k[3] && k[1] == v[1] && k[2] == v[2],
        "attention needs [B, heads, n, d], [B, heads, m, d] and [B, heads, m, e], got {q:?}, {k:?} and {v:?}"
    );
    if query.k == 0 {
        let options = AttentionModuleOptions::default();
        return Jet::plain(module::attention(query.data, key.data, value.data, None, None, options));
    }
    let dims = [q[0], q[1], q[2], v[3]];
    let [q, dq] = query.scale_by((q[3] as f64).sqrt().recip()).into_blocks([q[1], q[2], q[3]]);
    let [k, dk] = key.into_blocks([k[1], k[2], k[3]]).map(|k| k.swap_dims(3, 4));
    let [v, dv] = value.into_blocks([v[1], v[2], v[3]]);

    let scores = dq.matmul(k.clone()) + q.clone().matmul(dk);
    let weights = activation::softmax(q.matmul(k), 4);
    let output = weights.clone().matmul(v.clone());
    // The softmax subtracts from each row a multiple of itself. After the product with v that is a multiple of the output: e
    // columns instead of m.
    let weighted = weights.clone() * scores;
    let sums = weighted.clone().sum_dim(4);
    let tangents = weighted.matmul(v) - output.clone() * sums + weights.matmul(dv);
    Jet::from_blocks(output, tangents, dims)
}
