//! Drawing samples: starts, chunks, and a look at whether they are numbers.

use burn::tensor::Device;
use stein_core::{ChainNoise, NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, Streams, matrix, to_array};
use stein_record::Array;

/// What to draw.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// How many samples.
    pub samples: usize,
    /// The first chain: another start of the same streams gives other samples.
    pub first: u64,
    /// At most so many chains at a time; bounds memory, does not change the samples.
    pub chunk: usize,
    /// The mean of the starts, `[D]`.
    pub mean: &'a [f32],
    /// Their standard deviation, where there is no noise: else it is σ₁.
    pub spread: f64,
    /// Noise: a stream a chain.
    pub streams: Streams,
    /// Where to compute.
    pub device: &'a Device,
}

/// Draws samples `[N, D]`: each chain starts from mean + σ₁ z, the prior that the largest noise level makes of any data;
/// without noise from mean + spread · z.
///
/// `observe` is asked for an observer at each chunk, given its first chain.
///
/// # Errors
/// [`SampleError::Diverged`] if a sample is not finite; [`SampleError::Stopped`] if an observer stops it.
pub fn draw(
    sampler: &dyn Sampler,
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    what: Draw<'_>,
    mut observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<Array, SampleError> {
    let d = what.mean.len();
    let mut data = Vec::new();
    for first in (0..what.samples).step_by(what.chunk.max(1)) {
        let last = (first + what.chunk.max(1)).min(what.samples);
        let mut noise = what.streams.chains("sampler", what.first + first as u64..what.first + last as u64);
        let level = schedule.first();
        let spread = if level.is_clean() { what.spread } else { level.sigma };
        let start = starts(&mut noise, what.mean, spread);
        let x = matrix(start, d, what.device);
        let x = sampler.sample(score, schedule, x, &mut noise, &mut *observe(first))?;
        data.extend(to_array(x).data);
    }
    let bad = data.chunks(d.max(1)).filter(|row| !row.iter().all(|x| x.is_finite())).count();
    if bad > 0 {
        return Err(SampleError::Diverged { chains: bad, of: what.samples });
    }
    Ok(Array::new([what.samples, d], data))
}

fn starts(noise: &mut ChainNoise, mean: &[f32], sigma: f64) -> Vec<f32> {
    let mut x = noise.normals(mean.len());
    for row in x.chunks_mut(mean.len().max(1)) {
        for (x, &m) in row.iter_mut().zip(mean) {
            *x = m + (sigma * f64::from(*x)) as f32;
        }
    }
    x
}
