//! Predictor–corrector sampling, algorithms 2 and 4 of the score SDE.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, Level, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork, matrix,
};

use crate::denoise::score_at;
use crate::transition::Transition;
use crate::walk::{Walk, unless_ladder};

/// A step of the reverse SDE from level to level, the predictor, and Langevin steps at a level, the corrector.
///
/// a = α_i/α_{i+1} and v = σ_i² − a² σ_{i+1}² are those of the forward chain's step that leads to level i; after the last level
/// comes the clean one, α = 1. A corrector's step x ← x + ε s + √(2ε) z has ε = 2 a² (snr ‖z‖/‖s‖)². The final denoising counts as
/// a prediction: corrector first, it too follows a correction. Norms of one chain tell little in few dimensions, where a score
/// can be near 0 by chance: take `norms = "batch"` there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PredictorCorrector {
    /// The step from level to level.
    pub predictor: Predictor,
    /// The steps at a level.
    pub corrector: Corrector,
    /// r, the corrector's signal-to-noise ratio.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub snr: f64,
    /// M, corrector steps at each level.
    #[schemars(range(min = 1))]
    pub corrector_steps: usize,
    /// Which comes first.
    pub order: Order,
    /// Over what the corrector's norms are taken.
    pub norms: Norms,
    /// Whether the last step replaces x by its Tweedie mean x + σ_L² s.
    pub denoise: bool,
}

/// A step of the reverse SDE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Predictor {
    /// x ← (2 − a) x + v s + √v z, the forward chain's own step reversed.
    #[default]
    ReverseDiffusion,
    /// x ← x + ½(1 − a²) x + v s + √v z; where α = 1, v is 2 σ_i² ln(σ_i/σ_{i+1}), as the SDE has it at σ_i where time is ln σ.
    EulerMaruyama,
    /// x ← (x + v s)/a + b z, where α = 1 with b = (σ_{i+1}/σ_i) √v, a draw given the Tweedie mean, and where α² + σ² = 1 with DDPM's
    /// larger b = √v. Other schedules are refused: the paper has it for these two.
    Ancestral,
}

/// What corrects x at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Corrector {
    /// Langevin steps.
    #[default]
    Langevin,
    /// Nothing.
    None,
}

/// Which comes first at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The corrector, at σ_i, then the step to σ_{i+1}, as in the repository.
    #[default]
    CorrectorFirst,
    /// The step to σ_{i+1}, then the corrector there, as in the paper.
    PredictorFirst,
}

/// Over what the norms ‖z‖ and ‖s‖ are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Norms {
    /// Each chain its own: samples do not depend on the chunk.
    #[default]
    Chain,
    /// Their means over the chains of a chunk, as in the repository: samples depend on the chunk.
    Batch,
}

impl Default for PredictorCorrector {
    fn default() -> Self {
        Self {
            predictor: Predictor::default(),
            corrector: Corrector::default(),
            snr: 0.16,
            corrector_steps: 1,
            order: Order::default(),
            norms: Norms::default(),
            denoise: true,
        }
    }
}

impl Predictor {
    /// The factors of x, of the score and of the noise.
    fn factors(self, level: Level, next: Level) -> [f64; 3] {
        let Transition { keep: a, variance: v } = Transition::between(level, next);
        let exploding = level.alpha == 1.0 && next.alpha == 1.0;
        match self {
            Self::ReverseDiffusion => [2.0 - a, v, v.sqrt()],
            Self::EulerMaruyama if exploding => {
                let v = 2.0 * level.sigma * level.sigma * (level.sigma / next.sigma).ln();
                [1.0, v, v.sqrt()]
            }
            Self::EulerMaruyama => [1.0 + (1.0 - a * a) / 2.0, v, v.sqrt()],
            Self::Ancestral if exploding => [1.0, v, next.sigma / level.sigma * v.sqrt()],
            Self::Ancestral => [1.0 / a, v / a, v.sqrt()],
        }
    }

