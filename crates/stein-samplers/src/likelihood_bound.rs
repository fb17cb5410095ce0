//! A lower bound of the log-likelihood of the reverse SDE, from the denoising loss weighted by g² (Song et al. 2021, arXiv
//! 2101.09258, theorem 1).
//!
//! The model is the reverse SDE of the score s, begun at the first level with the density π and run in continuous time down to
//! the last one, L. Let p_θ be its density of y = x̃/α there, and q_ρ that of the data's y = x + ρ z. In v = ρ² the data's y
//! is a Brownian motion, whatever α is, and S = α s(α y) stands for ∇ln q. Girsanov's theorem bounds
//!
//! > KL(q_L ‖ p_θ) ≤ KL(q_1 ‖ π) + ½ ∫ E‖S − ∇ln q‖² dv, over v from ρ_L² to ρ_1²,
//!
//! and the entropy H of q grows by ½ E‖∇ln q‖² dv (de Bruijn). Together, with −E ln p_θ = KL + H,
//!
//! > −E ln p_θ(y_L) ≤ −E ln π(y_1) + ½ ∫ E[‖S − ∇ln q‖² − ‖∇ln q‖²] dv.
//!
//! Of ∇ln q only E S·∇ln q counts, for which the kernel's −z/ρ may stand, as in every denoising loss; ½ dv = ρ² d ln ρ, so
//!
//! > −E ln p_θ(y_L) ≤ −E ln π(y_1) + ∫ (E‖σ s + z‖² − D) d ln ρ.
//!
//! The expectations are over y_L too: this is about rows with the noise of the last level. Equality holds where s is the
//! score and π is q_1. It bounds the SDE, not the probability flow, whose likelihood it can exceed.

use burn::tensor::Device;
use stein_core::{ChainNoise, Condition, NoiseSchedule, ScoreNetwork, Streams, matrix, to_host};
use stein_record::Array;

use crate::Terminal;
use crate::flow::Rows;

/// Draws of noise for a row: as many levels, one from each of as many even parts of ln ρ.
const DRAWS: usize = 64;

/// How a bound is computed.
#[derive(Debug, Clone, Copy)]
pub struct LikelihoodBound<'a> {
    /// π, the density at the first level.
    pub terminal: Terminal<'a>,
    /// The data's standard deviation: what noise is balanced by; it changes the scatter, not the mean.
    pub spread: f64,
    /// Rows at a time, each with all its draws; bounds memory, does not change the values.
    pub chunk: usize,
    /// Noise: a stream a row.
    pub streams: Streams,
    /// Where to compute.
    pub device: &'a Device,
}

/// For each of the clean rows `x` `[N, D]` a number whose mean is at most E ln p_θ(x + ρ_L z), in nats.
pub fn likelihood_bound(
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    x: &Array,
    what: LikelihoodBound<'_>,
) -> Vec<f64> {
    let n = x.rows();
    let rows = Rows { schedule, dimension: x.row_length(), device: what.device.clone() };
    // The draws of a row are rows themselves.
    let at_once = what.chunk.div_ceil(DRAWS).max(1);
    let mut out = Vec::with_capacity(n);
    for start in (0..n).step_by(at_once) {
        let end = (start + at_once).min(n);
        let mut noise = what.streams.chains("likelihood bound", start as u64..end as u64);
        out.extend(bounds(score, &rows, &x.slice(start..end), &what, &mut noise));
    }
    out
}

fn bounds(
    score: &dyn ScoreNetwork,
    rows: &Rows<'_>,
    x: &Array,
    what: &LikelihoodBound<'_>,
    noise: &mut ChainNoise,
) -> Vec<f64> {
    let (n, d) = (x.rows(), x.row_length());
    let (first, last) = (rows.schedule.first(), rows.schedule.last());
    let span = rows.schedule.span();
    let draws: Vec<(usize, usize)> = (0..n).flat_map(|row| (0..DRAWS).map(move |k| (row, k))).collect();
    let uniforms = noise.uniforms(DRAWS);
    let part = |&(_, k): &(usize, usize), u: &f32| (k as f64 + f64::from(*u)) / DRAWS as f64;
    let ratios: Vec<f64> =
        draws.iter().zip(&uniforms).map(|(draw, u)| (last.log_ratio() + span * part(draw, u)).exp()).collect();
    let z = noise.normals(DRAWS * d);
    let clean = || draws.iter().flat_map(|&(row, _)| x.row(row)).map(|&x| f64::from(x));
    let perturbed = |ratio: &dyn Fn(usize) -> f64| -> Vec<f64> {
        clean().zip(&z).enumerate().map(|(i, (x, z))| x + ratio(i / d) * f64::from(*z)).collect()
    };

    let (levels, noisy) = rows.at(&ratios, &perturbed(&|i| ratios[i]));
    let scores = to_host(score.score(noisy, &Condition::at(&levels, &rows.device)));
    let ends = perturbed(&|_| first.sigma / first.alpha);
    let terminal = what.terminal.log_density(rows, &ends, first);

    let d64 = d as f64;
    let mut out = vec![0.0; n];
    for (i, &(row, _)) in draws.iter().enumerate() {
        let (z, s) = (&z[i * d..][..d], &scores[i * d..][..d]);
        let square = z.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>();
        let residual =
            s.iter().zip(z).map(|(&s, &z)| (levels[i].sigma * f64::from(s) + f64::from(z)).powi(2)).sum::<f64>();
        // ‖z‖² − D has mean 0. For a Gaussian of this spread, σ s + z is `kept` times z, and ln π goes with −½‖z‖².
        let kept = what.spread.powi(2) / (what.spread.powi(2) + ratios[i] * ratios[i]);
        let loss = residual - d64 - kept * kept * (square - d64);
        let start = terminal[i] + d64 * first.alpha.ln() + 0.5 * (square - d64);
        out[row] += (start - span * loss) / DRAWS as f64;
    }
    out
}

/// Clean rows `x` with the noise of the last level, x̃ `[N, D]`: what the bound is about.
pub fn with_last_noise(schedule: &dyn NoiseSchedule, x: &Array, streams: Streams, device: &Device) -> Array {
    let (d, level) = (x.row_length(), schedule.last());
    let z = streams.chains("likelihood noise", 0..x.rows() as u64).normals(d);
    let noisy = matrix(x.data.clone(), d, device) * level.alpha + matrix(z, d, device) * level.sigma;
    stein_core::to_array(noisy)
}
