//! The probability flow, by Heun's method or by Dormand and Prince's.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{
    ChainNoise, Component, Invalid, Level, NoiseSchedule, Observer, SampleError, Sampler, SamplerContext, SamplerPart,
    ScoreNetwork,
};

use crate::dormand_prince::{Moment, Tolerance, Way, solve};
use crate::flow::{Rows, heun_step, slopes};
use crate::walk::{Walk, unless_ladder};

/// The probability flow, the ODE whose marginals are those of the reverse SDE.
///
/// In y = x/α and ρ = σ/α it is dy/dρ = −σ s for every schedule. No noise is drawn, but for the start.
///
/// | `method` | |
/// |---|---|
/// | `heun` | order 2, from level to level of the schedule; where α = 1 this is `edm` without churn |
/// | `dormand-prince` | orders 5 and 4, each chain with steps of its own, as long as `rtol` and `atol` allow; of the schedule only the ends matter |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProbabilityFlow {
    /// How the ODE is solved.
    pub method: Method,
    /// For `dormand-prince`: the error of a step that is allowed over |x|. 1e-5 if left out.
    #[schemars(range(min = 1e-7, max = 0.1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtol: Option<f64>,
    /// For `dormand-prince`: the error that is allowed beside that. 1e-5 if left out.
    #[schemars(range(min = 1e-7, max = 0.1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub atol: Option<f64>,
    /// Whether an Euler step from the smallest level to none follows: x becomes its Tweedie mean.
    pub denoise: bool,
}

/// How the ODE is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Heun's method on the schedule's levels.
    #[default]
    Heun,
    /// Dormand & Prince's pair with a step size for each chain.
    DormandPrince,
}

impl Default for ProbabilityFlow {
    fn default() -> Self {
        Self { method: Method::Heun, rtol: None, atol: None, denoise: true }
    }
}

impl Component<SamplerPart> for ProbabilityFlow {
    const KIND: &'static str = "probability-flow";
    const PAPER: &'static str = "Song et al. 2021, arXiv 2011.13456, section 4.3; Dormand & Prince 1980";

    fn check(&self) -> Result<(), Invalid> {
        if self.method == Method::DormandPrince {
            return self.tolerance().check();
        }
        for (key, given) in [("rtol", self.rtol), ("atol", self.atol)] {
            if given.is_some() {
                let message =
                    format!("`heun` steps from level to level and has no `{key}`; `method = \"dormand-prince\"` has");
                return Err(Invalid::key(key, message));
            }
        }
        Ok(())
    }

    fn build(&self, context: SamplerContext<'_>) -> Result<Box<dyn Sampler>, Invalid> {
        unless_ladder(Self::KIND, context.schedule)?;
        Ok(Box::new(self.clone()))
    }
}

impl Sampler for ProbabilityFlow {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        x: Tensor<2>,
        _: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        let mut walk = Walk::down(schedule, self.denoise, observer);
        let mut x = match self.method {
            Method::Heun => heun(score, schedule, x, &mut walk)?,
            Method::DormandPrince => dormand_prince(score, schedule, x, self.tolerance(), &mut walk)?,
        };
        if self.denoise {
            x = walk.denoise(score, x, schedule.last())?;
        }
        Ok(x)
    }

    fn conditions(&self) -> bool {
        // Adaptive steps leave chains behind that are done.
        self.method == Method::Heun
    }

    fn solves_flow(&self) -> bool {
        true
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        match self.method {
            Method::Heun => Some((2 * (schedule.levels().len() - 1) + usize::from(self.denoise)) as u64),
            Method::DormandPrince => None,
        }
    }
}

impl ProbabilityFlow {
    fn tolerance(&self) -> Tolerance {
        let usual = Tolerance::default();
        Tolerance { rtol: self.rtol.unwrap_or(usual.rtol), atol: self.atol.unwrap_or(usual.atol) }
    }
}

/// From level to level.
fn heun(
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    mut x: Tensor<2>,
    walk: &mut Walk<'_>,
) -> Result<Tensor<2>, SampleError> {
    for pair in schedule.levels().windows(2) {
        let (level, next) = (pair[0], pair[1]);
        let y = x.clone() / level.alpha;
        x = walk.arrive(next, heun_step(score, &x, y, level, next));
        walk.step(level, &x)?;
    }
    Ok(x)
}

/// From the first level to the last, each chain at its own pace. The observer sees the chains whenever the last of them has
/// come past a level; by then others may be further on.
fn dormand_prince(
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    x: Tensor<2>,
    tolerance: Tolerance,
    walk: &mut Walk<'_>,
) -> Result<Tensor<2>, SampleError> {
    let ratio = |level: Level| level.sigma / level.alpha;
    let (levels, d) = (schedule.levels(), x.dims()[1]);
    let (first, last) = (schedule.first(), schedule.last());
    let way = Way { from: ratio(first), to: ratio(last), width: d, dimension: d, tolerance };
    let rows = Rows { schedule, dimension: d, device: x.device() };
    let mut slope = |moment: Moment<'_>| slopes(score, &rows, moment.times, moment.states);
    let mut passed = 0;
    let mut after = |slowest: f64, y: &[f64]| {
        let behind = levels[passed + 1..].iter().take_while(|l| slowest <= ratio(**l)).count();
        if behind > 0 {
            let x = rows.noisy(y, schedule.at_ratio(slowest));
            for _ in 0..behind {
                walk.step(levels[passed], &x)?;
                passed += 1;
            }
        }
        Ok(())
    };
    let y = solve(way, rows.signal(x, first), &mut slope, &mut after)?;
    Ok(rows.noisy(&y, last))
}
