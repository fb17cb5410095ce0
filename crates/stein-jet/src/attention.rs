//! Matrix products of two jets, softmax, and attention out of both.

use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Tensor, activation, module};

use crate::jet::{Blocks, Jet, Order, plus};
use crate::shape::assert_example_dimension;

impl<const D: usize> Jet<D> {
    /// The matrix product in the last two dimensions, `[B, ..., n, m]` by `[B, ..., m, p]`: (F G)′ = F′ G + F G′ and
    /// (F G)″ = F″ G + 2 F′ G′ + F G″ along each direction.
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
        let (order, second_order) = (self.order, self.order == Order::Second);
        let [left, right] = if second_order { [self.unshared(), other.unshared()] } else { [self, other] };
        let Blocks { value: f, first: df, second: ddf, .. } = left.into_blocks([matrices, n, m]);
        let Blocks { value: g, first: dg, second: ddg, .. } = right.into_blocks([matrices, m, p]);
        let second = second_order.then(|| {
            let mixed = df.clone().matmul(dg.clone()) * 2.0;
            plus(plus(mixed, ddf.map(|ddf| ddf.matmul(g.clone()))), ddg.map(|ddg| f.clone().matmul(ddg)))
        });
        let first = df.matmul(g.clone()) + f.clone().matmul(dg);
        dims[D - 1] = p;
        Self::from_blocks(Blocks { value: f.matmul(g), first, second, order }, dims)
    }
}

/// Softmax along dimension `dim`, y = eˣ / Σ eˣ: y′ = y c with c = v − Σ y v, and y″ = y (c² + u − Σ y (c² + u)) where u is the
/// second derivative of x.
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
    let Blocks { value, first, second, order } = x.into_blocks([before, dims[dim], after]);
    let y = activation::softmax(value, 3);
    // y (a − Σ y a)
    let centred = |a: Tensor<5>| {
        let ya = y.clone() * a;
        ya.clone() - y.clone() * ya.sum_dim(3)
    };
    let second = (order == Order::Second).then(|| {
        let mean = (y.clone() * first.clone()).sum_dim(3);
        centred(plus((first.clone() - mean).square(), second))
    });
    let first = centred(first);
    Jet::from_blocks(Blocks { value: y, first, second, order }, dims)
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
    let query = query.scale_by((q[3] as f64).sqrt().recip());
    if query.order == Order::Second {
        return softmax(query.matmul(key.swap_dims(2, 3)), 3).matmul(value);
    }
    let dims = [q[0], q[1], q[2], v[3]];
    let Blocks { value: q, first: dq, order, .. } = query.into_blocks([q[1], q[2], q[3]]);
    let Blocks { value: k, first: dk, .. } = key.swap_dims(2, 3).into_blocks([k[1], k[3], k[2]]);
    let Blocks { value: v, first: dv, .. } = value.into_blocks([v[1], v[2], v[3]]);

    let scores = dq.matmul(k.clone()) + q.clone().matmul(dk);
    let weights = activation::softmax(q.matmul(k), 4);
    let output = weights.clone().matmul(v.clone());
    // The softmax subtracts from each row a multiple of itself. After the product with v that is a multiple of the output: e
    // columns instead of m.
    let weighted = weights.clone() * scores;
    let sums = weighted.clone().sum_dim(4);
    let first = weighted.matmul(v) - output.clone() * sums + weights.matmul(dv);
    Jet::from_blocks(Blocks { value: output, first, second: None, order }, dims)
}
