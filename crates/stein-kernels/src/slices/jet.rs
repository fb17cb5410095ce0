//! A smooth function of a whole jet, in one pass.
//!
//! A jet's rows are B values x, K tangents v of each and, at order 2, K second derivatives w of each. They become f(x), f′ v and
//! f″ v² + f′ w. Going back, with gradients g₀, g₁ and g₂ of these three, the gradients are
//!
//! - in x: f′ g₀ + Σ f″ v g₁ + (f‴ v² + f″ w) g₂, the sum over directions;
//! - in v: f′ g₁ + 2 f″ v g₂;
//! - in w: f′ g₂.

use multiversion::multiversion;
use rayon::prelude::*;

use super::CHUNK;
use super::activation::{Function, gradients, up_to_second, up_to_third, values};

/// Numbers whose derivatives are kept at hand while all directions pass.
const TILE: usize = 512;
/// Columns of one task where it adds up over the examples.
const COLUMNS: usize = 64;

/// What the rows of a jet are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Examples, B.
    pub batch: usize,
    /// Directions, K; 0 for values alone.
    pub directions: usize,
    /// Whether the tangents are stored once for all examples, K rows, instead of K B.
    pub shared: bool,
    /// Whether the result has second derivatives, K B rows more.
    pub second_order: bool,
    /// Whether the argument has them too, K B rows more; if not they are zero.
    pub bent: bool,
}

impl Rows {
    /// Rows of the argument.
    pub fn argument(&self) -> usize {
        let own = self.directions * self.batch;
        self.batch + if self.shared { self.directions } else { own } + if self.bent { own } else { 0 }
    }

    /// Rows of the result.
    pub fn result(&self) -> usize {
        self.batch * self.blocks()
    }

    /// Blocks of B rows in the result.
    fn blocks(&self) -> usize {
        1 + self.directions * if self.second_order { 2 } else { 1 }
    }

    /// The rows of the result as rows of an argument.
    fn of_result(self) -> Self {
        Self { shared: false, bent: self.second_order, ..self }
    }
}

/// A jet's numbers, by what they are.
struct Parts<'a> {
    rows: Rows,
    /// Numbers in a row.
    size: usize,
    values: &'a [f32],
    tangents: &'a [f32],
    seconds: &'a [f32],
}

impl<'a> Parts<'a> {
    fn new(rows: Rows, jet: &'a [f32]) -> Self {
        let size = jet.len().checked_div(rows.argument()).unwrap_or(0);
        assert!(jet.len() == size * rows.argument(), "a jet of {} numbers has no rows {rows:?}", jet.len());
        let (values, derivatives) = jet.split_at(size * rows.batch);
        let tangents = if rows.shared { size * rows.directions } else { values.len() * rows.directions };
        let (tangents, seconds) = derivatives.split_at(tangents);
        Self { rows, size, values, tangents, seconds }
    }

    /// The tangents along direction `i` of the values from `at`.
    fn tangents(&self, i: usize, at: usize, length: usize) -> &'a [f32] {
        let start = if self.rows.shared { i * self.size + at % self.size } else { i * self.values.len() + at };
        &self.tangents[start..][..length]
    }

    /// The second derivatives along direction `i` of the values from `at`.
    fn seconds(&self, i: usize, at: usize, length: usize) -> &'a [f32] {
        const ZEROS: &[f32] = &[0.0; TILE];
        if self.rows.bent { &self.seconds[i * self.values.len() + at..][..length] } else { &ZEROS[..length] }
    }

    /// How many values from `at` to `end` go into a tile: what is shared begins anew with every row.
    fn tile(&self, at: usize, end: usize) -> usize {
        let row = if self.rows.shared { self.size - at % self.size } else { TILE };
        TILE.min(row).min(end - at)
    }
}

/// Cuts every block of `block` numbers into pieces of `piece`, and gathers the first pieces, the second ones and so on.
fn pieces(out: &mut [f32], block: usize, piece: usize) -> Vec<Vec<&mut [f32]>> {
    let mut tasks: Vec<Vec<_>> = (0..block.div_ceil(piece)).map(|_| Vec::with_capacity(out.len() / block)).collect();
    for block in out.chunks_exact_mut(block) {
        for (task, piece) in tasks.iter_mut().zip(block.chunks_mut(piece)) {
            task.push(piece);
        }
    }
    tasks
}

/// Runs `f` with each task and its number.
fn run<'a>(tasks: Vec<Vec<&'a mut [f32]>>, f: impl Fn(usize, Vec<&'a mut [f32]>) + Sync) {
    if tasks.len() > 1 {
        return tasks.into_par_iter().enumerate().for_each(|(i, task)| f(i, task));
    }
    tasks.into_iter().for_each(|task| f(0, task));
}

/// Values of one task.
fn chunk(rows: Rows) -> usize {
    (CHUNK / rows.blocks()).max(TILE)
}

/// The jet `out` of f at the jet `x`.
///
/// # Panics
/// If a slice is not of the size that `rows` says.
pub fn jet(f: Function, rows: Rows, x: &[f32], out: &mut [f32]) {
    let x = Parts::new(rows, x);
    assert!(out.len() == x.size * rows.result());
    if rows.directions == 0 {
        return values(f, x.values, out);
    }
    if out.is_empty() {
        return;
    }
    let chunk = chunk(rows);
    run(pieces(out, x.values.len(), chunk), |i, out| forward(f, &x, i * chunk, out));
}

