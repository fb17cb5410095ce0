//! Resampling.

use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, TensorData};
use stein_jet::{
    Fir, Jet, avg_pool2d, pixel_shuffle, pixel_unshuffle, resize_bilinear2d, upfirdn2d, upsample_nearest2d,
};

use crate::checker::{NoParameters, check, device, linear_by_hand, right, wrong};

#[test]
fn resampling() {
    for factor in [1, 2, 3] {
        let rule = |_: &NoParameters, x| upsample_nearest2d(x, factor);
        right(&format!("upsample × {factor}"), check(rule, vec![], [3, 2, 2, 3]));
    }
    for k in [1, 2, 3] {
        let rule = |_: &NoParameters, x| avg_pool2d(x, k);
        right(&format!("average pool {k} × {k}"), check(rule, vec![], [3, 2, 6, 6]));
    }
}

#[test]
fn resampling_repeats_and_averages_pixels() {
    let x: Tensor<4> = Tensor::from_data([[[[1.0f32, 2.0], [3.0, 4.0]]]], &device());
    let up = upsample_nearest2d(Jet::plain(x), 2);
    let expected = TensorData::from([[[
        [1.0f32, 1.0, 2.0, 2.0],
        [1.0, 1.0, 2.0, 2.0],
        [3.0, 3.0, 4.0, 4.0],
        [3.0, 3.0, 4.0, 4.0],
    ]]]);
    up.value().into_data().assert_eq(&expected, true);
    let down = avg_pool2d(up, 4).into_value().into_data();
    down.assert_eq(&TensorData::from([[[[2.5f32]]]]), true);
}

#[test]
fn bilinear() {
    for size in [[2, 3], [5, 4], [6, 9], [1, 7], [1, 1]] {
        let rule = |_: &NoParameters, x| resize_bilinear2d(x, size);
        right(&format!("bilinear to {size:?}"), check(rule, vec![], [3, 2, 2, 3]));
    }
    let resize = |x, align_corners| {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_output_size([5, 4]);
        interpolate(x, options.with_align_corners(align_corners))
    };
    let rule = |_: &NoParameters, x: Jet<4>| linear_by_hand(x, |x| resize(x, false), |v| resize(v, true));
    wrong("tangent", check(rule, vec![], [3, 2, 2, 3]));
}

#[test]
fn bilinear_weights_by_distance() {
    let x: Tensor<4> = Tensor::from_data([[[[0.0f32, 4.0]]]], &device());
    let up = resize_bilinear2d(Jet::plain(x), [1, 4]).into_value();
    up.into_data().assert_eq(&TensorData::from([[[[0.0f32, 1.0, 3.0, 4.0]]]]), true);
}

#[test]
fn pixel_shuffles() {
    for factor in [1, 2] {
        let rule = |_: &NoParameters, x| pixel_shuffle(x, factor);
        right(&format!("pixel shuffle × {factor}"), check(rule, vec![], [3, 8, 2, 3]));
        let rule = |_: &NoParameters, x| pixel_unshuffle(x, factor);
        right(&format!("pixel unshuffle × {factor}"), check(rule, vec![], [3, 2, 4, 6]));
        let rule = |_: &NoParameters, x| pixel_shuffle(pixel_unshuffle(x, factor), factor);
        right("there and back", check(rule, vec![], [3, 2, 4, 6]));
    }
}

/// Pixel shuffle by 2; `inner` names the dimensions that become rows and columns within a pixel.
fn shuffle(x: Tensor<4>, inner: [usize; 2]) -> Tensor<4> {
    let [rows, channels, height, width] = x.dims();
    let split = x.reshape([rows, channels / 4, 2, 2, height, width]);
    split.permute([0, 1, 4, inner[0], 5, inner[1]]).reshape([rows, channels / 4, 2 * height, 2 * width])
}

/// Its inverse.
fn unshuffle(x: Tensor<4>, inner: [usize; 2]) -> Tensor<4> {
    let [rows, channels, height, width] = x.dims();
    let split = x.reshape([rows, channels, height / 2, 2, width / 2, 2]);
    split.permute([0, 1, inner[0], inner[1], 2, 4]).reshape([rows, 4 * channels, height / 2, width / 2])
}

#[test]
fn pixels_shuffled_otherwise_are_noticed() {
    let rule =
        |inner| move |_: &NoParameters, x: Jet<4>| linear_by_hand(x, |x| shuffle(x, [2, 3]), |v| shuffle(v, inner));
    right("pixel shuffle by hand", check(rule([2, 3]), vec![], [3, 8, 2, 3]));
    wrong("tangent", check(rule([3, 2]), vec![], [3, 8, 2, 3]));
    let rule =
        |inner| move |_: &NoParameters, x: Jet<4>| linear_by_hand(x, |x| unshuffle(x, [3, 5]), |v| unshuffle(v, inner));
    right("pixel unshuffle by hand", check(rule([3, 5]), vec![], [3, 2, 4, 6]));
    wrong("tangent", check(rule([5, 3]), vec![], [3, 2, 4, 6]));
}

