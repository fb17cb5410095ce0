//! The log-likelihood of held-out rows by the probability flow, in nats and in bits per dimension.
//!
//! The density meant is that of x + ρ_L z, ρ_L = σ_L/α_L the smallest noise over the signal, taken at the rows themselves: the
//! model is not asked for more detail than it was trained on. Or the rows get that noise themselves (`noisy`): then the mean
//! is at most that of the true density, what is missing is a divergence KL, and the bound of the reverse SDE is about the same.
//!
//! A network of classes is asked for the density of the whole law.
//!
//! Integer values v have no density; (v + u) w with u uniform in [0, 1) has one, p. Since P(v) = w^D E_u p((v + u) w), Jensen's
//! inequality makes −E ln p((v + u) w) − D ln w an upper bound of −ln P(v), tight if p is flat within each cell. In bits per
//! dimension it is −log₂(p)/D − log₂ w; for values dequantised to [0, 1) as (v + u)/17 the last term is log₂ 17.

use std::f64::consts::LN_2;
use std::ops::ControlFlow;

use burn::tensor::Device;
use stein_core::{Condition, Level, SampleError, ScoreNetwork, matrix, to_host};
use stein_experiment::{Plan, Terminal as Asked};
use stein_metrics::stats::{Gaussian, RIDGE, Rows};
use stein_record::{Array, Better, Estimate, MetricRecord};
use stein_samplers::{Likelihood, LikelihoodBound, Terminal, Trace, likelihood_bound, log_likelihood, with_last_noise};

/// Rows whose true density is computed at a time.
const CHUNK: usize = 256;
/// Beyond this many numbers a row, a fitted Gaussian is not worth its D³.
pub(crate) const MOST_LINEAR: usize = 1024;

/// The first held-out rows, as many as there are up to `most`, dequantised: those that a log-likelihood is of.
pub(crate) fn held_out_rows(plan: &Plan, most: usize) -> Array {
    let data = &plan.dataset;
    let count = most.min(data.held_out.rows());
    data.dequantized(&data.held_out.slice(0..count), &mut plan.streams.at("likelihood rows", 0))
}

