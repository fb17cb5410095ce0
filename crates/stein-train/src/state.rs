//! Everything that a training step changes, and its checkpoint set.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use stein_core::to_host;
use stein_experiment::Training;
use stein_kernels::{AdamState, Gradient, adam, is_host};
use stein_record::arrays::{self, ArrayFile};
use stein_record::{Array, checkpoint};

use crate::adam::{clip, numbers};
use crate::flat::from_host;
use crate::{Layout, RunError};

/// The parameters, their average, and the optimiser's state; each one vector.
#[derive(Debug, Clone)]
pub struct TrainingState {
    /// Steps done.
    pub step: u64,
    /// The parameters.
    pub parameters: Tensor<1>,
    /// Their exponential moving average; the parameters themselves where none is kept.
    pub average: Tensor<1>,
    /// Adam's running mean of the gradient.
    mean: Tensor<1>,
    /// That of its square.
    square: Tensor<1>,
    /// The parameters before the last step: memory for the next ones.
    spare: Tensor<1>,
    /// Steps that Adam has taken.
    optimizer_steps: u64,
    /// Steps that were left out, because something was not finite.
    pub(crate) skipped: u64,
    pub(crate) interval: Interval,
}

/// The losses of the batches since their mean was last logged, summed on the device. Part of the state: a resumed run logs the same
/// means.
#[derive(Debug, Clone)]
pub(crate) struct Interval {
    sum: Tensor<1>,
    count: u64,
    /// The norms of the steps' gradients, summed too: one that is not finite may leave no other trace, since clipping multiplies
    /// its gradient by 0. No part of what is saved, which is finite.
    norms: Tensor<1>,
}

/// A number that is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NotFinite {
    /// What it is.
    pub(crate) what: &'static str,
    pub(crate) value: f64,
}

impl NotFinite {
    /// The first of some numbers that is not finite.
    pub(crate) fn among(numbers: impl IntoIterator<Item = (&'static str, f64)>) -> Option<Self> {
        numbers.into_iter().find(|(_, value)| !value.is_finite()).map(|(what, value)| Self { what, value })
    }
}

impl Interval {
    pub(crate) fn add(&mut self, loss: Tensor<1>) {
        self.sum = self.sum.clone() + loss;
        self.count += 1;
    }

    fn note(&mut self, norm: &Tensor<1>) {
        // On the host a look waits for nothing, and is cheaper than a sum.
        if !is_host(&norm.device()) || !to_host(norm.clone())[0].is_finite() {
            self.norms = self.norms.clone() + norm.clone();
        }
    }

    /// What in it is not finite.
    pub(crate) fn not_finite(&self) -> Option<NotFinite> {
        let host = |sum: &Tensor<1>| f64::from(to_host(sum.clone())[0]);
        NotFinite::among([("the loss", host(&self.sum)), ("the gradient norm", host(&self.norms))])
    }

    /// The mean loss, NaN of none, and a new beginning.
    pub(crate) fn take(&mut self) -> f64 {
        let mean = f64::from(to_host(self.sum.clone())[0]) / self.count as f64;
        *self = Self::new(self.sum.zeros_like());
        mean
    }

    fn new(zero: Tensor<1>) -> Self {
        Self { sum: zero.clone(), count: 0, norms: zero }
    }
}

impl TrainingState {
    /// The state before the first step.
    pub fn new<M: Module>(layout: &Layout, module: &M) -> Self {
        let parameters = layout.flatten(module);
        let interval = Interval::new(Tensor::zeros([1], &parameters.device()));
        let (mean, square) = (parameters.zeros_like(), parameters.zeros_like());
        let (average, spare) = (parameters.clone(), parameters.clone());
        Self { step: 0, parameters, average, mean, square, spare, optimizer_steps: 0, skipped: 0, interval }
    }

    /// One optimiser step with a gradient. Gives the gradient's norm before clipping, `[1]`.
    pub fn update(&mut self, gradient: impl Into<Gradient>, training: &Training) -> Tensor<1> {
        let gradient = gradient.into();
        let (factor, norm) = clip(&gradient, training.clip);
        self.interval.note(&norm);
        self.advance(gradient, factor, training);
        norm
    }

    /// One optimiser step with `factor` `[1]` times a gradient.
    pub(crate) fn advance(&mut self, gradient: Gradient, factor: Tensor<1>, training: &Training) {
        let decay = if training.ema == 0.0 { 0.0 } else { training.ema_decay(self.step) };
        self.optimizer_steps += 1;
        let rate = training.learning_rate(self.step);
        let step = numbers(self.optimizer_steps, rate, &training.optimizer, decay);
        // Taken, not shared: what is held once is changed where it lies.
        let nothing = factor.clone();
        let take = |vector: &mut Tensor<1>| std::mem::replace(vector, nothing.clone());
        let state = AdamState {
            parameters: take(&mut self.parameters),
            mean: take(&mut self.mean),
            square: take(&mut self.square),
            average: take(&mut self.average),
            spare: take(&mut self.spare),
        };
        AdamState {
            parameters: self.parameters,
            mean: self.mean,
            square: self.square,
            average: self.average,
            spare: self.spare,
        } = adam(step, gradient, factor, state);
        self.step += 1;
    }

