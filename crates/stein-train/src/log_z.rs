//! log Z of a network's density at the smallest noise level, and the log-likelihood of held-out rows by it.
//!
//! What is normalised is the density of x̃ = α x + σ z, so the rows get that noise. Reported is, as of the probability flow, the
//! density of x̃/α.

use std::ops::ControlFlow;

use burn::tensor::Device;
use stein_core::{Component, Condition, Level, SampleError, ScoreNetwork, matrix, to_host};
use stein_experiment::{LogZ as Asked, Plan};
use stein_metrics::stats::{Gaussian, Rows};
use stein_networks::ExactConfig;
use stein_record::{Array, Better, Estimate, MetricRecord};
use stein_samplers::{AnnealedImportance, Factor, LogZ, Reference, annealed_importance, with_last_noise};

use crate::likelihood::{MOST_LINEAR, gaussian, held_out_rows, truth};
use crate::quadrature::{Integral, around, integrate};

/// What the reference's covariance has beside that of the rows, over the mean variance: it must not be narrower than p̃ in any
/// direction, or single chains would carry all the weight.
const WIDER: f64 = 0.01;
/// Below this share of the chains that count, a standard error is no more to be relied upon than they are.
const FEW: f64 = 0.1;
/// The change of log Z between two grids at which a quadrature is done.
const TOLERANCE: f64 = 1e-4;

/// What `[evaluation] log-z` asks for, at `network` (without autodiff); nothing if it is left out. `watch` hears of how many steps
/// are done, of how many, and may stop it.
///
/// # Errors
/// If the network has no density, or `watch` stops it.
pub fn log_z(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    device: &Device,
    mut watch: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<MetricRecord>, SampleError> {
    let Some(asked) = &plan.experiment.evaluation.log_z else { return Ok(Vec::new()) };
    let (data, level, chunk) = (&plan.dataset, plan.schedule.last(), plan.experiment.evaluation.chunk);
    let (streams, leapfrog_steps) = (plan.streams, asked.leapfrog_steps);
    let (chains, temperatures) = (asked.chains, asked.temperatures);
    let what = AnnealedImportance { chains, temperatures, leapfrog_steps, level, chunk, streams, device };
    let found = annealed_importance(network, &reference(plan, level), what, &mut watch)?;

    let noisy = with_last_noise(&*plan.schedule, &held_out_rows(plan, asked.rows), streams, device);
    let values = Values {
        plan,
        asked,
        own: log_densities(network, &noisy, level, chunk, device)?,
        truth: truth(plan, &noisy, level, device),
        gaussian: gaussian(plan, &noisy, level),
        quadrature: (data.dimension() == 2)
            .then(|| integrate(network, level, around(plan, level), TOLERANCE, device))
            .flatten(),
        found,
    };
    Ok(values.records())
}

/// A Gaussian of the noisy training rows' moments, somewhat wider; without correlations where they would cost D³ of very many.
fn reference(plan: &Plan, level: Level) -> Reference {
    let (data, d) = (&plan.dataset, plan.dataset.dimension());
    let train = data.dequantized(&data.train, &mut plan.streams.at("log-z train", 0));
    let full = || {
        let fitted = Gaussian::fit(Rows::new(&train.data, d).ok()?, WIDER).ok()?;
        let mean = fitted.mean().iter().map(|m| level.alpha * m).collect();
        let factor = fitted.factor_at(level.alpha, level.sigma).ok()?;
        Some(Reference::new(mean, Factor::Full(factor)))
    };
    (d <= MOST_LINEAR).then(full).flatten().unwrap_or_else(|| diagonal(&train, level))
}

fn diagonal(train: &Array, level: Level) -> Reference {
    let (n, d) = (train.rows() as f64, train.row_length());
    let (mut mean, mut variance) = (vec![0.0; d], vec![0.0; d]);
    for row in train.data.chunks(d.max(1)) {
        mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x) / n);
    }
    for row in train.data.chunks(d.max(1)) {
        let squares = row.iter().zip(&mean).map(|(&x, m)| (f64::from(x) - m).powi(2));
        variance.iter_mut().zip(squares).for_each(|(v, square)| *v += square / (n - 1.0));
    }
    let more = WIDER * variance.iter().sum::<f64>() / d as f64 + f64::MIN_POSITIVE;
    let deviation = |v: &f64| (level.alpha.powi(2) * (v + more) + level.sigma.powi(2)).sqrt();
    let mean = mean.iter().map(|m| level.alpha * m).collect();
    Reference::new(mean, Factor::Diagonal(variance.iter().map(deviation).collect()))
}

/// log p̃ at each row.
fn log_densities(
    network: &dyn ScoreNetwork,
    rows: &Array,
    level: Level,
    chunk: usize,
    device: &Device,
) -> Result<Vec<f64>, SampleError> {
    let d = rows.row_length();
    let mut out = Vec::with_capacity(rows.rows());
    for part in rows.data.chunks((chunk * d).max(1)) {
        let condition = Condition::uniform(level, part.len() / d, device);
        let logs =
            network.log_density(matrix(part.to_vec(), d, device), &condition).ok_or(SampleError::NoLogDensity)?;
        out.extend(to_host(logs).into_iter().map(f64::from));
    }
    Ok(out)
}

