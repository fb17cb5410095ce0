//! The kernels on flex: tensors to slices and back.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{Shape, TensorData};
use burn_flex::FlexTensor;

use crate::backend::{Kernels, Norm};
use crate::slices::activation::Function;
use crate::slices::jet::{self, Rows};
use crate::slices::{conv, norm};

fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("made contiguous before")
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

fn shape_of(x: &FlexTensor) -> Shape {
    x.layout().shape().clone()
}

fn extents(x: &FlexTensor, weight: [usize; 4]) -> conv::Extents {
    let shape = shape_of(x);
    let [outputs, inputs, kernel, _] = weight;
    conv::Extents { batch: shape[0], inputs, outputs, height: shape[2], width: shape[3], kernel }
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

fn norm_extents(x: &FlexTensor, norm: Norm) -> norm::Extents {
    let [batch, channels, height, width] = dims4(x);
    norm::Extents { batch, channels, pixels: height * width, groups: norm.groups, epsilon: norm.epsilon }
}

fn affine<'a>(gain: &'a FlexTensor, shift: &'a FlexTensor) -> norm::Affine<'a> {
    norm::Affine { gain: values(gain), shift: values(shift) }
}

impl Kernels for Flex {
    fn stein_conv(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        convolve(extents(&x, dims4(&weight)), &x, values(&weight), values(&bias))
    }

    fn stein_conv_input_grad(gradient: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gradient, weight) = (gradient.to_contiguous(), weight.to_contiguous());
        let [outputs, inputs, kernel, _] = dims4(&weight);
        let e = extents(&gradient, [outputs, inputs, kernel, kernel]);
        let turned = conv::turned(e, values(&weight));
        convolve(conv::Extents { inputs: outputs, outputs: inputs, ..e }, &gradient, &turned, &vec![0.0; inputs])
    }

    fn stein_conv_weight_grad(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kernel: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let (inputs, outputs) = (dims4(&x)[1], dims4(&gradient)[1]);
        let e = extents(&x, [outputs, inputs, kernel, kernel]);
        let (weight, bias) = conv::conv_weight_grad(e, values(&x), values(&gradient));
        (tensor(weight, [outputs, inputs, kernel, kernel]), tensor(bias, [outputs]))
    }

    fn stein_group_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: Norm,
    ) -> FloatTensor<Self> {
        let (x, gain, shift) = (x.to_contiguous(), gain.to_contiguous(), shift.to_contiguous());
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
        let (x, gain, shift) = (x.to_contiguous(), gain.to_contiguous(), shift.to_contiguous());
        let gradient = gradient.to_contiguous();
        let (e, affine) = (norm_extents(&x, norm), affine(&gain, &shift));
        let mut dx = vec![0.0; values(&x).len()];
        let (dgain, dshift) = norm::norm_grad(e, norm.function, values(&x), affine, values(&gradient), &mut dx);
        (tensor(dx, shape_of(&x)), tensor(dgain, shape_of(&gain)), tensor(dshift, shape_of(&shift)))
    }

    fn stein_jet(x: FloatTensor<Self>, function: Function, rows: Rows) -> FloatTensor<Self> {
        let x = x.to_contiguous();
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
        let (x, gradient) = (x.to_contiguous(), gradient.to_contiguous());
        let mut out = vec![0.0; values(&x).len()];
        jet::jet_grad(function, rows, values(&x), values(&gradient), &mut out);
        tensor(out, shape_of(&x))
    }
}
