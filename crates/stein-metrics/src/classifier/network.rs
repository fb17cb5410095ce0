//! The network.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, TensorData, activation};
use stein_core::{ImageShape, Noise, init, to_host, to_tensor};
use stein_jet::{Jet, avg_pool2d, conv2d, linear, silu};
use stein_record::Array;

/// Numbers of the layer before the last, F.
pub const FEATURES: usize = 128;

/// Channels of the first convolutions; there are two at least.
const WIDTHS: [usize; 2] = [16, 32];
/// Images are halved until no side is longer than that.
const SIDE: usize = 8;
/// Rows at a time.
const CHUNK: usize = 256;

/// Convolutions with means of 2×2 between them, a hidden layer of [`FEATURES`], and a number for each class; SiLU throughout.
#[derive(Module, Debug)]
pub struct Classifier {
    convolutions: Vec<Conv2d>,
    hidden: Linear,
    output: Linear,
    #[module(skip)]
    about: About,
}

/// What it is told of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
struct About {
    image: [usize; 3],
    /// Convolutions that are followed by a halving.
    halvings: usize,
    /// Subtracted from every number.
    mean: f64,
    /// What the difference is divided by.
    spread: f64,
}

/// What the classifier makes of some rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The layer before the last, `[N, F]`.
    pub features: Array,
    /// The likeliest class of each row, `[N]`.
    pub classes: Vec<u32>,
    /// Its probability, `[N]`.
    pub confidences: Vec<f64>,
}

impl Classifier {
    /// For images with numbers about `mean`, of standard deviation `spread`, in `classes` classes.
    pub(super) fn new(
        image: ImageShape,
        (mean, spread): (f64, f64),
        classes: usize,
        noise: &mut Noise,
        device: &Device,
    ) -> Self {
        let ImageShape { height, width, channels } = image;
        let sides = |halvings: usize| [height >> halvings, width >> halvings];
        // A side of one pixel cannot be halved, however long the other is.
        let halvings = (0..).find(|&h| sides(h).iter().all(|&side| side <= SIDE) || sides(h).contains(&1)).unwrap_or(0);
        let convolutions = halvings.max(WIDTHS.len());
        let width_at = |i: usize| WIDTHS[i.min(WIDTHS.len() - 1)];
        let inputs = |i: usize| if i == 0 { channels } else { width_at(i - 1) };
        let [h, w] = sides(halvings);
        Self {
            convolutions: (0..convolutions).map(|i| init::conv3x3(inputs(i), width_at(i), noise, device)).collect(),
            hidden: init::linear(width_at(convolutions - 1) * h * w, FEATURES, noise, device),
            output: init::linear(FEATURES, classes, noise, device),
            about: About { image: [channels, height, width], halvings, mean, spread: spread.max(f64::MIN_POSITIVE) },
        }
    }

    /// Features `[B, F]` and the logarithm, but for a constant, of each class's probability `[B, K]`, of rows `[B, D]`.
    pub(super) fn forward(&self, x: Tensor<2>) -> [Tensor<2>; 2] {
        let About { image: [c, h, w], halvings, mean, spread } = self.about;
        let batch = x.dims()[0];
        let mut x = Jet::plain(((x - mean) / spread).reshape([batch, c, h, w]));
        for (i, convolution) in self.convolutions.iter().enumerate() {
            x = silu(conv2d(convolution, x));
            if i < halvings {
                x = halved(x);
            }
        }
        let flat = x.dims()[1..].iter().product();
        let features = silu(linear(&self.hidden, x.reshape([batch, flat])));
        let logits = linear(&self.output, features.clone());
        [features, logits].map(Jet::into_value)
    }

