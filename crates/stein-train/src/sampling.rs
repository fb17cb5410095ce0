//! Drawing samples of a trained network, with their way recorded.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use stein_core::{Invalid, NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, StepInfo, Streams, to_host};
use stein_experiment::{Conditioning, Plan};
use stein_record::{Array, RunDir};
use stein_samplers::inverse::{Given, Measurement, complete};
use stein_samplers::{Draw, Guided, Starts, draw, draw_classes, interpolate, interpolates};

use crate::progress::Bar;
use crate::run::RunOptions;
use crate::{RunError, Stop, load_network};

/// Samples, and the way of the first chains, as the values that they stand for.
pub(crate) struct Drawn {
    /// `[N, D]`.
    pub(crate) samples: Array,
    /// Evaluations of the score a sample.
    pub(crate) evaluations: f64,
    /// The mean probability with which proposals were accepted.
    pub(crate) acceptance: Option<f64>,
    /// `[F, n, D]`.
    pub(crate) trajectory: Array,
    /// σ at each of the F moments.
    pub(crate) sigmas: Vec<f64>,
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// Training steps of the network.
    pub(crate) step: u64,
}

/// The score that samples of one class follow; `None` where the network knows no classes, or chains are of several.
pub(crate) fn of_one_class<'a>(plan: &Plan, network: &'a dyn ScoreNetwork, device: &Device) -> Option<Guided<'a>> {
    let (_, guidance) = (plan.classes?, plan.experiment.guidance);
    // Without a class there is nothing to guide to, and w = −1 does not look at it.
    let class = if guidance.is_mixed() { None } else { Some(guidance.class.unwrap_or(0)) };
    Some(Guided::to(network, class?, guidance.guidance, device))
}

