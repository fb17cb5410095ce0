//! The numbers of Adam and AdamW, and clipping.

use burn::tensor::Tensor;
use stein_experiment::Optimizer;
use stein_kernels::{AdamStep, Gradient};

/// The numbers of step `t` = 1, 2, … at a learning rate η; `average` is μ, 0 where no average is kept.
///
/// m ← β₁ m + (1−β₁) g, v ← β₂ v + (1−β₂) g²,
/// θ ← θ − η (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε) − η λ θ.
pub(crate) fn numbers(t: u64, rate: f64, optimizer: &Optimizer, average: f64) -> AdamStep {
    let &Optimizer { beta_1, beta_2, epsilon, .. } = optimizer;
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let (unbias_1, unbias_2) = (1.0 - beta_1.powi(t), 1.0 - beta_2.powi(t));
    AdamStep {
        beta_1: beta_1 as f32,
        rest_1: (1.0 - beta_1) as f32,
        beta_2: beta_2 as f32,
        rest_2: (1.0 - beta_2) as f32,
        epsilon: epsilon as f32,
        rate: (rate / unbias_1) as f32,
        root: unbias_2.sqrt().recip() as f32,
        keep: (1.0 - rate * optimizer.decay()) as f32,
        average: (average != 0.0).then_some([average as f32, (1.0 - average) as f32]),
    }
}

/// The factor `[1]` that makes a gradient's norm at most `most`, and the norm before, `[1]`; no limit is 0. What is not finite stays
/// so.
pub(crate) fn clip(gradient: &Gradient, most: f64) -> (Tensor<1>, Tensor<1>) {
    let norm = gradient.square_sum().sqrt();
    if most == 0.0 {
        return (norm.ones_like(), norm);
    }
    let factor = (norm.clone() + 1e-12).recip() * most;
    (factor.clamp_max(1.0), norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use stein_core::{to_host, vector};
    use stein_experiment::OptimizerKind;
    use stein_kernels::{AdamState, adam};

    fn adamw(learning_rate: f64, weight_decay: f64) -> Optimizer {
        Optimizer {
            kind: OptimizerKind::Adamw,
            learning_rate,
            weight_decay: Some(weight_decay),
            ..Optimizer::default()
        }
    }

    /// Adam written out in f64, from the paper's algorithm box.
    fn reference(g: &[f64], theta0: f64, rate: f64, decay: f64) -> f64 {
        let (mut theta, mut m, mut v) = (theta0, 0.0, 0.0);
        for (t, g) in g.iter().enumerate() {
            let t = t as i32 + 1;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (mh, vh) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            theta -= rate * (mh / (vh.sqrt() + 1e-8) + decay * theta);
        }
        theta
    }

    #[test]
    fn steps_follow_the_paper() {
        let device = Device::flex();
        let gradients = [0.3, -0.1, 0.7, 0.2, -2.0];
        let theta = vector(vec![0.5, -1.5], &device);
        let zeros = theta.zeros_like();
        let (mean, square, average) = (zeros.clone(), zeros, theta.clone());
        let mut state = AdamState { spare: theta.clone(), parameters: theta, mean, square, average };
        for (t, g) in (1..).zip(gradients) {
            let gradient = vector(vec![g as f32, 2.0 * g as f32], &device);
            state = adam(numbers(t, 0.01, &adamw(0.01, 0.1), 0.0), gradient.into(), vector(vec![1.0], &device), state);
        }
        let doubled: Vec<f64> = gradients.iter().map(|g| 2.0 * g).collect();
        let expected = [reference(&gradients, 0.5, 0.01, 0.1), reference(&doubled, -1.5, 0.01, 0.1)];
        let theta = to_host(state.parameters);
        for (x, e) in theta.iter().zip(expected) {
            assert!((f64::from(*x) - e).abs() < 1e-6, "{x} {e}");
        }
        // The twin with the decay inside the gradient (L2, not decoupled) is told apart.
        let coupled = reference(&gradients.map(|g| g + 0.1 * 0.5), 0.5, 0.01, 0.0);
        assert!((f64::from(theta[0]) - coupled).abs() > 1e-5);
    }

    #[test]
    fn clipping_is_by_the_global_norm() {
        let device = Device::flex();
        let (factor, norm) = clip(&vector(vec![3.0, 4.0], &device).into(), 1.0);
        assert!((to_host(norm)[0] - 5.0).abs() < 1e-6);
        assert!((to_host(factor)[0] - 0.2).abs() < 1e-6);
        assert_eq!(to_host(clip(&vector(vec![0.3, 0.4], &device).into(), 1.0).0), [1.0]);
        let (factor, norm) = clip(&vector(vec![0.01; 10_000], &device).into(), 0.0);
        assert!((to_host(norm)[0] - 1.0).abs() < 1e-4 && to_host(factor) == [1.0]);
        let (factor, norm) = clip(&vector(vec![f32::NAN, 1.0], &device).into(), 1.0);
        assert!(to_host(norm)[0].is_nan() && !(to_host(factor)[0].is_finite()), "what diverges is not hidden");
    }
}
