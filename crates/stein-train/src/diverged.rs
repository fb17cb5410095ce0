//! A step that diverged: found, and kept to be taken again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use stein_core::{Condition, Levels, Objective, Perturbed, class_tensor, matrix, to_host, vector};
use stein_experiment::{Plan, Training};
use stein_record::arrays::ArrayFile;
use stein_record::{Array, BatchRecord, DivergedRecord, Divergent, RecordError, StepRecord, diverged};

use crate::state::NotFinite;
use crate::step::{Looked, looked_step};
use crate::training::Site;
use crate::{Batches, Layout, RunError, Stop, Trainee, TrainingBatch, TrainingState};

/// A step in which something was not finite, and all that it needs to be taken again.
#[derive(Debug)]
pub(crate) struct Diverged {
    /// The state before it; if it was not found, one of which all is finite.
    before: TrainingState,
    /// Its batches; none if it was not found.
    batches: Vec<TrainingBatch>,
    /// The step, counted from 1.
    step: u64,
    seen: NotFinite,
    layout: Layout,
}

impl Diverged {
    /// Takes the steps after a kept state again, up to `until`, by which something was `seen`, and looks at each.
    ///
    /// # Errors
    /// Those of `next`, which gives the batches after that state; that somebody asks to stop.
    pub(crate) fn find(
        trainee: &Trainee,
        kept: TrainingState,
        (until, seen): (u64, NotFinite),
        layout: &Layout,
        (training, stop): (&Training, &Stop),
        mut next: impl FnMut() -> Result<TrainingBatch, RunError>,
    ) -> Result<Self, RunError> {
        let mut trainee = layout.unflatten(trainee.clone(), kept.parameters.clone());
        let mut state = kept.clone();
        while state.step < until {
            if let Some(asked) = stop.requested() {
                return Err(asked);
            }
            let before = state.clone();
            let batches = (0..training.accumulate).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
            let mut given = batches.iter().cloned();
            let each =
                || given.next().ok_or_else(|| RunError::Training("a step takes more batches than it has".into()));
            let found = match looked_step(&mut trainee, &mut state, layout, training, each)? {
                Looked::NotFinite(found) => Some(found),
                // An update can leave the numbers where no loss has yet been.
                Looked::Taken(_) => state.not_finite(),
                Looked::LeftOut(_) => None,
            };
            if let Some(seen) = found {
                return Ok(Self { step: before.step + 1, before, batches, seen, layout: layout.clone() });
            }
            // As the training did.
            if state.step.is_multiple_of(training.log_every) {
                state.interval.take();
            }
        }
        Ok(Self { before: kept, batches: Vec::new(), step: until, seen, layout: layout.clone() })
    }

    /// Whether it was seen again.
    fn repeated(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Steps that went well, or were left out, and those that were left out.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.before.step, self.before.skipped)
    }

    /// Nothing of it is written yet.
    pub(crate) fn error(&self) -> RunError {
        let NotFinite { what, value } = self.seen;
        RunError::Diverged { step: self.step, what, value, repeated: self.repeated(), kept: false }
    }

    /// Writes it into the directory of the training. Gives where it lies.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, plan: &Plan, site: &Site<'_>, batches: &Batches) -> Result<PathBuf, RecordError> {
        let mut files = self.before.to_files(&self.layout);
        for (i, batch) in self.batches.iter().enumerate() {
            files.insert(batch_file(i), arrays(batch, &*plan.objective).to_bytes());
        }
        let first = self.before.step * plan.experiment.training.accumulate as u64;
        let of = |position| BatchRecord {
            streams: batches.streams().into_iter().map(Into::into).collect(),
            position,
            rows: batches.rows_of(position),
        };
        let sigmas = self.batches.iter().filter_map(|batch| batch.perturbed.condition.levels.clone());
        let sigmas: Vec<f64> = sigmas.flat_map(|levels| to_host(levels.sigma)).map(f64::from).collect();
        let ends = [f64::min, f64::max].map(|end| sigmas.iter().copied().reduce(end));
        let record = DivergedRecord {
            schema: diverged::SCHEMA,
            configuration: site.configuration.clone(),
            seed: plan.experiment.seed,
            reason: self.error().to_string(),
            at: Divergent::Step(StepRecord {
                step: self.step,
                what: self.seen.what.into(),
                value: self.seen.value,
                repeated: self.repeated(),
                sigma: ends[0].zip(ends[1]).map(|(least, most)| [least, most]),
                batches: (first..first + self.batches.len() as u64).map(of).collect(),
            }),
        };
        diverged::write(site.directory, self.before.step, &record, files)
    }
}

