//! The network.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use burn::module::Param;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use rayon::prelude::*;
use stein_core::{to_host, to_tensor};
use stein_jet::{Jet, conv2d};
use stein_record::Array;

use super::architecture::{Branch, Fit, Layer, Pool, Stage, stages};
use super::pictures::{Pictures, SIDE};
use super::weights::{InceptionWeights, tensors};

/// Numbers of a picture's features.
pub const INCEPTION_FEATURES: usize = 2048;

/// Pictures at a time.
const BATCH: usize = 16;
/// What batch normalisation adds to the variance.
const EPSILON: f64 = 1e-3;

/// The network up to the mean over pixels, to be asked for features alone.
#[derive(Debug)]
pub struct Inception {
    stages: Vec<Stage<Conv2d>>,
    device: Device,
}

impl Inception {
    /// With the weights of a file.
    ///
    /// # Errors
    /// If they cannot be read, or are none that a network can have.
    pub fn new(weights: &InceptionWeights, device: &Device) -> Result<Self, String> {
        let mut arrays = weights.read()?;
        let mut folded = |layer: Layer| folded(&layer, &mut arrays, device);
        let stages = stages().into_iter().map(|stage| stage.try_map(&mut folded)).collect::<Result<_, _>>()?;
        Ok(Self { stages, device: device.clone() })
    }

    /// The features `[N, 2048]` of pictures; `watch` hears of so many that are done and may stop it, which gives `None`.
    pub fn features(&self, pictures: &Pictures, mut watch: impl FnMut(usize) -> ControlFlow<()>) -> Option<Array> {
        let n = pictures.len();
        let mut features = Vec::with_capacity(n * INCEPTION_FEATURES);
        for from in (0..n).step_by(BATCH) {
            if watch(from).is_break() {
                return None;
            }
            let to = n.min(from + BATCH);
            let seen: Vec<Vec<f32>> = (from..to).into_par_iter().map(|i| pictures.seen(i)).collect();
            let rows = Array::new([to - from, 3 * SIDE * SIDE], seen.concat());
            let images = to_tensor(&rows, &self.device).reshape([to - from, 3, SIDE, SIDE]);
            features.extend(to_host(self.forward(images)));
        }
        Some(Array::new([n, INCEPTION_FEATURES], features))
    }

    /// `[B, 2048]` of images `[B, 3, 299, 299]` from −1 to 1.
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.stages.iter().fold(x, |x, stage| match stage {
            Stage::Layer(layer) => convolved(layer, x),
            Stage::Halve => pooled(Pool::Halve, x),
            Stage::Block(branches) => Tensor::cat(branches.iter().map(|branch| branched(branch, &x)).collect(), 1),
        });
        let [batch, channels, height, width] = x.dims();
        x.reshape([batch, channels, height * width]).mean_dim(2).squeeze_dim(2)
    }
}

fn branched(branch: &Branch<Conv2d>, x: &Tensor<4>) -> Tensor<4> {
    let x = match branch.pool {
        Some(pool) => pooled(pool, x.clone()),
        None => x.clone(),
    };
    let x = branch.chain.iter().fold(x, |x, layer| convolved(layer, x));
    match &branch.ends[..] {
        [] => x,
        ends => Tensor::cat(ends.iter().map(|layer| convolved(layer, x.clone())).collect(), 1),
    }
}

fn convolved(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    activation::relu(conv2d(layer, Jet::plain(x)).into_value())
}

fn pooled(pool: Pool, x: Tensor<4>) -> Tensor<4> {
    let mut maximum = MaxPoolOptions::new([3, 3]);
    match pool {
        Pool::Mean => {
            let mut mean = AvgPoolOptions::new([3, 3]);
            mean.stride = [1, 1];
            mean.padding = [(1, 1); 2];
            mean.count_include_pad = false;
            return avg_pool2d(x, mean);
        }
        Pool::Max => {
            maximum.stride = [1, 1];
            maximum.padding = [(1, 1); 2];
        }
        Pool::Halve => maximum.stride = [2, 2],
    }
    max_pool2d(x, maximum)
}

/// The convolution that a layer is: with s = γ/√(variance + ε), its weight times s, and the bias β − mean s.
fn folded(layer: &Layer, arrays: &mut BTreeMap<String, Array>, device: &Device) -> Result<Conv2d, String> {
    let mut taken = |(name, _): (String, Vec<usize>)| arrays.remove(&name).ok_or(format!("there is no `{name}`"));
    let [weight, gain, shift, mean, variance] = tensors(layer).map(&mut taken);
    let (mut weight, gain, shift, mean, variance) = (weight?, gain?, shift?, mean?, variance?);
    let mut bias = shift.data;
    let each = weight.row_length();
    for (o, taps) in weight.data.chunks_exact_mut(each).enumerate() {
        let scale = f64::from(gain.data[o]) / (f64::from(variance.data[o]) + EPSILON).sqrt();
        taps.iter_mut().for_each(|tap| *tap = (f64::from(*tap) * scale) as f32);
        bias[o] = (f64::from(bias[o]) - f64::from(mean.data[o]) * scale) as f32;
    }
    let [height, width] = layer.kernel;
    let shape = [layer.outputs, layer.inputs, height, width];
    Ok(Conv2d {
        weight: Param::from_data(TensorData::new(weight.data, shape), device),
        bias: Some(Param::from_data(TensorData::new(bias, [layer.outputs]), device)),
        stride: if layer.fit == Fit::Halve { [2, 2] } else { [1, 1] },
        kernel_size: layer.kernel,
        dilation: [1, 1],
        groups: 1,
        padding: match layer.fit {
            Fit::Same => PaddingConfig2d::Explicit(height / 2, width / 2, height / 2, width / 2),
            Fit::Inner | Fit::Halve => PaddingConfig2d::Valid,
        },
    })
}

