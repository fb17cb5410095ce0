//! log Z = log ∫ p̃ of a density that is known up to a constant, by annealed importance sampling (Neal 2001, arXiv
//! physics/9803008).
//!
//! Chains start as draws of a Gaussian q₀ and follow f_β = q₀^(1−β) p̃^β from β = 0 to 1: at each β a trajectory of Hamiltonian
//! Monte Carlo that leaves f_β invariant. On its way through β₀ = 0 < … < β_K = 1 a chain collects the weight
//!
//! > w = Σ (β_k − β_{k−1}) (log p̃ − log q₀)(x_{k−1}),  and  E e^w = Z,
//!
//! whether the chains keep up with f_β or not: what they do not meet shows as a scatter of w. Mass where no chain gets is not
//! counted, and does not show.
//!
//! All is done in u, x = m + L u, where q₀ = N(m, L Lᵀ) is a standard normal and the trajectories' unit mass suits it. The β and the
//! step size at each come from a pilot: chains with noise of their own, on a spacing that is dense near 0, where f_β changes
//! most if p̃ is much narrower than q₀. At each β they say how far log p̃ − log q₀ scatters, which is how fast f_β changes, and
//! how often trajectories are accepted. Then the β are set so that f_β changes evenly, all is frozen, and the chains that count
//! set out: nothing that they do changes their transitions, or e^w would not be unbiased.

use std::f64::consts::TAU;
use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use stein_core::{ChainNoise, Condition, Jet, Level, SampleError, ScoreNetwork, Streams, matrix, to_host};
use stein_record::Estimate;

use crate::hmc::trajectory;
use crate::metropolis::State;

/// Chains of the pilot, whatever the chunk: what it finds must not depend on that.
const PILOT_CHAINS: u64 = 128;
/// Steps of β that the pilot takes at least: its step size needs so many to settle.
const PILOT_STEPS: usize = 100;
/// The share of trajectories that the pilot's step size aims to have accepted. More than what is best for the mixing of one long
/// chain: short trajectories make chains' weights more even than long ones of the same cost.
const ACCEPTANCE: f64 = 0.9;
/// Step sizes differ by up to this part from one β to the next. A trajectory of half a period takes u to −u: were all of the
/// same length, such chains would keep ‖u‖, and their weights would not even out.
const UNEVEN: f64 = 0.4;
/// The part of the steps of β that are spaced as the pilot's were, whatever it saw: it may have missed where f_β changes.
const UNSEEN: f64 = 0.1;

/// q₀ = N(m, L Lᵀ).
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    mean: Vec<f64>,
    factor: Factor,
}

/// L.
#[derive(Debug, Clone, PartialEq)]
pub enum Factor {
    /// Lower triangular `[D, D]`, row major.
    Full(Vec<f64>),
    /// Diagonal `[D]`.
    Diagonal(Vec<f64>),
}

impl Reference {
    /// N(mean, L Lᵀ).
    ///
    /// # Panics
    /// If there are not as many numbers as a factor of that dimension has.
    pub fn new(mean: Vec<f64>, factor: Factor) -> Self {
        let d = mean.len();
        match &factor {
            Factor::Full(l) => assert_eq!(l.len(), d * d, "a factor of {d} rows"),
            Factor::Diagonal(l) => assert_eq!(l.len(), d, "a diagonal factor of {d} rows"),
        }
        Self { mean, factor }
    }

    /// ln det L.
    fn log_volume(&self) -> f64 {
        let d = self.mean.len();
        match &self.factor {
            Factor::Full(l) => (0..d).map(|i| l[i * d + i].ln()).sum(),
            Factor::Diagonal(l) => l.iter().map(|l| l.ln()).sum(),
        }
    }
}

/// How log Z is estimated.
#[derive(Debug, Clone, Copy)]
pub struct AnnealedImportance<'a> {
    /// Chains.
    pub chains: usize,
    /// Steps of β from 0 to 1.
    pub temperatures: usize,
    /// Leapfrog steps of the trajectory at each β.
    pub leapfrog_steps: usize,
    /// The noise level whose density is meant.
    pub level: Level,
    /// At most so many chains at a time; bounds memory, does not change the weights.
    pub chunk: usize,
    /// Noise: a stream a chain.
    pub streams: Streams,
    /// Where to compute.
    pub device: &'a Device,
}

/// What the chains found.
#[derive(Debug, Clone, PartialEq)]
pub struct LogZ {
    /// w of each chain; e^w is an unbiased estimate of Z.
    pub log_weights: Vec<f64>,
    /// The mean probability with which trajectories were accepted; NaN where there was none, with a single step of β.
    pub acceptance: f64,
}

impl LogZ {
    /// Chains that left the numbers.
    pub fn lost(&self) -> usize {
        self.log_weights.iter().filter(|w| !w.is_finite()).count()
    }

