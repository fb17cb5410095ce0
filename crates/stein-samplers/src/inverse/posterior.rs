//! The score given a measurement.

use burn::tensor::Tensor;
use stein_core::{Condition, Jet, ScoreNetwork};

/// What x given x̃ is taken to scatter by, about its Tweedie mean x̂.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Covariance {
    /// r² I with r² = σ²τ²/(α²τ² + σ²): that of data from N(m, τ² I).
    Isotropic {
        /// τ.
        spread: f64,
    },
    /// (σ²/α) ∂x̂/∂x̃, which is what it is; A C Aᵀ + σ_y² I is solved by conjugate gradients.
    Tweedie {
        /// Products with ∂x̂/∂x̃.
        iterations: usize,
    },
}

/// s(x̃) + ∇ log p(y ∣ x̃), where y = V x + σ_y n and x given x̃ is N(x̂, C): the score for samplers that are to draw x given y.
///
/// The gradient is (∂x̂/∂x̃)ᵀ Vᵀ u with (V C Vᵀ + σ_y² I) u = y − V x̂. As ∂x̂/∂x̃ = (I + σ² ∇s)/α is symmetric for a true score,
/// it is taken from the right by a jet of one direction: that needs no tape, and works for scores that are no networks. A
/// network's Jacobian is symmetric only as far as it has learned to be a gradient.
pub struct Posterior<'a> {
    score: &'a dyn ScoreNetwork,
    /// V, `[k, D]`.
    rows: Tensor<2>,
    /// ‖v‖² of each row, `[1, k]`.
    squares: Tensor<2>,
    /// y, `[B, k]`.
    measured: Tensor<2>,
    sigma_y: f64,
    covariance: Covariance,
}

/// Where the score is asked for: x̃, `[B, D]`, and α and σ² of each example as columns `[B, 1]`.
struct At<'a> {
    condition: &'a Condition,
    noisy: Tensor<2>,
    alpha: Tensor<2>,
    sigma2: Tensor<2>,
}

impl<'a> Posterior<'a> {
    /// Of as many chains as `measured` `[B, k]` has rows, with V `[k, D]` and its `squares` `[1, k]`.
    pub fn new(
        score: &'a dyn ScoreNetwork,
        (rows, squares): (Tensor<2>, Tensor<2>),
        measured: Tensor<2>,
        sigma_y: f64,
        covariance: Covariance,
    ) -> Self {
        Self { score, rows, squares, measured, sigma_y, covariance }
    }

    /// ∂x̂/∂x̃ v = (v + σ² ∇s v)/α.
    fn pushed(&self, at: &At<'_>, v: Tensor<2>) -> Tensor<2> {
        let jet = self.score.jet(Jet::seed(at.noisy.clone(), vec![v.clone()]), at.condition);
        (v + jet.tangent(0) * at.sigma2.clone()) / at.alpha.clone()
    }

    /// (∂x̂/∂x̃) Vᵀ u with C = r² I.
    fn isotropic(&self, at: &At<'_>, residual: Tensor<2>, spread: f64) -> Tensor<2> {
        let signal = at.alpha.clone().square() * (spread * spread);
        let r2 = at.sigma2.clone() * (spread * spread) / (signal + at.sigma2.clone());
        let u = residual / (r2 * self.squares.clone() + self.sigma_y * self.sigma_y);
        self.pushed(at, u.matmul(self.rows.clone()))
    }

    /// (∂x̂/∂x̃) Vᵀ u with C = (σ²/α) ∂x̂/∂x̃, by conjugate gradients from u = 0.
    fn tweedie(&self, at: &At<'_>, mut residual: Tensor<2>, iterations: usize) -> Tensor<2> {
        const TINY: f32 = 1e-30;
        let sum = |t: Tensor<2>| t.sum_dim(1);
        let noise2 = self.sigma_y * self.sigma_y;
        let factor = at.sigma2.clone() / at.alpha.clone();
        let mut direction = residual.clone();
        let mut rest = sum(residual.clone().square());
        let mut out = at.noisy.zeros_like();
        let mut going = rest.ones_like();
        for _ in 0..iterations {
            let pushed = self.pushed(at, direction.clone().matmul(self.rows.clone()));
            let image =
                pushed.clone().matmul(self.rows.clone().transpose()) * factor.clone() + direction.clone() * noise2;
            // A covariance has no negative curvature; a network's may, and there conjugate gradients end (Steihaug 1983).
            let curvature = sum(direction.clone() * image.clone());
            let least = sum(direction.clone().square()) * (factor.clone() * 1e-6 + noise2);
            going = going * curvature.clone().greater_equal(least).float();
            let step = going.clone() * rest.clone() / curvature.clamp_min(TINY);
            out = out + pushed * step.clone();
            residual = residual - image * step;
            let left = sum(residual.clone().square());
            direction = residual.clone() + direction * (left.clone() / rest.clamp_min(TINY));
            rest = left;
        }
        out
    }
}

impl ScoreNetwork for Posterior<'_> {
    /// # Panics
    /// If derivatives are asked for, which would be second ones of the score; samplers ask for none.
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        assert_eq!(x.directions(), 0, "the derivatives of a guided score are not known");
        let noisy = x.into_value();
        let ([batch, _], device) = (noisy.dims(), noisy.device());
        let (alpha, sigma) = match &condition.levels {
            Some(levels) => (levels.alpha.clone().unsqueeze_dim(1), levels.sigma.clone().unsqueeze_dim(1)),
            None => (Tensor::ones([batch, 1], &device), Tensor::zeros([batch, 1], &device)),
        };
        let at = At { condition, noisy, alpha, sigma2: sigma.square() };
        let s = self.score.score(at.noisy.clone(), condition);
        let clean = (at.noisy.clone() + s.clone() * at.sigma2.clone()) / at.alpha.clone();
        let residual = self.measured.clone() - clean.matmul(self.rows.clone().transpose());
        let guidance = match self.covariance {
            Covariance::Isotropic { spread } => self.isotropic(&at, residual, spread),
            Covariance::Tweedie { iterations } => self.tweedie(&at, residual, iterations),
        };
        Jet::plain(s + guidance)
    }

    fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        None
    }
}
