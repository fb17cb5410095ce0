//! The rule of NCSN: what was measured is put in place after each step.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use stein_core::{ChainNoise, Level, Observer, StepInfo, matrix};

/// Replaces what V sees of x̃ at a level by α y + σ V z, and shows another observer the result. z stays the same at a level.
pub struct Projection {
    observer: Box<dyn Observer>,
    noise: ChainNoise,
    /// V, `[k, D]`.
    rows: Tensor<2>,
    /// ‖v‖² of each row, `[1, k]`.
    squares: Tensor<2>,
    /// y, `[B, k]`.
    measured: Tensor<2>,
    /// The level, and α y + σ V z there.
    there: Option<(Level, Tensor<2>)>,
}

impl Projection {
    /// Of as many chains as `measured` `[B, k]` has rows, with V `[k, D]` and its `squares` `[1, k]`.
    pub fn new(
        observer: Box<dyn Observer>,
        noise: ChainNoise,
        (rows, squares): (Tensor<2>, Tensor<2>),
        measured: Tensor<2>,
    ) -> Self {
        Self { observer, noise, rows, squares, measured, there: None }
    }

    fn perturbed(&mut self, level: Level) -> Tensor<2> {
        if let Some((at, perturbed)) = &self.there
            && *at == level
        {
            return perturbed.clone();
        }
        let mut perturbed = self.measured.clone() * level.alpha;
        if !level.is_clean() {
            let k = self.measured.dims()[1];
            let z = matrix(self.noise.normals(k), k, &perturbed.device());
            // The rows are orthogonal: V z has independent entries, of the rows' lengths.
            perturbed = perturbed + z * self.squares.clone().sqrt() * level.sigma;
        }
        self.there = Some((level, perturbed.clone()));
        perturbed
    }
}

impl Observer for Projection {
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()> {
        self.observer.step(info, x)
    }

    fn project(&mut self, level: Level, x: Tensor<2>) -> Tensor<2> {
        let x = self.observer.project(level, x);
        let seen = x.clone().matmul(self.rows.clone().transpose());
        x + ((self.perturbed(level) - seen) / self.squares.clone()).matmul(self.rows.clone())
    }
}
