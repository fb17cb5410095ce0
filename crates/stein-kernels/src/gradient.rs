//! Gradients of a vector of parameters, and Adam's step with one.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::backend::Kernels;
use crate::slices::adam::{self, AdamStep, Stretch};
use crate::tensor::is_host;

/// The gradient of a vector of parameters. On the CPU it stays where each parameter's was computed.
#[derive(Debug, Clone)]
pub struct Gradient(Form);

#[derive(Debug, Clone)]
enum Form {
    Host(Stretches, Device),
    Device(Tensor<1>),
}

/// The length of each stretch, and what is summed to it.
#[derive(Debug, Clone)]
pub(crate) struct Stretches(Vec<(usize, Vec<TensorData>)>);

impl Stretches {
    pub(crate) fn slices(&self) -> Vec<Stretch<'_>> {
        fn slice(data: &TensorData) -> &[f32] {
            data.as_slice().expect("checked when it was made")
        }
        self.0
            .iter()
            .map(|(length, parts)| Stretch { length: *length, parts: parts.iter().map(slice).collect() })
            .collect()
    }
}

/// A step of Adam with `factor` times a gradient.
pub(crate) struct GradientStep {
    pub(crate) step: AdamStep,
    pub(crate) factor: f32,
    pub(crate) gradient: Stretches,
}

impl From<Tensor<1>> for Gradient {
    fn from(whole: Tensor<1>) -> Self {
        let (length, like) = (whole.dims()[0], (whole.dtype(), whole.device()));
        Self::of(vec![(length, vec![whole])], like)
    }
}

impl Gradient {
    /// A gradient of numbers of that type, stretch by stretch: the length of each and the vectors, without a tape, whose sum it is;
    /// zeros if there are none.
    ///
    /// # Panics
    /// If a vector is not as long as its stretch.
    pub fn of(stretches: Vec<(usize, Vec<Tensor<1>>)>, (dtype, device): (DType, Device)) -> Self {
        let vectors = || stretches.iter().flat_map(|(length, parts)| parts.iter().map(move |part| (*length, part)));
        assert!(vectors().all(|(length, part)| part.dims() == [length]), "vectors must be as long as their stretch");
        if dtype == DType::F32 && is_host(&device) && vectors().all(|(_, part)| part.dtype() == dtype) {
            let data = |(length, parts): (_, Vec<_>)| (length, parts.into_iter().map(Tensor::<1>::into_data).collect());
            return Self(Form::Host(Stretches(stretches.into_iter().map(data).collect()), device));
        }
        let zeros = |length| Tensor::<1>::zeros([length], (&device, dtype));
        let sum =
            |(length, parts): (usize, Vec<_>)| parts.into_iter().reduce(|a, b| a + b).unwrap_or_else(|| zeros(length));
        let sums: Vec<_> = stretches.into_iter().map(sum).collect();
        Self(Form::Device(if sums.is_empty() { zeros(0) } else { Tensor::cat(sums, 0) }))
    }

    /// As one vector.
    pub fn into_tensor(self) -> Tensor<1> {
        match self.0 {
            Form::Device(whole) => whole,
            Form::Host(stretches, device) => Tensor::from_data(TensorData::from(stretches.sum().as_slice()), &device),
        }
    }

    /// Σ g², `[1]`: on the CPU the same bits for any number of threads.
    pub fn square_sum(&self) -> Tensor<1> {
        match &self.0 {
            Form::Device(whole) => whole.clone().square().sum(),
            Form::Host(stretches, device) => Tensor::from_floats([adam::square_sum(&stretches.slices())], device),
        }
    }
}

impl Stretches {
    fn sum(&self) -> Vec<f32> {
        let mut all = Vec::new();
        for Stretch { length, parts } in self.slices() {
            let from = all.len();
            all.resize(from + length, 0.0);
            let to: &mut [f32] = &mut all[from..];
            match parts.split_first() {
                None => {}
                Some((first, rest)) => {
                    to.copy_from_slice(first);
                    rest.iter().for_each(|part| to.iter_mut().zip(*part).for_each(|(sum, g)| *sum += g));
                }
            }
        }
        all
    }
}

/// What Adam moves: vectors of one length, without a tape.
#[derive(Debug, Clone)]
pub struct AdamState {
    /// θ.
    pub parameters: Tensor<1>,
    /// m, the running mean of the gradient.
    pub mean: Tensor<1>,
    /// v, the running mean of its square.
    pub square: Tensor<1>,
    /// The average of θ; θ itself if none is kept.
    pub average: Tensor<1>,
    /// θ before the last step, whose memory the next one takes if nothing else holds it.
    pub spare: Tensor<1>,
}

/// A step of Adam with `factor` `[1]` times the gradient. On the CPU, what nothing else holds is changed where it lies.
pub fn adam(step: AdamStep, gradient: Gradient, factor: Tensor<1>, state: AdamState) -> AdamState {
    let AdamState { parameters, mean, square, average, spare } = state;
    let before = parameters.clone();
    let gradient = match gradient.0 {
        Form::Device(whole) => whole,
        Form::Host(gradient, _) => {
            let factor = factor.into_scalar::<f32>();
            let (parameters, mean, square, average) = <Dispatch as Kernels>::stein_adam(
                parameters.into_dispatch(),
                mean.into_dispatch(),
                square.into_dispatch(),
                average.into_dispatch(),
                spare.into_dispatch(),
                GradientStep { step, factor, gradient },
            );
            let moved = [parameters, mean, square, average].map(Tensor::<1>::from_dispatch);
            let [parameters, mean, square, average] = moved;
            return AdamState { parameters, mean, square, average, spare: before };
        }
    };
    let gradient = gradient * factor;
    let mean = mean * step.beta_1 + gradient.clone() * step.rest_1;
    let square = square * step.beta_2 + gradient.square() * step.rest_2;
    let update = mean.clone() / (square.clone().sqrt() * step.root + step.epsilon) * step.rate;
    let parameters = if step.keep == 1.0 { parameters - update } else { parameters * step.keep - update };
    let average = match step.average {
        None => parameters.clone(),
        Some([decay, rest]) => average * decay + parameters.clone() * rest,
    };
    AdamState { parameters, mean, square, average, spare: before }
}
