//! Mistakes in a program panic and say what was expected.

use burn::tensor::Tensor;
use stein_jet::{Jet, attention, avg_pool2d, pixel_shuffle, resize_bilinear2d, softmax, tanh};

use crate::checker::device;

fn pair(k: usize) -> Jet<2> {
    let x: Tensor<2> = Tensor::ones([3, 2], &device());
    Jet::seed(x.clone(), vec![x; k])
}

#[test]
#[should_panic(
    expected = "jets must agree in batch, directions and order, got [3, 2] with 1 of order 1 and [3, 2] with 0 of order 0"
)]
fn a_plain_tensor_does_not_add_to_a_jet() {
    let _ = pair(1) + pair(0);
}

#[test]
#[should_panic(expected = "got [3, 2] with 1 of order 1 and [3, 2] with 1 of order 2")]
fn jets_of_two_orders_do_not_add() {
    let _ = pair(1) + pair(1).second_order();
}

#[test]
#[should_panic(expected = "`map` knows no second derivative, which a jet of order 2 needs; `map2` takes one")]
fn a_map_without_a_second_derivative_stops_at_order_1() {
    let with_derivative = |x: Tensor<2>| (x.clone().square(), x * 2.0);
    let _ = pair(1).second_order().map(|x| x.square(), with_derivative);
}

#[test]
#[should_panic(expected = "a jet of order 1 has no second derivatives: second_order after seeding asks for them")]
fn second_derivatives_are_asked_for() {
    let _ = tanh(pair(1)).seconds();
}

#[test]
#[should_panic(expected = "a jet of order 0 has no second derivatives")]
fn a_plain_tensor_has_no_second_derivatives() {
    let _ = pair(0).second_order().seconds();
}

#[test]
#[should_panic(expected = "second derivative 2 of a jet with 2 directions")]
fn there_is_a_second_derivative_for_each_direction() {
    let _ = pair(2).second_order().second(2);
}

#[test]
#[should_panic(expected = "a plain jet has no second derivatives: seed it with directions")]
fn a_plain_tensor_is_no_curve() {
    let _ = pair(0).with_seconds(Tensor::ones([3, 2], &device()));
}

#[test]
#[should_panic(expected = "second derivatives must have the shape of the tangents")]
fn second_derivatives_have_the_shape_of_the_tangents() {
    let _ = pair(2).with_seconds(Tensor::ones([3, 2], &device()));
}

#[test]
#[should_panic(expected = "a second derivative must have the shape of the value")]
fn an_elementwise_second_derivative_has_the_shape_of_the_value() {
    let _ = pair(1).second_order().map2(|x| x, |x| (x.clone(), x), |x| [x.clone(), x.clone(), x.narrow(1, 0, 1)]);
}

#[test]
#[should_panic(expected = "direction 1 must have the shape of the point")]
fn directions_have_the_shape_of_the_point() {
    let x: Tensor<2> = Tensor::ones([3, 2], &device());
    let _ = Jet::seed(x.clone(), vec![x.clone(), x.narrow(1, 0, 1)]);
}

#[test]
#[should_panic(expected = "broadcasts to the value's shape [3, 2], got [2, 2]")]
fn a_factor_broadcasts_to_the_value() {
    let _ = pair(1).scale(Tensor::ones([2, 2], &device()));
}

#[test]
#[should_panic(expected = "would mix the batch with the tangents")]
fn jets_do_not_narrow_along_the_batch() {
    let _ = pair(1).narrow(0, 0, 1);
}

#[test]
#[should_panic(expected = "windows of 2 × 2 don't tile an image of 4 × 5")]
fn pooling_windows_tile_the_image() {
    let _ = avg_pool2d(Jet::plain(Tensor::ones([1, 1, 4, 5], &device())), 2);
}

#[test]
#[should_panic(expected = "shared directions must be [K, ...] with the point's other dimensions, [2], got [4, 3]")]
fn shared_directions_have_the_shape_of_an_example() {
    let _ = Jet::seed_shared(Tensor::<2>::ones([3, 2], &device()), Tensor::ones([4, 3], &device()));
}

#[test]
#[should_panic(expected = "softmax along dimension 0 would mix the batch with the tangents")]
fn softmax_does_not_run_along_the_batch() {
    let _ = softmax(pair(1), 0);
}

#[test]
#[should_panic(expected = "sum_dim along dimension 2 of a jet with 2 dimensions")]
fn a_sum_runs_along_a_dimension() {
    let _ = pair(1).sum_dim(2);
}

#[test]
#[should_panic(expected = "permute needs 0 (the batch) and then the dimensions 1 to 1 in any order, got [1, 0]")]
fn permute_leaves_the_batch_in_front() {
    let _ = pair(1).permute([1, 0]);
}

#[test]
#[should_panic(expected = "matmul needs [B, ..., n, m] and [B, ..., m, p], got [3, 1, 2] and [3, 1, 2]")]
fn matrices_fit() {
    let x = pair(1).reshape([3, 1, 2]);
    let _ = x.clone().matmul(x);
}

#[test]
#[should_panic(expected = "attention needs [B, heads, n, d], [B, heads, m, d] and [B, heads, m, e]")]
fn keys_fit_values() {
    let x = pair(1).reshape([3, 1, 1, 2]);
    let _ = attention(x.clone(), x.clone(), x.reshape([3, 1, 2, 1]));
}

#[test]
#[should_panic(expected = "an image of 4 × 5 can't be resized to 0 × 3")]
fn images_have_a_size() {
    let _ = resize_bilinear2d(Jet::plain(Tensor::ones([1, 1, 4, 5], &device())), [0, 3]);
}

#[test]
#[should_panic(expected = "6 channels don't make 2 × 2 pixels each")]
fn pixels_are_made_of_whole_channels() {
    let _ = pixel_shuffle(Jet::plain(Tensor::ones([1, 6, 4, 5], &device())), 2);
}
