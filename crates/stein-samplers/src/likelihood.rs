//! log p_σ(x) by the probability flow, at the smallest noise level.
//!
//! The kernel is x̃ = α x + σ z. In y = x̃/α and ρ = σ/α it is y = x + ρ z, whatever α is, and the flow is dy/dρ = −σ s(α y)
//! ([`ProbabilityFlow`](crate::ProbabilityFlow)). With J = ∂s/∂x̃ the slope has the divergence −σ α tr J, so the density q_ρ
//! that the flow carries along changes, on a path, by
//!
//! > d ln q_ρ(y(ρ))/dρ = σ α tr J.
//!
//! A density of x̃ is one of y over α^D: ln p(x̃) = ln q(y) − D ln α. From x̃ at the last level up to the first, 1,
//!
//! > ln p_L(x̃) = ln p_1(x̃_1) + D ln(α_1/α_L) − ∫ σ α tr J dρ, over ρ from ρ_L to ρ_1.
//!
//! Nothing is assumed of s: this is the density of the model that starts from p_1 and follows the flow of s downward. If s is
//! the score of p_σ and p_1 its density at the first level, it is p_L itself (Chen et al. 2018, arXiv 1806.07366; Song et al.
//! 2021, arXiv 2011.13456, section 4.3).
//!
//! The integral is a further number of each chain, of which the solver takes care as it does of the position. Where tr J is
//! estimated, vᵀ J v, v is the same all along a path (Grathwohl et al. 2019, arXiv 1810.01367): the integral is unbiased, and
//! there is a smooth path to be solved for.

use std::f64::consts::PI;
use std::ops::ControlFlow;

use burn::tensor::{Device, FloatDType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Condition, Jet, Level, NoiseSchedule, SampleError, ScoreNetwork, Streams, Target, matrix, to_host};
use stein_record::Array;

use crate::dormand_prince::{Moment, Tolerance, Way, solve};
use crate::flow::Rows;

/// Numbers a row at most for an exact divergence: it takes a direction for each.
pub const MOST_EXACT: usize = 1024;
/// Rows of values and tangents that a network sees at a time; bounds memory.
const MOST_ROWS: usize = 1 << 13;

/// How the trace of the score's Jacobian is computed along a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trace {
    /// Σ_i e_iᵀ J e_i.
    #[default]
    Exact,
    /// The mean of vᵀ J v over random signs v that stay the same along a path (Hutchinson 1990).
    Hutchinson,
}

/// The density at the first level.
#[derive(Debug, Clone, Copy)]
pub enum Terminal<'a> {
    /// The true one.
    Target(&'a dyn Target),
    /// N(α₁ m, σ₁² I), what chains start from, with m `[D]`.
    Gaussian(&'a [f32]),
}

/// How a log-likelihood is computed.
#[derive(Debug, Clone, Copy)]
pub struct Likelihood<'a> {
    /// The trace of the Jacobian.
    pub divergence: Trace,
    /// Random directions a path, for `hutchinson`.
    pub probes: usize,
    /// How exactly the flow is solved.
    pub tolerance: Tolerance,
    /// The density at the first level.
    pub terminal: Terminal<'a>,
    /// At most so many paths at a time; bounds memory, does not change the values.
    pub chunk: usize,
    /// Noise: a stream a path.
    pub streams: Streams,
    /// Where to compute.
    pub device: &'a Device,
}

/// What the paths of some rows gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogLikelihood {
    /// ln p_1 at each path's end.
    pub terminal: Vec<f64>,
    /// ∫ σ α tr J dρ along each path.
    pub change: Vec<f64>,
    /// D ln(α_1/α_L).
    pub volume: f64,
    /// Evaluations of score and trace, together, that each path took.
    pub evaluations: Vec<usize>,
}

impl LogLikelihood {
    /// ln p_L of each row, in nats.
    pub fn nats(&self) -> Vec<f64> {
        self.terminal.iter().zip(&self.change).map(|(end, change)| end + self.volume - change).collect()
    }
}

