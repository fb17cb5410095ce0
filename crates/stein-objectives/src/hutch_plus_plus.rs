//! Hutch++ (Meyer et al. 2021, arXiv 2010.09649): the trace where J is large exactly, the rest by random directions.

use burn::tensor::Tensor;

/// Below this share of its length before, what is left of a vector after projections is rounding.
const RANK_TOLERANCE: f64 = 1e-5;

/// An orthonormal basis of the span of `vectors` `[B, D]`, example by example (Gram–Schmidt, twice over, which single precision
/// needs). Where a vector depends on those before it, its place is filled with zeros.
pub(crate) fn orthonormal(vectors: &[Tensor<2>]) -> Vec<Tensor<2>> {
    let mut basis: Vec<Tensor<2>> = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let rest = project_out(project_out(vector.clone(), &basis), &basis);
        let length = norm(rest.clone());
        let least = norm(vector.clone()) * RANK_TOLERANCE;
        let independent = length.clone().greater(least);
        let dependent = independent.bool_not();
        let unit = rest / length.mask_fill(dependent.clone(), 1.0);
        basis.push(unit.mask_fill(dependent.expand(vector.dims()), 0.0));
    }
    basis
}

/// (I − Q Qᵀ) v for an orthonormal Q.
pub(crate) fn project_out(v: Tensor<2>, basis: &[Tensor<2>]) -> Tensor<2> {
    basis.iter().fold(v, |rest, q| {
        let along = (rest.clone() * q.clone()).sum_dim(1);
        rest - q.clone() * along
    })
}

/// ‖row‖, `[B, 1]`.
fn norm(rows: Tensor<2>) -> Tensor<2> {
    rows.square().sum_dim(1).sqrt()
}
