//! Adam and AdamW on a vector of parameters.

use burn::tensor::Tensor;
use stein_experiment::Optimizer;

/// The state of Adam: running means of the gradient and of its square.
#[derive(Debug, Clone)]
pub(crate) struct Adam {
    pub(crate) mean: Tensor<1>,
    pub(crate) square: Tensor<1>,
    pub(crate) steps: u64,
}

impl Adam {
    pub(crate) fn new(like: &Tensor<1>) -> Self {
        Self { mean: like.zeros_like(), square: like.zeros_like(), steps: 0 }
    }

    /// One step: the new parameters.
    ///
    /// m ← β₁ m + (1−β₁) g, v ← β₂ v + (1−β₂) g²,
    /// θ ← θ − η (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε) − η λ θ.
    pub(crate) fn step(
        &mut self,
        parameters: Tensor<1>,
        gradient: Tensor<1>,
        rate: f64,
        optimizer: &Optimizer,
    ) -> Tensor<1> {
        let &Optimizer { beta_1, beta_2, epsilon, .. } = optimizer;
        self.steps += 1;
        let t = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (unbias_1, unbias_2) = (1.0 - beta_1.powi(t), 1.0 - beta_2.powi(t));
        self.mean = self.mean.clone() * beta_1 + gradient.clone() * (1.0 - beta_1);
        self.square = self.square.clone() * beta_2 + gradient.square() * (1.0 - beta_2);
        let root = self.square.clone().sqrt() * unbias_2.sqrt().recip() + epsilon;
        let update = self.mean.clone() / root * (rate / unbias_1);
        match optimizer.decay() {
            0.0 => parameters - update,
            decay => parameters * (1.0 - rate * decay) - update,
        }
    }
}

/// The gradient scaled so that its norm is at most `most`, and its norm before, `[1]`. A gradient that is not finite stays so.
pub(crate) fn clip(gradient: Tensor<1>, most: f64) -> (Tensor<1>, Tensor<1>) {
    // Summed in rows first: burn's flex backend sums very long vectors in an order that depends on the thread count.
    let norm = square_sum(&gradient).sqrt();
    if most == 0.0 {
        return (gradient, norm);
    }
    let factor = (norm.clone() + 1e-12).recip() * most;
    (gradient * factor.clamp_max(1.0), norm)
}

fn square_sum(x: &Tensor<1>) -> Tensor<1> {
    const ROW: usize = 4096;
    let n = x.dims()[0];
    let whole = n / ROW * ROW;
    let mut sum: Tensor<1> = Tensor::zeros([1], &x.device());
    if whole > 0 {
        let rows = x.clone().narrow(0, 0, whole).reshape([whole / ROW, ROW]);
        sum = sum + rows.square().sum_dim(1).sum();
    }
    if whole < n {
        sum = sum + x.clone().narrow(0, whole, n - whole).square().sum();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use stein_core::{to_host, vector};
    use stein_experiment::OptimizerKind;

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
        let mut theta = vector(vec![0.5, -1.5], &device);
        let mut adam = Adam::new(&theta);
        for g in gradients {
            theta = adam.step(theta, vector(vec![g as f32, 2.0 * g as f32], &device), 0.01, &adamw(0.01, 0.1));
        }
        let doubled: Vec<f64> = gradients.iter().map(|g| 2.0 * g).collect();
        let expected = [reference(&gradients, 0.5, 0.01, 0.1), reference(&doubled, -1.5, 0.01, 0.1)];
        let theta = to_host(theta);
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
        let (clipped, norm) = clip(vector(vec![3.0, 4.0], &device), 1.0);
        assert!((to_host(norm)[0] - 5.0).abs() < 1e-6);
        assert!((to_host(clipped)[1] - 0.8).abs() < 1e-6);
        let (same, _) = clip(vector(vec![0.3, 0.4], &device), 1.0);
        assert_eq!(to_host(same), [0.3, 0.4]);
        let long = vector(vec![0.01; 10_000], &device);
        assert!((to_host(clip(long, 0.0).1)[0] - 1.0).abs() < 1e-4);
    }
}