/// The file of a step's batch number `i`.
pub(crate) fn batch_file(i: usize) -> String {
    format!("batch-{i}.safetensors")
}

/// Everything of a batch that a step depends on, but for the objective's stream, which its position tells.
fn arrays(batch: &TrainingBatch, objective: &dyn Objective) -> ArrayFile {
    let TrainingBatch { perturbed, weights, noise } = batch;
    let Perturbed { clean, noise: z, noisy, condition, exact_score, .. } = perturbed;
    let mut arrays = BTreeMap::new();
    let mut put = |name: &str, array: Array| arrays.insert(name.to_owned(), array);
    let rows = |x: &Tensor<2>| Array::new(x.dims(), to_host(x.clone()));
    let column = |x: &Tensor<1>| Array::new(x.dims(), to_host(x.clone()));
    put("clean", rows(clean));
    put("noisy", rows(noisy));
    put("weights", column(weights));
    if let Some(z) = z {
        put("noise", rows(z));
    }
    if let Some(levels) = &condition.levels {
        put("alpha", column(&levels.alpha));
        put("sigma", column(&levels.sigma));
    }
    if let Some(class) = &condition.class {
        put("class", column(&class.clone().float()));
    }
    if let Some(score) = exact_score {
        put("exact_score", rows(score));
    }
    let directions = objective.directions(perturbed, &mut noise.clone()).unwrap_or_default();
    directions.iter().enumerate().for_each(|(i, v)| drop(put(&format!("direction.{i}"), rows(v))));
    ArrayFile { arrays, metadata: BTreeMap::new() }
}

