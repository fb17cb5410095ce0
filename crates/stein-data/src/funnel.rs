//! `funnel`: x₁ ~ N(0, s²) and x_i | x₁ ~ N(0, e^{x₁}) for i = 2…D.

use std::f64::consts::PI;
use std::sync::Arc;

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Condition, DataPart, Dataset, Invalid, Level, Noise, Streams, Target};

use crate::gaussian_mixture::{check_rows, dataset};

/// Neal's funnel: x₁ ~ N(0, s²), and the others given x₁ ~ N(0, e^{x₁}). Its scale changes by orders of magnitude along x₁.
///
/// Score and density are known without noise only (`[schedule] kind = "none"`): what noise makes of it has no closed form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Funnel {
    /// D, the first coordinate among them.
    #[schemars(range(min = 2, max = 100_000))]
    pub dimension: usize,
    /// s, the standard deviation of the first coordinate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub std: f64,
    /// Rows to train on.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub train: usize,
    /// Rows held out.
    #[schemars(range(min = 8, max = 10_000_000))]
    pub held_out: usize,
    /// The seed of the rows. Not the run's: runs of several seeds are compared on the same data.
    pub seed: u64,
}

impl Default for Funnel {
    fn default() -> Self {
        Self { dimension: 10, std: 3.0, train: 2000, held_out: 2000, seed: 0 }
    }
}

/// Beyond this, e^{x₁} would leave single precision within reach of the draws.
const MOST_STD: f64 = 10.0;

impl Component<DataPart> for Funnel {
    const KIND: &'static str = "funnel";
    const PAPER: &'static str = "Neal 2003, Annals of Statistics 31";

    fn check(&self) -> Result<(), Invalid> {
        if !(2..=100_000).contains(&self.dimension) {
            let what = format!("`dimension` is {}; it must be from 2 to 100000", self.dimension);
            return Err(Invalid::key("dimension", what));
        }
        Invalid::unless_positive("std", self.std)?;
        if self.std > MOST_STD {
            let what = format!("`std` is {}; it must be at most {MOST_STD}, for e^{{x₁}} to be a number", self.std);
            return Err(Invalid::key("std", what));
        }
        check_rows(self.train, self.held_out, self.dimension)
    }

    fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
        let target = FunnelDensity::new(self.dimension, self.std);
        Ok(dataset(Arc::new(target), self.train, self.held_out, self.seed))
    }
}

/// The density of Neal's funnel, known without noise only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FunnelDensity {
    dimension: usize,
    std: f64,
}

/// x in its parts.
struct Parts {
    /// x₁, `[B, 1]`.
    first: Tensor<2>,
    /// x₂…x_D, `[B, D − 1]`.
    rest: Tensor<2>,
    /// e^{−x₁}, the precision of the others, `[B, 1]`.
    precision: Tensor<2>,
}

impl Parts {
    fn of(x: Tensor<2>) -> Self {
        let (first, rest) = split(x);
        Self { precision: first.clone().neg().exp(), first, rest }
    }

    /// e^{−x₁} Σ x_i², `[B, 1]`.
    fn scaled_square(&self) -> Tensor<2> {
        self.rest.clone().square().sum_dim(1) * self.precision.clone()
    }
}

/// The first column and the others.
fn split(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let d = x.dims()[1];
    (x.clone().narrow(1, 0, 1), x.narrow(1, 1, d - 1))
}

impl FunnelDensity {
    /// The funnel in `dimension` dimensions whose first coordinate has standard deviation `std`.
    ///
    /// # Panics
    /// If there are fewer than 2 dimensions.
    pub fn new(dimension: usize, std: f64) -> Self {
        assert!(dimension >= 2, "a funnel has at least 2 dimensions");
        Self { dimension, std }
    }

    /// (D − 1)/2.
    fn half_rest(&self) -> f64 {
        (self.dimension - 1) as f64 / 2.0
    }

    fn only_clean(condition: &Condition) {
        assert!(condition.levels.is_none(), "a funnel is known without noise only: ask `knows` first");
    }
}

impl Target for FunnelDensity {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn knows(&self, level: Level) -> bool {
        level.is_clean()
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Tensor<1> {
        Self::only_clean(condition);
        let parts = Parts::of(x);
        let constant = (2.0 * PI).ln() * (0.5 + self.half_rest()) + self.std.ln();
        let first =
            parts.first.clone().square() / (-2.0 * self.std * self.std) - parts.first.clone() * self.half_rest();
        (first - parts.scaled_square() * 0.5 - constant).squeeze_dim::<1>(1)
    }

    /// ∂₁ = −x₁/s² − (D − 1)/2 + ½ e^{−x₁} Σ x_i², ∂_i = −e^{−x₁} x_i.
    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        Self::only_clean(condition);
        let parts = Parts::of(x);
        let first = parts.first.clone() / (-self.std * self.std) - self.half_rest() + parts.scaled_square() * 0.5;
        Tensor::cat(vec![first, (parts.rest * parts.precision).neg()], 1)
    }

    fn score_derivatives(
        &self,
        x: Tensor<2>,
        directions: Vec<Tensor<2>>,
        condition: &Condition,
    ) -> Option<Vec<Tensor<2>>> {
        Self::only_clean(condition);
        let parts = Parts::of(x);
        let square = parts.scaled_square() * 0.5 + 1.0 / (self.std * self.std);
        // e^{−x₁} x_i, the mixed derivative.
        let mixed = parts.rest.clone() * parts.precision.clone();
        let along = |v: Tensor<2>| {
            let (first, rest) = split(v);
            let own = (mixed.clone() * rest.clone()).sum_dim(1) - first.clone() * square.clone();
            Tensor::cat(vec![own, mixed.clone() * first - rest * parts.precision.clone()], 1)
        };
        Some(directions.into_iter().map(along).collect())
    }

    fn sample(&self, n: usize, noise: &mut Noise) -> Vec<f32> {
        let mut out = Vec::with_capacity(n * self.dimension);
        for _ in 0..n {
            let first = self.std * f64::from(noise.normal());
            let scale = (first / 2.0).exp();
            out.push(first as f32);
            out.extend(noise.normals(self.dimension - 1).into_iter().map(|z| (scale * f64::from(z)) as f32));
        }
        out
    }
}
