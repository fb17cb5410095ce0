//! Initial parameters from the host's noise, so that a network starts from the same weights on every backend.

use burn::module::Param;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};

use crate::Noise;

/// A parameter with entries uniform in [−bound, bound].
pub fn uniform<const D: usize>(shape: [usize; D], bound: f64, noise: &mut Noise, device: &Device) -> Param<Tensor<D>> {
    let n = shape.iter().product();
    let values: Vec<f32> = noise.uniforms(n).into_iter().map(|u| ((2.0 * f64::from(u) - 1.0) * bound) as f32).collect();
    Param::from_data(TensorData::new(values, shape), device)
}

/// A parameter with normal entries.
pub fn normal<const D: usize>(
    shape: [usize; D],
    [mean, std]: [f64; 2],
    noise: &mut Noise,
    device: &Device,
) -> Param<Tensor<D>> {
    let z = noise.normals(shape.iter().product());
    let values: Vec<f32> = z.into_iter().map(|z| (mean + std * f64::from(z)) as f32).collect();
    Param::from_data(TensorData::new(values, shape), device)
}

/// A parameter of zeros.
pub fn zeros<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_data(TensorData::new(vec![0.0f32; shape.iter().product()], shape), device)
}

/// A linear layer with weight and bias uniform in ±1/√fan-in, as PyTorch's default.
pub fn linear(inputs: usize, outputs: usize, noise: &mut Noise, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    let mut layer = LinearConfig::new(inputs, outputs).init(device);
    layer.weight = uniform([inputs, outputs], bound, noise, device);
    layer.bias = Some(uniform([outputs], bound, noise, device));
    layer
}

/// A linear layer of zeros.
pub fn zero_linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(inputs, outputs).init(device);
    layer.weight = zeros([inputs, outputs], device);
    layer.bias = Some(zeros([outputs], device));
    layer
}

/// A 3×3 convolution that keeps the size, weight and bias uniform in ±1/√fan-in, as PyTorch's default.
pub fn conv3x3(inputs: usize, outputs: usize, noise: &mut Noise, device: &Device) -> Conv2d {
    conv(inputs, outputs, 3, noise, device)
}

/// A k×k convolution, k odd, that keeps the size.
pub fn conv(inputs: usize, outputs: usize, k: usize, noise: &mut Noise, device: &Device) -> Conv2d {
    conv_of(&conv_config(inputs, outputs, k), noise, device)
}

/// A convolution as configured but for its numbers: weight and bias, if it has one, uniform in ±1/√fan-in, as PyTorch's default.
pub fn conv_of(config: &Conv2dConfig, noise: &mut Noise, device: &Device) -> Conv2d {
    let ([inputs, outputs], [height, width]) = (config.channels, config.kernel_size);
    let inputs = inputs / config.groups;
    let bound = 1.0 / ((inputs * height * width) as f64).sqrt();
    let mut layer = config.init(device);
    layer.weight = uniform([outputs, inputs, height, width], bound, noise, device);
    layer.bias = config.bias.then(|| uniform([outputs], bound, noise, device));
    layer
}

/// A 3×3 convolution of zeros.
pub fn zero_conv3x3(inputs: usize, outputs: usize, device: &Device) -> Conv2d {
    let mut layer = conv_config(inputs, outputs, 3).init(device);
    layer.weight = zeros([outputs, inputs, 3, 3], device);
    layer.bias = Some(zeros([outputs], device));
    layer
}

fn conv_config(inputs: usize, outputs: usize, k: usize) -> Conv2dConfig {
    let pad = k / 2;
    Conv2dConfig::new([inputs, outputs], [k, k]).with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
}
