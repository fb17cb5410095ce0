//! A sampler's way: which ladders can be walked, and the observer at each step.

use burn::tensor::Tensor;
use stein_core::{Invalid, Level, NoiseSchedule, Observer, SampleError, ScoreNetwork, StepInfo};

use crate::denoise;

/// Refuses a schedule without noise and one of a single level, which leave a sampler no step to take, and one whose σ/α does not
/// fall, which no noise that is taken away leads down.
pub(crate) fn unless_ladder(kind: &str, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
    if schedule.last().is_clean() {
        return Err(Invalid::new(format!("`{kind}` walks down noise levels, and there is no noise; take `langevin`")));
    }
    if schedule.levels().len() < 2 {
        return Err(Invalid::new(format!(
            "`{kind}` steps from level to level, and there is one alone; it needs at least 2, or take `langevin`"
        )));
    }
    if let Some(i) = schedule.levels().windows(2).position(|pair| pair[1].log_ratio() >= pair[0].log_ratio()) {
        return Err(Invalid::new(format!(
            "`{kind}` walks down σ/α, and level {} has no less of it than level {}",
            i + 2,
            i + 1
        )));
    }
    Ok(())
}

/// Refuses a ladder with an α that is not 1.
pub(crate) fn unless_exploding(kind: &str, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
    match schedule.levels().iter().find(|l| l.alpha != 1.0) {
        Some(level) => Err(Invalid::new(format!(
            "`{kind}` is for variance-exploding schedules (α = 1), and this one has α = {}",
            level.alpha
        ))),
        None => Ok(()),
    }
}

/// σ_{i+1}/σ_i, by the ladder's ends.
pub(crate) fn ratio(schedule: &dyn NoiseSchedule) -> f64 {
    (-schedule.span() / (schedule.levels().len() - 1) as f64).exp()
}

/// Refuses a ladder of at least two levels whose σ_{i+1}/σ_i changes.
pub(crate) fn unless_geometric(kind: &str, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
    let ratio = ratio(schedule);
    for (i, pair) in schedule.levels().windows(2).enumerate() {
        let own = pair[1].sigma / pair[0].sigma;
        if (own / ratio - 1.0).abs() > 1e-6 {
            return Err(Invalid::new(format!(
                "`{kind}` needs a geometric ladder, the same σ_{{i+1}}/σ_i throughout; here it is {own:.6} after level {} and \
                 {ratio:.6} on average",
                i + 1
            )));
        }
    }
    Ok(())
}

/// Counts steps, shows each to the observer, and ends where the observer stops it.
pub(crate) struct Walk<'a> {
    observer: &'a mut dyn Observer,
    step: usize,
    steps: usize,
}

impl<'a> Walk<'a> {
    /// Of so many steps.
    pub(crate) fn of(steps: usize, observer: &'a mut dyn Observer) -> Self {
        Self { observer, step: 0, steps }
    }

    /// From the first level to the last, and to no noise where the sampler denoises.
    pub(crate) fn down(schedule: &dyn NoiseSchedule, denoise: bool, observer: &'a mut dyn Observer) -> Self {
        Self::of(schedule.levels().len() - 1 + usize::from(denoise), observer)
    }

    /// A step has led to `x` at `level`: moved to what is known of it there.
    pub(crate) fn arrive(&mut self, level: Level, x: Tensor<2>) -> Tensor<2> {
        self.observer.project(level, x)
    }

    /// A step taken at `level` has led to `x`.
    pub(crate) fn step(&mut self, level: Level, x: &Tensor<2>) -> Result<(), SampleError> {
        self.show(level, None, x)
    }

    /// The same of a step whose proposals were accepted with this probability on average.
    pub(crate) fn proposed(&mut self, level: Level, acceptance: f64, x: &Tensor<2>) -> Result<(), SampleError> {
        self.show(level, Some(acceptance), x)
    }

    fn show(&mut self, level: Level, acceptance: Option<f64>, x: &Tensor<2>) -> Result<(), SampleError> {
        self.step += 1;
        let info = StepInfo { step: self.step, steps: self.steps, level, acceptance };
        if self.observer.step(info, x).is_break() {
            return Err(SampleError::Stopped { step: self.step });
        }
        Ok(())
    }

    /// The last step, from `level` to the Tweedie mean.
    pub(crate) fn denoise(
        &mut self,
        score: &dyn ScoreNetwork,
        x: Tensor<2>,
        level: Level,
    ) -> Result<Tensor<2>, SampleError> {
        let x = self.observer.project(Level::CLEAN, denoise(score, x, level));
        self.step(Level { sigma: 0.0, ..level }, &x)?;
        Ok(x)
    }
}