/// Draws along the network's score, or of the classes that the plan's sampler is to draw of.
pub(crate) fn draw_of(
    plan: &Plan,
    sampler: &dyn Sampler,
    network: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    what: Draw<'_>,
    observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<stein_samplers::Drawn, SampleError> {
    match (plan.classes, of_one_class(plan, network, what.device)) {
        (None, _) => draw(sampler, network, schedule, what, observe),
        (_, Some(guided)) => draw(sampler, &guided, schedule, what, observe),
        (Some(classes), None) => {
            let classes = (classes, plan.experiment.guidance.guidance);
            draw_classes(sampler, network, schedule, what, classes, observe)
        }
    }
}

/// Draws what `[evaluation]` asks for. `chunk` has the first of the chains that are drawn.
pub(crate) fn draw_samples(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    step: u64,
    device: &Device,
    options: &RunOptions,
    chunk: &Cell<usize>,
) -> Result<Drawn, RunError> {
    let (stop, quiet) = (&options.stop, options.quiet);
    let started = Instant::now();
    let evaluation = &plan.experiment.evaluation;
    let recording = Rc::new(RefCell::new(Recording::default()));
    let chunks = evaluation.samples.div_ceil(evaluation.chunk) as u64;
    let bar = Rc::new(RefCell::new(None));
    let starts = Starts::new(&plan.experiment.start, &plan.dataset);
    let drawn = draw_of(
        plan,
        &*plan.sampler,
        network,
        &*plan.schedule,
        Draw {
            samples: evaluation.samples,
            first: 0,
            chunk: evaluation.chunk,
            starts: &starts,
            streams: plan.streams,
            device,
        },
        |first| {
            chunk.set(first);
            Box::new(Watch {
                recording: (first == 0).then(|| recording.clone()),
                chains: evaluation.trajectories.min(evaluation.samples).min(evaluation.chunk),
                frames: evaluation.frames,
                chunk: (first / evaluation.chunk) as u64,
                chunks,
                bar: bar.clone(),
                stop: stop.clone(),
                quiet,
            })
        },
    );
    finish(&bar);
    let stein_samplers::Drawn { samples, evaluations, acceptance } = drawn.map_err(|e| stopped(e, stop))?;
    let samples = plan.dataset.shown(samples);
    let recording = recording.take();
    let (frames, d) = (recording.sigmas.len(), samples.row_length());
    let chains = recording.data.len().checked_div(frames * d).unwrap_or(0);
    Ok(Drawn {
        samples,
        evaluations,
        acceptance,
        trajectory: plan.dataset.shown(Array::new([frames, chains, d], recording.data)),
        sigmas: recording.sigmas,
        seconds: started.elapsed().as_secs_f64(),
        step,
    })
}

#[derive(Default)]
struct Recording {
    data: Vec<f32>,
    sigmas: Vec<f64>,
}

/// What was drawn given what was measured of the first held-out rows.
pub(crate) struct Completed {
    /// V.
    pub(crate) measurement: Measurement,
    /// The rows that were measured, `[N, D]`.
    pub(crate) truth: Array,
    /// y, `[N, k]`.
    pub(crate) measured: Array,
    /// `[N R, D]`.
    pub(crate) samples: Array,
    /// Evaluations of the score a sample.
    pub(crate) evaluations: f64,
    /// Seconds that it took.
    pub(crate) seconds: f64,
}

/// Draws what `[inverse]` asks for; nothing if there is none. `chunk` has the first of the chains that are drawn.
pub(crate) fn draw_completions(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    device: &Device,
    options: &RunOptions,
    chunk: &Cell<usize>,
) -> Result<Option<Completed>, RunError> {
    let Some(inverse) = &plan.experiment.inverse else { return Ok(None) };
    let count = inverse.conditioning.observed * inverse.conditioning.repeats;
    let bar = Rc::new(RefCell::new(None));
    let drawn = completions(plan, network, device, |first| {
        chunk.set(first);
        let chains = (first, plan.experiment.evaluation.chunk, count);
        Box::new(Watch::unrecorded(chains, &bar, &options.stop, options.quiet))
    });
    finish(&bar);
    drawn.map_err(|e| stopped(e, &options.stop))
}

/// The same with observers of one's own. Where samples are of several classes, what was measured says which.
pub(crate) fn completions(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    device: &Device,
    observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<Option<Completed>, SampleError> {
    let (Some(inverse), Some(a)) = (&plan.experiment.inverse, &plan.inverse) else { return Ok(None) };
    let Conditioning { method, sigma_y, observed, repeats, iterations } = inverse.conditioning;
    let started = Instant::now();
    let (data, chunk) = (&plan.dataset, plan.experiment.evaluation.chunk);
    let measurement = Measurement::new(a);
    // Streams of their own: completions do not depend on what else was drawn.
    let streams = Streams::new(plan.streams.at("inverse", 0).seed());
    let truth = data.dequantized(&data.held_out.slice(0..observed), &mut streams.at("truth", 0));
    let measured = measurement.measure(&truth, sigma_y, &mut streams.at("measurement", 0));
    let starts = Starts::new(&plan.experiment.start, data);
    let count = observed * repeats;
    let what = Draw { samples: count, first: 0, chunk, starts: &starts, streams, device };
    let given = Given {
        measurement: &measurement,
        measured: &measured,
        repeats,
        spread: data.spread(),
        sigma_y,
        method,
        iterations,
    };
    let guided = of_one_class(plan, network, device);
    let score = guided.as_ref().map_or(network, |guided| guided as &dyn ScoreNetwork);
    let drawn = complete(&*plan.sampler, score, &*plan.schedule, what, given, observe)?;
    let stein_samplers::Drawn { samples, evaluations, .. } = drawn;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Some(Completed { measurement, truth, measured, samples, evaluations, seconds }))
}

/// Records the first chunk's first chains at evenly spaced steps, shows progress, and stops when asked.
struct Watch {
    recording: Option<Rc<RefCell<Recording>>>,
    chains: usize,
    frames: usize,
    chunk: u64,
    chunks: u64,
    bar: Rc<RefCell<Option<Bar>>>,
    stop: Stop,
    quiet: bool,
}

impl Watch {
    /// Of the chunk that begins with a chain, of so many: shows progress, and stops when asked.
    fn unrecorded(
        (first, chunk, count): (usize, usize, usize),
        bar: &Rc<RefCell<Option<Bar>>>,
        stop: &Stop,
        quiet: bool,
    ) -> Self {
        Self {
            recording: None,
            chains: 0,
            frames: 2,
            chunk: (first / chunk) as u64,
            chunks: count.div_ceil(chunk) as u64,
            bar: bar.clone(),
            stop: stop.clone(),
            quiet,
        }
    }

    /// Whether one of the moments falls on this step; the last step always does.
    fn wanted(&self, info: StepInfo) -> bool {
        let moment = |step: usize| step * (self.frames - 1) / info.steps.max(1);
        info.step == 1 || info.step == info.steps || moment(info.step) != moment(info.step - 1)
    }
}

impl Observer for Watch {
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()> {
        if let Some(recording) = &self.recording
            && self.chains > 0
            && self.wanted(info)
        {
            let mut recording = recording.borrow_mut();
            recording.data.extend(to_host(x.clone().narrow(0, 0, self.chains)));
            recording.sigmas.push(info.level.sigma);
        }
        let total = info.steps as u64 * self.chunks;
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| Bar::new("sampling", "steps", 0, total, self.quiet));
        bar.update(self.chunk * info.steps as u64 + info.step as u64, "");
        if self.stop.requested().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// What to draw of a trained run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct More {
    /// How many samples, or pairs of them.
    pub count: usize,
    /// Noise of another seed; without one, further chains of the run's own streams, behind those that were evaluated.
    pub seed: Option<u64>,
    /// So many steps from the first of each pair to the second.
    pub interpolate: Option<usize>,
}

/// Draws samples `[N, D]` of a trained run's network.
///
/// # Errors
/// If the weights cannot be read, the sampler cannot interpolate, chains diverge, or somebody asks to stop.
pub fn draw_from_run(
    plan: &Plan,
    run: &RunDir,
    more: More,
    device: &Device,
    stop: &Stop,
    quiet: bool,
) -> Result<Array, RunError> {
    let network = load_network(plan, run, device)?;
    let More { count, seed, interpolate: steps } = more;
    let (streams, first) = match seed {
        Some(seed) => (Streams::new(seed), 0),
        None => (plan.streams, plan.experiment.evaluation.samples as u64),
    };
    let chunk = plan.experiment.evaluation.chunk;
    let bar = Rc::new(RefCell::new(None));
    let starts = Starts::new(&plan.experiment.start, &plan.dataset);
    let what = Draw { samples: count, first, chunk, starts: &starts, streams, device };
    let (sampler, schedule) = (&*plan.sampler, &*plan.schedule);
    let all = count * steps.unwrap_or(1);
    let watch = |first| -> Box<dyn Observer> { Box::new(Watch::unrecorded((first, chunk, all), &bar, stop, quiet)) };
    let drawn = match steps {
        None => draw_of(plan, sampler, &network, schedule, what, watch),
        Some(steps) => {
            interpolates(sampler, plan.experiment.sampler.kind(), &starts)?;
            let guided = of_one_class(plan, &network, device);
            if plan.classes.is_some() && guided.is_none() {
                let message = "there is no way from a sample of one class to one of another; set sampler.class";
                return Err(Invalid::key("class", message).into());
            }
            let score = guided.as_ref().map_or(&network as &dyn ScoreNetwork, |guided| guided);
            interpolate(sampler, score, schedule, what, steps, watch)
        }
    };
    finish(&bar);
    Ok(plan.dataset.shown(drawn.map_err(|e| stopped(e, stop))?.samples))
}

fn finish(bar: &RefCell<Option<Bar>>) {
    if let Some(bar) = &mut *bar.borrow_mut() {
        bar.finish();
    }
}

/// A sampler stops only because somebody asked.
pub(crate) fn stopped(error: SampleError, stop: &Stop) -> RunError {
    match error {
        SampleError::Stopped { .. } => {
            stop.requested().unwrap_or(RunError::Interrupted { name: "the user", code: 130 })
        }
        other => other.into(),
    }
}
