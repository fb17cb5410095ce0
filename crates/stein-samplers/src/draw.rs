//! Drawing samples: chunks, what they cost, and a look at whether they are samples.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Device, Tensor};
use stein_core::{
    Condition, Divergence, Jet, Level, NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, StepInfo, Streams,
    matrix, to_array, to_host,
};
use stein_record::Array;

use crate::Starts;

/// What to draw.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// How many samples.
    pub samples: usize,
    /// The first chain: another start of the same streams gives other samples.
    pub first: u64,
    /// At most so many chains at a time; bounds memory, does not change the samples.
    pub chunk: usize,
    /// Where chains start.
    pub starts: &'a Starts<'a>,
    /// Noise: a stream a chain.
    pub streams: Streams,
    /// Where to compute.
    pub device: &'a Device,
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The samples, `[N, D]`.
    pub samples: Array,
    /// Evaluations of the score that a sample took, mean over the samples.
    pub evaluations: f64,
    /// The mean probability with which proposals were accepted, for samplers that reject.
    pub acceptance: Option<f64>,
}

/// Draws samples. `observe` is asked for an observer at each chunk, given its first chain.
///
/// # Errors
/// [`SampleError::Diverged`] if a chain is not finite or has run away: seen at some twenty moments on its way, and at its end;
/// [`SampleError::Stopped`] if an observer stops it.
pub fn draw(
    sampler: &dyn Sampler,
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    what: Draw<'_>,
    mut observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<Drawn, SampleError> {
    let (d, chunk) = (what.starts.dimension(), what.chunk.max(1));
    let counted = Counted::new(score);
    let (mut data, mut acceptance) = (Vec::new(), Mean::default());
    for first in (0..what.samples).step_by(chunk) {
        let last = (first + chunk).min(what.samples);
        let mut noise = what.streams.chains("sampler", what.first + first as u64..what.first + last as u64);
        let x = matrix(what.starts.draw(schedule, sampler.begins(schedule), &mut noise), d, what.device);
        let mut observer = observe(first);
        let mut guard = Guard::new(&mut *observer, what.starts, schedule);
        let x = sampler.sample(&counted, schedule, x, &mut noise, &mut guard);
        let chains = (last - first) as f64;
        acceptance.add(guard.acceptance, chains);
        if let Some(divergence) = guard.divergence {
            return Err(SampleError::Diverged(divergence));
        }
        let x = to_array(x?);
        if let Some(divergence) = guard.judge(&x.data) {
            return Err(SampleError::Diverged(divergence));
        }
        data.extend(x.data);
    }
    Ok(Drawn {
        samples: Array::new([what.samples, d], data),
        evaluations: counted.each(what.samples),
        acceptance: acceptance.value(),
    })
}

/// A mean with weights.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, other: Self, weight: f64) {
        if let Some(value) = other.value() {
            self.sum += weight * value;
            self.weight += weight;
        }
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// Counts the rows at which the score is evaluated, and those of its derivatives.
pub(crate) struct Counted<'a> {
    score: &'a dyn ScoreNetwork,
    rows: AtomicU64,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(score: &'a dyn ScoreNetwork) -> Self {
        Self { score, rows: AtomicU64::new(0) }
    }

    /// Rows a sample.
    pub(crate) fn each(self, samples: usize) -> f64 {
        self.rows.into_inner() as f64 / samples.max(1) as f64
    }

    fn count(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

impl ScoreNetwork for Counted<'_> {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        self.count(x.batch() * (1 + x.directions()));
        self.score.jet(x, condition)
    }

    fn score(&self, x: Tensor<2>, condition: &Condition) -> Tensor<2> {
        self.count(x.dims()[0]);
        self.score.score(x, condition)
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        self.score.log_density(x, condition)
    }
}

/// Stops chains that diverge; passes the rest on.
struct Guard<'a> {
    inner: &'a mut dyn Observer,
    starts: &'a Starts<'a>,
    limit: f64,
    /// The last step that was seen.
    seen: StepInfo,
    acceptance: Mean,
    divergence: Option<Divergence>,
}

/// At so many moments of a sampler's way chains are looked at: each costs a copy to the host.
const LOOKS: usize = 20;

impl<'a> Guard<'a> {
    fn new(inner: &'a mut dyn Observer, starts: &'a Starts<'a>, schedule: &dyn NoiseSchedule) -> Self {
        let seen = StepInfo { step: 0, steps: 0, level: schedule.first(), acceptance: None };
        let limit = starts.believed(schedule);
        Self { inner, starts, limit, seen, acceptance: Mean::default(), divergence: None }
    }

    /// What is wrong with these chains.
    fn judge(&self, x: &[f32]) -> Option<Divergence> {
        let distances: Vec<f64> =
            x.chunks(self.starts.dimension().max(1)).map(|row| self.starts.distance(row)).collect();
        // Not a number is beyond every limit.
        let beyond = |d: &&f64| d.is_nan() || **d > self.limit;
        let chains = distances.iter().filter(beyond).count();
        let farthest = distances.iter().filter(beyond).copied().filter(|d| d.is_finite()).reduce(f64::max);
        let StepInfo { step, steps, level, .. } = self.seen;
        (chains > 0).then(|| Divergence {
            chains,
            of: distances.len(),
            step,
            steps,
            sigma: level.sigma,
            ran_away: farthest.map(|farthest| [farthest, self.limit]),
        })
    }
}

