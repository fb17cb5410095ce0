//! Pooling over windows that overlap, and resizing between corners.

use burn::tensor::{Tensor, TensorData};
use stein_jet::{Jet, Window, max_pool2d, mean_pool2d, resize_aligned2d, resize_bilinear2d};

use crate::checker::{NoParameters, Normal, check, device, linear_by_hand, relative, right, wrong};

const WINDOWS: [Window; 4] = [
    Window { kernel: 5, stride: 1, padding: 2 },
    Window { kernel: 3, stride: 1, padding: 1 },
    Window { kernel: 3, stride: 2, padding: 1 },
    Window { kernel: 2, stride: 2, padding: 0 },
];

#[test]
fn pools() {
    for window in WINDOWS {
        let rule = |_: &NoParameters, x| mean_pool2d(x, window);
        right(&format!("mean {window:?}"), check(rule, vec![], [3, 2, 5, 6]));
        let rule = |_: &NoParameters, x| max_pool2d(x, window);
        right(&format!("max {window:?}"), check(rule, vec![], [3, 2, 5, 6]));
    }
}

/// Windows one by one: `pool` of what lies inside.
fn by_windows(x: &Tensor<4>, window: Window, pool: impl Fn(Vec<f64>) -> f64) -> Tensor<4> {
    let Window { kernel, stride, padding } = window;
    let dims @ [n, c, h, w] = x.dims();
    let numbers = x.to_data().try_into_vec::<f64>().unwrap();
    let sides = [h, w].map(|side| (side + 2 * padding - kernel) / stride + 1);
    let mut out = Vec::new();
    for image in 0..n * c {
        for (i, j) in (0..sides[0]).flat_map(|i| (0..sides[1]).map(move |j| (i, j))) {
            let side = |at: usize, most: usize| {
                (at * stride..at * stride + kernel)
                    .filter_map(move |k| k.checked_sub(padding))
                    .filter(move |&k| k < most)
            };
            let pixels = side(i, h).flat_map(|r| side(j, w).map(move |q| (r, q)));
            out.push(pool(pixels.map(|(r, q)| numbers[image * dims[2] * dims[3] + r * w + q]).collect()));
        }
    }
    Tensor::from_data(TensorData::new(out, [n, c, sides[0], sides[1]]), (&device(), x.dtype()))
}

#[test]
fn windows_one_by_one() {
    let x: Tensor<4> = Normal(3).tensor([2, 3, 5, 6]);
    for window in WINDOWS {
        let area = (window.kernel * window.kernel) as f64;
        let mean = by_windows(&x, window, |pixels| pixels.iter().sum::<f64>() / area);
        let max = by_windows(&x, window, |pixels| pixels.into_iter().fold(f64::MIN, f64::max));
        assert!(relative(mean_pool2d(Jet::plain(x.clone()), window).into_value(), mean.clone()) < 1e-12);
        assert!(relative(max_pool2d(Jet::plain(x.clone()), window).into_value(), max.clone()) == 0.0);
        assert!(relative(max, mean.clone()) > 0.1, "one is not the other");
        // Zeros beyond the border are counted; without them it is another mean.
        let inside = by_windows(&x, window, |pixels| pixels.iter().sum::<f64>() / pixels.len() as f64);
        assert_eq!(relative(inside, mean) > 0.01, window.padding > 0);
    }
    // All negative: the padding is no zero that a maximum could be.
    let below = max_pool2d(Jet::plain(x.clone().abs() * -1.0 - 1.0), Window::same(5)).into_value();
    assert!(below.max().into_scalar::<f64>() <= -1.0);
}

#[test]
fn tangents_of_a_maximum_from_elsewhere_are_noticed() {
    let window = Window::same(3);
    let rule = |_: &NoParameters, x: Jet<4>| {
        let pooled = |x: Tensor<4>| max_pool2d(Jet::plain(x), window).into_value();
        // The largest tangent is not the tangent of the largest.
        linear_by_hand(x, pooled, pooled)
    };
    wrong("tangent", check(rule, vec![], [3, 2, 5, 6]));
}

#[test]
fn corners_coincide() {
    for size in [[4, 6], [5, 4], [2, 3], [1, 7], [1, 1], [3, 1]] {
        let rule = |_: &NoParameters, x| resize_aligned2d(x, size);
        right(&format!("aligned to {size:?}"), check(rule, vec![], [3, 2, 2, 3]));
    }
    let x: Tensor<4> = Tensor::from_data([[[[0.0f32, 3.0]]]], &device());
    let up = |x| resize_aligned2d(Jet::plain(x), [1, 4]).into_value().into_data();
    up(x.clone()).assert_approx_eq::<f32>(&TensorData::from([[[[0.0f32, 1.0, 2.0, 3.0]]]]), Default::default());
    let other = resize_bilinear2d(Jet::plain(x.clone()), [1, 4]).into_value().into_data();
    assert_ne!(other, up(x));
    let x: Tensor<4> = Tensor::from_data([[[[0.0f32, 2.0], [4.0, 6.0]]]], &device());
    let up = resize_aligned2d(Jet::plain(x), [3, 3]).into_value().into_data();
    up.assert_eq(&TensorData::from([[[[0.0f32, 1.0, 2.0], [2.0, 3.0, 4.0], [4.0, 5.0, 6.0]]]]), true);
}