/// The batch that a file holds.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn batch_of(
    mut file: ArrayFile,
    plan: &Plan,
    position: u64,
    device: &Device,
) -> Result<TrainingBatch, String> {
    let d = plan.dataset.dimension();
    let count = file.arrays.get("clean").map_or(0, Array::rows);
    if count == 0 {
        return Err("it has no examples".into());
    }
    let mut take = |name: &str, shape: &[usize]| match file.arrays.remove(name) {
        Some(array) if array.shape == shape => Ok(Some(array.data)),
        Some(array) => Err(format!("{name:?} has the shape {:?}, not {shape:?}", array.shape)),
        None => Ok(None),
    };
    let needed = |name: &str, found: Option<Vec<f32>>| found.ok_or_else(|| format!("it has no {name:?}"));
    let rows = |data| matrix(data, d, device);
    let clean = rows(needed("clean", take("clean", &[count, d])?)?);
    let noisy = rows(needed("noisy", take("noisy", &[count, d])?)?);
    let weights = vector(needed("weights", take("weights", &[count])?)?, device);
    let mut condition = Condition::clean();
    let mut z = None;
    if !plan.schedule.first().is_clean() {
        let [alpha, sigma] = ["alpha", "sigma"].map(|name| take(name, &[count]).and_then(|found| needed(name, found)));
        condition = Condition::new(Levels { alpha: vector(alpha?, device), sigma: vector(sigma?, device) });
        z = Some(rows(needed("noise", take("noise", &[count, d])?)?));
    }
    if let Some(classes) = plan.classes {
        let class = needed("class", take("class", &[count])?)?;
        let known = |c: &f32| c.fract() == 0.0 && (0.0..=classes as f32).contains(c);
        if let Some(other) = class.iter().find(|&c| !known(c)) {
            return Err(format!("a class is {other}; it must be from 0 to {classes}"));
        }
        let class: Vec<u32> = class.into_iter().map(|c| c as u32).collect();
        condition = condition.with_class(Some(class_tensor(&class, device)));
    }
    let exact_score = take("exact_score", &[count, d])?.map(rows);
    if plan.objective.needs_exact_score() && exact_score.is_none() {
        return Err("it has no \"exact_score\"".into());
    }
    let mut directions = Vec::new();
    while let Some(direction) = take(&format!("direction.{}", directions.len()), &[count, d])? {
        directions.push(rows(direction));
    }
    if !directions.is_empty() && !plan.objective.takes_probes(directions.len()) {
        return Err(format!("it has {} directions, which the objective does not take", directions.len()));
    }
    let mut perturbed = Perturbed::clean(clean);
    (perturbed.noise, perturbed.noisy, perturbed.condition) = (z, noisy, condition);
    (perturbed.exact_score, perturbed.probes) = (exact_score, (!directions.is_empty()).then_some(directions));
    Ok(TrainingBatch { perturbed, weights, noise: plan.streams.at("objective", position) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training_step;
    use stein_experiment::{Experiment, builtin};
    use stein_record::source::Source;

    fn plan(rate: f64, objective: &str) -> Plan {
        plan_of(rate, objective, |text| text)
    }

    fn plan_of(rate: f64, objective: &str, change: impl FnOnce(String) -> String) -> Plan {
        let text = change(format!(
            "[data]\nkind = \"gaussian-mixture\"\nmeans = [[-2.0, 0.0], [2.0, 0.0]]\nstd = 0.5\ntrain = 400\n\
             [network]\nkind = \"mlp\"\nhidden = [32, 32]\n[objective]\n{objective}\n\
             [schedule]\nlevels = 5\nsigma-max = 4.0\nsigma-min = 0.1\n\
             [training]\nbatch-size = 64\naccumulate = 2\nwarm-up = 0\noptimizer = {{ learning-rate = {rate:?} }}\n"
        ));
        let (source, registry) = (Source::new("test.toml", text.as_bytes()).unwrap(), builtin());
        Experiment::read(&source, &registry)
            .and_then(|experiment| Plan::build(experiment, &registry))
            .unwrap_or_else(|problems| panic!("{}", source.render(&problems, false)))
    }

    /// A training of the plan from its beginning.
    struct Steps {
        plan: Plan,
        layout: Layout,
        trainee: Trainee,
        state: TrainingState,
        batches: Batches,
    }

    impl Steps {
        fn new(plan: Plan) -> Self {
            let on_tape = Device::flex().autodiff();
            let trainee = Trainee::new(plan.network(&on_tape).unwrap(), plan.objective.clone());
            let layout = Layout::of(&trainee);
            let state = TrainingState::new(&layout, &trainee);
            let batches = Batches::new(&plan, &on_tape);
            Self { plan, layout, trainee, state, batches }
        }

        /// A step, looked at or not.
        fn step(&mut self, look: bool) -> Option<NotFinite> {
            let mut index = 2 * self.state.step;
            let training = &self.plan.experiment.training;
            let next = || {
                index += 1;
                Ok::<_, RunError>(self.batches.training(index - 1))
            };
            if !look {
                training_step(&mut self.trainee, &mut self.state, &self.layout, training, next).unwrap();
                return None;
            }
            match looked_step(&mut self.trainee, &mut self.state, &self.layout, training, next).unwrap() {
                Looked::NotFinite(found) => Some(found),
                _ => None,
            }
        }

        fn files(&self) -> BTreeMap<String, Vec<u8>> {
            self.state.to_files(&self.layout)
        }

        fn find(&self, kept: TrainingState, until: u64, batches: &Batches) -> Diverged {
            let mut index = 2 * kept.step;
            let seen = NotFinite { what: "what was seen", value: f64::NAN };
            Diverged::find(
                &self.trainee,
                kept,
                (until, seen),
                &self.layout,
                (&self.plan.experiment.training, &Stop::new()),
                || {
                    index += 1;
                    Ok(batches.training(index - 1))
                },
            )
            .unwrap()
        }
    }

    #[test]
    fn a_look_changes_no_bit() {
        let [mut one, mut other] = [0; 2].map(|_| Steps::new(plan(1e-3, "")));
        for _ in 0..5 {
            one.step(false);
            assert_eq!(other.step(true), None);
        }
        assert!(one.files() == other.files());
    }

    #[test]
    fn the_step_is_found_from_any_state_before_it() {
        let mut looked = Steps::new(plan(1000.0, ""));
        let mut kept = vec![looked.state.kept()];
        let seen = loop {
            match looked.step(true) {
                Some(seen) => break seen,
                None => kept.push(looked.state.kept()),
            }
            assert!(looked.state.step < 100, "it does not diverge");
        };
        let step = looked.state.step + 1;
        assert!(step > 1, "{step}");
        // Nobody looks, and clipping hides it: the training goes on.
        let mut blind = Steps::new(plan(1000.0, ""));
        while blind.state.step < step + 3 {
            blind.step(false);
        }
        assert!(blind.state.interval.not_finite().is_some());
        for kept in kept {
            let found = blind.find(kept, step + 3, &blind.batches);
            assert_eq!((found.step, found.seen, found.batches.len()), (step, seen, 2));
            assert!(found.before.to_files(&blind.layout) == looked.files(), "the state is that before the step");
            assert!(found.error().to_string().contains(&format!("diverged at step {step}: {}", seen.what)));
        }
        // Other batches, as from a device that does not give the same twice.
        let calm = Steps::new(plan(1e-3, ""));
        let gentle = Diverged::find(
            &calm.trainee,
            calm.state.kept(),
            (4, seen),
            &calm.layout,
            (&calm.plan.experiment.training, &Stop::new()),
            || Ok(calm.batches.training(0)),
        );
        let gentle = gentle.unwrap();
        assert!(!gentle.repeated() && gentle.before.step == 0 && gentle.step == 4);
        assert!(gentle.error().to_string().contains("but not when"), "{}", gentle.error());
    }

    #[test]
    fn who_asks_to_stop_is_heard_while_the_step_is_looked_for() {
        let steps = Steps::new(plan(1e-3, ""));
        let (seen, stop) = (NotFinite { what: "the loss", value: f64::NAN }, Stop::new());
        stop.interrupt();
        let asked = (&steps.plan.experiment.training, &stop);
        let ended = Diverged::find(&steps.trainee, steps.state.kept(), (1 << 40, seen), &steps.layout, asked, || {
            Ok(steps.batches.training(0))
        });
        assert!(matches!(ended, Err(RunError::Interrupted { .. })), "{:?}", ended.map(|found| found.step));
    }

    /// The loss of a batch, and what it is made of.
    fn loss(steps: &Steps, batch: TrainingBatch) -> (Vec<f32>, ArrayFile) {
        let made = arrays(&batch, &*steps.plan.objective);
        (to_host(steps.trainee.loss(batch).inner()), made)
    }

    #[test]
    fn a_batch_that_was_written_is_the_same_batch() {
        let objectives = ["", "kind = \"sliced\"\nprojections = 3", "kind = \"explicit\"", "kind = \"implicit\""];
        // Without noise there are no levels, and nothing tells the network of any.
        let clean = |text: String| {
            text.replace("levels = 5\nsigma-max = 4.0\nsigma-min = 0.1", "kind = \"none\"")
                .replace("kind = \"mlp\"", "kind = \"mlp\"\nembedding = \"none\"\nparameterization = \"score\"")
                + "[sampler]\nkind = \"langevin\"\nstep-size = 0.05\nsteps = 4\n"
        };
        let classes = |text: String| text.replace("kind = \"mlp\"", "kind = \"mlp\"\nclasses = true");
        let noisy = objectives.map(|objective| (objective, plan(1e-3, objective)));
        let others = [(objectives[3], plan_of(1e-3, objectives[3], clean)), ("", plan_of(1e-3, "", classes))];
        let all = noisy.into_iter().chain(others);
        for (objective, plan) in all {
            let steps = Steps::new(plan);
            let on_tape = Device::flex().autodiff();
            let batch = steps.batches.training(5);
            let file = arrays(&batch, &*steps.plan.objective);
            let file = ArrayFile::from_bytes(&file.to_bytes()).unwrap();
            let again = batch_of(file.clone(), &steps.plan, 5, &on_tape).unwrap();
            assert!(loss(&steps, batch) == loss(&steps, again), "{objective}");
            if file.arrays.contains_key("class") {
                let mut wrong = file.clone();
                wrong.arrays.insert("class".into(), Array::new([64], vec![2.5; 64]));
                let problem = batch_of(wrong, &steps.plan, 5, &on_tape).unwrap_err();
                assert!(problem.contains("a class is 2.5; it must be from 0 to 2"), "{problem}");
            }
            for name in file.arrays.keys().filter(|name| !name.starts_with("direction")) {
                let mut without = file.clone();
                without.arrays.remove(name);
                assert!(batch_of(without, &steps.plan, 5, &on_tape).is_err(), "{objective}: {name} is needed");
            }
        }
    }
}