/// The values from `start` on and what belongs to them; `out` has a piece of each block.
fn forward(f: Function, x: &Parts, start: usize, mut out: Vec<&mut [f32]>) {
    let (value, derivatives) = out.split_first_mut().expect("a jet has values");
    let (tangents, seconds) = derivatives.split_at_mut(x.rows.directions);
    let [mut first, mut second] = [[0.0; TILE]; 2];
    let (mut at, end) = (start, start + value.len());
    while at < end {
        let length = x.tile(at, end);
        let here = at - start..at - start + length;
        let (f1, f2) = (&mut first[..length], &mut second[..length]);
        up_to_second(f, &x.values[at..][..length], &mut value[here.clone()], f1, f2);
        for (i, tangents) in tangents.iter_mut().enumerate() {
            let v = x.tangents(i, at, length);
            let tangents = &mut tangents[here.clone()];
            match seconds.get_mut(i) {
                Some(seconds) => bend(f1, f2, v, x.seconds(i, at, length), tangents, &mut seconds[here.clone()]),
                None => slope(f1, v, tangents),
            }
        }
        at += length;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn slope(f1: &[f32], v: &[f32], tangent: &mut [f32]) {
    for ((tangent, &f1), &v) in tangent.iter_mut().zip(f1).zip(v) {
        *tangent = f1 * v;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn bend(f1: &[f32], f2: &[f32], v: &[f32], w: &[f32], tangent: &mut [f32], second: &mut [f32]) {
    let out = tangent.iter_mut().zip(second);
    for (((((tangent, second), &f1), &f2), &v), &w) in out.zip(f1).zip(f2).zip(v).zip(w) {
        *tangent = f1 * v;
        *second = f2 * v * v + f1 * w;
    }
}

/// The gradient `out` in the jet `x` of [`jet`] for the gradient of its result.
///
/// # Panics
/// If a slice is not of the size that `rows` says.
pub fn jet_grad(f: Function, rows: Rows, x: &[f32], gradient: &[f32], out: &mut [f32]) {
    assert!(out.len() == x.len());
    let (x, gradient) = (Parts::new(rows, x), Parts::new(rows.of_result(), gradient));
    assert!(gradient.values.len() == x.values.len());
    if rows.directions == 0 {
        return gradients(f, x.values, gradient.values, out);
    }
    let n = x.values.len();
    if n == 0 {
        return;
    }
    if rows.shared {
        // A task has some columns of all examples, so that sums over the examples run in order.
        run(pieces(out, x.size, COLUMNS), |i, mut out| {
            let (values, tangents) = out.split_at_mut(rows.batch);
            for (row, value) in values.iter_mut().enumerate() {
                let length = value.len();
                backward(f, (&x, &gradient), row * x.size + i * COLUMNS, value, tangents, &mut [], 0..length);
            }
        });
        return;
    }
    let chunk = chunk(rows);
    run(pieces(out, n, chunk), |i, mut out| {
        let (value, derivatives) = out.split_first_mut().expect("a jet has values");
        let (tangents, seconds) = derivatives.split_at_mut(rows.directions);
        let mut here = 0..0;
        while here.end < value.len() {
            here = here.end..value.len().min(here.end + TILE);
            backward(
                f,
                (&x, &gradient),
                i * chunk + here.start,
                &mut value[here.clone()],
                tangents,
                seconds,
                here.clone(),
            );
        }
    });
}

/// The gradient in a tile of values from `at`; adds those in tangents and second derivatives to the places `here` of theirs.
fn backward(
    f: Function,
    (x, gradient): (&Parts, &Parts),
    at: usize,
    value: &mut [f32],
    tangents: &mut [&mut [f32]],
    seconds: &mut [&mut [f32]],
    here: std::ops::Range<usize>,
) {
    let length = value.len();
    let [mut first, mut second, mut third, mut unused] = [[0.0; TILE]; 4];
    let (f1, f2, f3) = (&mut first[..length], &mut second[..length], &mut third[..length]);
    up_to_third(f, &x.values[at..][..length], f1, f2, f3);
    slope(f1, &gradient.values[at..][..length], value);
    for (i, tangents) in tangents.iter_mut().enumerate() {
        let v = x.tangents(i, at, length);
        let g1 = gradient.tangents(i, at, length);
        let tangent = &mut tangents[here.clone()];
        if !x.rows.second_order {
            slope_grad((f1, f2), v, g1, value, tangent);
            continue;
        }
        let (w, g2) = (x.seconds(i, at, length), gradient.seconds(i, at, length));
        let second = match seconds.get_mut(i) {
            Some(seconds) => &mut seconds[here.clone()],
            None => &mut unused[..length],
        };
        bend_grad((f1, f2, f3), (v, w), (g1, g2), value, tangent, second);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn slope_grad((f1, f2): (&[f32], &[f32]), v: &[f32], g1: &[f32], value: &mut [f32], tangent: &mut [f32]) {
    let out = value.iter_mut().zip(tangent);
    for (((((value, tangent), &f1), &f2), &v), &g1) in out.zip(f1).zip(f2).zip(v).zip(g1) {
        *value += f2 * v * g1;
        *tangent += f1 * g1;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx2+fma", "x86_64+avx2+fma"))]
fn bend_grad(
    (f1, f2, f3): (&[f32], &[f32], &[f32]),
    (v, w): (&[f32], &[f32]),
    (g1, g2): (&[f32], &[f32]),
    value: &mut [f32],
    tangent: &mut [f32],
    second: &mut [f32],
) {
    let functions = f1.iter().zip(f2).zip(f3);
    let (jet, gradients) = (v.iter().zip(w), g1.iter().zip(g2));
    let out = value.iter_mut().zip(tangent).zip(second);
    for (((((value, tangent), second), ((&f1, &f2), &f3)), (&v, &w)), (&g1, &g2)) in
        out.zip(functions).zip(jet).zip(gradients)
    {
        *value += f2 * (v * g1 + w * g2) + f3 * v * v * g2;
        *tangent += f1 * g1 + 2.0 * f2 * v * g2;
        *second = f1 * g2;
    }
}
