//! Drawing samples that agree with a measurement.

use stein_core::{NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, matrix, to_tensor};
use stein_record::Array;

use super::{Covariance, Measurement, Method, Posterior, Projection};
use crate::draw::Counted;
use crate::{Draw, Drawn, draw};

/// What is known of samples.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// V.
    pub measurement: &'a Measurement,
    /// y, `[N, k]`.
    pub measured: &'a Array,
    /// Chains of each y.
    pub repeats: usize,
    /// τ, the standard deviation of the data, for [`Method::Posterior`].
    pub spread: f64,
    /// σ_y.
    pub sigma_y: f64,
    /// How chains are made to agree.
    pub method: Method,
    /// Iterations of [`Method::MomentMatching`].
    pub iterations: usize,
}

/// Draws samples as [`draw`](crate::draw()) does, `repeats` of each measured row in turn; `what.samples` is not looked at.
///
/// What guidance evaluates counts too: the derivative of the score along a direction as one more evaluation.
///
/// # Errors
/// As [`draw`](crate::draw()).
pub fn complete(
    sampler: &dyn Sampler,
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    what: Draw<'_>,
    given: Given<'_>,
    mut observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<Drawn, SampleError> {
    let (d, k) = (given.measurement.dimension(), given.measurement.rank());
    let single = |values: &[f64], columns| matrix(values.iter().map(|&v| v as f32).collect(), columns, what.device);
    let turned = (single(&given.measurement.rows(), d), single(given.measurement.squares(), k));
    let samples = given.measured.rows() * given.repeats;
    let counted = Counted::new(score);
    let mut data = Vec::with_capacity(samples * d);
    for first in (0..samples).step_by(what.chunk.max(1)) {
        let chains = first..(first + what.chunk.max(1)).min(samples);
        let rows = chains.clone().flat_map(|chain| given.measured.row(chain / given.repeats).iter().copied()).collect();
        let measured = to_tensor(&Array::new([chains.len(), k], rows), what.device);
        let part = Draw { samples: chains.len(), first: what.first + first as u64, ..what };
        let posterior =
            |covariance| Posterior::new(&counted, turned.clone(), measured.clone(), given.sigma_y, covariance);
        let drawn = match given.method {
            Method::Projection => {
                let noise = what.streams.chains("projection", part.first..part.first + chains.len() as u64);
                let mut noise = Some(noise);
                draw(sampler, &counted, schedule, part, |_| {
                    let noise = noise.take().expect("one chunk");
                    Box::new(Projection::new(observe(first), noise, turned.clone(), measured.clone()))
                })
            }
            Method::Posterior => {
                let guided = posterior(Covariance::Isotropic { spread: given.spread });
                draw(sampler, &guided, schedule, part, |_| observe(first))
            }
            Method::MomentMatching => {
                let guided = posterior(Covariance::Tweedie { iterations: given.iterations });
                draw(sampler, &guided, schedule, part, |_| observe(first))
            }
        };
        data.extend(drawn?.samples.data);
    }
    // Nothing is rejected: samplers that do so have a density to look at, and a guided score has none.
    Ok(Drawn { samples: Array::new([samples, d], data), evaluations: counted.each(samples), acceptance: None })
}