/// What `[evaluation] likelihood` asks for, at `network` (without autodiff); nothing if it is left out. `watch` hears of how
/// many rows are done, of how many, and may stop it.
///
/// # Errors
/// If the flow cannot be solved to the tolerance, or `watch` stops it.
pub fn log_likelihoods(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    device: &Device,
    mut watch: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<MetricRecord>, SampleError> {
    let Some(asked) = &plan.experiment.evaluation.likelihood else { return Ok(Vec::new()) };
    let (data, level) = (&plan.dataset, plan.schedule.last());
    let rows = held_out_rows(plan, asked.rows);
    let count = rows.rows();
    let noisy = if asked.noisy {
        with_last_noise(&*plan.schedule, &rows, plan.streams, device)
    } else {
        let data = rows.data.iter().map(|&x| (level.alpha * f64::from(x)) as f32).collect();
        Array::new([count, rows.row_length()], data)
    };
    let mean = data.mean();
    let terminal = match (&data.target, asked.terminal) {
        (Some(target), Asked::Target) => Terminal::Target(&**target),
        _ => Terminal::Gaussian(&mean),
    };
    let chunk = plan.experiment.evaluation.chunk;
    let what = Likelihood {
        divergence: asked.divergence,
        probes: asked.probes,
        tolerance: asked.tolerance(),
        terminal,
        chunk,
        streams: plan.streams,
        device,
    };
    let found = log_likelihood(network, &*plan.schedule, &noisy, what, &mut |done| watch(done, count))?;
    let bound = asked.noisy.then(|| {
        let what = LikelihoodBound { terminal, spread: data.spread(), chunk, streams: plan.streams, device };
        likelihood_bound(network, &*plan.schedule, &rows, what)
    });
    let values = Values {
        bound,
        own: found.nats(),
        truth: truth(plan, &noisy, level, device),
        gaussian: gaussian(plan, &noisy, level),
        evaluations: found.evaluations.iter().map(|&n| n as f64).collect(),
    };
    Ok(values.records(plan, asked))
}

/// The true log-density of x̃ at each row, where it is known.
pub(crate) fn truth(plan: &Plan, noisy: &Array, level: Level, device: &Device) -> Option<Vec<f64>> {
    let target = plan.dataset.target.as_ref().filter(|target| target.knows(level))?;
    let d = noisy.row_length();
    let of = |rows: &[f32]| {
        let x = matrix(rows.to_vec(), d, device);
        let condition = Condition::uniform(level, x.dims()[0], device);
        to_host(target.log_density(x, &condition)).into_iter().map(f64::from).collect::<Vec<_>>()
    };
    Some(noisy.data.chunks(CHUNK * d.max(1)).flat_map(of).collect())
}

/// That of a Gaussian fitted to the training rows.
pub(crate) fn gaussian(plan: &Plan, noisy: &Array, level: Level) -> Option<Vec<f64>> {
    let (data, d) = (&plan.dataset, noisy.row_length());
    if d > MOST_LINEAR {
        return None;
    }
    let train = data.dequantized(&data.train, &mut plan.streams.at("likelihood train", 0));
    let fitted = Gaussian::fit(Rows::new(&train.data, d).ok()?, RIDGE).ok()?;
    fitted.log_density_at(level.alpha, level.sigma, Rows::new(&noisy.data, d).ok()?).ok()
}

/// Log-densities of x̃ in nats, row by row.
struct Values {
    own: Vec<f64>,
    /// Of x + ρ z.
    bound: Option<Vec<f64>>,
    truth: Option<Vec<f64>>,
    gaussian: Option<Vec<f64>>,
    evaluations: Vec<f64>,
}

impl Values {
    fn records(&self, plan: &Plan, asked: &stein_experiment::Likelihood) -> Vec<MetricRecord> {
        let (data, level) = (&plan.dataset, plan.schedule.last());
        let d = data.dimension() as f64;
        // From x̃ = α (x + ρ z) to x + ρ z.
        let nats = |values: &[f64]| {
            let mean = Estimate::mean_of(values);
            Estimate::new(mean.value + d * level.alpha.ln(), mean.standard_error)
        };
        let own = nats(&self.own);
        // The smoothed law of the training rows is not what held-out rows come from.
        let empirical = data.target.as_ref().is_some_and(|target| target.is_empirical());
        let floor = self.truth.as_deref().filter(|_| !empirical).map(nats);
        let gaussian = self.gaussian.as_deref().map(nats);
        let about = self.about(plan, asked);
        let record = |name: &str, label: &str, about: &str, better, estimate| MetricRecord {
            name: name.into(),
            label: label.into(),
            about: about.into(),
            better,
            estimate,
            floor: None,
            baseline: None,
            by_level: Vec::new(),
            parts: Vec::new(),
        };
        let mut out = vec![MetricRecord {
            floor,
            baseline: gaussian,
            ..record("log-likelihood", "log-likelihood (nats)", &about, Better::Higher, own)
        }];
        if let Some(truth) = self.truth.as_ref().filter(|_| !empirical) {
            let errors: Vec<f64> = self.own.iter().zip(truth).map(|(own, truth)| own - truth).collect();
            let about = "The log-likelihood less the true log-density at the same rows and level: the error of score, \
                         solver and the density at the largest level.";
            let error = Estimate::mean_of(&errors);
            out.push(record("log-likelihood-error", "log-likelihood − truth", about, Better::Near(0.0), error));
        }
        if let Some(bound) = &self.bound {
            let about = "A lower bound of the mean log-likelihood by the reverse SDE from the same density at the largest level, \
                         in continuous time: by the denoising loss weighted by g². It does not bound the probability flow.";
            let estimate = Estimate::mean_of(bound);
            out.push(MetricRecord {
                floor,
                ..record("likelihood-bound", "bound of the SDE's log-likelihood", about, Better::Higher, estimate)
            });
        }
        if let Some(width) = data.dequantize.filter(|_| !asked.noisy) {
            let bits = |nats: Estimate| {
                let scale = LN_2 * d;
                Estimate::new(-nats.value / scale - f64::from(width).log2(), nats.standard_error / scale)
            };
            let about = format!(
                "The same over the dimensions, in bits a value of width {width:.3e}: an upper bound of what the integers \
                 take, by uniform dequantisation."
            );
            let label = "bits per dimension (uniform dequantisation)";
            out.push(MetricRecord {
                floor: floor.map(bits),
                baseline: gaussian.map(bits),
                ..record("bits-per-dimension", label, &about, Better::Lower, bits(own))
            });
        }
        let about = "Evaluations of score and divergence together that the flow of a row took.";
        let cost = Estimate::mean_of(&self.evaluations);
        out.push(record("log-likelihood-nfe", "NFE of the log-likelihood", about, Better::Lower, cost));
        out
    }

    fn about(&self, plan: &Plan, asked: &stein_experiment::Likelihood) -> String {
        let ratio = plan.schedule.last().log_ratio().exp();
        let divergence = match (asked.divergence, asked.probes) {
            (Trace::Exact, _) => "exact divergence".to_owned(),
            (Trace::Hutchinson, 1) => "Hutchinson's divergence, 1 probe a path".to_owned(),
            (Trace::Hutchinson, probes) => format!("Hutchinson's divergence, {probes} probes a path"),
        };
        let terminal = match asked.terminal {
            Asked::Gaussian => "the Gaussian that samplers start from",
            Asked::Target => "the target's own density",
        };
        let dequantised = if plan.dataset.dequantize.is_some() { ", dequantised uniformly" } else { "" };
        let noisy = if asked.noisy { ", with the noise of the smallest level" } else { "" };
        format!(
            "By the probability flow, of {} held-out rows{dequantised}{noisy}; {divergence}, rtol {:e}, atol {:e}; at σ/α = {ratio:.3e}; \
             from {terminal} at the largest level.",
            self.own.len(),
            asked.rtol,
            asked.atol,
        )
    }
}