    /// A step without anything that the optimiser does.
    pub(crate) fn leave_out(&mut self) {
        self.step += 1;
        self.skipped += 1;
    }

    /// The state as it is now, to go back to: vectors that the next step would change are copied by it, once.
    pub(crate) fn kept(&self) -> Self {
        Self { spare: self.parameters.clone(), ..self.clone() }
    }

    /// Whether all parameters are finite, to go by the sum of their squares, which leaves them where they lie. Enormous ones are not
    /// sound either.
    pub(crate) fn is_sound(&self) -> bool {
        to_host(self.parameters.clone().square().sum())[0].is_finite()
    }

    /// A parameter that is not finite.
    pub(crate) fn not_finite(&self) -> Option<NotFinite> {
        let parameters = to_host(self.parameters.clone());
        NotFinite::among(parameters.into_iter().map(|value| ("a parameter", f64::from(value))))
    }

    /// Its vectors, and what each is of a parameter.
    pub(crate) fn vectors(&self) -> [(&'static str, &Tensor<1>); 4] {
        [("", &self.parameters), ("average of ", &self.average), ("mean of ", &self.mean), ("square of ", &self.square)]
    }

    /// The state as it is now, on the host: what a thread beside the training can write while the device goes on. Where the vectors lie
    /// on the host they are not copied.
    pub(crate) fn snapshot(&self) -> Self {
        let host = Device::flex();
        let on_host = |vector: &Tensor<1>| {
            if is_host(&vector.device()) { vector.clone() } else { from_host(to_host(vector.clone()), &host) }
        };
        let parameters = on_host(&self.parameters);
        Self {
            step: self.step,
            average: on_host(&self.average),
            mean: on_host(&self.mean),
            square: on_host(&self.square),
            spare: parameters.clone(),
            parameters,
            optimizer_steps: self.optimizer_steps,
            skipped: self.skipped,
            interval: Interval {
                sum: on_host(&self.interval.sum),
                count: self.interval.count,
                norms: on_host(&self.interval.norms),
            },
        }
    }

    /// The files of a checkpoint set: `model`, `average`, `optimizer` as safetensors with a vector each, and the names, shapes
    /// and order of the parameters in it.
    pub fn to_files(&self, layout: &Layout) -> BTreeMap<String, Vec<u8>> {
        let file = |vectors: Vec<(&str, &Tensor<1>)>| -> Vec<u8> {
            let mut file = ArrayFile::default();
            for (name, vector) in vectors {
                let data = to_host(vector.clone());
                file.arrays.insert(name.into(), Array::new([data.len()], data));
            }
            file.metadata.insert("layout".into(), layout.describe());
            file.to_bytes()
        };
        let counts = serde_json::json!({
            "step": self.step,
            "optimizer_steps": self.optimizer_steps,
            "skipped": self.skipped,
            "batches_since_log": self.interval.count,
        });
        BTreeMap::from([
            ("model.safetensors".into(), file(vec![("parameters", &self.parameters)])),
            ("average.safetensors".into(), file(vec![("parameters", &self.average)])),
            (
                "optimizer.safetensors".into(),
                file(vec![("mean", &self.mean), ("square", &self.square), ("loss_since_log", &self.interval.sum)]),
            ),
            ("state.json".into(), counts.to_string().into_bytes()),
        ])
    }

    /// The state that a checkpoint set holds.
    ///
    /// # Errors
    /// What is wrong with it: a set whose checksums hold can still be of another network.
    pub fn from_files(set: &checkpoint::CheckpointSet, layout: &Layout, device: &Device) -> Result<Self, String> {
        let bytes = |name: &str| set.files.get(name).ok_or_else(|| format!("it has no {name}"));
        let vector = |file: &str, name: &str, length: usize| -> Result<Tensor<1>, String> {
            let mut content = ArrayFile::from_bytes(bytes(file)?).map_err(|e| format!("{file}: {e}"))?;
            if content.metadata.get("layout") != Some(&layout.describe()) {
                return Err(format!("{file} is of another network"));
            }
            let array = content.arrays.remove(name).ok_or_else(|| format!("{file} has no {name:?}"))?;
            if array.shape != [length] {
                return Err(format!("{file}: {name:?} has the shape {:?}, not [{length}]", array.shape));
            }
            Ok(from_host(array.data, device))
        };
        let state: serde_json::Value =
            serde_json::from_slice(bytes("state.json")?).map_err(|e| format!("state.json: {e}"))?;
        let count =
            |key: &str| state.get(key).and_then(|v| v.as_u64()).ok_or_else(|| format!("state.json has no {key:?}"));
        let all = layout.length();
        let parameters = vector("model.safetensors", "parameters", all)?;
        let sum = vector("optimizer.safetensors", "loss_since_log", 1)?;
        // Earlier versions left nothing out.
        let skipped = if state.get("skipped").is_some() { count("skipped")? } else { 0 };
        Ok(Self {
            step: count("step")?,
            spare: parameters.clone(),
            parameters,
            average: vector("average.safetensors", "parameters", all)?,
            mean: vector("optimizer.safetensors", "mean", all)?,
            square: vector("optimizer.safetensors", "square", all)?,
            optimizer_steps: count("optimizer_steps")?,
            skipped,
            interval: Interval { norms: sum.zeros_like(), sum, count: count("batches_since_log")? },
        })
    }

    /// Reads the newest checkpoint that verifies; `None` if there is none at all.
    ///
    /// # Errors
    /// If there are checkpoints, but none that can be used: going on from the beginning would overwrite them.
    pub fn restore(
        checkpoints: &Path,
        configuration: &str,
        layout: &Layout,
        device: &Device,
        mut say: impl FnMut(&str),
    ) -> Result<Option<Self>, RunError> {
        // The largest file has two vectors, and the names of what is in them.
        let most = arrays::bytes_of(2 * layout.length()) + 2 * layout.describe().len() as u64;
        let found = checkpoint::newest(checkpoints, configuration, most)?;
        let mut problems = Vec::new();
        for (path, problem) in &found.skipped {
            say(&format!("skipping the checkpoint {}: {problem}", path.display()));
            problems.push(format!("  {}: {problem}", path.display()));
        }
        let restored = found.set.map(|set| {
            Self::from_files(&set, layout, device).map_err(|problem| format!("  {}: {problem}", set.path.display()))
        });
        match restored {
            Some(Ok(state)) => Ok(Some(state)),
            Some(Err(problem)) => {
                problems.push(problem);
                Err(RunError::Checkpoint { path: checkpoints.to_owned(), problems: problems.join("\n") })
            }
            None if problems.is_empty() => Ok(None),
            None => Err(RunError::Checkpoint { path: checkpoints.to_owned(), problems: problems.join("\n") }),
        }
    }
}

impl Layout {
    /// Names and shapes, as JSON.
    pub(crate) fn describe(&self) -> String {
        let entries: Vec<_> = self.entries().iter().map(|e| (e.name.as_str(), &e.shape)).collect();
        serde_json::json!(entries).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stein_core::vector;

    #[test]
    fn a_snapshot_stays_what_it_was() {
        let device = Device::flex();
        let layer = stein_core::init::zero_linear(3, 2, &device);
        let layout = Layout::of(&layer);
        let mut state = TrainingState::new(&layout, &layer);
        let training = Training { warm_up: 0, ..Training::default() };
        let step = |state: &mut TrainingState| {
            state.interval.add(vector(vec![0.5], &device));
            state.update(vector(vec![1.0; 8], &device), &training);
        };
        step(&mut state);
        let (snapshot, then) = (state.snapshot(), state.to_files(&layout));
        for _ in 0..3 {
            step(&mut state);
        }
        assert!(snapshot.to_files(&layout) == then);
        let now = state.to_files(&layout);
        assert!(then.iter().all(|(name, bytes)| now[name] != *bytes), "every file has moved on");
    }

    #[test]
    fn what_was_left_out_is_part_of_a_state() {
        let device = Device::flex();
        let layer = stein_core::init::zero_linear(3, 2, &device);
        let layout = Layout::of(&layer);
        let mut state = TrainingState::new(&layout, &layer);
        state.leave_out();
        let mut files = state.to_files(&layout);
        let read = |files: &BTreeMap<String, Vec<u8>>| {
            let set = checkpoint::CheckpointSet { step: 1, path: "".into(), files: files.clone() };
            TrainingState::from_files(&set, &layout, &device)
        };
        let again = read(&files).unwrap();
        assert_eq!((again.step, again.skipped, again.optimizer_steps), (1, 1, 0));
        assert!(again.to_files(&layout) == files);
        // As earlier versions wrote it.
        let counts = |text: &str| text.as_bytes().to_vec();
        files.insert("state.json".into(), counts(r#"{"step":1,"optimizer_steps":1,"batches_since_log":1}"#));
        assert_eq!(read(&files).unwrap().skipped, 0);
        files.insert(
            "state.json".into(),
            counts(r#"{"step":1,"optimizer_steps":1,"batches_since_log":1,"skipped":-1}"#),
        );
        assert!(read(&files).unwrap_err().contains("skipped"));
    }

    #[test]
    fn a_norm_that_leaves_no_trace_is_seen() {
        let device = Device::flex();
        let layer = stein_core::init::zero_linear(3, 2, &device);
        let mut state = TrainingState::new(&Layout::of(&layer), &layer);
        let training = Training { warm_up: 0, ..Training::default() };
        state.update(vector(vec![1e20; 8], &device), &training);
        state.update(vector(vec![1.0; 8], &device), &training);
        assert_eq!(state.not_finite(), None, "clipped to nothing");
        let found = state.interval.not_finite().unwrap();
        assert_eq!((found.what, found.value), ("the gradient norm", f64::INFINITY));
        state.interval.take();
        assert_eq!(state.interval.not_finite(), None);
        assert!(state.interval.take().is_nan(), "of no batch there is no mean");
    }
}