#[test]
fn pixels_go_where_they_belong() {
    let x: Tensor<4> = Tensor::from_data([[[[1.0f32, 2.0], [3.0, 4.0]]]], &device());
    let channels = pixel_unshuffle(Jet::plain(x), 2).into_value().into_data();
    channels.assert_eq(&TensorData::from([[[[1.0f32]], [[2.0]], [[3.0]], [[4.0]]]]), true);
}

const TAPS: [f64; 4] = [1.0, 3.0, 3.0, 1.0];
/// Of no symmetry, and odd.
const CROOKED: [f64; 3] = [1.0, 2.0, 5.0];

fn filters() -> [(&'static str, Fir<'static>); 6] {
    [
        ("twice", Fir::twice(&TAPS)),
        ("half", Fir::half(&TAPS)),
        ("before halving", Fir::before_halving(&TAPS, 3)),
        ("twice, crooked", Fir::twice(&CROOKED)),
        ("half, crooked", Fir::half(&CROOKED)),
        ("zeros between", Fir { taps: &[1.0], up: 3, padding: [2, 0], down: 2 }),
    ]
}

/// By the definition: zeros after each pixel and around all, a convolution with the outer product of the taps, every so many-th pixel.
fn by_definition(x: &[f64], [height, width]: [usize; 2], fir: Fir<'_>, turned: bool) -> Vec<f64> {
    let Fir { taps, up, padding: [before, after], down } = fir;
    let padded = |n: usize| n * up + before + after;
    let (h, w) = (padded(height), padded(width));
    let mut wide = vec![0.0; h * w];
    for i in 0..height * width {
        wide[(before + i / width * up) * w + before + i % width * up] = x[i];
    }
    let (n, sum) = (taps.len(), taps.iter().sum::<f64>());
    let tap = |j: usize| taps[if turned { n - 1 - j } else { j }] * up as f64 / sum;
    let at = |i: usize, j: usize| -> f64 {
        (0..n * n).map(|k| tap(k / n) * tap(k % n) * wide[(i + k / n) * w + j + k % n]).sum()
    };
    let rows = (0..=h - n).step_by(down);
    rows.flat_map(|i| (0..=w - n).step_by(down).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect()
}

#[test]
fn fir_filters() {
    for (name, fir) in filters() {
        right(&format!("upfirdn {name}"), check(|_: &NoParameters, x| upfirdn2d(x, fir), vec![], [3, 2, 4, 6]));
    }
}

#[test]
fn fir_filters_are_their_definition() {
    let (height, width) = (4, 6);
    let x: Vec<f64> = (0..height * width).map(|i| f64::from(i as u32 * 7 % 11) - 3.0).collect();
    let image: Tensor<4> = Tensor::from_data(TensorData::new(x.clone(), [1, 1, height, width]), &device());
    for (name, fir) in filters() {
        let got = upfirdn2d(Jet::plain(image.clone()), fir).into_value().into_data().convert::<f64>();
        let got = got.try_into_vec::<f64>().expect("numbers");
        let apart = |turned| {
            let expected = by_definition(&x, [height, width], fir, turned);
            assert_eq!(got.len(), expected.len(), "{name}");
            got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        assert!(apart(true) < 1e-5, "{name}: {}", apart(true));
        // Taps the other way round are told apart, where that is another filter.
        assert_eq!(apart(false) > 0.1, name.contains("crooked"), "{name}: {}", apart(false));
    }
}

#[test]
fn fir_filters_keep_constants_and_dim_the_border() {
    let line = |x: [f32; 4], fir| {
        let x: Tensor<4> = Tensor::from_data([[[x, x, x, x]]], &device());
        let y = upfirdn2d(Jet::plain(x), fir).into_value();
        let [_, _, height, width] = y.dims();
        y.narrow(2, height / 2, 1).reshape([width]).into_data()
    };
    let twice = line([0.0, 4.0, 8.0, 0.0], Fir::twice(&TAPS));
    twice.assert_eq(&TensorData::from([0.0f32, 1.0, 3.0, 5.0, 7.0, 6.0, 2.0, 0.0]), true);
    line([8.0; 4], Fir::twice(&TAPS)).assert_eq(&TensorData::from([6.0f32, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 6.0]), true);
    line([8.0; 4], Fir::half(&TAPS)).assert_eq(&TensorData::from([6.125f32, 6.125]), true);
}
