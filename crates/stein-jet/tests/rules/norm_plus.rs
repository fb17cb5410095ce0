//! Instance normalisation++.

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use stein_jet::{Jet, instance_norm_plus};

use crate::checker::{Normal, check, check_one_batch, device, relative, right, wrong};

const EPSILON: f64 = 0.3;

type Affine = Vec<Param<Tensor<2>>>;

fn affine(rows: usize) -> Affine {
    (0..3).map(|_| Param::from_tensor(Tensor::zeros([rows, 4], &device()))).collect()
}

fn rule(of: &Affine, x: Jet<4>) -> Jet<4> {
    instance_norm_plus(x, [of[0].val(), of[1].val(), of[2].val()], EPSILON)
}

/// The authors' formula, term by term: `[unbiased, μ̂, α, ε]` are 1 where it is theirs.
fn formula(of: [Tensor<4>; 3], x: Tensor<4>, [bias, means, alpha, root]: [f64; 4]) -> Tensor<4> {
    let [gamma, shift, beta] = of;
    let [_, channels, ..] = x.dims();
    let mean = |x: Tensor<4>| x.mean_dim(3).mean_dim(2);
    let mu = mean(x.clone());
    let centred = mu.clone() - mu.clone().mean_dim(1);
    let variance = centred.clone().square().sum_dim(1) / (channels as f64 - bias);
    let mu_hat = centred / (variance + EPSILON * root).sqrt();
    let around = x - mu;
    let x_hat = around.clone() / (mean(around.square()) + EPSILON).sqrt();
    (x_hat + mu_hat * means * shift * alpha) * gamma + beta
}

#[test]
fn it_is_exact_in_both_orders() {
    right("instance norm++", check(rule, affine(1), [3, 4, 3, 3]));
    right("instance norm++, of each example", check_one_batch(rule, affine(3), [3, 4, 3, 2]));
}

#[test]
fn it_is_the_authors_formula() {
    let mut normal = Normal(5);
    let x: Tensor<4> = normal.tensor([3, 4, 3, 5]) * 2.0 + normal.tensor([3, 4, 1, 1]);
    for rows in [1, 3] {
        let of: [Tensor<2>; 3] = [(); 3].map(|()| normal.tensor([rows, 4]));
        let wide = of.clone().map(|part| part.unsqueeze_dims::<4>(&[2, 3]));
        let got = instance_norm_plus(Jet::plain(x.clone()), of, EPSILON).into_value();
        let error = |factors| relative(got.clone(), formula(wide.clone(), x.clone(), factors));
        assert!(error([1.0; 4]) < 1e-12, "{}", error([1.0; 4]));
        for (term, other) in [(0, 0.0), (1, -1.0), (2, 1.01), (3, 0.0)] {
            let mut factors = [1.0; 4];
            factors[term] = other;
            assert!(error(factors) > 1e-3, "term {term}: {}", error(factors));
        }
    }
}

#[test]
fn a_wrong_tangent_is_noticed() {
    // As if the channels' means stood still.
    let rule = |of: &Affine, x: Jet<4>| {
        if x.order() != 1 {
            return rule(of, x);
        }
        let (value, tangents) = x.into_parts();
        rule(of, Jet::from_parts(value, tangents.map(|t| t.clone() - t.mean_dim(3).mean_dim(2))))
    };
    wrong("tangent", check_one_batch(rule, affine(1), [3, 4, 3, 3]));
}

/// The kernel for f32 gives what the formula does, values and gradients.
#[test]
fn with_a_kernel_it_is_the_same() {
    let device = Device::flex().autodiff();
    let waves = |shape: [usize; 4], step: f32| -> Tensor<4> {
        let numbers = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * step).sin());
        Tensor::<1>::from_floats(numbers.collect::<Vec<_>>().as_slice(), &device).reshape(shape).require_grad()
    };
    let x = waves([3, 4, 3, 5], 0.7);
    let of = [1.3, 2.9, 0.4].map(|step| waves([3, 4, 1, 1], step));
    let numbers = |y: Tensor<4>| {
        let gradients = (y.clone() * waves([3, 4, 3, 5], 0.3).detach()).sum().backward();
        let leaves = [&x, &of[0], &of[1], &of[2]].map(|leaf| leaf.grad(&gradients).expect("a leaf"));
        let all = leaves.into_iter().chain([y.inner()]);
        all.flat_map(|t| t.into_data().try_into_vec::<f32>().expect("f32")).collect::<Vec<_>>()
    };
    let flat = of.clone().map(|part| part.reshape([3, 4]));
    let kernel = numbers(instance_norm_plus(Jet::plain(x.clone()), flat, EPSILON).into_value());
    let apart = |factors| {
        let right = numbers(formula(of.clone(), x.clone(), factors));
        right.iter().zip(&kernel).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(apart([1.0; 4]) < 1e-5, "{}", apart([1.0; 4]));
    assert!(apart([1.0, 1.0, 1.01, 1.0]) > 1e-3);
}