    /// log mean e^w, with its standard error by the delta method: the standard deviation of the weights over their mean and √N.
    /// By Jensen's inequality it is too low, on average by half its variance. NaN if a chain was lost: a weight of 0 in its place
    /// would be a guess.
    pub fn estimate(&self) -> Estimate {
        let (log_scale, weights) = self.weights();
        let Estimate { value, standard_error } = Estimate::mean_of(&weights);
        Estimate::new(log_scale + value.ln(), standard_error / value)
    }

    /// (Σ e^w)²/Σ e^2w: as many equal weights would scatter as much.
    pub fn effective_samples(&self) -> f64 {
        let (_, weights) = self.weights();
        let sum: f64 = weights.iter().sum();
        sum * sum / weights.iter().map(|w| w * w).sum::<f64>()
    }

    /// The largest w, and all e^w relative to that one.
    fn weights(&self) -> (f64, Vec<f64>) {
        let scale = if self.lost() > 0 { f64::NAN } else { self.log_weights.iter().copied().fold(f64::MIN, f64::max) };
        (scale, self.log_weights.iter().map(|w| (w - scale).exp()).collect())
    }
}

/// Estimates log ∫ p̃ of `network`'s density at a level, from `reference`. `watch` hears how many steps are done, of how many, and
/// may stop it.
///
/// # Errors
/// [`SampleError::NoLogDensity`] if the network has none; [`SampleError::Stopped`] if `watch` stops it.
pub fn annealed_importance(
    network: &dyn ScoreNetwork,
    reference: &Reference,
    what: AnnealedImportance<'_>,
    watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<LogZ, SampleError> {
    let target = Whitened::new(network, reference, what.level, what.device);
    let (chunk, most) = (what.chunk.max(1), what.temperatures.max(PILOT_STEPS));
    let steps = most + what.chains.div_ceil(chunk) * what.temperatures;
    let mut done = 0;
    let mut step = || {
        done += 1;
        if watch(done, steps).is_break() { Err(SampleError::Stopped { step: done }) } else { Ok(()) }
    };
    let stages = pilot(&target, &what, most, &mut step)?;
    let (mut log_weights, mut accepted) = (Vec::with_capacity(what.chains), 0.0);
    for first in (0..what.chains).step_by(chunk) {
        let last = (first + chunk).min(what.chains);
        let mut noise = what.streams.chains("annealed importance", first as u64..last as u64);
        let (weights, acceptance) = anneal(&target, &stages, &mut noise, what.leapfrog_steps, &mut step)?;
        log_weights.extend(weights);
        accepted += acceptance * (last - first) as f64;
    }
    Ok(LogZ { log_weights, acceptance: accepted / what.chains as f64 })
}

/// A β and the leapfrog step size of the trajectory there.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stage {
    beta: f64,
    step_size: f64,
}

/// What the step size of the `k`th stage is multiplied by: about 1, evenly spread over any stretch of stages, by steps of the
/// golden ratio.
fn unevenness(k: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    1.0 + UNEVEN * (2.0 * (k as f64 * GOLDEN).fract() - 1.0)
}

/// w of some chains, and the mean acceptance of their trajectories.
fn anneal(
    target: &Whitened<'_>,
    stages: &[Stage],
    noise: &mut ChainNoise,
    leapfrog_steps: usize,
    step: &mut dyn FnMut() -> Result<(), SampleError>,
) -> Result<(Vec<f64>, f64), SampleError> {
    let mut u = target.start(noise);
    let mut weights = vec![0.0; noise.len()];
    let (mut before, mut accepted) = (0.0, 0.0);
    for (k, &stage) in stages.iter().enumerate() {
        let ratios = target.log_ratios(&u)?;
        weights.iter_mut().zip(ratios).for_each(|(w, ratio)| *w += (stage.beta - before) * ratio);
        // Where chains go at β = 1 no weight asks.
        if stage.beta < 1.0 {
            let stage = Stage { step_size: stage.step_size * unevenness(k), ..stage };
            let (next, acceptance) = target.transition(u, stage, leapfrog_steps, noise)?;
            (u, accepted) = (next, accepted + acceptance);
        }
        before = stage.beta;
        step()?;
    }
    Ok((weights, accepted / (stages.len() - 1) as f64))
}

