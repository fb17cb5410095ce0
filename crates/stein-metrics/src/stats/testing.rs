//! What the tests share.

use super::random::{Purpose, Stream};

/// `n` rows of independent N(shift, std²) values, flat.
pub(crate) fn normal(n: usize, dim: usize, shift: f64, std: f64, seed: u64) -> Vec<f32> {
    let z = Stream::new(seed, Purpose::Test).normals(n * dim);
    z.iter().map(|z| (shift + std * z) as f32).collect()
}

/// As [`normal`], shifted along the first axis alone.
pub(crate) fn normal_along(n: usize, dim: usize, shift: f64, seed: u64) -> Vec<f32> {
    let mut rows = normal(n, dim, 0.0, 1.0, seed);
    rows.iter_mut().step_by(dim).for_each(|v| *v += shift as f32);
    rows
}

/// Whether `f` answers the same, to the bit, on one thread and on three.
pub(crate) fn same_on_any_threads<T: PartialEq + Send>(f: impl Fn() -> T + Sync) -> bool {
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&f);
    on(1) == on(3)
}