/// ln p_L of rows `x` `[N, D]`, which are taken as x̃ at the schedule's last level. `watch` hears, round by round, of how many
/// rows are done, and may stop it.
///
/// # Errors
/// Those of [`solve`].
pub fn log_likelihood(
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    x: &Array,
    what: Likelihood<'_>,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<LogLikelihood, SampleError> {
    let (n, d) = (x.rows(), x.row_length());
    let ratio = |level: Level| level.sigma / level.alpha;
    let (first, last) = (schedule.first(), schedule.last());
    let way = Way { from: ratio(last), to: ratio(first), width: d + 1, dimension: d, tolerance: what.tolerance };
    let rows = Rows { schedule, dimension: d, device: what.device.clone() };
    let mut out = LogLikelihood { volume: d as f64 * (first.alpha / last.alpha).ln(), ..Default::default() };
    // All directions of a path are held while it lasts.
    let chunk = what.chunk.min(MOST_SIGNS / (what.probes * d).max(1)).max(1);
    for start in (0..n).step_by(chunk) {
        let end = (start + chunk).min(n);
        let probes = Probes::draw(&what, start..end, d);
        let mut evaluations = vec![0; end - start];
        let mut slope = |moment: Moment<'_>| {
            moment.chains.iter().for_each(|&c| evaluations[c] += 1);
            slopes(score, &rows, &probes, moment)
        };
        let mut rounds = 0;
        let mut after = |_: f64, _: &[f64]| {
            rounds += 1;
            if watch(start).is_break() { Err(SampleError::Stopped { step: rounds }) } else { Ok(()) }
        };
        let states = x.slice(start..end).data;
        let states = states
            .chunks(d.max(1))
            .flat_map(|row| row.iter().map(|&x| f64::from(x) / last.alpha).chain(std::iter::once(0.0)));
        let (y, change) = parted(&solve(way, states.collect(), &mut slope, &mut after)?, d);
        out.terminal.extend(what.terminal.log_density(&rows, &y, first));
        out.change.extend(change);
        out.evaluations.extend(evaluations);
        if watch(end).is_break() {
            return Err(SampleError::Stopped { step: rounds });
        }
    }
    Ok(out)
}

/// Positions `[n, D]`, and what each chain carries beside.
fn parted(states: &[f64], d: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = || states.chunks(d + 1);
    (rows().flat_map(|row| &row[..d]).copied().collect(), rows().map(|row| row[d]).collect())
}

impl Terminal<'_> {
    /// ln of the density of x̃ at the ends y, `[N]`.
    pub(crate) fn log_density(&self, rows: &Rows<'_>, y: &[f64], level: Level) -> Vec<f64> {
        let d = rows.dimension;
        match self {
            Self::Target(target) => {
                let x = rows.noisy(y, level);
                let condition = Condition::uniform(level, x.dims()[0], &rows.device);
                to_host(target.log_density(x, &condition)).into_iter().map(f64::from).collect()
            }
            Self::Gaussian(mean) => {
                let normaliser = d as f64 / 2.0 * (2.0 * PI * level.sigma * level.sigma).ln();
                let from_mean = |(y, m): (&f64, &f32)| ((y - f64::from(*m)) * level.alpha / level.sigma).powi(2);
                let square = |row: &[f64]| row.iter().zip(*mean).map(from_mean).sum::<f64>();
                y.chunks(d.max(1)).map(|row| -0.5 * square(row) - normaliser).collect()
            }
        }
    }
}

/// Numbers of directions that are held at once.
const MOST_SIGNS: usize = 1 << 26;

/// The directions of each path, none where the trace is exact.
struct Probes {
    /// `[n, K, D]`.
    signs: Vec<f32>,
    count: usize,
}

impl Probes {
    fn draw(what: &Likelihood<'_>, paths: std::ops::Range<usize>, d: usize) -> Self {
        if what.divergence == Trace::Exact {
            return Self { signs: Vec::new(), count: 0 };
        }
        let mut noise = what.streams.chains("likelihood", paths.start as u64..paths.end as u64);
        let signs = noise.normals(what.probes * d).into_iter().map(f32::signum).collect();
        Self { signs, count: what.probes }
    }

