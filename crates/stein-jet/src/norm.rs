//! Normalisation.

use burn::nn::GroupNorm;

use crate::jet::Jet;

/// Group normalisation of images, `[B, C, H, W]` to the same.
///
/// With x̂ = (x − mean) / s and s = √(var + ε) over a group of an example, and u = v − mean(v):
/// J v = (u − x̂ · mean(x̂ u)) / s, exactly, ε included.
///
/// # Panics
///
/// If C is not the layer's number of channels.
pub fn group_norm(layer: &GroupNorm, x: Jet<4>) -> Jet<4> {
    let [batch, channels, height, width] = x.dims();
    assert_eq!(channels, layer.num_channels, "group norm for {} channels got {:?}", layer.num_channels, x.dims());
    let k = x.directions();
    if k == 0 {
        return x.linear_map(|rows| stein_kernels::group_norm(layer, rows));
    }

    let size = channels / layer.num_groups * height * width;
    let centred = x.reshape([batch, layer.num_groups, size]).linear_map(|rows| rows.clone() - rows.mean_dim(2));

    // Directions lead, so that one group's statistics broadcast over all of them.
    let groups = batch * layer.num_groups;
    let u = centred.tangents().reshape([k, groups, size]);
    let value = centred.into_value().reshape([1, groups, size]);
    let s = (value.clone().square().mean_dim(2) + layer.epsilon).sqrt();
    let value = value / s.clone();
    let along = (value.clone() * u.clone()).mean_dim(2);
    let tangents = (u - value.clone() * along) / s;

    let normalised = Jet::from_parts(
        value.reshape([batch, channels, height, width]),
        Some(tangents.reshape([k * batch, channels, height, width])),
    );
    match (&layer.gamma, &layer.beta) {
        (Some(gamma), Some(beta)) => normalised
            .scale(gamma.val().reshape([1, channels, 1, 1]))
            .add_constant(beta.val().reshape([1, channels, 1, 1])),
        _ => normalised,
    }
}