#[cfg(test)]
mod tests {
    use stein_core::{Dataset, ImageShape, matrix};

    use super::super::testing::{drawn, written};
    use super::*;

    fn image(rows: &[&[f32]], device: &Device) -> Tensor<4> {
        matrix(rows.concat(), rows[0].len(), device).reshape([1, 1, rows.len(), rows[0].len()])
    }

    /// Of a ramp 1 to 9: at a corner 4 pixels count, at an edge 6.
    #[test]
    fn pools_by_hand() {
        let device = Device::flex();
        let ramp = image(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], &[7.0, 8.0, 9.0]], &device);
        let of = |pool| to_host(pooled(pool, ramp.clone()));
        let mean = of(Pool::Mean);
        let expected = [3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0];
        assert!(mean.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{mean:?}");
        // Counting what lies beyond, the corner would be 12/9.
        assert!((mean[0] - 12.0 / 9.0).abs() > 1.0);
        assert_eq!(of(Pool::Max), [5.0, 6.0, 6.0, 8.0, 9.0, 9.0, 8.0, 9.0, 9.0]);
        assert_eq!(of(Pool::Halve), [9.0]);
        let below = image(&[&[-4.0, -3.0], &[-2.0, -1.0]], &device);
        assert_eq!(to_host(pooled(Pool::Max, below)), [-1.0; 4], "what lies beyond is no zero");
    }

    /// One channel to two, 1×1: γ (w x − mean)/√(variance + ε) + β.
    #[test]
    fn batch_normalisation_goes_into_the_convolution() {
        let device = Device::flex();
        let layer = Layer { name: "a".into(), inputs: 1, outputs: 2, kernel: [1, 1], fit: Fit::Same };
        let values = [vec![2.0, -3.0], vec![1.5, 0.5], vec![0.1, 0.2], vec![0.4, -0.6], vec![3.999, 0.249]];
        let mut arrays: BTreeMap<String, Array> = tensors(&layer)
            .into_iter()
            .zip(values)
            .map(|((name, shape), values)| (name, Array::new(shape, values)))
            .collect();
        let layer_of = folded(&layer, &mut arrays, &device).unwrap();
        let x = image(&[&[0.7]], &device);
        let got = to_host(convolved(&layer_of, x.clone()));
        let first = 1.5 * (2.0 * 0.7 - 0.4) / 2.0 + 0.1;
        let second = 0.5 * (-3.0 * 0.7 + 0.6) / 0.5 + 0.2;
        assert!(second < 0.0 && (got[0] - first).abs() < 1e-6 && got[1] == 0.0, "{got:?} {first} {second}");
        // Without ReLU the second shows as well; ε = 1e-5, PyTorch's usual one, would be another number.
        let plain = to_host(layer_of.forward(x.clone()));
        assert!((plain[1] - second).abs() < 1e-6, "{plain:?} {second}");
        let usual = 0.5 * (-3.0 * 0.7 + 0.6) / (0.249f32 + 1e-5).sqrt() + 0.2;
        assert!((plain[1] - usual).abs() > 1e-3);
    }

    #[test]
    fn features_are_the_same_in_any_batch_and_can_be_stopped() {
        let device = Device::flex();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        written(&path, drawn(3));
        let network = Inception::new(&InceptionWeights::open(&path).unwrap(), &device).unwrap();
        let shape = ImageShape { height: 8, width: 6, channels: 3 };
        let data = Dataset { image: Some(shape), range: Some([0.0, 1.0]), ..Dataset::default() };
        let mut noise = stein_core::Streams::new(1).at("pictures", 0);
        let rows = Array::new([BATCH + 1, 144], noise.uniforms((BATCH + 1) * 144));
        let of = |rows: &Array| {
            let pictures = Pictures::of(rows, &data).unwrap();
            network.features(&pictures, |_| ControlFlow::Continue(())).unwrap()
        };
        let all = of(&rows);
        assert_eq!(all.shape, [BATCH + 1, INCEPTION_FEATURES]);
        let size = all.data.iter().map(|x| x * x).sum::<f32>() / all.data.len() as f32;
        assert!((1e-3..1e3).contains(&size) && all.data.iter().all(|&x| x >= 0.0), "{size}");
        let last = of(&rows.slice(BATCH..BATCH + 1));
        let error = last.data.iter().zip(all.row(BATCH)).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(error < 1e-4 * size.sqrt(), "{error} {size}");
        let stopped = network.features(&Pictures::of(&rows, &data).unwrap(), |done| match done {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        });
        assert!(stopped.is_none());
    }
}