    /// Direction `k` of some paths, `[n, D]`.
    fn direction(&self, k: usize, chains: &[usize], d: usize, device: &Device) -> Tensor<2> {
        let row = |&c: &usize| &self.signs[(c * self.count + k) * d..][..d];
        matrix(chains.iter().flat_map(row).copied().collect(), d, device)
    }
}

/// dy/dρ and d ln q/dρ, `[n, D + 1]`.
fn slopes(score: &dyn ScoreNetwork, rows: &Rows<'_>, probes: &Probes, moment: Moment<'_>) -> Vec<f64> {
    let d = rows.dimension;
    let at_once = (MOST_ROWS / (1 + probes.count)).max(1);
    let mut out = Vec::with_capacity(moment.states.len());
    let parts = moment.chains.chunks(at_once).zip(moment.times.chunks(at_once));
    for ((chains, ratios), states) in parts.zip(moment.states.chunks(at_once * (d + 1))) {
        let (y, _) = parted(states, d);
        let (levels, x) = rows.at(ratios, &y);
        let (score, trace) = match probes.count {
            0 => score_and_trace(score, x, &levels),
            count => {
                let condition = Condition::at(&levels, &rows.device);
                let directions = (0..count).map(|k| probes.direction(k, chains, d, &rows.device)).collect();
                score_and_estimate(score, x, directions, &condition)
            }
        };
        let slopes = rows.slopes(&levels, score);
        for ((slope, level), trace) in slopes.chunks(d.max(1)).zip(&levels).zip(to_host(trace)) {
            out.extend_from_slice(slope);
            out.push(level.sigma * level.alpha * f64::from(trace));
        }
    }
    out
}

/// s and tr J of each row.
fn score_and_trace(score: &dyn ScoreNetwork, x: Tensor<2>, levels: &[Level]) -> (Tensor<2>, Tensor<1>) {
    let device = x.device();
    // What is known in closed form takes no directions, and so all rows at once.
    if let Some(known) = score.divergence(x.clone(), &Condition::at(levels, &device)) {
        return known;
    }
    let at_once = (MOST_ROWS / (1 + x.dims()[1])).max(1);
    let part = |(i, levels): (usize, &[Level])| {
        score_and_sum(score, x.clone().narrow(0, i * at_once, levels.len()), &Condition::at(levels, &device))
    };
    let (scores, traces) = levels.chunks(at_once).enumerate().map(part).unzip();
    (Tensor::cat(scores, 0), Tensor::cat(traces, 0))
}

/// s and tr J of each row, by a direction for each number.
fn score_and_sum(score: &dyn ScoreNetwork, x: Tensor<2>, condition: &Condition) -> (Tensor<2>, Tensor<1>) {
    let [n, d] = x.dims();
    let jet = score.jet(Jet::basis(x), condition);
    let tangents = jet.tangents();
    let diagonal = Tensor::<2>::eye(d, &tangents.device()).cast(FloatDType::from(tangents.dtype()));
    let jacobian = tangents.reshape([d, n, d]) * diagonal.unsqueeze_dim::<3>(1);
    (jet.into_value(), jacobian.sum_dim(2).sum_dim(0).reshape([n]))
}

/// s of each row and the mean of vᵀ J v over its directions.
fn score_and_estimate(
    score: &dyn ScoreNetwork,
    x: Tensor<2>,
    directions: Vec<Tensor<2>>,
    condition: &Condition,
) -> (Tensor<2>, Tensor<1>) {
    let (n, count) = (x.dims()[0], directions.len());
    let jet = score.jet(Jet::seed(x, directions.clone()), condition);
    let products = (jet.tangents() * Tensor::cat(directions, 0)).sum_dim(1).reshape([count, n]);
    (jet.into_value(), products.sum_dim(0).reshape([n]) / count as f64)
}
