//! The network in training, as burn-train wants it.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};
use burn_train::metric::Adaptor;
use burn_train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};
use stein_core::{Objective, Perturbed, ScoreNetwork};
use stein_experiment::Plan;
use stein_networks::Parameterized;

use crate::flat::number_type;
use crate::objective_loss::weighted_loss;
use crate::{RunError, TrainingBatch};

/// A score network with the objective that it is trained by.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The network.
    pub network: Parameterized,
    #[module(skip)]
    objective: Arc<dyn Objective>,
}

impl Trainee {
    /// A network to be trained.
    pub fn new(network: Parameterized, objective: Arc<dyn Objective>) -> Self {
        Self { network, objective }
    }
}

/// The device on which a plan's network is trained.
///
/// # Errors
/// If it has not the number type that products are to be taken in.
pub(crate) fn on_tape(plan: &Plan, device: &Device) -> Result<Device, RunError> {
    let precision = plan.experiment.training.precision;
    if number_type(precision).is_some_and(|float| !device.supports_dtype(float)) {
        let has = [("f16", FloatDType::F16), ("bf16", FloatDType::BF16)]
            .map(|(name, float)| (name, device.supports_dtype(float)));
        let has: String = has.iter().filter(|(_, has)| *has).map(|(name, _)| format!("\"{name}\", ")).collect();
        let message = format!(
            "this device cannot compute with training.precision = \"{}\"; it can with {has}\"single\"",
            precision.name()
        );
        return Err(RunError::Unsupported { message });
    }
    Ok(taped(plan, device))
}

/// The device with a tape, of the kind that the plan wants.
pub(crate) fn taped(plan: &Plan, device: &Device) -> Device {
    let taped = device.clone().autodiff();
    if plan.experiment.runtime.gradient_checkpointing { taped.gradient_checkpointing() } else { taped }
}

/// What burn-train is told of a step: numbers on the host, with the step that they belong to.
#[derive(Debug, Clone, Default)]
pub struct Measurement {
    pub(crate) step: u64,
    pub(crate) values: Vec<(&'static str, f64)>,
}

impl ItemLazy for Measurement {
    fn sync(self) -> Result<Self, burn::tensor::ExecutionError> {
        Ok(self)
    }
}

impl Adaptor<Self> for Measurement {
    fn adapt(&self) -> Self {
        self.clone()
    }
}

impl Trainee {
    /// What it is trained by.
    pub(crate) fn objective(&self) -> &dyn Objective {
        &*self.objective
    }

    /// The loss of a batch, `[1]`.
    pub(crate) fn loss(&self, batch: TrainingBatch) -> Tensor<1> {
        weighted_loss(&*self.objective, &self.network, batch)
    }
}

impl TrainStep for Trainee {
    type Input = TrainingBatch;
    type Output = Measurement;

    fn step(&self, batch: TrainingBatch) -> TrainOutput<Measurement> {
        let loss = self.loss(batch);
        let grads = burn::optim::GradientsParams::from_grads(loss.backward(), self);
        let loss = f64::from(stein_core::to_host(loss.inner())[0]);
        TrainOutput { grads, item: Measurement { step: 0, values: vec![("loss", loss)] } }
    }
}

impl InferenceStep for Trainee {
    type Input = TrainingBatch;
    type Output = Measurement;

    fn step(&self, batch: TrainingBatch) -> Measurement {
        let host = |number: Tensor<1>| f64::from(stein_core::to_host(number)[0]);
        let fisher = fisher(&self.network, &batch.perturbed).map(|mean| ("fisher", host(mean)));
        let loss = ("loss", host(self.loss(batch)));
        Measurement { step: 0, values: std::iter::once(loss).chain(fisher).collect() }
    }
}

/// The mean of σ²·½‖s − ∇log p_σ‖² over a batch, `[1]`, where the exact score is known; without noise that of ½‖s − ∇log p‖².
/// That is the score of the whole law, so a network of classes is asked for no class.
fn fisher(network: &Parameterized, batch: &Perturbed) -> Option<Tensor<1>> {
    let exact = batch.exact_score.clone()?;
    let error = network.score(batch.noisy.clone(), &batch.condition.with_class(None)) - exact;
    let half_square = error.square().sum_dim(1).squeeze_dim::<1>(1) * 0.5;
    Some(match &batch.condition.levels {
        Some(levels) => (half_square * levels.sigma.clone().square()).mean(),
        None => half_square.mean(),
    })
}