    /// Refuses schedules for which the paper has no such step.
    fn unless_defined(self, schedule: &dyn NoiseSchedule) -> Result<(), Invalid> {
        let levels = schedule.levels();
        let preserves = |l: &Level| (l.alpha * l.alpha + l.sigma * l.sigma - 1.0).abs() < 1e-6;
        if self != Self::Ancestral || levels.iter().all(|l| l.alpha == 1.0) || levels.iter().all(preserves) {
            return Ok(());
        }
        let message = "`ancestral` is for variance-exploding schedules (α = 1) and variance-preserving ones (α² + σ² = 1), and this \
                       one is neither; take `reverse-diffusion` or `euler-maruyama`";
        Err(Invalid::key("predictor", message))
    }
}

impl PredictorCorrector {
    fn predict(
        &self,
        score: &dyn ScoreNetwork,
        x: Tensor<2>,
        (level, next): (Level, Level),
        noise: &mut ChainNoise,
    ) -> Tensor<2> {
        let [keep, drift, diffusion] = self.predictor.factors(level, next);
        let z = matrix(noise.normals(x.dims()[1]), x.dims()[1], &x.device());
        let s = score_at(score, &x, level);
        x * keep + s * drift + z * diffusion
    }

    fn correct(
        &self,
        score: &dyn ScoreNetwork,
        mut x: Tensor<2>,
        (level, next): (Level, Level),
        noise: &mut ChainNoise,
    ) -> Tensor<2> {
        let Transition { keep, .. } = Transition::between(level, next);
        for _ in 0..self.corrections() {
            let z = matrix(noise.normals(x.dims()[1]), x.dims()[1], &x.device());
            let s = score_at(score, &x, level);
            let norm = self.norms.of(s.clone());
            // Where the score is 0 there is nothing to correct by.
            let ratio = (self.norms.of(z.clone()) / norm.clone()).mask_fill(norm.equal_elem(0.0), 0.0);
            let epsilon = (ratio * self.snr).square() * (2.0 * keep * keep);
            x = x + s * epsilon.clone() + z * (epsilon * 2.0).sqrt();
        }
        x
    }

    /// Corrector steps at a level.
    fn corrections(&self) -> usize {
        match self.corrector {
            Corrector::Langevin => self.corrector_steps,
            Corrector::None => 0,
        }
    }
}

impl Norms {
    /// ‖row‖, `[B, 1]`, or the mean of them, `[1, 1]`.
    fn of(self, rows: Tensor<2>) -> Tensor<2> {
        let norms = rows.square().sum_dim(1).sqrt();
        match self {
            Self::Chain => norms,
            Self::Batch => norms.mean_dim(0),
        }
    }
}

impl Component<SamplerPart> for PredictorCorrector {
    const KIND: &'static str = "predictor-corrector";
    const PAPER: &'static str = "Song et al. 2021, arXiv 2011.13456, algorithms 2 and 4";

    fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_positive("snr", self.snr)?;
        Invalid::unless_some("corrector-steps", self.corrector_steps)?;
        Invalid::unless_at_most("corrector-steps", self.corrector_steps, 1_000_000)
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        self.predictor.unless_defined(context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for PredictorCorrector {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        mut x: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let mut walk = Walk::down(schedule, self.denoise, observer);
        let levels = schedule.levels();
        let last = (schedule.last(), Level::CLEAN);
        for (i, pair) in levels.windows(2).enumerate() {
            let pair = (pair[0], pair[1]);
            x = match self.order {
                Order::CorrectorFirst => {
                    let corrected = self.correct(score, x, pair, noise);
                    self.predict(score, corrected, pair, noise)
                }
                Order::PredictorFirst => {
                    let predicted = self.predict(score, x, pair, noise);
                    let below = levels.get(i + 2).map_or(last, |&next| (pair.1, next));
                    self.correct(score, predicted, below, noise)
                }
            };
            x = walk.arrive(pair.1, x);
            walk.step(pair.0, &x)?;
        }
        if self.denoise {
            if self.order == Order::CorrectorFirst {
                x = self.correct(score, x, last, noise);
            }
            x = walk.denoise(score, x, schedule.last())?;
        }
        Ok(x)
    }

    fn conditions(&self) -> bool {
        true
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        let (steps, last) = (schedule.levels().len() - 1, usize::from(self.denoise));
        let corrected = match self.order {
            Order::CorrectorFirst => steps + last,
            Order::PredictorFirst => steps,
        };
        Some((steps + last + corrected * self.corrections()) as u64)
    }
}