/// log Z, and log-densities of x̃ in nats, row by row.
struct Values<'a> {
    plan: &'a Plan,
    asked: &'a Asked,
    found: LogZ,
    /// Not normalised.
    own: Vec<f64>,
    truth: Option<Vec<f64>>,
    gaussian: Option<Vec<f64>>,
    quadrature: Option<Integral>,
}

impl Values<'_> {
    fn records(&self) -> Vec<MetricRecord> {
        let (data, level) = (&self.plan.dataset, self.plan.schedule.last());
        let log_z = self.found.estimate();
        // From x̃ to x̃/α.
        let volume = data.dimension() as f64 * level.alpha.ln();
        let nats = |values: &[f64]| {
            let mean = Estimate::mean_of(values);
            Estimate::new(mean.value + volume, mean.standard_error)
        };
        let normalised =
            |mean: Estimate| Estimate::new(mean.value - log_z.value, mean.standard_error.hypot(log_z.standard_error));
        // The smoothed law of the training rows is not what held-out rows come from.
        let empirical = data.target.as_ref().is_some_and(|target| target.is_empirical());
        let truth = self.truth.as_deref().filter(|_| !empirical);
        let record = |name: &str, label: &str, about: &str, better, estimate| MetricRecord {
            name: name.into(),
            label: label.into(),
            about: about.into(),
            better,
            estimate,
            floor: None,
            by_level: Vec::new(),
            parts: Vec::new(),
            baseline: None,
        };
        let exact = self.plan.experiment.network.kind() == ExactConfig::KIND;
        let of_z = if exact { Better::Near(0.0) } else { Better::Neither };
        let mut out = vec![record("log-z", "log Z (annealed importance sampling)", &self.about(), of_z, log_z)];
        if let Some(integral) = self.quadrature {
            let about = format!(
                "The same by the midpoint rule over a rectangle around the training rows, a second opinion; ± is what the last \
                 refinement changed, or rounding.{}",
                if integral.has_more_beyond() { BEYOND } else { "" }
            );
            // Densities have single precision.
            let rounding = f64::from(f32::EPSILON) * integral.log.abs();
            let estimate = Estimate::new(integral.log, integral.change.max(rounding));
            out.push(record("log-z-quadrature", "log Z (quadrature)", &about, of_z, estimate));
        }
        let about = format!(
            "The mean of log p̃ − log Z over {} held-out rows with the noise of the smallest level; ± is that of the rows and of log Z \
             together.",
            self.own.len()
        );
        out.push(MetricRecord {
            floor: truth.map(nats),
            baseline: self.gaussian.as_deref().map(nats),
            ..record(
                "energy-log-likelihood",
                "log-likelihood by the energy (nats)",
                &about,
                Better::Higher,
                normalised(nats(&self.own)),
            )
        });
        if let Some(truth) = truth {
            let errors: Vec<f64> = self.own.iter().zip(truth).map(|(own, truth)| own - truth).collect();
            let about = "That log-likelihood less the true log-density at the same rows: minus a divergence KL, but for the error \
                         of log Z. It can be large where the score is right: a score does not say how much weight regions have \
                         that no density connects.";
            let error = normalised(Estimate::mean_of(&errors));
            let label = "log-likelihood by the energy − truth";
            out.push(record("energy-log-likelihood-error", label, about, Better::Near(0.0), error));
        }
        let alone = |value| Estimate::new(value, f64::NAN);
        let about = "(Σ e^w)²/Σ e^2w over the number of chains: 1 if all weigh alike.";
        let better = Better::Higher;
        out.push(record(
            "log-z-effective-samples",
            "log Z: share of chains that count",
            about,
            better,
            alone(self.share()),
        ));
        if self.asked.temperatures > 1 {
            let about = "Of the trajectories on the way; a pilot sets their step sizes for about 0.9.";
            let acceptance = alone(self.found.acceptance);
            out.push(record("log-z-acceptance", "log Z: proposals accepted", about, Better::Near(0.9), acceptance));
        }
        out
    }

    fn share(&self) -> f64 {
        self.found.effective_samples() / self.asked.chains as f64
    }

    fn about(&self) -> String {
        let Asked { chains, temperatures, leapfrog_steps, .. } = self.asked;
        let sigma = self.plan.schedule.last().sigma;
        let about = format!(
            "log ∫ p̃ at σ = {sigma}, by {chains} chains from a Gaussian fitted to the training rows in {temperatures} steps of β, \
             {leapfrog_steps} leapfrog steps each. On average it is too low by half its variance; mass that no chain meets is not counted."
        );
        let lost = self.found.lost();
        let warning = match self.share() {
            _ if lost > 0 => {
                format!(" {lost} chains met a density or a score that is not finite, so there is no estimate.")
            }
            share if share < FEW => format!(
                " Only {:.1} % of the chains count: log Z is probably too low and its standard error too small; take more temperatures.",
                100.0 * share
            ),
            _ => String::new(),
        };
        about + &warning
    }
}

const BEYOND: &str =
    " There is density at the rectangle's border, so there is more beyond: this is too low, or there is no log Z.";