/// The stages that chains are to go through, found by a way of `most` steps.
fn pilot(
    target: &Whitened<'_>,
    what: &AnnealedImportance<'_>,
    most: usize,
    step: &mut dyn FnMut() -> Result<(), SampleError>,
) -> Result<Vec<Stage>, SampleError> {
    let mut noise = what.streams.chains("annealed importance pilot", 0..PILOT_CHAINS);
    let mut u = target.start(&mut noise);
    // Leapfrog errors of a trajectory go with h⁴ D.
    let mut step_size = (target.dimension.max(1) as f64).powf(-0.25);
    let (mut seen, mut before) = (Vec::with_capacity(most), 0.0);
    for k in 1..=most {
        let beta = (k as f64 / most as f64).powi(4);
        let length = (beta - before) * deviation(&target.log_ratios(&u)?);
        seen.push((Stage { beta, step_size }, length));
        if beta < 1.0 {
            let stage = Stage { beta, step_size: step_size * unevenness(k) };
            let (next, acceptance) = target.transition(u, stage, what.leapfrog_steps, &mut noise)?;
            u = next;
            step_size *= (acceptance - ACCEPTANCE).exp();
        }
        before = beta;
        step()?;
    }
    Ok(spaced(&seen, what.temperatures))
}

/// `count` stages between which f_β changes evenly, from a pilot's stages and how much f_β changed on the way to each.
fn spaced(seen: &[(Stage, f64)], count: usize) -> Vec<Stage> {
    let total: f64 = seen.iter().map(|(_, length)| length).sum();
    let share = |length: f64| {
        let even = 1.0 / seen.len() as f64;
        if total > 0.0 { UNSEEN * even + (1.0 - UNSEEN) * length / total } else { even }
    };
    let (mut out, mut reached, mut before) = (Vec::with_capacity(count), 0.0, 0.0);
    for &(stage, length) in seen {
        let part = share(length);
        while out.len() < count {
            let within = ((out.len() + 1) as f64 / count as f64 - reached) / part;
            if within > 1.0 {
                break;
            }
            out.push(Stage { beta: before + within * (stage.beta - before), ..stage });
        }
        (reached, before) = (reached + part, stage.beta);
    }
    // The parts sum to one but for rounding.
    out.truncate(count - 1);
    out.push(Stage { beta: 1.0, ..seen[seen.len() - 1].0 });
    out
}

/// The standard deviation; 0 where a number is not finite.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let deviation = Estimate::mean_of(values).standard_error * n.sqrt();
    if deviation.is_finite() { deviation } else { 0.0 }
}

/// p̃ as a density of u, x = m + L u.
struct Whitened<'a> {
    network: &'a dyn ScoreNetwork,
    dimension: usize,
    /// m, `[1, D]`.
    mean: Tensor<2>,
    /// L `[D, D]`, or its diagonal `[1, D]`.
    factor: Tensor<2>,
    is_full: bool,
    log_volume: f64,
    level: Level,
    device: Device,
}

impl<'a> Whitened<'a> {
    fn new(network: &'a dyn ScoreNetwork, reference: &Reference, level: Level, device: &Device) -> Self {
        let d = reference.mean.len();
        let tensor = |values: &[f64]| matrix(values.iter().map(|&v| v as f32).collect(), d, device);
        let (factor, is_full) = match &reference.factor {
            Factor::Full(l) => (tensor(l), true),
            Factor::Diagonal(l) => (tensor(l), false),
        };
        let (mean, log_volume) = (tensor(&reference.mean), reference.log_volume());
        Self { network, dimension: d, mean, factor, is_full, log_volume, level, device: device.clone() }
    }

    /// Draws of q₀.
    fn start(&self, noise: &mut ChainNoise) -> Tensor<2> {
        matrix(noise.normals(self.dimension), self.dimension, &self.device)
    }

    /// L u.
    fn stretched(&self, u: Tensor<2>) -> Tensor<2> {
        if self.is_full { u.matmul(self.factor.clone().transpose()) } else { u * self.factor.clone() }
    }

    /// Lᵀ s: the gradient in u of what has the gradient s in x.
    fn pulled_back(&self, s: Tensor<2>) -> Tensor<2> {
        if self.is_full { s.matmul(self.factor.clone()) } else { s * self.factor.clone() }
    }

    fn place(&self, u: Tensor<2>) -> (Tensor<2>, Condition) {
        let condition = Condition::uniform(self.level, u.dims()[0], &self.device);
        (self.stretched(u) + self.mean.clone(), condition)
    }

    /// ∇ log p̃ in u.
    fn score(&self, u: Tensor<2>) -> Tensor<2> {
        let (x, condition) = self.place(u);
        self.pulled_back(self.network.score(x, &condition))
    }

    /// log p̃ of u but for log det L, `[B]`.
    fn log_density(&self, u: Tensor<2>) -> Option<Tensor<1>> {
        let (x, condition) = self.place(u);
        self.network.log_density(x, &condition)
    }

