//! The kernels on flex: tensors to slices and back.

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape, TensorData};
use burn_flex::FlexTensor;

use crate::backend::{Kernels, Norm};
use crate::gradient::GradientStep;
use crate::slices::activation::Function;
use crate::slices::adam::{self, Moved};
use crate::slices::jet::{self, Rows};
use crate::slices::{conv, linear, norm, pool};

fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("made contiguous before")
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

fn shape_of(x: &FlexTensor) -> Shape {
    x.layout().shape().clone()
}

/// The tensor itself if its numbers lie in order, be it within others; else a copy.
fn ordered(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() { x } else { x.to_contiguous() }
}

/// The same where they lie alone too, so that they can be changed where they are.
fn compact(x: FlexTensor) -> FlexTensor {
    let whole = x.is_contiguous() && x.layout().start_offset() == 0;
    if whole && x.storage::<f32>().len() == x.layout().num_elements() { x } else { x.to_contiguous() }
}

/// Memory for a tensor of that shape: that of `spare`, if it fits and nobody else has it.
fn writable(spare: FlexTensor, shape: Shape) -> FlexTensor {
    let spare = compact(spare);
    if spare.is_unique() && shape_of(&spare) == shape { spare } else { FlexTensor::empty(shape, DType::F32) }
}

fn extents(x: &FlexTensor, [outputs, inputs, kernel, _]: [usize; 4], dilation: usize) -> conv::Extents {
    let [batch, _, height, width] = dims4(x);
    conv::Extents { batch, inputs, outputs, height, width, kernel, dilation }
}

fn dims4(x: &FlexTensor) -> [usize; 4] {
    let shape = shape_of(x);
    [shape[0], shape[1], shape[2], shape[3]]
}

fn convolve(e: conv::Extents, x: &FlexTensor, weight: &[f32], bias: &[f32]) -> FlexTensor {
    let mut y = vec![0.0; e.batch * e.outputs * e.height * e.width];
    conv::conv(e, values(x), weight, bias, &mut y);
    tensor(y, [e.batch, e.outputs, e.height, e.width])
}

fn windows(x: &FlexTensor, kernel: usize) -> pool::Extents {
    let [.., height, width] = dims4(x);
    pool::Extents { height, width, kernel }
}

fn norm_extents(x: &FlexTensor, norm: Norm) -> norm::Extents {
    let [batch, channels, height, width] = dims4(x);
    norm::Extents { batch, channels, pixels: height * width, groups: norm.groups, epsilon: norm.epsilon }
}

fn affine<'a>(gain: &'a FlexTensor, shift: &'a FlexTensor) -> norm::Affine<'a> {
    norm::Affine { gain: values(gain), shift: values(shift) }
}