impl Observer for Guard<'_> {
    fn step(&mut self, info: StepInfo, x: &Tensor<2>) -> ControlFlow<()> {
        let moment = |step: usize| step * LOOKS / info.steps.max(1);
        let look = moment(info.step) != moment(info.step - 1) && info.step < info.steps;
        self.seen = info;
        if let Some(probability) = info.acceptance {
            self.acceptance.add(Mean { sum: probability, weight: 1.0 }, 1.0);
        }
        // Who watches sees the step too that it ends at.
        let goes_on = self.inner.step(info, x);
        if look {
            self.divergence = self.judge(&to_host(x.clone()));
        }
        if self.divergence.is_some() { ControlFlow::Break(()) } else { goes_on }
    }

    fn project(&mut self, level: Level, x: Tensor<2>) -> Tensor<2> {
        self.inner.project(level, x)
    }
}

#[cfg(test)]
mod tests {
    use stein_core::{ChainNoise, Dataset, NoObserver};

    use super::*;
    use crate::Start;

    #[derive(Debug)]
    struct Two([Level; 2]);

    impl NoiseSchedule for Two {
        fn levels(&self) -> &[Level] {
            &self.0
        }
    }

    struct Nothing;

    impl ScoreNetwork for Nothing {
        fn jet(&self, x: Jet<2>, _: &Condition) -> Jet<2> {
            x
        }
        fn log_density(&self, _: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
            None
        }
    }

    /// Multiplies the second half of the chains by a factor at each of 100 steps.
    #[derive(Debug)]
    struct Growing(f64);

    impl Sampler for Growing {
        fn sample(
            &self,
            score: &dyn ScoreNetwork,
            schedule: &dyn NoiseSchedule,
            mut x: Tensor<2>,
            _: &mut ChainNoise,
            observer: &mut dyn Observer,
        ) -> Result<Tensor<2>, SampleError> {
            let half = x.dims()[0] / 2;
            for step in 1..=100 {
                let rest = x.clone().narrow(0, half, half);
                score.score(rest.clone(), &Condition::clean());
                x = Tensor::cat(vec![x.narrow(0, 0, half), rest * self.0], 0);
                let acceptance = Some(if step % 2 == 0 { 1.0 } else { 0.5 });
                if observer.step(StepInfo { step, steps: 100, level: schedule.last(), acceptance }, &x).is_break() {
                    return Err(SampleError::Stopped { step });
                }
            }
            Ok(x)
        }

        fn evaluations(&self, _: &dyn NoiseSchedule) -> Option<u64> {
            None
        }
    }

    fn drawn(factor: f64) -> Result<Drawn, SampleError> {
        let rows = Array::new([2, 2], vec![1.0, 0.0, -1.0, 0.0]);
        let data = Dataset { train: rows.clone(), held_out: rows, ..Dataset::default() };
        let device = Device::flex();
        let start = Start::Point(vec![1.0, 1.0]);
        let starts = Starts::new(&start, &data);
        let what = Draw { samples: 12, first: 0, chunk: 4, starts: &starts, streams: Streams::new(0), device: &device };
        let schedule = Two([Level::exploding(2.0), Level::exploding(0.5)]);
        draw(&Growing(factor), &Nothing, &schedule, what, |_| Box::new(NoObserver))
    }

    #[test]
    fn what_was_drawn_is_counted() {
        let drawn = drawn(1.0).expect("nothing moves");
        assert_eq!(drawn.samples.data, [1.0f32; 24]);
        // Half of the chains at each step.
        assert_eq!((drawn.evaluations, drawn.acceptance), (50.0, Some(0.75)));
    }

    #[test]
    fn chains_that_leave_are_seen_on_their_way() {
        let error = |factor| match drawn(factor).unwrap_err() {
            SampleError::Diverged(divergence) => divergence,
            other => panic!("{other}"),
        };
        let far = error(1.2);
        assert_eq!((far.chains, far.of, far.steps, far.sigma), (2, 4, 100, 0.5));
        let [farthest, limit] = far.ran_away.expect("finite");
        // √2 · 1.2^step passes the limit between two looks.
        let at = |step: usize| 2f64.sqrt() * 1.2f64.powi(step as i32);
        assert!(at(far.step) > limit && at(far.step - 5) <= limit, "{far:?}");
        assert!((farthest / at(far.step) - 1.0).abs() < 1e-4, "{far:?}");
        assert!(far.to_string().contains("2 of 4 chains ran away"), "{far}");
        let gone = error(f64::NAN);
        assert_eq!((gone.chains, gone.step, gone.ran_away), (2, 5, None));
        assert!(gone.to_string().contains("2 of 4 chains are not finite after step 5 of 100 (σ = 0.5)"), "{gone}");
        // What grows too little to be seen on the way is no divergence.
        assert!(drawn(1.01).is_ok());
    }
}