    /// log p̃ − log q₀ at each row.
    fn log_ratios(&self, u: &Tensor<2>) -> Result<Vec<f64>, SampleError> {
        let own = self.log_density(u.clone()).ok_or(SampleError::NoLogDensity)?;
        let constant = self.log_volume + self.dimension as f64 / 2.0 * TAU.ln();
        let ratios = own + half_squares(u.clone());
        Ok(to_host(ratios).into_iter().map(|ratio| f64::from(ratio) + constant).collect())
    }

    /// A trajectory that leaves f_β invariant; the mean probability of its being accepted too.
    fn transition(
        &self,
        u: Tensor<2>,
        Stage { beta, step_size }: Stage,
        leapfrog_steps: usize,
        noise: &mut ChainNoise,
    ) -> Result<(Tensor<2>, f64), SampleError> {
        let path = Path { target: self, beta };
        // The level is the target's own.
        let nothing = Condition::clean();
        let state = State::start(&path, u, &nothing)?;
        let (state, acceptance) = trajectory(&path, &nothing, state, step_size, leapfrog_steps, noise)?;
        Ok((state.x, acceptance))
    }
}

/// ½‖u‖² of each row, `[B]`.
fn half_squares(u: Tensor<2>) -> Tensor<1> {
    let [n, _] = u.dims();
    (u.square().sum_dim(1) * 0.5).reshape([n])
}

/// f_β in u: a standard normal's density to the power 1 − β times p̃^β.
struct Path<'a> {
    target: &'a Whitened<'a>,
    beta: f64,
}

impl ScoreNetwork for Path<'_> {
    fn jet(&self, u: Jet<2>, _: &Condition) -> Jet<2> {
        let target = self.target;
        let condition = Condition::uniform(target.level, u.batch(), &target.device);
        let x = u.clone().affine(|u| target.stretched(u), target.mean.clone());
        let own = target.network.jet(x, &condition).linear_map(|s| target.pulled_back(s));
        own.scale_by(self.beta) + u.scale_by(self.beta - 1.0)
    }

    fn score(&self, u: Tensor<2>, _: &Condition) -> Tensor<2> {
        self.target.score(u.clone()) * self.beta - u * (1.0 - self.beta)
    }

    fn log_density(&self, u: Tensor<2>, _: &Condition) -> Option<Tensor<1>> {
        let own = self.target.log_density(u.clone())?;
        Some(own * self.beta - half_squares(u) * (1.0 - self.beta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lengths: &[f64]) -> Vec<(Stage, f64)> {
        let n = lengths.len() as f64;
        let stage = |k: usize| Stage { beta: (k + 1) as f64 / n, step_size: k as f64 };
        lengths.iter().enumerate().map(|(k, &length)| (stage(k), length)).collect()
    }

    #[test]
    fn stages_lie_where_the_density_changes() {
        // All of the change is on the way to the second of four: a tenth of the stages is spread all the same.
        let stages = spaced(&seen(&[0.0, 3.0, 0.0, 0.0]), 40);
        let betas: Vec<f64> = stages.iter().map(|s| s.beta).collect();
        assert_eq!((betas.len(), betas[39]), (40, 1.0));
        assert!(betas.windows(2).all(|w| w[1] > w[0]) && betas[0] > 0.0, "{betas:?}");
        let within = betas.iter().filter(|b| (0.25..=0.5).contains(*b)).count();
        assert!((36..=38).contains(&within), "{within}");
        // Each with the step size that was seen there.
        assert!(stages.iter().all(|s| s.step_size == (s.beta * 4.0).ceil() - 1.0), "{stages:?}");
        // Where nothing changes, or nobody knows, they are even.
        for lengths in [[0.0; 4], [1.0; 4]] {
            let even = spaced(&seen(&lengths), 8);
            assert!(even.iter().enumerate().all(|(k, s)| (s.beta - (k + 1) as f64 / 8.0).abs() < 1e-12), "{even:?}");
        }
        assert_eq!(spaced(&seen(&[1.0, 2.0]), 1), [Stage { beta: 1.0, step_size: 1.0 }]);
    }

    #[test]
    fn a_lost_chain_leaves_no_estimate() {
        let of = |log_weights: Vec<f64>| LogZ { log_weights, acceptance: 1.0 };
        let found = of(vec![1001.0, 1001.0 + 3f64.ln()]);
        // Weights of 1 and 3 relative to the first: mean 2, standard error 1.
        let Estimate { value, standard_error } = found.estimate();
        assert!((value - 1001.0 - 2f64.ln()).abs() < 1e-9 && (standard_error - 0.5).abs() < 1e-12);
        assert!((found.effective_samples() - 1.6).abs() < 1e-12 && found.lost() == 0);
        for lost in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let found = of(vec![0.0, lost, 0.0]);
            assert!(found.lost() == 1 && found.estimate().value.is_nan() && found.effective_samples().is_nan());
        }
    }
}