impl Kernels for Flex {
    fn stein_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        dilation: usize,
    ) -> FloatTensor<Self> {
        let (x, weight, bias) = (ordered(x), ordered(weight), ordered(bias));
        convolve(extents(&x, dims4(&weight), dilation), &x, values(&weight), values(&bias))
    }

    fn stein_conv_input_grad(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dilation: usize,
    ) -> FloatTensor<Self> {
        let (gradient, weight) = (ordered(gradient), ordered(weight));
        let [outputs, inputs, ..] = dims4(&weight);
        let e = extents(&gradient, dims4(&weight), dilation);
        let turned = conv::turned(e, values(&weight));
        convolve(conv::Extents { inputs: outputs, outputs: inputs, ..e }, &gradient, &turned, &vec![0.0; inputs])
    }

    fn stein_conv_weight_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        [kernel, dilation]: [usize; 2],
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (x, gradient) = (ordered(x), ordered(gradient));
        let (inputs, outputs) = (dims4(&x)[1], dims4(&gradient)[1]);
        let e = extents(&x, [outputs, inputs, kernel, kernel], dilation);
        let (weight, bias) = conv::conv_weight_grad(e, values(&x), values(&gradient));
        (tensor(weight, [outputs, inputs, kernel, kernel]), tensor(bias, [outputs]))
    }

    fn stein_group_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        let (x, gain, shift) = (ordered(x), ordered(gain), ordered(shift));
        let mut y = vec![0.0; values(&x).len()];
        norm::norm(norm_extents(&x, norm), norm.function, values(&x), affine(&gain, &shift), &mut y);
        tensor(y, shape_of(&x))
    }

    fn stein_group_norm_grad(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, gain, shift) = (ordered(x), ordered(gain), ordered(shift));
        let gradient = ordered(gradient);
        let (e, affine) = (norm_extents(&x, norm), affine(&gain, &shift));
        let mut dx = vec![0.0; values(&x).len()];
        let (dgain, dshift) = norm::norm_grad(e, norm.function, values(&x), affine, values(&gradient), &mut dx);
        (tensor(dx, shape_of(&x)), tensor(dgain, shape_of(&gain)), tensor(dshift, shape_of(&shift)))
    }

    fn stein_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        biased: usize,
    ) -> FloatTensor<Self> {
        let (x, weight, bias) = (ordered(x), ordered(weight), ordered(bias));
        let (x_shape, weight_shape) = (shape_of(&x), shape_of(&weight));
        let e = linear::Extents { rows: x_shape[0], biased, inputs: weight_shape[0], outputs: weight_shape[1] };
        tensor(linear::linear(e, values(&x), values(&weight), values(&bias)), [e.rows, e.outputs])
    }

    fn stein_linear_input_grad(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gradient, weight) = (ordered(gradient), ordered(weight));
        let (rows, weight_shape) = (shape_of(&gradient)[0], shape_of(&weight));
        let e = linear::Extents { rows, biased: 0, inputs: weight_shape[0], outputs: weight_shape[1] };
        tensor(linear::input_grad(e, values(&gradient), values(&weight)), [rows, e.inputs])
    }

    fn stein_linear_weight_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        biased: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (x, gradient) = (ordered(x), ordered(gradient));
        let (inputs, outputs) = (shape_of(&x)[1], shape_of(&gradient)[1]);
        let e = linear::Extents { rows: shape_of(&x)[0], biased, inputs, outputs };
        let (weight, bias) = linear::weight_grad(e, values(&x), values(&gradient));
        (tensor(weight, [inputs, outputs]), tensor(bias, [outputs]))
    }

    fn stein_adam(
        parameters: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        average: FloatTensor<Self>,
        spare: FloatTensor<Self>,
        GradientStep { step, factor, gradient }: GradientStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let before = ordered(parameters);
        let (mut mean, mut square) = (compact(mean), compact(square));
        let mut parameters = writable(spare, shape_of(&before));
        let mut average = step.average.map(|_| compact(average));
        let moved = Moved {
            parameters: parameters.storage_mut(),
            mean: mean.storage_mut(),
            square: square.storage_mut(),
            average: average.as_mut().map_or(&mut [], |average| average.storage_mut()),
        };
        adam::step(step, factor, &gradient.slices(), values(&before), moved);
        let average = average.unwrap_or_else(|| parameters.clone());
        (parameters, mean, square, average)
    }

    fn stein_mean_pool(x: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self> {
        let x = ordered(x);
        let mut y = vec![0.0; values(&x).len()];
        pool::mean_pool(windows(&x, kernel), values(&x), &mut y);
        tensor(y, shape_of(&x))
    }

    fn stein_max_pool(x: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self> {
        let x = ordered(x);
        let mut y = vec![0.0; values(&x).len()];
        pool::max_pool(windows(&x, kernel), values(&x), &mut y);
        tensor(y, shape_of(&x))
    }

    fn stein_max_pool_grad(x: FloatTensor<Self>, gradient: FloatTensor<Self>, kernel: usize) -> FloatTensor<Self> {
        let (x, gradient) = (ordered(x), ordered(gradient));
        let mut dx = vec![0.0; values(&x).len()];
        pool::max_pool_grad(windows(&x, kernel), values(&x), values(&gradient), &mut dx);
        tensor(dx, shape_of(&x))
    }

    fn stein_jet(x: FloatTensor<Self>, function: Function, rows: Rows) -> FloatTensor<Self> {
        let x = ordered(x);
        let mut shape = shape_of(&x);
        shape[0] = rows.result();
        let mut y = vec![0.0; shape.num_elements()];
        jet::jet(function, rows, values(&x), &mut y);
        tensor(y, shape)
    }

    fn stein_jet_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        function: Function,
        rows: Rows,
    ) -> FloatTensor<Self> {
        let (x, gradient) = (ordered(x), ordered(gradient));
        let mut out = vec![0.0; values(&x).len()];
        jet::jet_grad(function, rows, values(&x), values(&gradient), &mut out);
        tensor(out, shape_of(&x))
    }

    fn stein_sum(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_add(a, b)
    }
}
