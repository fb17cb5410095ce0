//! Drawing samples: starts, chunks, and a look at whether they are numbers.

use burn::tensor::Device;
use stein_core::{
    ChainNoise, Level, NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, Streams, matrix, to_array,
};
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

/// Draws samples `[N, D]`: each chain starts from α₁ mean + σ₁ z, the prior that the largest noise level makes of any data;
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
        let start = starts(&mut noise, what.mean, Level { sigma: spread, ..level });
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

fn starts(noise: &mut ChainNoise, mean: &[f32], level: Level) -> Vec<f32> {
    let mut x = noise.normals(mean.len());
    for row in x.chunks_mut(mean.len().max(1)) {
        for (x, &m) in row.iter_mut().zip(mean) {
            *x = (level.alpha * f64::from(m)) as f32 + (level.sigma * f64::from(*x)) as f32;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_start_about_what_the_first_level_leaves_of_the_mean() {
        let mean = [10.0, -2.0];
        let start = |level| starts(&mut Streams::new(1).chains("sampler", 0..500), &mean, level);
        let z = start(Level { alpha: 0.0, sigma: 1.0 });
        let x = start(Level { alpha: 0.25, sigma: 0.5 });
        for (x, z) in x.chunks(2).zip(z.chunks(2)) {
            assert!((x[0] - (2.5 + 0.5 * z[0])).abs() < 1e-6 && (x[1] - (-0.5 + 0.5 * z[1])).abs() < 1e-6);
        }
        // Variance-exploding and clean starts keep the whole mean, to the bit.
        let x = start(Level::exploding(3.0));
        assert!(x.iter().zip(mean.iter().cycle()).zip(&z).all(|((x, m), z)| *x == m + (3.0 * f64::from(*z)) as f32));
    }
}