    /// What it makes of `rows` `[N, D]`.
    pub fn read(&self, rows: &Array, device: &Device) -> Read {
        let n = rows.rows();
        let mut features = Vec::with_capacity(n * FEATURES);
        let (mut classes, mut confidences) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for from in (0..n).step_by(CHUNK) {
            let own = rows.slice(from..n.min(from + CHUNK));
            let [layer, logits] = self.forward(to_tensor(&own, device));
            features.extend(to_host(layer));
            let count = logits.dims()[1];
            for probabilities in to_host(activation::softmax(logits, 1)).chunks_exact(count) {
                let likeliest = (0..count).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
                let likeliest = likeliest.expect("there is a class");
                classes.push(likeliest as u32);
                confidences.push(f64::from(probabilities[likeliest]));
            }
        }
        Read { features: Array::new([n, FEATURES], features), classes, confidences }
    }

    /// Its parameters by name.
    pub(super) fn parameters(&self) -> Vec<(String, Array)> {
        let mut out = Vec::new();
        for (i, layer) in self.convolutions.iter().enumerate() {
            out.push(array(format!("convolutions.{i}.weight"), &layer.weight));
            out.extend(layer.bias.as_ref().map(|bias| array(format!("convolutions.{i}.bias"), bias)));
        }
        for (name, layer) in [("hidden", &self.hidden), ("output", &self.output)] {
            out.push(array(format!("{name}.weight"), &layer.weight));
            out.extend(layer.bias.as_ref().map(|bias| array(format!("{name}.bias"), bias)));
        }
        out
    }

    /// The same network with other parameters; `None` unless `of` has all of them, in the same shapes.
    pub(super) fn with_parameters(
        mut self,
        mut of: impl FnMut(&str) -> Option<Array>,
        device: &Device,
    ) -> Option<Self> {
        for (i, layer) in self.convolutions.iter_mut().enumerate() {
            let shape = layer.weight.dims();
            layer.weight = taken(&mut of, &format!("convolutions.{i}.weight"), shape, device)?;
            layer.bias = Some(taken(&mut of, &format!("convolutions.{i}.bias"), [shape[0]], device)?);
        }
        for (name, layer) in [("hidden", &mut self.hidden), ("output", &mut self.output)] {
            let shape = layer.weight.dims();
            layer.weight = taken(&mut of, &format!("{name}.weight"), shape, device)?;
            layer.bias = Some(taken(&mut of, &format!("{name}.bias"), [shape[1]], device)?);
        }
        Some(self)
    }
}

/// Means of 2×2; the last line of an odd side is left out.
fn halved(x: Jet<4>) -> Jet<4> {
    let [_, _, height, width] = x.dims();
    avg_pool2d(x.narrow(2, 0, height / 2 * 2).narrow(3, 0, width / 2 * 2), 2)
}

fn array<const D: usize>(name: String, parameter: &Param<Tensor<D>>) -> (String, Array) {
    let value = parameter.val();
    (name, Array::new(value.dims(), to_host(value)))
}

/// The parameter of that name, if it is there in that shape.
fn taken<const D: usize>(
    of: &mut impl FnMut(&str) -> Option<Array>,
    name: &str,
    shape: [usize; D],
    device: &Device,
) -> Option<Param<Tensor<D>>> {
    let own = of(name).filter(|own| own.shape == shape)?;
    Some(Param::from_data(TensorData::new(own.data, shape), device))
}

#[cfg(test)]
mod tests {
    use stein_core::Streams;

    use super::*;

    #[test]
    fn its_size_does_not_grow_with_odd_sides() {
        let device = Device::flex();
        for (height, width) in [(28, 28), (27, 31), (241, 239), (8, 8), (1, 64), (5, 3)] {
            let image = ImageShape { height, width, channels: 1 };
            let network = Classifier::new(image, (0.5, 0.3), 10, &mut Streams::new(0).at("network", 0), &device);
            let numbers: usize = network.parameters().iter().map(|(_, array)| array.data.len()).sum();
            assert!(numbers < 400_000, "{height}×{width}: {numbers}");
            let rows = Array::new([3, height * width], vec![0.25; 3 * height * width]);
            let read = network.read(&rows, &device);
            assert_eq!((read.features.shape, read.classes.len()), (vec![3, FEATURES], 3));
            assert!(read.confidences.iter().all(|p| (0.1..=1.0).contains(p)));
        }
    }
}
